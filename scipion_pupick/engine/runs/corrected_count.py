# SPDX-License-Identifier: GPL-3.0-or-later
"""About how many particles a micrograph holds, by what a person has looked at wholly."""

from __future__ import annotations

from typing import Dict, List, Mapping, Optional

import numpy as np

from ..coordinates import Coordinates
from ..coordinates.area import Area
from ..coordinates.corrections import Corrections, says_all
from .pick_run import PickRun
from .suggestion import suggest_picks

# picks, and particles, without which the share that is right says nothing
_LEAST_SEEN = 20


def particles_by_corrections(
    run: PickRun, corrections: Corrections, looked_at: Mapping[str, Optional[Area]]
) -> Optional[float]:
    """Estimate the particles in a micrograph of a run from the parts that were looked at wholly.

    The picks of a micrograph, in the mean of all, times particles for each pick in these parts.

    Args:
        run: whose picks were corrected.
        corrections: with the picks that were left confirmed.
        looked_at: the part of each micrograph that was looked at wholly, by its name; None for all
            of it.

    Returns:
        The number; None where fewer than twenty picks or particles were seen.

    Raises:
        PupickError: a file of the run is damaged.
    """
    picked: List[int] = []
    picks_seen = particles_seen = 0
    for name, peaks in run.peaks():
        picks = run.cut.choose(peaks)
        picked.append(len(picks))
        if name in looked_at:
            area, correction = looked_at[name], corrections[name]
            picks_seen += _count(picks, area)
            particles_seen += _count(correction.added, area) + _count(correction.confirmed, area)
    if min(picks_seen, particles_seen) < _LEAST_SEEN:
        return None
    return float(np.mean(picked)) * particles_seen / picks_seen


def _count(places: Coordinates, area: Optional[Area]) -> int:
    return len(places) if area is None else int(area.holds(places.xy).sum())


def looked_at_of_run(
    run: PickRun, corrections: Corrections, same: Mapping[str, float]
) -> Dict[str, Optional[Area]]:
    """Return which parts of the micrographs of a run were looked at wholly.

    These are micrographs that are done, and, of others, the area that is suggested to be looked at
    first, where each pick in it was removed or confirmed.

    Args:
        run: whose picks were corrected.
        corrections: by micrograph name.
        same: nearer than this (px), two positions are the same pick; by micrograph name.

    Returns:
        The part by micrograph name; None for all of it.

    Raises:
        PupickError: a file of the run is damaged.
    """
    parts: Dict[str, Optional[Area]] = {n: None for n, c in corrections.items() if c.done}
    others = {n: c for n, c in corrections.items() if len(c.confirmed) and not c.done}
    if others:
        peaks = dict(run.peaks())
        for name, suggestion in suggest_picks(run, peaks).items():
            picks = run.cut.choose(peaks[name])
            inside = picks.select(suggestion.area.holds(picks.xy))
            if name in others and len(inside) and says_all(others[name], inside, same[name]):
                parts[name] = suggestion.area
    return parts
