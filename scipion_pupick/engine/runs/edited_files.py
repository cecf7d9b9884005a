# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of coordinates in a run's folder that people have changed, which are not written over."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Iterable, List

from ..coordinates.relion import coordinates_text
from ..errors import PupickError, UsageError
from ..files.atomic import file_status, holds
from ..picking.cut import Cut
from .applied_threshold import applied_threshold
from .index import Index, Note
from .layout import THRESHOLD_RECORD
from .pick_run import PickRun


def edited_files(run: PickRun, index: Index, names: Iterable[str]) -> List[str]:
    """Return those of some micrographs whose files of coordinates people have changed.

    Such a file is not as it was when it was noted, is newer than the threshold that was applied
    last, and holds neither what had been picked then, nor what the run picks now, nor what a
    threshold gives that was being applied.

    Args:
        run: whose folder it is.
        index: of the run.
        names: of micrographs.
    """
    since = _time_of(run.folder / THRESHOLD_RECORD)
    noted = ((name, index.notes[name]) for name in names if name in index.notes)
    return [name for name, note in noted if _is_edited(run, name, note, since)]


def _time_of(path: Path) -> int:
    """When a file was changed, ns; 0 where there is none."""
    return (file_status(path) or [0, 0])[1]


def _is_edited(run: PickRun, name: str, note: Note, since: int) -> bool:
    path = run.coordinates_file(name)
    now = file_status(path)
    if not now or now == note.coordinates or now[1] <= since:
        return False
    peaks = run.kept_peaks(name)
    if peaks is None:
        return False
    cuts = [note.criteria.cut, *_cuts_of(run)]
    texts = (coordinates_text(cut.choose(peaks), with_scores=True) for cut in cuts)
    return not any(holds(path, text.encode()) for text in texts)


def _cuts_of(run: PickRun) -> List[Cut]:
    try:
        cut = run.cut
    except (PupickError, OSError):
        # the record is damaged or gone, and about to be written anew
        return []
    applied = applied_threshold(run)
    return [cut] if applied is None else [cut, replace(cut, threshold=applied)]


def refuse_edited(run: PickRun, names: List[str]) -> None:
    """Refuse to write over files of coordinates that people have changed.

    Raises:
        UsageError: there are some.
    """
    if names:
        raise UsageError(
            f"{len(names)} files of coordinates, such as {run.coordinates_path(names[0])}, were "
            "changed since they were written, and would be written over: give another folder; or "
            "train on what was corrected, if it is needed, and delete these files.",
            setting="output",
        )
