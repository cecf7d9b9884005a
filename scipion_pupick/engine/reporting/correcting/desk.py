# SPDX-License-Identifier: GPL-3.0-or-later
"""A run whose picks are being corrected: what it has picked, and what people say of that.

The run may go on picking meanwhile, and another program may write corrections: whatever has changed
on the disk is read again. Numbers of micrographs stay what they are as long as the server lives.
"""

from __future__ import annotations

import hashlib
import threading
import uuid
from collections import OrderedDict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from ...coordinates import Coordinates
from ...coordinates.corrections import (
    Correction,
    Corrections,
    corrections_of,
    read_corrections,
    write_corrections,
)
from ...errors import UsageError
from ...files.atomic import file_status
from ...micrographs import Micrograph
from ...picking.peaks_file import MicrographPeaks
from ...runs.layout import CORRECTIONS, FAILED, MICROGRAPHS, PICK_RECORD
from ...runs.pick_run import PickRun, read_pick_run
from ..packing import pack
from .edits import Edits, apply_edits, marks_of, places

MOST_REMEMBERED = 100_000
# micrographs that pages may have open
MOST_WATCHED = 200
_FINGERPRINT_BYTES = 16


@dataclass(frozen=True)
class Saved:
    """What has become of edits.

    Attributes:
        refused: see `edits.Outcome`.
        state: the micrograph's marks after them.
    """

    refused: Mapping[str, str]
    state: Mapping[str, Any]


