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
from scipion_pupick.engine.reporting.suggestion import Suggestion, suggest_picks
from scipion_pupick.engine.runs.pick_run import read_pick_run

# picks that are shown in areas, one more for each of six micrographs
_STEP, _MOST_SHOWN = 6, 1200


def is_right(picking_set: PickingSet, name: str, picks: Coordinates) -> np.ndarray:
    """Tell which picks (n,) of a micrograph are particles."""
    truth = picking_set.particles[name]
    return match_points(picks.xy, truth.xy, picking_set.tolerance, picks.score) >= 0


def missed_by(picks: Coordinates, particles: Coordinates, picking_set: PickingSet) -> Coordinates:
    """Particles that no pick is near to."""
    no_scores = np.zeros(len(particles))
    return particles.select(
        match_points(particles.xy, picks.xy, picking_set.tolerance, no_scores) < 0
    )


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
        wrong, missed = picked.select(~right), missed_by(picked, truth, picking_set)
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
    """Particles and negatives after so many clicks in the areas that `pupick suggest` names.

    In each, wrong picks are removed and missed particles added; what was left is confirmed without
    a click. The areas are as large as the clicks are enough for.

    Args:
        picking_set: that knows the truth.
        run: folder of the picks.
        clicks: at most.
    """
    picked = read_pick_run(run)
    peaks = dict(picked.peaks())
    best: Tuple[Picks, Picks] = {}, {}
    for count in range(_STEP, _MOST_SHOWN, _STEP):
        found = suggest_picks(picked, peaks, count)
        corrected = {name: correct_area(picking_set, name, s) for name, s in found.items()}
        if sum(made for _, _, made in corrected.values()) > clicks:
            break
        best = (
            {name: right for name, (right, _, _) in corrected.items()},
            {name: wrong for name, (_, wrong, _) in corrected.items()},
        )
    return best


def correct_area(
    picking_set: PickingSet, name: str, suggestion: Suggestion
) -> Tuple[Coordinates, Coordinates, int]:
    """All particles of an area, what is wrong there, and how many clicks it takes to say so."""
    picks, truth = suggestion.picks, picking_set.particles[name]
    inside = truth.select(suggestion.area.holds(truth.xy))
    right, missed = is_right(picking_set, name, picks), missed_by(picks, inside, picking_set)
    wrong = picks.select(~right)
    particles = join_coordinates([picks.select(right), missed])
    return particles, wrong, len(wrong) + len(missed)


def rows(coordinates: Coordinates) -> np.ndarray:
    """Rows (n, 3) of x, y and score."""
    return np.column_stack([coordinates.x, coordinates.y, coordinates.score])
