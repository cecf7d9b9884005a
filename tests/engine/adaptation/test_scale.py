# SPDX-License-Identifier: GPL-3.0-or-later
"""The scale that suits the general model, where the diameter that it was given is wrong."""

import logging
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from scipion_pupick.engine import find_micrographs, load_model
from scipion_pupick.engine.adaptation.scale import (
    PRIOR_PENALTY,
    SCALE_STEP,
    ScaleSearch,
    best_scale,
    confidence,
    evenly_spaced,
    read_middles,
)
from scipion_pupick.engine.micrographs import Micrograph, write_image
from scipion_pupick.engine.networks.scoring import make_judge
from scipion_pupick.engine.picking.detector import PeaksInsideBorder
from scipion_pupick.engine.preprocessing.scale import WorkingScale

EXAMPLE = Path(__file__).parents[3] / "examples" / "empiar10017"
DIAMETER = 180.0


@pytest.fixture(scope="module")
def general():
    model = load_model("general")
    return model, make_judge(model.network, torch.device("cpu"))


def certainty_of(*scores):
    return confidence([PeaksInsideBorder(each, 1.0) for each in scores])


def test_certainty_is_the_mean_probability_of_what_may_be_particles():
    surely, hardly, half = np.full(30, 50.0), np.full(1000, -50.0), np.zeros(60)
    assert certainty_of(surely, hardly) == pytest.approx(1)
    assert certainty_of(half) == pytest.approx(0.5)
    # 30 sure particles and half of 60 others
    assert certainty_of(surely, half) == pytest.approx((30 + 60 / 4) / (30 + 60 / 2))


@pytest.mark.parametrize("scores", [[], [np.full(19, 50.0)], [np.full(1000, -9.0)]])
def test_too_few_particles_say_nothing(scores):
    assert certainty_of(*scores) == 0


@pytest.mark.slow
def test_a_wrong_diameter_leads_to_the_scale_of_the_right_one(general, caplog):
    caplog.set_level(logging.INFO)
    micrographs = find_micrographs([str(EXAMPLE / "micrographs")])[:2]

    def pixel_size(factor):
        scale = WorkingScale(DIAMETER * factor)
        suited = best_scale(ScaleSearch(*general, scale, read_middles(scale, micrographs)))
        assert suited.diameter == scale.diameter
        return suited.pixel_size

    right = pixel_size(1.0)
    assert 1 / 1.13 < right / (DIAMETER / 24) < 1.13
    for factor in (0.75, 1.35):
        caplog.clear()
        assert 1 / 1.2 < pixel_size(factor) / right < 1.2
        assert f"({DIAMETER * factor:.0f} Å given)" in caplog.text


def test_where_there_is_nothing_the_given_scale_stays(general, tmp_path):
    noise = np.random.default_rng(1).standard_normal((256, 256)).astype(np.float32)
    write_image(tmp_path / "noise.mrc", noise, 5.0)
    (tmp_path / "damaged.mrc").write_bytes(b"no image")
    micrographs = [Micrograph(path, path.name, 5.0) for path in sorted(tmp_path.iterdir())]
    scale = WorkingScale(120.0)
    assert best_scale(ScaleSearch(*general, scale, read_middles(scale, micrographs))) == scale


def test_micrographs_are_spread_evenly():
    assert evenly_spaced(list(range(9)), 3) == [0, 4, 8]
    assert evenly_spaced([1, 2], 4) == [1, 2]


@pytest.mark.parametrize("surest", [0.0, 0.4, -0.4, 1.5])
def test_the_scale_lies_between_the_surest_and_the_one_given(monkeypatch, surest):
    """Certainty is a parabola here, and so is what a distance from the given scale leaves of it."""
    general = load_model("general")
    micrographs = find_micrographs([str(EXAMPLE / "micrographs")])
    asked = WorkingScale(DIAMETER)

    def peaks_at(_, judge, scale, chosen):
        if judge is not None:
            return {}  # nothing in the negatives
        steps = math.log(asked.diameter_px / scale.diameter_px, SCALE_STEP)
        chance = 0.9 - 0.1 * (steps - surest) ** 2
        return {chosen[0]: PeaksInsideBorder(np.full(100, np.log(chance / (1 - chance))), 1.0)}

    monkeypatch.setattr("scipion_pupick.engine.adaptation.scale.detect_in_micrographs", peaks_at)
    suited = best_scale(ScaleSearch(general, None, asked, micrographs))
    candidates = np.linspace(-2, 2, 4001)
    product = (0.9 - 0.1 * (candidates - surest) ** 2) * (1 - PRIOR_PENALTY * candidates**2)
    summit = candidates[product.argmax()]
    assert abs(summit) <= abs(surest)
    steps = math.log(asked.diameter_px / suited.diameter_px, SCALE_STEP)
    assert steps == pytest.approx(summit, abs=0.02)
    if surest:
        assert abs(steps) < abs(surest)
