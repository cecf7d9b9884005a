# SPDX-License-Identifier: GPL-3.0-or-later
"""A set of coordinates as the viewers and wizards show it, and as they save it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, List

import numpy as np
from pwem.objects import SetOfCoordinates, SetOfMicrographs
from pyworkflow.object import Boolean

from ..constants import BOX_PER_DIAMETER, CORRECTED, SCORE
from ..convert import (
    append_picks,
    has_scores,
    is_corrected,
    ranked_picks,
    read_coordinates,
    run_of,
    uncertainty_of,
)
from ..engine import Coordinates, Micrograph, Picks
from ..particles import score_of

OUTPUT = "outputCoordinates"
# for sets that nobody gave a box
USUAL_BOX = 30


@dataclass(frozen=True)
class ScoredPicks:
    """All that is known to be ranked by score of a set of coordinates.

    Attributes:
        micrographs: in the order of their set.
        picks: by name of the micrograph, px; of a picking run of pupick all peaks it has kept.
        threshold: lowest score in the set itself, log-odds; -inf where it has no scores. Of an
            empty set, the highest score of a peak.
        diameter: of the particle, Å.
        uncertainty: standard error that all scores share, log-odds; 0 where it is not known.
    """

    micrographs: List[Micrograph]
    picks: Picks
    threshold: float
    diameter: float
    uncertainty: float = 0.0

    @property
    def scores(self) -> List[np.ndarray]:
        """Scores of each micrograph, arrays (n,), log-odds."""
        return [picks.score for picks in self.picks.values()]


def read_scored_picks(coordinates: SetOfCoordinates) -> ScoredPicks:
    """Read a set of coordinates; one without scores has its coordinates alone.

    Raises:
        UsageError: some of the coordinates have scores, and others have none.
    """
    micrographs = shown_micrographs(coordinates.getMicrographs())
    if has_scores(coordinates):
        ids = {m.getObjId(): m.getFileName() for m in coordinates.getMicrographs()}
        picks = {ids[i]: ranked for i, ranked in ranked_picks(coordinates).items()}
    else:
        picks = read_coordinates(coordinates, coordinates.getMicrographs()).picks
    return ScoredPicks(
        micrographs,
        picks,
        _threshold(coordinates, picks),
        diameter_of(coordinates),
        uncertainty_of(coordinates),
    )


def shown_micrographs(micrographs: SetOfMicrographs) -> List[Micrograph]:
    """Describe micrographs for figures, each with its path from the project's folder as a name."""
    pixel_size = micrographs.getSamplingRate()
    names = [micrograph.getFileName() for micrograph in micrographs]
    return [Micrograph(Path(name), name, pixel_size) for name in names]


def _threshold(coordinates: SetOfCoordinates, picks: Picks) -> float:
    """Return the score from which on peaks are in a set, log-odds; -inf without scores."""
    if not has_scores(coordinates):
        return -np.inf
    if not coordinates.getSize():
        return max(
            (float(scored.score.max()) for scored in picks.values() if len(scored)),
            default=0,
        )
    return min(score_of(coordinate) for coordinate in coordinates.iterItems(orderBy=SCORE, limit=1))


def diameter_of(coordinates: SetOfCoordinates) -> float:
    """Return the diameter of the particle (Å) that a run has picked with, or guess by the box."""
    run = run_of(coordinates)
    if run is not None:
        return run.diameter
    pixel_size = coordinates.getMicrographs().getSamplingRate()
    return float((coordinates.getBoxSize() or USUAL_BOX) / BOX_PER_DIAMETER * pixel_size)


def save_corrected(
    protocol: Any, coordinates: SetOfCoordinates, corrected: Picks
) -> SetOfCoordinates:
    """Add a new output to a protocol: its picks as they are after they were corrected.

    What people have added and the network has not scored gets the score of the surest pick, so that
    no threshold, in Scipion or in RELION, drops it before others.

    Args:
        protocol: whose output the coordinates are.
        coordinates: of the protocol, whose micrographs and box the output gets.
        corrected: picks by the file of the micrograph, px.

    Returns:
        The new output.
    """
    scores = np.concatenate([picks.score for picks in corrected.values()] or [np.empty(0)])
    if not np.isnan(scores).all():
        surest = float(np.nanmax(scores))
        corrected = {name: _scored(picks, surest) for name, picks in corrected.items()}
    return _save(protocol, coordinates, corrected, "picks, corrected", True)


def _scored(picks: Coordinates, usual: float) -> Coordinates:
    return replace(picks, score=np.where(np.isnan(picks.score), usual, picks.score))


def save_output(protocol: Any, coordinates: SetOfCoordinates, threshold: float) -> SetOfCoordinates:
    """Add a new output to a protocol: all that is ranked and scores high enough.

    Args:
        protocol: whose output the coordinates are.
        coordinates: with scores.
        threshold: least score, log-odds.

    Returns:
        The new output.
    """
    files = {m.getObjId(): m.getFileName() for m in coordinates.getMicrographs()}
    ranked = {files[i]: peaks for i, peaks in ranked_picks(coordinates).items()}
    chosen = {file: peaks.select(peaks.score >= threshold) for file, peaks in ranked.items()}
    what = f"picks of score {threshold:.2f} or more"
    return _save(protocol, coordinates, chosen, what, is_corrected(coordinates))


def _save(
    protocol: Any, coordinates: SetOfCoordinates, picks: Picks, what: str, corrected: bool
) -> SetOfCoordinates:
    """Add picks, by the file of the micrograph, as a new output beside that of a protocol."""
    name = str(protocol.getNextOutputName(OUTPUT))
    pointer = coordinates.getMicrographs(asPointer=True)
    output = protocol._createSetOfCoordinates(pointer, suffix=name[len(OUTPUT) :])
    output.setBoxSize(coordinates.getBoxSize())
    if corrected:
        # it lies beside what its run has written, and is not to be taken for that
        setattr(output, CORRECTED, Boolean(True))
    scored = any(each.has_scores for each in picks.values())
    for micrograph in coordinates.getMicrographs():
        own = picks.get(micrograph.getFileName(), Coordinates.empty())
        append_picks(own, micrograph, output, scored)
    output.setObjComment(f"{output.getSize():,} {what}")
    protocol._defineOutputs(**{name: output})
    protocol._defineSourceRelation(pointer, output)
    protocol._store()
    return output
