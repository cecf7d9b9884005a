# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person makes of picks by clicks, simulated from the truth."""

from __future__ import annotations

from pathlib import Path
from typing import Tuple

import numpy as np

from benchmarks.common.picking_sets import PickingSet
from scipion_pupick.engine import Coordinates, Picks
from scipion_pupick.engine.coordinates.table import join_coordinates
from scipion_pupick.engine.evaluation.matching import match_points
from scipion_pupick.engine.reporting.suggestion import suggest_picks
from scipion_pupick.engine.runs.pick_run import read_pick_run


def is_right(picking_set: PickingSet, name: str, picks: Coordinates) -> np.ndarray:
    """Tell which picks (n,) of a micrograph are particles."""
    truth = picking_set.particles[name]
    return match_points(picks.xy, truth.xy, picking_set.tolerance, picks.score) >= 0


def as_corrected(picking_set: PickingSet, picks: Picks, clicks: int) -> Tuple[Picks, Picks]:
    """Particles and negatives after so many clicks, micrograph by micrograph.

    Wrong picks are removed and missed particles added, in turn; where all of a micrograph is
    right, what was left is confirmed without a click.
    """
    particles: Picks = {}
    negatives: Picks = {}
    for name, picked in picks.items():
        if clicks <= 0:
            break
        truth, right = picking_set.particles[name], is_right(picking_set, name, picked)
        match = match_points(truth.xy, picked.xy, picking_set.tolerance, np.zeros(len(truth)))
        wrong, missed = picked.select(~right), truth.select(match < 0)
        removed = wrong.select(np.arange(len(wrong)) < (clicks + 1) // 2)
        added = missed.select(np.arange(len(missed)) < clicks - len(removed))
        removed = wrong.select(np.arange(len(wrong)) < clicks - len(added))
        clicks -= len(removed) + len(added)
        whole = len(removed) == len(wrong) and len(added) == len(missed)
        kept = picked.select(right) if whole else Coordinates.empty()
        particles[name] = Coordinates(*np.concatenate([rows(added), rows(kept)]).T)
        negatives[name] = removed
    return particles, negatives


def as_suggested(picking_set: PickingSet, run: Path, clicks: int) -> Tuple[Picks, Picks]:
    """Particles and negatives after a look at so many picks that `pupick suggest` shows.

    Each pick that is shown counts as a click, also where a particle is only confirmed; so do those
    next to the doubtful ones.

    Args:
        picking_set: that knows the truth.
        run: folder of the picks.
        clicks: picks to look at.
    """
    picked = read_pick_run(run)
    peaks = dict(picked.peaks())
    count = clicks
    while True:
        found = suggest_picks(picked, peaks, count)
        shown = {name: join_coordinates([s.doubtful, s.neighbours]) for name, s in found.items()}
        number = sum(map(len, shown.values()))
        if number <= clicks or count == 1:
            break
        count = max(1, min(count - 1, count * clicks // number))
    shown = first_picks(shown, clicks)
    right = {name: is_right(picking_set, name, picks) for name, picks in shown.items()}
    return (
        {name: picks.select(right[name]) for name, picks in shown.items()},
        {name: picks.select(~right[name]) for name, picks in shown.items()},
    )


def first_picks(picks: Picks, most: int) -> Picks:
    """At most so many picks, of as few micrographs as hold them."""
    first: Picks = {}
    for name, of_one in picks.items():
        first[name] = of_one.select(np.arange(len(of_one)) < most)
        most -= len(first[name])
    return first


def rows(coordinates: Coordinates) -> np.ndarray:
    """Rows (n, 3) of x, y and score."""
    return np.column_stack([coordinates.x, coordinates.y, coordinates.score])
