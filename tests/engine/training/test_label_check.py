# SPDX-License-Identifier: GPL-3.0-or-later
"""Labels that cannot be right are told from those that can."""

import logging
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.simulated import DIAMETER, SIDE, as_picks, simulate_set

from scipion_pupick.engine import Coordinates, LabelSettings, TrainSettings, find_micrographs
from scipion_pupick.engine.coordinates.transform import PickTransform, transform_picks
from scipion_pupick.engine.errors import UsageError
from scipion_pupick.engine.training.label_check import check_labels, describe
from scipion_pupick.engine.training.label_fit import (
    Fit,
    RankedMicrograph,
    fit_labels,
    local_ranks,
    other_transforms,
)
from scipion_pupick.engine.training.start import Start

SHAPE, DIAMETER_PX = (400, 600), 24.0
WRONG = {
    "picks_mirror": PickTransform(mirror="y"),
    "picks_swap": PickTransform(swap=True),
    "picks_scale": PickTransform(scale=4.0),
}


def spots(seed, count=60):
    """Scores with a spot at each of some random places, and these (n, 2) as (x, y), px."""
    random = np.random.default_rng(seed)
    xy = random.uniform(10, 390, (count, 2))
    scores = random.normal(-3, 1, (SHAPE[0] // 4, SHAPE[1] // 4))
    rows, columns = np.rint(xy[:, ::-1] / 4).astype(int).T
    scores[rows, columns] = 3
    return scores, xy


def ranked(scores, xy, transform=None):
    """A micrograph whose labels need a transform to be right; not at its own scale."""
    ranks = local_ranks(scores, DIAMETER_PX)
    return RankedMicrograph(ranks, SHAPE, SHAPE, xy if transform is None else transform(xy))


@pytest.mark.parametrize("count", [10, 100])
def test_labels_on_spots_are_right(count):
    micrographs = [ranked(scores, xy[:count]) for scores, xy in map(spots, range(4))]
    fit = fit_labels(micrographs, DIAMETER_PX)
    assert fit.rank > 0.95
    assert fit.outside == 0
    assert fit.better is None


@pytest.mark.parametrize(
    ("wrong", "better"),
    [
        (lambda xy: np.array([0, 399]) + xy * [1, -1], PickTransform(mirror="y")),
        (lambda xy: np.array([599, 0]) + xy * [-1, 1], PickTransform(mirror="x")),
        (lambda xy: [599, 399] - xy, PickTransform(mirror="xy")),
        (lambda xy: xy[:, ::-1], PickTransform(swap=True)),
        (lambda xy: xy * 4, PickTransform(scale=0.25)),
        (lambda xy: xy / 2, PickTransform(scale=2.0)),
        (lambda xy: xy - 18, PickTransform(shift=(18.0, 18.0))),
        (lambda xy: (xy * [1, -1] + [0, 399]) / 4, PickTransform(scale=4.0, mirror="y")),
    ],
)
def test_what_was_done_to_labels_is_found(wrong, better):
    micrographs = [ranked(scores, xy, wrong) for scores, xy in map(spots, range(2))]
    found = fit_labels(micrographs, DIAMETER_PX).better
    np.testing.assert_allclose(found.shift, better.shift, atol=1)
    assert replace(found, shift=(0, 0)) == replace(better, shift=(0, 0))


def test_labels_in_angstroms_are_found():
    micrographs = [ranked(scores, xy, lambda xy: xy * 1.19) for scores, xy in map(spots, range(2))]
    assert fit_labels(micrographs, DIAMETER_PX).better is None
    found = fit_labels(micrographs, DIAMETER_PX, pixel_size=1.19).better
    assert found == PickTransform(scale=1 / 1.19)


def test_labels_of_what_the_network_cannot_see_are_no_alarm():
    micrographs = [ranked(spots(seed)[0], spots(seed + 50)[1]) for seed in range(20)]
    for micrograph in micrographs:
        assert fit_labels([micrograph], DIAMETER_PX).better is None
    assert fit_labels(micrographs, DIAMETER_PX).is_chance


def test_a_grid_that_fits_under_every_mirror_is_no_alarm():
    x, y = np.meshgrid(np.arange(24, 580, 24), np.arange(24, 380, 24))
    xy = np.column_stack([x.ravel(), y.ravel()]).astype(float)
    scores = np.full((100, 150), -3.0)
    scores[np.rint(xy[:, 1] / 4).astype(int), np.rint(xy[:, 0] / 4).astype(int)] = 3
    assert fit_labels([ranked(scores, xy)], DIAMETER_PX).better is None


def test_a_region_where_all_scores_are_high_tells_nothing():
    """Labels avoid carbon, on which their mirror images lie."""
    random = np.random.default_rng(0)
    scores = random.normal(-3, 1, (100, 150))
    scores[:, 75:] += 6
    xy = random.uniform(10, 290, (100, 2))
    fit = fit_labels([ranked(scores, xy)], DIAMETER_PX)
    assert fit.better is None


def test_ranks_are_half_in_the_mean_and_one_on_a_spot():
    scores, _ = spots(0, count=0)
    scores[50, 70] = 9
    ranks = local_ranks(scores, DIAMETER_PX)
    assert ranks[50, 70] == pytest.approx(1, abs=0.05)
    assert ranks.mean() == pytest.approx(0.5, abs=0.01)
    assert local_ranks(np.zeros((9, 9)), DIAMETER_PX) == pytest.approx(np.full((9, 9), 0.5))


def test_transforms_are_each_tried_once_and_right_labels_not_at_all():
    transforms = other_transforms(30.0)
    assert len(transforms) == len(set(transforms))
    assert PickTransform() not in transforms
    assert min(np.hypot(*t.shift) for t in transforms if t.shift != (0, 0)) > 0.4 * 30


def test_the_finding_names_the_settings_that_mend_it():
    better = PickTransform(0.25, True, "y")
    error = describe(Fit(100, 80, 0.1, better, 0.9), LabelSettings(), SHAPE)
    assert error.settings == ("picks_scale", "picks_swap", "picks_mirror", "check_picks")
    for words in ("80 of 100", "scale them by 0.25", "swap their x and y", "in y", "90%"):
        assert words in str(error)
    shifted = PickTransform(shift=(15.0, -15.0))
    error = describe(Fit(100, 0, 0.5, shifted, 0.9), LabelSettings(picks_scale=2.0), SHAPE)
    assert error.settings == ("picks_shift_x", "picks_shift_y", "check_picks")
    assert "beside what is set" in str(error)
    assert "outside" not in str(error)


def test_labels_that_lie_outside_are_refused_without_a_better_place():
    error = describe(Fit(10, 6, 0.2, PickTransform(), 0.4), LabelSettings(), SHAPE)
    assert "6 of 10" in str(error)
    assert "600 x 400 px" in str(error)
    assert "picks_scale" in error.settings
    assert describe(Fit(10, 5, 0.4, PickTransform(), 0.4), LabelSettings(), SHAPE) is None


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("labels")
    picks = as_picks(simulate_set(folder, range(3)))
    micrographs = find_micrographs([str(folder)])
    return micrographs, {m.name: picks[m.name] for m in micrographs}


def check(data, transform=None, **settings):
    micrographs, picks = data
    picks = transform_picks(picks, micrographs, transform or PickTransform())
    start = Start(None, TrainSettings(DIAMETER, labels=LabelSettings(**settings)))
    check_labels(picks, micrographs, start, torch.device("cpu"))


def test_the_general_model_finds_right_labels_right(data, caplog):
    caplog.set_level(logging.WARNING)
    check(data)
    assert caplog.messages == []


@pytest.mark.parametrize(("setting", "transform"), WRONG.items())
def test_the_general_model_finds_wrong_labels_wrong(data, setting, transform):
    with pytest.raises(UsageError, match="do not fit") as caught:
        check(data, transform)
    assert caught.value.settings == (setting, "check_picks")


def test_the_check_can_warn_or_be_turned_off(data, caplog):
    caplog.set_level(logging.WARNING)
    check(data, WRONG["picks_mirror"], check_picks="off")
    assert caplog.messages == []
    check(data, WRONG["picks_mirror"], check_picks="warn")
    assert len(caplog.messages) == 1
    assert "mirror them in y" in caplog.text


def test_labels_that_lie_by_chance_are_doubted(data, caplog):
    caplog.set_level(logging.WARNING)
    micrographs, picks = data
    random = np.random.default_rng(1)
    anywhere = {name: Coordinates.unscored(*random.uniform(8, SIDE - 8, (2, 60))) for name in picks}
    check((micrographs, anywhere))
    assert "belong together" in caplog.text


def test_micrographs_that_cannot_be_read_are_no_reason_to_stop(data, tmp_path):
    (tmp_path / "broken.mrc").write_bytes(b"no image")
    micrographs = find_micrographs([str(tmp_path)])
    check((micrographs, {micrographs[0].name: next(iter(data[1].values()))}))
