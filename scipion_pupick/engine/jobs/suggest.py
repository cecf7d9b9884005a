# SPDX-License-Identifier: GPL-3.0-or-later
"""Suggest the picks whose correction would teach most."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Dict

from ..coordinates import Coordinates, write_picks_folder
from ..coordinates.table import join_coordinates
from ..errors import UsageError
from ..files.atomic import PathLike
from ..reporting.suggestion import MOST_SUGGESTED, Suggestion, suggest_picks
from ..runs.pick_run import read_pick_run
from ..runs.suggested import Suggested, holds_suggestion, write_suggested


@dataclass(frozen=True)
class SuggestResult:
    """What to look at.

    Attributes:
        suggestions: by micrograph name, the most doubtful first.
    """

    suggestions: Dict[str, Suggestion]

    @property
    def picks(self) -> Dict[str, Coordinates]:
        """The doubtful picks with those next to them, by micrograph name, px."""
        return {
            name: join_coordinates([s.doubtful, s.neighbours])
            for name, s in self.suggestions.items()
        }

    def summary(self) -> str:
        """Say in a line for each micrograph what to look at, and why."""
        return "\n".join(
            f"{name}: {len(s.doubtful)} doubtful picks and {len(s.neighbours)} next to them "
            f"({s.reason})"
            for name, s in self.suggestions.items()
        )


def suggest(
    run: PathLike,
    output: PathLike,
    count: int = MOST_SUGGESTED,
    format: str = "star",
    suffix: str = "",
) -> SuggestResult:
    """Choose the picks of a run whose correction would teach most, and write them.

    `read_corrected_run` takes the folder when the files in it have been corrected.

    Args:
        run: folder that `pick` has written to.
        output: folder for a file a micrograph, with the doubtful picks and those next to them.
        count: of doubtful picks.
        format: to write.
        suffix: between a micrograph's name and the extension, such as _autopick.

    Raises:
        UsageError: there is no such run, there is no peak in it, or the folder holds picks that
            were suggested before.
        OSError: a result cannot be written.
    """
    if count < 1:
        raise UsageError(f"{count} picks were asked for: give 1 or more.", setting="count")
    if holds_suggestion(Path(output)):
        raise UsageError(
            f"{output}: holds picks that were suggested before, and may have been corrected: give "
            "another folder.",
            setting="output",
        )
    picked = read_pick_run(run)
    found = SuggestResult(suggest_picks(picked, dict(picked.peaks()), count))
    if not found.suggestions:
        raise UsageError(f"{run}: there is no peak in any micrograph, so nothing to look at.")
    files = write_picks_folder(found.picks, output, format, suffix)
    reasons = {name: s.reason for name, s in found.suggestions.items()}
    write_suggested(output, Suggested(Path(run), found.picks, files, reasons))
    return found
