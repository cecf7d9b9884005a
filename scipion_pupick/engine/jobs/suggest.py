# SPDX-License-Identifier: GPL-3.0-or-later
"""Suggest which areas to correct, in the micrographs that the model doubts most."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Optional

from ..coordinates import write_picks_folder
from ..errors import UsageError
from ..files.atomic import PathLike, make_folder
from ..files.lock import only_owner
from ..runs.pick_run import PickRun, read_pick_run
from ..runs.suggested import Suggested, holds_suggestion, write_suggested
from ..runs.suggestion import Suggestion, suggest_picks
from ..settings import SUGGESTED_PICKS

# those of cryoSPARC are no files that people correct by hand
SUGGESTED_FORMATS = ("star", "topaz", "box", "cbox", "csv", "eman2")


@dataclass(frozen=True)
class SuggestResult:
    """What to look at.

    Attributes:
        suggestions: an area by micrograph name, the most doubtful first.
        written: what was written of them.
    """

    suggestions: Dict[str, Suggestion]
    written: Suggested

    def summary(self) -> str:
        """Say in a line for each micrograph what to look at, and why."""
        return "\n".join(f"{name}: {self.written.what(name)}" for name in self.suggestions)


def suggest(
    run: PathLike,
    output: PathLike,
    count: int = SUGGESTED_PICKS,
    format: str = "star",
    suffix: str = "",
    box_size: Optional[float] = None,
) -> SuggestResult:
    """Choose areas of the micrographs that the model doubts most, and write the picks in them.

    `read_corrected_run` takes the folder when the files in it have been corrected.

    Args:
        run: folder that `pick` has written to.
        output: folder for a file a micrograph, with the picks in its area.
        count: of picks to look at.
        format: to write, one of `SUGGESTED_FORMATS`.
        suffix: between a micrograph's name and the extension, such as _autopick.
        box_size: side of the boxes in px, for box and cbox.

    Raises:
        UsageError: there is no such run, there is no peak in it, the format is none that people
            correct, or the folder holds picks that were suggested before, or other files that would
            be overwritten.
        OSError: a result cannot be written.
    """
    if count < 1:
        raise UsageError(f"{count} picks were asked for: give 1 or more.", setting="count")
    if format not in SUGGESTED_FORMATS:
        raise UsageError(
            f"Picks to be corrected are not written as {format}: give one of "
            f"{', '.join(SUGGESTED_FORMATS)}.",
            setting="to",
        )
    picked = read_pick_run(run)
    _refuse_output(Path(output), picked)
    found = suggest_picks(picked, dict(picked.peaks()), count)
    if not found:
        raise UsageError(f"{run}: there is no peak in any micrograph, so nothing to look at.")
    shown = {name: s.picks for name, s in found.items()}
    make_folder(output)
    with only_owner(Path(output), "pupick suggest"):
        files = write_picks_folder(shown, output, format, suffix, box_size, replace_others=False)
        written = Suggested(
            Path(run),
            shown,
            files,
            {name: s.reason for name, s in found.items()},
            {name: s.area for name, s in found.items()},
        )
        write_suggested(output, written)
    return SuggestResult(found, written)


def _refuse_output(output: Path, run: PickRun) -> None:
    """Refuse to write into a run, or over what was suggested before.

    Raises:
        UsageError: that is asked for.
    """
    if holds_suggestion(output):
        raise UsageError(
            f"{output}: holds picks that were suggested before, and may have been corrected: give "
            "another folder.",
            setting="output",
        )
    if run.folder.resolve() in (output.resolve(), *output.resolve().parents):
        raise UsageError(
            f"{output}: lies in the run, whose own files stay as they are: give another folder.",
            setting="output",
        )
