# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person makes of picks by clicks, simulated from the truth."""

from __future__ import annotations

from typing import Dict, Optional, Tuple

import numpy as np

from benchmarks.common.picking_sets import PickingSet
from scipion_pupick.engine import Coordinates, Picks
from scipion_pupick.engine.coordinates.area import Area
from scipion_pupick.engine.coordinates.corrections import Correction, Corrections
from scipion_pupick.engine.evaluation.matching import match_points
from scipion_pupick.engine.runs.pick_run import PickRun
from scipion_pupick.engine.runs.suggestion import Suggestion, suggest_picks

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


def as_corrected(picking_set: PickingSet, picks: Picks, clicks: int) -> Corrections:
    """What is said after so many clicks, micrograph by micrograph.

    Wrong picks are removed and missed particles added, in turn; where all of a micrograph is
    right, it is done, and what was left is confirmed without a click.
    """
    said: Corrections = {}
    for name, picked in picks.items():
        if clicks <= 0:
            break
        truth, right = picking_set.particles[name], is_right(picking_set, name, picked)
        wrong, missed = picked.select(~right), missed_by(picked, truth, picking_set)
        removed = wrong.select(np.arange(len(wrong)) < (clicks + 1) // 2)
        added = missed.select(np.arange(len(missed)) < clicks - len(removed))
        removed = wrong.select(np.arange(len(wrong)) < clicks - len(added))
        clicks -= len(removed) + len(added)
        done = len(removed) == len(wrong) and len(added) == len(missed)
        kept = picked.select(right) if done else Coordinates.empty()
        said[name] = Correction(removed, added, kept, done)
    return said


def as_suggested(
    picking_set: PickingSet, run: PickRun, clicks: int
) -> Tuple[Corrections, Dict[str, Optional[Area]]]:
    """What is said after so many clicks in the areas that `pupick suggest` names, and these.

    In each, wrong picks are removed and missed particles added; what was left is confirmed without
    a click. The areas are as large as the clicks are enough for.

    Args:
        picking_set: that knows the truth.
        run: of the picks.
        clicks: at most.
    """
    peaks = dict(run.peaks())
    said: Corrections = {}
    areas: Dict[str, Optional[Area]] = {}
    for count in range(_STEP, _MOST_SHOWN, _STEP):
        found = suggest_picks(run, peaks, count)
        corrected = {name: correct_area(picking_set, name, s) for name, s in found.items()}
        if sum(correction.clicks for correction in corrected.values()) > clicks:
            break
        said, areas = corrected, {name: s.area for name, s in found.items()}
    return said, areas


def correct_area(picking_set: PickingSet, name: str, suggestion: Suggestion) -> Correction:
    """All that is to be said of an area, in which all is looked at."""
    picks, truth = suggestion.picks, picking_set.particles[name]
    inside = truth.select(suggestion.area.holds(truth.xy))
    right, missed = is_right(picking_set, name, picks), missed_by(picks, inside, picking_set)
    return Correction(picks.select(~right), missed, picks.select(right), done=True)
