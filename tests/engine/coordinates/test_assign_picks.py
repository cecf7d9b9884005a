# SPDX-License-Identifier: GPL-3.0-or-later
"""Picks under the names of their micrographs, and what is said of names that differ."""

import logging
from pathlib import Path

from scipion_pupick.engine.coordinates import Coordinates
from scipion_pupick.engine.coordinates.assign_picks import assign_to_micrographs
from scipion_pupick.engine.micrographs import Micrograph

MICROGRAPHS = [Micrograph(Path(f"mics/m{i}.mrc"), f"mics/m{i}.mrc") for i in range(3)]


def assign(*names):
    picks = {name: Coordinates.unscored([1], [2]) for name in names}
    return assign_to_micrographs(picks, MICROGRAPHS, "picks")


def test_names_that_differ_are_said_with_an_example_and_what_is_left(caplog):
    caplog.set_level(logging.INFO)
    found = assign("J1/000001281467243737051_m0_patch_aligned_doseweighted.mrc", "m1")
    assert set(found) == {
        "mics/m0.mrc",
        "mics/m1.mrc",
    }
    assert "picks of 1 micrographs are tied by the common part of their names" in caplog.text
    assert "m0_patch_aligned_doseweighted.mrc to mics/m0.mrc; 1 of the 3 given" in caplog.text


def test_picks_of_other_micrographs_are_counted_on_both_sides(caplog):
    assign("m0.mrc", "x.mrc", "y.mrc")
    assert "The picks of 2 other micrographs, such as x.mrc, are left out" in caplog.text
    assert "those of 1 of the 3 given micrographs are taken" in caplog.text


def test_nothing_is_said_where_names_agree(caplog):
    caplog.set_level(logging.INFO)
    assign("m0.mrc", "elsewhere/m1", "mics/m2.tif")
    assert not caplog.records
