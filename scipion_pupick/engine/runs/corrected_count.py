# SPDX-License-Identifier: GPL-3.0-or-later
"""About how many particles a micrograph holds, by what a person has looked at wholly."""

from __future__ import annotations

from typing import Dict, Iterable, List, Mapping, Optional, Tuple

import numpy as np

from ..coordinates import Coordinates
from ..coordinates.area import Area
from ..coordinates.corrections import Corrections, says_all
from ..picking.peaks_file import MicrographPeaks
from .pick_run import PickRun
from .suggestion import suggest_picks

# picks, and particles, without which the share that is right says nothing
_LEAST_SEEN = 20


def particles_by_corrections(
    run: PickRun,
    peaks: Iterable[Tuple[str, MicrographPeaks]],
    corrections: Corrections,
    looked_at: Mapping[str, Optional[Area]],
) -> Optional[float]:
    """Estimate the particles in a micrograph of a run from the parts that were looked at wholly.

    The picks of a micrograph, in the mean of all, times particles for each pick in these parts.

    Args:
        run: whose picks were corrected.
        peaks: of the run, with the names of the micrographs, as it returns them; not read where
            nothing was looked at.
        corrections: with the picks that were left confirmed.
        looked_at: the part of each micrograph that was looked at wholly, by its name; None for all
            of it.

    Returns:
        The number; None where fewer than twenty picks or particles were seen.

    Raises:
        PupickError: a file of the run is damaged.
    """
    if not looked_at:
        return None
    picked: List[int] = []
    picks_seen = particles_seen = 0
    for name, kept in peaks:
        picks = run.cut.choose(kept)
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
    run: PickRun,
    peaks: Mapping[str, MicrographPeaks],
    corrections: Corrections,
    same: Mapping[str, float],
) -> Dict[str, Optional[Area]]:
    """Return which parts of the micrographs of a run were looked at wholly.

    These are micrographs that are done, and, of others, the area that is suggested to be looked at
    first, where each pick in it was removed or confirmed. Where nothing is confirmed pick by pick,
    as in files of coordinates, only what is done counts: a right pick bears no mark there.

    Args:
        run: whose picks were corrected.
        peaks: of the run, by micrograph name.
        corrections: by the same names.
        same: nearer than this (px), two positions are the same pick; by micrograph name.

    Returns:
        The part by micrograph name; None for all of it.
    """
    parts: Dict[str, Optional[Area]] = {n: None for n, c in corrections.items() if c.done}
    others = {n: c for n, c in corrections.items() if not c.done}
    if any(len(c.confirmed) for c in others.values()):
        for name, suggestion in suggest_picks(run, peaks).items():
            picks = run.cut.choose(peaks[name])
            inside = picks.select(suggestion.area.holds(picks.xy))
            if name in others and len(inside) and says_all(others[name], inside, same[name]):
                parts[name] = suggestion.area
    return parts
