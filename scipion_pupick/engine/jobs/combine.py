# SPDX-License-Identifier: GPL-3.0-or-later
"""Combine the picks of several pickers."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Optional, Sequence

import numpy as np

from ..coordinates import Picks
from ..coordinates.boxes import box_text
from ..coordinates.conversion import convert_picks
from ..errors import PupickError, UsageError
from ..evaluation.combine import (
    Combination,
    PickSet,
    by_micrograph,
    combine_picks,
    probabilities,
    with_scores,
)
from ..files.atomic import PathLike, write_text
from ..settings import CombineSettings

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CombineResult:
    """What combining has found.

    Attributes:
        combination: the particles that were taken.
        counts: number of picks of each picker.
    """

    combination: Combination
    counts: Sequence[int]

    @property
    def picks(self) -> Picks:
        """The particles, by micrograph name."""
        return self.combination.picks

    def summary(self) -> str:
        """Say in a line how many particles how many pickers found."""
        votes = [int(n) for of_one in self.combination.votes.values() for n in of_one]
        found = [f"{votes.count(n)} by {n}" for n in sorted(set(votes))]
        return (
            f"{len(votes)} particles in {len(self.picks)} micrographs out of "
            f"{', '.join(map(str, self.counts))} picks"
            + (f"; found {', '.join(found)} of the pickers" if found else "")
        )


def combine(
    sets: Sequence[PickSet],
    diameter_px: float,
    settings: CombineSettings,
    output: Optional[PathLike] = None,
    to: Optional[str] = None,
    box_size: Optional[float] = None,
    per_micrograph: bool = False,
    micrographs: Sequence[str] = (),
) -> CombineResult:
    """Combine the picks of several pickers, and write them if asked.

    Args:
        sets: of two pickers or more.
        diameter_px: of the particle, px of the micrographs.
        settings: which particles are taken, and how near two picks of one are.
        output: file, or folder if `per_micrograph`; None to write nothing.
        to: format to write; None to go by the name of the output.
        box_size: side of the boxes in px, for box and cbox.
        per_micrograph: write one file a micrograph.
        micrographs: of the picks, whose sizes cs needs, as `convert` takes them.

    Raises:
        UsageError: something that was given makes no sense.
        OSError: a file cannot be written.
    """
    least, most = settings.votes(len(sets))
    found = combine_picks(sets, settings.within * diameter_px, least, most)
    if output is not None:
        convert_picks(found.picks, output, to, box_size, per_micrograph, micrographs=micrographs)
    return CombineResult(found, [sum(map(len, one.picks.values())) for one in sets])


def write_for_repic(sets: Sequence[PickSet], folder: PathLike, box_size: float) -> None:
    """Write sets of picks as REPIC takes them: FOLDER/PICKER/MICROGRAPH.box with probabilities.

    A micrograph has the same name for all pickers, and an empty file for those that found nothing
    in it. Picks without scores get the probability 1. Scores of which some are negative are taken
    for log-odds, as REPIC takes them.

    Args:
        sets: of two pickers or more.
        folder: where the folders of the pickers go.
        box_size: side of the boxes in px, the same for all.

    Raises:
        PupickError: the scores of a picker are neither log-odds nor probabilities.
        UsageError: two micrographs would share a file, or two pickers a folder.
        OSError: a file cannot be written.
    """
    if len({one.name for one in sets}) < len(sets):
        raise UsageError("Two of the pickers have one name: rename their files or folders.")
    picks_of_all = by_micrograph([PickSet(one.name, _with_probabilities(one)) for one in sets])
    # REPIC knows a micrograph by the name of its file
    files = {name: Path(name).with_suffix(".box").name for name in picks_of_all}
    if len(set(files.values())) < len(files):
        raise UsageError("Two micrographs of different folders have one name.")
    _warn_of_names_within_names(sorted(Path(file).stem for file in files.values()))
    for name, parts in picks_of_all.items():
        for one, picks in zip(sets, parts):
            text = box_text(picks, box_size, with_scores=True)
            write_text(Path(folder) / one.name / files[name], text)


def _with_probabilities(one: PickSet) -> Picks:
    """Return the picks of a picker with probabilities for scores.

    Raises:
        PupickError: the scores may mean anything.
    """
    known = one.in_log_odds()
    if known.calibrated:
        return {name: probabilities(picks) for name, picks in known.picks.items()}
    if np.isnan(one.scores).all():
        log.warning("%s: its picks have no scores, so each gets the probability 1.", one.name)
        return {name: with_scores(c, np.ones(len(c))) for name, c in one.picks.items()}
    if not (one.scores < 0).any() or np.isnan(one.scores).any():
        raise PupickError(
            f"{one.name}: REPIC needs scores from 0 to 1, and what these scores mean is not known."
        )
    log.warning("%s: its scores are taken for log-odds, as REPIC takes them.", one.name)
    return {name: probabilities(picks) for name, picks in one.picks.items()}


def _warn_of_names_within_names(stems: Sequence[str]) -> None:
    """Say that REPIC cannot tell micrographs apart where one name is a part of another."""
    text = "\n".join(stems)
    within = next((stem for stem in stems if text.count(stem) > 1), None)
    if within is not None:
        log.warning(
            "The name %s is a part of another micrograph's, and REPIC, which finds files by a part "
            "of their names, stops at that: rename the files.",
            within,
        )