class Desk:
    """The picks of a run and their corrections; used by several threads.

    Attributes:
        folder: of the run.
        served: the same as pages know it: under whatever name a run is served, it is one run.
        life: of this server; numbers of micrographs and of changes are counted within it.
    """

    def __init__(self, folder: Path) -> None:
        """Read the run and its corrections.

        Raises:
            UsageError: it is no picking run.
            PupickError: a file in it is damaged.
        """
        self.folder, self.served = folder, str(folder.resolve())
        self.life = uuid.uuid4().hex
        self._lock = threading.RLock()
        self._names: List[str] = []
        self._number: Dict[str, int] = {}
        self._made: OrderedDict[str, None] = OrderedDict()
        self._changed: List[int] = []
        self._corrections: Corrections = {}
        self._corrections_status: List[int] = []
        self._run_status: List[List[int]] = []
        self._edition = 0
        self._watched: OrderedDict[int, List[int]] = OrderedDict()
        self._micrographs: Dict[str, Micrograph] = {}
        self._run = self.refresh()

    @property
    def run(self) -> PickRun:
        """The run as it is on the disk.

        Raises:
            PupickError: a file in it is damaged.
        """
        with self._lock:
            status = [_status(self.folder / name) for name in (PICK_RECORD, MICROGRAPHS, FAILED)]
            if status != self._run_status:
                self._take(read_pick_run(self.folder))
                self._run_status = status
                self._edition += 1
            return self._run

    def _take(self, run: PickRun) -> None:
        self._run = run
        self._micrographs = {m.name: m for m in run.micrographs}
        for name in self._micrographs:
            if name not in self._number:
                self._number[name] = len(self._names)
                self._names.append(name)

    def refresh(self) -> PickRun:
        """Read what other programs have written, and return the run.

        Raises:
            PupickError: a file is damaged.
        """
        with self._lock:
            run, status = self.run, _status(self.folder / CORRECTIONS)
            if status != self._corrections_status:
                found = read_corrections(self.folder / CORRECTIONS) if status else {}
                found = corrections_of(found, run.micrographs)
                self._note_differences(self._corrections, found)
                self._corrections, self._corrections_status = found, status
            return run

    def _note_differences(self, before: Corrections, after: Corrections) -> None:
        for name in {*before, *after} & self._number.keys():
            if _said(before.get(name)) != _said(after.get(name)):
                self._changed.append(self._number[name])

    def micrograph(self, number: int) -> Micrograph:
        """Return a micrograph.

        Raises:
            UsageError: there is none of this number any more.
        """
        with self._lock:
            self.refresh()
            name = self._names[number] if 0 <= number < len(self._names) else None
            if name not in self._micrographs:
                raise UsageError("This micrograph is not, or no longer, in the run.")
            return self._micrographs[name]

    def peaks(self, number: int) -> Optional[MicrographPeaks]:
        """Return all peaks of a micrograph; None where it has not been picked."""
        return self.run.peaks_of(self.micrograph(number))

    def summary(self, number: int) -> List[Any]:
        """Return how many picks are removed, added, confirmed, and whether all is done."""
        correction = self._corrections.get(self._names[number], Correction())
        parts = (correction.removed, correction.added, correction.confirmed)
        return [*map(len, parts), correction.done]

    def overview(self) -> Dict[str, Any]:
        """Return what a page shows of the run before a micrograph is chosen."""
        with self._lock:
            run = self.refresh()
            corrected = [self._number[n] for n in self._corrections if n in self._number]
            return {
                "names": self._names,
                "failed": self._by_number(run.failures),
                "diameter": run.diameter,
                "finished": run.finished,
                "corrected": {number: self.summary(number) for number in corrected},
                **self.version(),
            }

    def _by_number(self, said: Mapping[str, Any]) -> Dict[int, Any]:
        return {self._number[name]: what for name, what in said.items() if name in self._number}

    def numbered(self, said: Mapping[str, Any]) -> List[Tuple[int, Any]]:
        """Return what is said of micrographs, by their numbers, in the same order."""
        with self._lock:
            return list(self._by_number(said).items())

    def version(self) -> Dict[str, Any]:
        """Return what tells a page whether it still shows what there is."""
        return {
            "folder": self.served,
            "life": self.life,
            # whoever picks again writes the record anew, even with the same threshold
            "edition": self._edition,
            "changes": len(self._changed),
            "threshold": self._run.threshold,
        }

    def changes(self, since: int) -> Dict[str, Any]:
        """Return which micrographs have other corrections or peaks since so many changes."""
        with self._lock:
            self.refresh()
            self._note_new_peaks()
            changed = sorted({*self._changed[since:]})
            return {"corrected": {n: self.summary(n) for n in changed}, **self.version()}

    def _note_new_peaks(self) -> None:
        for number, before in self._watched.items():
            now = self._peaks_status(number)
            if now != before:
                self._watched[number] = now
                self._changed.append(number)

    def _peaks_status(self, number: int) -> List[int]:
        return _status(self._run.peaks_path(self._names[number]))

    def _watch(self, number: int) -> None:
        with self._lock:
            self._watched.setdefault(number, self._peaks_status(number))
            self._watched.move_to_end(number)
            while len(self._watched) > MOST_WATCHED:
                self._watched.popitem(last=False)

    def _state(self, number: int, kept: Optional[MicrographPeaks]) -> Dict[str, Any]:
        """Return the marks of a micrograph, and what tells its picks from others."""
        with self._lock:
            self.refresh()
            correction = self._corrections.get(self._names[number], Correction())
            marks = [[x, y, mark] for (x, y), mark in marks_of(correction).items()]
            shown = _fingerprint(kept, self._run.threshold)
            return {"marks": marks, "done": correction.done, "shown": shown, **self.version()}

    def picks(self, number: int) -> Dict[str, Any]:
        """Return the peaks of a micrograph and its marks, for the page's script."""
        micrograph = self.micrograph(number)
        # before they are read, so that what is written meanwhile is noted
        self._watch(number)
        kept = self.peaks(number)
        peaks = Coordinates.empty() if kept is None else kept.coordinates
        result = {
            "name": micrograph.name,
            "picked": kept is not None,
            "places": pack(places(peaks), "uint32"),
            "scores": pack(peaks.score, "float64"),
            **self._state(number, kept),
        }
        if kept is not None:
            height, width = kept.shape
            result |= {"width": width, "height": height, "pixelSize": kept.pixel_size}
        return result

    def edit(self, number: int, edits: Edits) -> Saved:
        """Make edits, and write them before this returns.

        Raises:
            UsageError: the micrograph has not been picked.
            PupickError: the file of corrections is damaged by now.
            OSError: they cannot be written; none of them is made then.
        """
        name, kept = self.micrograph(number).name, self.peaks(number)
        if kept is None:
            raise UsageError(f"{name} has not been picked: there is nothing to correct.")
        height, width = kept.shape
        with self._lock:
            self.refresh()
            before = self._corrections.get(name, Correction())
            new = replace(edits, marks=tuple(e for e in edits.marks if e.name not in self._made))
            shown = _fingerprint(kept, self._run.threshold)
            outcome = apply_edits(before, new, kept.coordinates, (width, height), shown)
            if _said(outcome.correction) != _said(before):
                self._write({**self._corrections, name: outcome.correction})
                self._changed.append(number)
            self._remember([edit.name for edit in new.marks if edit.name not in outcome.refused])
            return Saved(outcome.refused, self._state(number, kept))

    def _write(self, corrections: Corrections) -> None:
        path = self.folder / CORRECTIONS
        try:
            write_corrections(path, corrections)
        except FileNotFoundError:
            # a run that begins in this folder removes what it takes for half written
            write_corrections(path, corrections)
        self._corrections, self._corrections_status = corrections, _status(path)

    def _remember(self, made: Sequence[str]) -> None:
        for name in made:
            self._made[name] = None
        while len(self._made) > MOST_REMEMBERED:
            self._made.popitem(last=False)


def _status(path: Path) -> List[int]:
    """Return what tells a file from another in its place; empty if it is gone."""
    status = file_status(path)
    return [*status, path.stat().st_ino] if status else []


def _fingerprint(kept: Optional[MicrographPeaks], threshold: float) -> str:
    """Return what tells the peaks of a micrograph and the run's threshold from others."""
    if kept is None:
        return ""
    peaks = kept.coordinates
    content = [
        places(peaks).tobytes(),
        peaks.score.tobytes(),
        str((kept.shape, threshold)).encode(),
    ]
    return hashlib.blake2b(b"".join(content), digest_size=_FINGERPRINT_BYTES).hexdigest()


def _said(correction: Optional[Correction]) -> Tuple[Mapping[Any, str], bool]:
    """Return a correction as what can be compared."""
    known = correction or Correction()
    return marks_of(known), known.done
