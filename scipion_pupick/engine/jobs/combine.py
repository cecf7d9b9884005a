# SPDX-License-Identifier: GPL-3.0-or-later
"""Combine the picks of several pickers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Optional, Sequence

from ..coordinates import Picks
from ..coordinates.boxes import box_text
from ..coordinates.conversion import convert_picks
from ..errors import PupickError, UsageError
from ..evaluation.combine import Combination, PickSet, combine_picks, probabilities
from ..files.atomic import PathLike, write_text
from ..settings import CombineSettings


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

    Args:
        sets: of two pickers or more.
        folder: where the folders of the pickers go.
        box_size: side of the boxes in px, the same for all.

    Raises:
        PupickError: the scores of a picker are neither log-odds nor probabilities.
        UsageError: two micrographs would share a file.
        OSError: a file cannot be written.
    """
    for one in (one.in_log_odds() for one in sets):
        if not one.calibrated:
            raise PupickError(
                f"{one.name}: REPIC needs scores from 0 to 1, and what these scores mean is not "
                "known."
            )
        # REPIC knows a micrograph by the name of its file
        names = {name: Path(name).name for name in one.picks}
        if len(set(names.values())) < len(names):
            raise UsageError(f"{one.name}: two micrographs of different folders have one name.")
        for name, picks in one.picks.items():
            path = Path(folder) / one.name / Path(names[name]).with_suffix(".box")
            write_text(path, box_text(probabilities(picks), box_size, with_scores=True))
