# SPDX-License-Identifier: GPL-3.0-or-later
"""Fast scoring, against the plain network in evaluation mode."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from helpers.processors import pretend, without_bfloat16
from scipy.stats import spearmanr
from torch import nn

from scipion_pupick.engine.networks import architectures as networks
from scipion_pupick.engine.networks.architectures import (
    ARCHITECTURES,
    STRIDE,
    make_network,
    strided_scores,
)
from scipion_pupick.engine.networks.scoring import (
    fuse,
    make_judge,
    make_picking_judge,
    make_scorer,
    to_channels_last,
)

CPU = torch.device("cpu")


@pytest.fixture
def single(tmp_path, monkeypatch):
    """A processor without bfloat16."""
    without_bfloat16(tmp_path, monkeypatch)


@pytest.fixture
def half(tmp_path, monkeypatch):
    """A processor with bfloat16."""
    pretend(tmp_path, monkeypatch, "fpu avx512_bf16")


@pytest.fixture
def whole(tmp_path, monkeypatch):
    """A processor that multiplies whole numbers fastest."""
    pretend(tmp_path, monkeypatch, "fpu avx2")


def network(name):
    """A network whose batch norms have weights and statistics that do something."""
    torch.manual_seed(0)
    made = make_network(name).train()
    norms = [module for module in made.modules() if isinstance(module, nn.BatchNorm2d)]
    with torch.no_grad():
        for norm in norms:
            norm.weight.uniform_(0.5, 1.5)
            norm.bias.uniform_(-0.5, 0.5)
        for _ in range(10):
            made(3 * torch.randn(4, 1, made.field + 12, made.field + 12) + 1)
    assert all((norm.running_mean.abs() > 0.01).any() for norm in norms)
    return made.eval()


def images(shape=(2, 61, 74)):
    random = np.random.default_rng(0)
    return (random.normal(size=shape) + np.linspace(-1, 2, shape[2])).astype(np.float32)


def plain_scores(made, batch):
    with torch.no_grad():
        return strided_scores(made, torch.from_numpy(batch)).numpy()


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.usefixtures("single")
def test_equals_the_plain_network_in_single_precision(name):
    made = network(name)
    scores = make_scorer(made, CPU)(images())
    per_side = STRIDE // made.step
    assert scores.shape == (2, 16 * per_side, 19 * per_side)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, plain_scores(made, images()), atol=1e-5)


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.usefixtures("half")
def test_scores_keep_their_order_in_half_precision(name):
    made = network(name)
    batch = images((1, 160, 160))
    scores, expected = make_scorer(made, CPU)(batch), plain_scores(made, batch)
    assert scores.dtype == np.float32
    assert spearmanr(scores.ravel(), expected.ravel()).statistic > 0.999
    assert 0 < np.abs(scores - expected).max() < 0.25 * expected.std()


@pytest.mark.parametrize("precision", ["single", "half"])
def test_the_network_is_not_changed(precision, request):
    request.getfixturevalue(precision)
    made = network("resnet8").train()
    before = {name: value.clone() for name, value in made.state_dict().items()}
    make_scorer(made, CPU)(images())
    assert made.training
    for name, value in made.state_dict().items():
        assert value.dtype == before[name].dtype
        assert value.stride() == before[name].stride()
        assert torch.equal(value, before[name])


@pytest.mark.usefixtures("single")
def test_a_network_in_training_is_scored_in_evaluation_mode():
    made = network("conv3")
    expected = plain_scores(made, images())
    scores = make_scorer(made.train(), CPU)(images())
    np.testing.assert_allclose(scores, expected, atol=1e-5)


@pytest.mark.usefixtures("single")
def test_later_training_does_not_reach_the_scorer():
    made = network("conv3")
    score = make_scorer(made, CPU)
    before = score(images())
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.zero_()
    np.testing.assert_array_equal(score(images()), before)


@pytest.mark.usefixtures("single")
def test_each_image_of_a_batch_is_scored_on_its_own():
    score = make_scorer(network("resnet8"), CPU)
    together = score(images())
    for image, expected in zip(images(), together):
        np.testing.assert_allclose(score(image[None])[0], expected, atol=1e-5)


@pytest.mark.parametrize(
    ("precision", "make"),
    [("single", make_judge), ("half", make_judge), ("whole", make_picking_judge)],
)
def test_scores_are_the_same_bit_for_bit_with_any_number_of_threads(precision, make, request):
    request.getfixturevalue(precision)
    judge = make(make_network("resnet8-fine").eval(), CPU)
    image = np.random.default_rng(4).standard_normal((1, 150, 170)).astype(np.float32)
    before = torch.get_num_threads()
    try:
        scores = []
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            scores.append(judge(image)[0])
    finally:
        torch.set_num_threads(before)
    np.testing.assert_array_equal(scores[1], scores[0])
    np.testing.assert_array_equal(scores[2], scores[0])


@pytest.mark.usefixtures("single")
def test_images_may_be_views():
    score = make_scorer(network("conv3"), CPU)
    turned = images().transpose(0, 2, 1)
    np.testing.assert_allclose(score(turned), score(turned.copy()), atol=1e-6)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_no_batch_norm_is_left(name):
    fused = fuse(network(name))
    assert not fused.training
    assert not any(isinstance(module, nn.BatchNorm2d) for module in fused.modules())


def test_convolution_weights_are_laid_out_channels_last():
    made = network("resnet8")
    before = [parameter.clone() for parameter in made.parameters()]
    to_channels_last(made)
    for parameter, value in zip(made.parameters(), before):
        assert torch.equal(parameter, value)
        if parameter.dim() == 4:
            assert parameter.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_gpu_gives_the_order_of_the_cpu(name):
    made = network(name)
    batch = images((1, 160, 160))
    scores = make_scorer(made, torch.device("cuda:0"))(batch)
    assert spearmanr(scores.ravel(), plain_scores(made, batch).ravel()).statistic > 0.999


@pytest.mark.parametrize("height", [40, 41, 42, 43, 44])
@pytest.mark.usefixtures("single")
def test_bands_of_rows_meet_without_a_seam(height, monkeypatch):
    made, batch = network("conv3"), images((2, height, 74))
    whole = plain_scores(made, batch)
    # bands of a single row of scores, and of a few
    for pixels in (1, 3 * 4 * (74 + 30)):
        monkeypatch.setattr(networks, "BAND_PIXELS", pixels)
        found = make_scorer(made, CPU)(batch)
        np.testing.assert_allclose(found, whole, atol=1e-5)


@pytest.mark.slow
def test_memory_stays_bounded_for_a_large_image():
    script = (
        "import resource, sys, numpy as np, torch\n"
        "from scipion_pupick.engine.networks.architectures import make_network\n"
        "from scipion_pupick.engine.networks.scoring import make_scorer\n"
        "torch.set_num_threads(1)\n"
        "score = make_scorer(make_network('conv3').eval(), torch.device('cpu'))\n"
        "def peak():\n"
        "    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10\n"
        "score(np.zeros((1, 512, 512), np.float32))\n"
        "before = peak()\n"
        "score(np.zeros((1, 4096, 4096), np.float32))\n"
        "print(peak() - before)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    # the image and its padded copy are 128 MiB; all features at once would be 600 and more
    assert float(done.stdout) < 400
