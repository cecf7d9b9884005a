# SPDX-License-Identifier: GPL-3.0-or-later
"""Edits of a micrograph's correction, so small that those of two people can be joined.

An edit says what mark a place had and which it gets. It is made only where the place still has the
mark that the person saw; so nobody's work is lost unseen. Undoing is an edit the other way round.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any, Collection, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from ...coordinates import Coordinates
from ...coordinates.corrections import Correction
from ...errors import UsageError

# places are whole numbers of these in a px, so that both sides name them alike
STEPS_PER_PX = 100
UNMARKED, REMOVED, ADDED, CONFIRMED = "", "removed", "added", "confirmed"
MARKS = (REMOVED, ADDED, CONFIRMED)
MOST_EDITS = 20_000
_FARTHEST = 2**31
_LONGEST_FINGERPRINT = 64
_NAME_OF_EDIT = re.compile(r"[0-9A-Za-z-]{1,64}")

Place = Tuple[int, int]


@dataclass(frozen=True)
class Edit:
    """A change of one mark.

    Attributes:
        name: of this edit alone: one that is sent twice is made once.
        place: (x, y) in hundredths of a px.
        before: mark that the person saw.
        after: mark that it gets.
    """

    name: str
    place: Place
    before: str
    after: str


@dataclass(frozen=True)
class Edits:
    """What a person has changed on a micrograph.

    Attributes:
        marks: in their order.
        done: whether the whole micrograph has been looked at; None to leave that as it is.
        shown: fingerprint of the picks that all of this rests on; None where the marks stand for
            themselves.
    """

    marks: Tuple[Edit, ...]
    done: Optional[bool] = None
    shown: Optional[str] = None


def places(coordinates: Coordinates) -> np.ndarray:
    """Return positions (n, 2) in hundredths of a px, whole numbers."""
    return np.round(coordinates.xy * STEPS_PER_PX).astype(np.int64)


def marks_of(correction: Correction) -> Dict[Place, str]:
    """Return the mark of each place that has one."""
    return {(x, y): mark for mark in MARKS for x, y in places(getattr(correction, mark)).tolist()}


def parse_edits(record: Mapping[str, Any]) -> Edits:
    """Take edits as they are sent.

    Raises:
        UsageError: they are not what they should be.
    """
    rows, done, shown = (record.get(name) for name in ("edits", "done", "shown"))
    if not isinstance(rows, list) or len(rows) > MOST_EDITS:
        raise UsageError(f"The edits of a micrograph must be a list, of {MOST_EDITS} at most.")
    if not isinstance(done, (bool, type(None))):
        raise UsageError("A micrograph is done or not.")
    if shown is not None and not (isinstance(shown, str) and len(shown) <= _LONGEST_FINGERPRINT):
        raise UsageError("What was shown must be a short text.")
    return Edits(tuple(map(_edit, rows)), done, shown)


def _edit(row: Any) -> Edit:
    if not isinstance(row, list) or len(row) != 5:
        raise UsageError("An edit has a name, x, y, and the mark before and after.")
    name, x, y, before, after = row
    if not isinstance(name, str) or not _NAME_OF_EDIT.fullmatch(name):
        raise UsageError("The name of an edit is missing or too long.")
    if not all(type(value) is int and abs(value) < _FARTHEST for value in (x, y)):
        raise UsageError("The place of an edit must be whole numbers of hundredths of a px.")
    if not all(isinstance(m, str) and m in (UNMARKED, *MARKS) for m in (before, after)):
        raise UsageError("There is no such mark.")
    return Edit(name, (x, y), before, after)


@dataclass(frozen=True)
class Outcome:
    """What has become of edits.

    Attributes:
        correction: after them.
        refused: the mark that a place has, by the name of the edit that expected another, that
            asked for what a place cannot have, or that rests on other picks than there are.
    """

    correction: Correction
    refused: Dict[str, str]


def apply_edits(
    correction: Correction,
    edits: Edits,
    peaks: Coordinates,
    size: Tuple[int, int],
    shown: Optional[str] = None,
) -> Outcome:
    """Make edits, but for those whose place has got another mark meanwhile.

    A micrograph becomes done only if its picks are those that were shown, and no mark was refused.

    Args:
        correction: of the micrograph.
        edits: to make.
        peaks: of the micrograph, px; only these can be removed or confirmed.
        size: width and height of the micrograph, px; only within can be added.
        shown: fingerprint of its picks as they are.
    """
    marks, refused = marks_of(correction), {}
    known = {(x, y) for x, y in places(peaks).tolist()}
    was_seen = edits.shown in (None, shown)
    for edit in edits.marks:
        now = marks.get(edit.place, UNMARKED)
        if now == edit.after:
            continue
        if not was_seen or now != edit.before or not _is_possible(edit, known, size):
            refused[edit.name] = now
        elif edit.after == UNMARKED:
            del marks[edit.place]
        else:
            marks[edit.place] = edit.after
    changed = _correction(correction, marks, peaks)
    done = changed.done if edits.done is None else edits.done
    if edits.done and (refused or edits.shown != shown):
        done = changed.done
    return Outcome(replace(changed, done=done), refused)


def _is_possible(edit: Edit, peaks: Collection[Place], size: Tuple[int, int]) -> bool:
    if edit.after == ADDED:
        last = [(side - 1) * STEPS_PER_PX for side in size]
        return all(0 <= value <= most for value, most in zip(edit.place, last))
    return edit.after == UNMARKED or edit.place in peaks


def _correction(before: Correction, marks: Mapping[Place, str], peaks: Coordinates) -> Correction:
    """Return marks as a correction, at the exact positions of what was there before."""
    exact: Dict[Place, Sequence[float]] = {}
    for known in (peaks, *(getattr(before, mark) for mark in MARKS)):
        exact.update(zip(map(tuple, places(known).tolist()), known.xy.tolist()))
    columns: Dict[str, List[Sequence[float]]] = {mark: [] for mark in MARKS}
    for place, mark in marks.items():
        columns[mark].append(exact.get(place, [value / STEPS_PER_PX for value in place]))
    removed, added, confirmed = (_coordinates(columns[mark]) for mark in MARKS)
    return Correction(removed, added, confirmed, before.done)


def _coordinates(rows: Sequence[Sequence[float]]) -> Coordinates:
    return Coordinates.unscored(*np.array(rows, float).reshape(-1, 2).T)
