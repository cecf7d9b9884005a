# SPDX-License-Identifier: GPL-3.0-or-later
"""Picks are scaled, swapped, mirrored and shifted, in this order."""

import numpy as np
import pytest
from helpers.simulated import write_mrc

from scipion_pupick.engine import Coordinates, LabelSettings, find_micrographs
from scipion_pupick.engine.coordinates.transform import PickTransform, transform_picks
from scipion_pupick.engine.errors import UsageError

SHAPE = (100, 200)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, (10, 30)),
        ({"picks_scale": 0.5}, (5, 15)),
        ({"picks_swap": "yes"}, (30, 10)),
        ({"picks_mirror": "x"}, (189, 30)),
        ({"picks_mirror": "y"}, (10, 69)),
        ({"picks_mirror": "xy"}, (189, 69)),
        ({"picks_shift_x": 4.0, "picks_shift_y": -5.0}, (14, 25)),
        ({"picks_scale": 2.0, "picks_swap": "yes", "picks_mirror": "y"}, (60, 79)),
        ({"picks_mirror": "x", "picks_shift_x": 1.0}, (190, 30)),
    ],
)
def test_a_setting_moves_picks(settings, expected):
    transform = PickTransform.of(LabelSettings(**settings))
    moved = transform.apply(np.array([[10.0, 30.0]]), SHAPE)
    np.testing.assert_allclose(moved, [expected])


def test_a_mirror_undoes_itself_at_the_pixel_centres():
    corners = np.array([[0.0, 0.0], [199.0, 99.0]])
    moved = PickTransform(mirror="xy").apply(corners, SHAPE)
    np.testing.assert_array_equal(moved, corners[::-1])


def test_picks_are_mirrored_in_their_own_micrograph_and_keep_their_scores(tmp_path):
    for name, shape in (("a.mrc", (50, 60)), ("b.mrc", (70, 80))):
        write_mrc(tmp_path / name, np.zeros(shape, np.float32))
    (tmp_path / "c.mrc").write_bytes(b"no image")
    micrographs = find_micrographs([str(tmp_path)])
    picks = {m.name: Coordinates([1.0], [2.0], [0.5]) for m in micrographs}
    assert transform_picks(picks, micrographs, PickTransform()) is picks
    moved = transform_picks(picks, micrographs, PickTransform(mirror="y"))
    assert [float(c.y[0]) for c in moved.values()] == [47, 67, 2]
    assert [float(c.score[0]) for c in moved.values()] == [0.5, 0.5, 0.5]
    assert [float(c.y[0]) for c in picks.values()] == [2, 2, 2]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("picks_scale", 0.0),
        ("picks_scale", float("inf")),
        ("picks_shift_x", float("nan")),
        ("picks_mirror", "z"),
        ("check_picks", "maybe"),
    ],
)
def test_settings_that_make_no_sense_are_refused(name, value):
    with pytest.raises(UsageError, match=name) as caught:
        LabelSettings(**{name: value})
    assert caught.value.settings == (name,)
