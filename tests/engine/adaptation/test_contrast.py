# SPDX-License-Identifier: GPL-3.0-or-later
"""Micrographs whose particles are bright, as in negative stain."""

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.processors import without_bfloat16
from helpers.simulated import UNCHECKED
from scipy.spatial import cKDTree

from scipion_pupick.engine import (
    OptimizerSettings,
    PickSettings,
    TrainSettings,
    find_micrographs,
    load_model,
    pick,
    read_picks,
    train,
)
from scipion_pupick.engine.adaptation.contrast import fit_contrast
from scipion_pupick.engine.micrographs import read_image, write_image
from scipion_pupick.engine.networks.architectures import ARCHITECTURES, inverted, make_network
from scipion_pupick.engine.preprocessing.scale import WorkingScale

EXAMPLE = Path(__file__).parents[3] / "examples" / "empiar10017"
DIAMETER = 180.0
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def positives():
    return find_micrographs([str(EXAMPLE / "micrographs")])[:2]


@pytest.fixture(scope="module")
def negatives(positives, tmp_path_factory):
    folder = tmp_path_factory.mktemp("negatives")
    for micrograph in positives:
        write_image(folder / micrograph.path.name, -read_image(micrograph.path), 7.08)
    return find_micrographs([str(folder)])


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_an_inverted_network_scores_negatives(name):
    torch.manual_seed(1)
    network = make_network(name)
    images = torch.randn(2, 1, network.field + 8, network.field + 8)
    network(images)  # batch norms that are not the identity
    network.eval()
    assert torch.allclose(inverted(network)(-images), network(images), atol=1e-5)
    assert not torch.allclose(network(-images), network(images), atol=1e-2)


@pytest.mark.slow
def test_picks_of_negatives_are_those_of_the_micrographs(
    positives, negatives, tmp_path, monkeypatch, caplog
):
    without_bfloat16(tmp_path, monkeypatch)
    caplog.set_level(logging.INFO)
    settings = PickSettings(diameter=DIAMETER)

    def picks(micrographs, name):
        found = pick(micrographs, "general", tmp_path / name, settings, device="cpu", threads=1)
        return [coordinates for _, coordinates in sorted(found.picks.items())]

    expected = picks(positives, "positives")
    assert "bright" not in caplog.text
    assert sum(map(len, expected)) > 100
    for found, wanted in zip(picks(negatives, "negatives"), expected):
        # rounding differs, so that a score may fall to the other side of the threshold
        assert len(found) == pytest.approx(len(wanted), rel=0.01)
        places = cKDTree(np.column_stack([found.x, found.y]))
        distance, nearest = places.query(np.column_stack([wanted.x, wanted.y]))
        same = distance < 0.1
        assert same.mean() > 0.99
        np.testing.assert_allclose(found.score[nearest[same]], wanted.score[same], atol=0.05)
    assert "brighter than what is round them" in caplog.text
    for name, said in (("positives", False), ("negatives", True)):
        report = (tmp_path / name / "report.html").read_text(encoding="utf-8")
        assert ("the particles look bright" in report) is said


@pytest.mark.slow
def test_training_starts_from_the_inverted_model(negatives, tmp_path):
    one_step = replace(OptimizerSettings(), epochs=1, steps=1, learning_rate=1e-9)
    settings = TrainSettings(
        DIAMETER, particles_per_micrograph=600, training=one_step, labels=UNCHECKED
    )
    picks = read_picks([EXAMPLE / "picks_100.star"])
    model = train(negatives, picks, tmp_path, settings, device="cpu", threads=1)
    of_general = load_model("general").network.state_dict()["features.0.weight"]
    found = model.network.state_dict()["features.0.weight"]
    np.testing.assert_allclose(found, -of_general, atol=1e-6)
    assert model.training.bright_particles is True
    assert "the particles look bright" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_noise_is_taken_for_a_background_of_dark_particles(tmp_path):
    noise = np.random.default_rng(2).standard_normal((256, 256)).astype(np.float32)
    write_image(tmp_path / "noise.mrc", noise, 5.0)
    general = load_model("general")
    found = fit_contrast(general, WorkingScale(120.0), find_micrographs([str(tmp_path)]), CPU)
    assert found.general is general
