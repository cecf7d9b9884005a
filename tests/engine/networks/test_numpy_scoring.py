# SPDX-License-Identifier: GPL-3.0-or-later
"""Scoring without PyTorch: the scores are PyTorch's."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from scipion_pupick.engine.networks import numpy_scoring
from scipion_pupick.engine.networks.architectures import (
    ARCHITECTURES,
    make_network,
    strided_outputs,
    strided_scores,
)
from scipion_pupick.engine.networks.model import Model, network_of_file, save_model
from scipion_pupick.engine.networks.model_file import read_model_file
from scipion_pupick.engine.networks.numpy_scoring import STEPS, make_numpy_judge
from scipion_pupick.engine.preprocessing.scale import WorkingScale


def worn(network):
    """The network with every weight and every statistic of its batch norms unlike a fresh one's."""
    torch.manual_seed(3)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.5, 0.5)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.5, 0.5)
        if isinstance(module, nn.PReLU):
            nn.init.constant_(module.weight, -0.3)
    return network.eval()


@pytest.fixture(scope="module", params=list(STEPS))
def file(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    network = worn(make_network(request.param))
    save_model(Model(network, request.param, WorkingScale(180.0), threshold=0.0), path)
    return read_model_file(path)


@pytest.mark.parametrize("shape", [(160, 131), (1, 2), (33, 70)])
def test_the_scores_are_those_of_pytorch(file, shape):
    images = np.random.default_rng(5).normal(size=(2, *shape)).astype(np.float32)
    with torch.inference_mode():
        expected = strided_scores(network_of_file(file), torch.from_numpy(images)).numpy()
    scores = make_numpy_judge(file)(images)[0]
    assert scores.dtype == np.float32
    assert expected.std() > 0 or expected.size <= 2
    np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def test_contamination_is_that_of_pytorch(tmp_path):
    torch.manual_seed(4)
    network = worn(make_network("resnet8-fine"))
    nn.init.normal_(network.contamination.weight)
    path = tmp_path / "model.safetensors"
    save_model(Model(network, "resnet8-fine", WorkingScale(180.0), threshold=0.0), path)
    images = np.random.default_rng(5).normal(size=(2, 61, 70)).astype(np.float32)
    _, dirty = make_numpy_judge(read_model_file(path))(images)
    with torch.inference_mode():
        outputs = strided_outputs(network, torch.from_numpy(images)).numpy()
    assert dirty.shape == (2, 16, 18)
    np.testing.assert_allclose(dirty, outputs[:, 1, ::2, ::2], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("height", [1, 28, 29, 30, 64])
def test_bands_of_a_high_image_fit_together(file, height, monkeypatch):
    images = np.random.default_rng(5).normal(size=(1, height, 20)).astype(np.float32)
    whole = make_numpy_judge(file)(images)[0]
    monkeypatch.setattr(numpy_scoring, "SCORES_PER_BAND", 7)
    banded = make_numpy_judge(file)(images)[0]
    per_side = 2 if file.network_name == "resnet8-fine" else 1
    assert banded.shape == (1, per_side * -(-height // 4), per_side * 5)
    np.testing.assert_allclose(banded, whole, rtol=1e-4, atol=1e-4 * np.abs(whole).max())


def test_the_image_and_the_weights_stay_as_they_are(file):
    images = np.random.default_rng(5).normal(size=(1, 30, 30)).astype(np.float32)
    before = images.copy()
    judge = make_numpy_judge(file)
    (first, _), (second, _) = judge(images), judge(images)
    np.testing.assert_array_equal(images, before)
    np.testing.assert_array_equal(first, second)


def test_every_network_can_be_scored():
    assert set(STEPS) <= set(ARCHITECTURES)


def test_pytorch_and_pandas_are_not_imported():
    code = (
        "import sys, scipion_pupick.engine.networks.numpy_scoring, "
        "scipion_pupick.engine.preprocessing.working_image, "
        "scipion_pupick.engine.picking.peaks; print({'torch', 'pandas'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
