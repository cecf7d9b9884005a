# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of coordinates in a run's folder that people have changed, which are not written over."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any, Iterable, List, Mapping

from ..coordinates.corrections import read_corrections
from ..coordinates.relion import coordinates_text
from ..errors import PupickError, UsageError
from ..files.atomic import file_status, holds
from ..picking.cut import Cut
from .applied_threshold import applied_threshold
from .index import Index, Note
from .layout import CORRECTIONS, THRESHOLD_RECORD
from .pick_run import PickRun

log = logging.getLogger(__name__)

# what of the record of a run decides about its picks
_OF_PICKS = ("digest", "diameter", "separation", "threshold", "edge", "contamination")


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


def refuse_unseen(run: PickRun, threshold: float) -> None:
    """Refuse a lower threshold where people have looked at all picks of micrographs.

    Picks that nobody has seen would then be learned as particles.

    Args:
        run: whose picks would be replaced.
        threshold: least log-odds of the new ones.

    Raises:
        UsageError: there are such micrographs.
        PupickError: the file of corrections is damaged.
    """
    done = _done(run)
    if done and threshold < run.threshold:
        raise UsageError(
            f"{len(done)} micrographs, such as {done[0]}, are done at a threshold of "
            f"{run.threshold:.4g}: lower ones pick what nobody has looked at there. Give another "
            "folder, or train on what was corrected first.",
            setting=("threshold", "output"),
        )


def warn_of_unseen(run: PickRun, record: Mapping[str, Any]) -> None:
    """Say that micrographs were looked at wholly whose picks are about to be others.

    Args:
        run: that is picked again, with the record of before.
        record: of the new picks.
    """
    try:
        done, before = _done(run), run.record
    except (PupickError, OSError):
        # damaged or gone, which is no reason not to pick
        return
    if done and any(before.get(name) != record[name] for name in _OF_PICKS):
        log.warning(
            "%d micrographs, such as %s, are done, but their picks will be others now: look at "
            "them again before you train on what was corrected.",
            len(done),
            done[0],
        )


def _done(run: PickRun) -> List[str]:
    path = run.folder / CORRECTIONS
    corrections = read_corrections(path) if path.is_file() else {}
    return [name for name, correction in corrections.items() if correction.done]
