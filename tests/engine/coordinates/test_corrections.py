# SPDX-License-Identifier: GPL-3.0-or-later
"""What people say of picks: the file of it, and the difference between picks before and after."""

import json

import numpy as np
import pytest

from scipion_pupick.engine.coordinates import Coordinates
from scipion_pupick.engine.coordinates.corrections import (
    Correction,
    find_corrections,
    labels_of_corrections,
    read_corrections,
    with_left_confirmed,
    without_removed,
    write_corrections,
)
from scipion_pupick.engine.errors import PupickError


def at(*points):
    x, y = np.array(points, float).reshape(-1, 2).T
    return Coordinates.unscored(x, y)


def listed(coordinates):
    return coordinates.xy.tolist()


def test_corrections_come_out_of_the_file_as_they_went_in(tmp_path):
    path = tmp_path / "corrections.json"
    corrections = {
        "mics/a.mrc": Correction(at((1, 2.25)), at((3, 4), (5, 6)), at((7, 8)), done=True),
        "mics/ü b.mrc": Correction(),
    }
    write_corrections(path, corrections)
    found = read_corrections(path)
    assert list(found) == list(corrections)
    first = found["mics/a.mrc"]
    assert listed(first.removed) == [[1, 2.25]]
    assert listed(first.added) == [[3, 4], [5, 6]]
    assert listed(first.confirmed) == [[7, 8]]
    assert first.done
    assert not found["mics/ü b.mrc"].done
    assert first.clicks == 3


GOOD = {"removed": [], "added": [], "confirmed": [], "done": False}


@pytest.mark.parametrize(
    "record",
    [
        {},
        {"version": 2, "micrographs": {}},
        {"version": 1},
        {"version": 1, "micrographs": [1]},
        {"version": 1, "micrographs": {"a": {}}},
        {"version": 1, "micrographs": {"a": 5}},
        {"version": 1, "micrographs": {"a": {**GOOD, "done": "yes"}}},
        {"version": 1, "micrographs": {"a": {**GOOD, "added": [[1]]}}},
        {"version": 1, "micrographs": {"a": {**GOOD, "added": [[1, "x"]]}}},
        {"version": 1, "micrographs": {"a": {**GOOD, "added": [[1, float("nan")]]}}},
        {"version": 1, "micrographs": {"a": {**GOOD, "removed": 3}}},
    ],
)
def test_a_file_that_is_no_list_of_corrections_is_named_and_refused(tmp_path, record):
    path = tmp_path / "corrections.json"
    path.write_text(json.dumps(record))
    with pytest.raises(PupickError, match="corrections.json"):
        read_corrections(path)


def test_what_is_gone_was_removed_and_what_is_new_was_added():
    before = {"a": at((10, 10), (50, 50), (90, 90)), "b": at((5, 5)), "c": at((1, 1))}
    # the manual picker rounds positions
    after = {"a": at((10.4, 9.7), (90, 90), (200, 20)), "b": at((5, 5))}
    found = find_corrections(before, after, {"a": 2.0, "b": 2.0})
    assert list(found) == ["a"]
    assert listed(found["a"].removed) == [[50, 50]]
    assert listed(found["a"].added) == [[200, 20]]
    assert not found["a"].done


def test_a_micrograph_that_is_done_without_a_change_is_a_correction():
    found = find_corrections({"b": at((5, 5))}, {"b": at((5, 5))}, {"b": 2.0}, done={"b"})
    assert found["b"].done
    assert not found["b"].clicks


def test_what_was_left_is_confirmed_only_where_the_micrograph_is_done():
    picked = at((10, 10), (50, 50), (90, 90))
    correction = Correction(removed=at((50, 50)), confirmed=at((10, 10)), added=at((7, 7)))
    assert with_left_confirmed(correction, picked, 2.0) is correction
    done = with_left_confirmed(Correction(correction.removed, done=True), picked, 2.0)
    assert listed(done.confirmed) == [[10, 10], [90, 90]]
    particles, negatives = labels_of_corrections({"m": correction})
    assert listed(particles["m"]) == [[7, 7], [10, 10]]
    assert listed(negatives["m"]) == [[50, 50]]


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        (Correction(removed=at((12, 10))), []),
        (Correction(removed=at((16, 10))), [[10, 10]]),
        (Correction(removed=at((12, 10)), added=at((9, 10))), [[10, 10]]),
        (Correction(removed=at((12, 10)), added=at((13, 10))), []),
        (Correction(removed=at((12, 10)), confirmed=at((10, 10))), [[10, 10]]),
        (Correction(added=at((10, 10)), done=True), [[10, 10]]),
    ],
)
def test_a_label_goes_with_the_pick_that_was_removed(said, kept):
    assert listed(without_removed(at((10, 10)), said, 5)) == kept
