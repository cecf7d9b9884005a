# SPDX-License-Identifier: GPL-3.0-or-later
"""What people say of picks: which they removed, which they added, which they left.

A run's corrections lie in one JSON file in its folder:

    {"version": 1, "micrographs": {"mics/a.mrc": {
        "removed": [[x, y], ...], "added": [[x, y], ...], "confirmed": [[x, y], ...],
        "done": false}}}

Positions are px of the micrograph; the centre of the first pixel is 0. Removed and confirmed ones
are positions of picks. `done` says that a person has looked at the whole micrograph, so that what
was left is confirmed as well.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Collection, Dict, List, Mapping, Sequence, Tuple

import numpy as np

from ..errors import PupickError
from ..files.atomic import PathLike
from ..files.json_files import read_json, write_json
from ..micrographs import Micrograph, match_names
from ..micrographs.name_matching import names_agree
from .neighbours import near_pairs
from .table import Coordinates, Picks, join_coordinates

log = logging.getLogger(__name__)

_VERSION = 1
# what people say of the picks of a micrograph
VERDICTS = ("removed", "added", "confirmed")


@dataclass(frozen=True)
class Correction:
    """What a person has said of the picks of one micrograph; px of this.

    Attributes:
        removed: picks that are no particle.
        added: particles that had not been picked.
        confirmed: picks that are particles.
        done: whether the person has looked at all of the micrograph.
    """

    removed: Coordinates = field(default_factory=Coordinates.empty)
    added: Coordinates = field(default_factory=Coordinates.empty)
    confirmed: Coordinates = field(default_factory=Coordinates.empty)
    done: bool = False

    @property
    def clicks(self) -> int:
        """Number of picks that were removed or added."""
        return len(self.removed) + len(self.added)

    @property
    def is_empty(self) -> bool:
        """Whether nothing was said."""
        return not (self.clicks or len(self.confirmed) or self.done)


Corrections = Dict[str, Correction]


def read_corrections(path: PathLike) -> Corrections:
    """Read corrections by micrograph name.

    Raises:
        PupickError: the file is damaged, or another version has written it.
        OSError: it cannot be read.
    """
    record = read_json(path)
    if record.get("version") != _VERSION:
        raise PupickError(
            f"{path}: is of version {record.get('version')!r:.40} of corrections, and this pupick "
            f"reads version {_VERSION}: take the pupick that has written it."
        )
    try:
        return {name: _correction(kept) for name, kept in dict(record["micrographs"]).items()}
    except (LookupError, TypeError, ValueError) as error:
        raise PupickError(f"{path} is damaged ({error}): correct the picks again.") from error


def write_corrections(path: PathLike, corrections: Mapping[str, Correction]) -> None:
    """Write corrections by micrograph name; the file appears whole or not at all.

    Raises:
        OSError: it cannot be written.
    """
    micrographs = {name: _record(correction) for name, correction in corrections.items()}
    write_json(path, {"version": _VERSION, "micrographs": micrographs})


def _record(correction: Correction) -> Dict[str, Any]:
    lists = {name: getattr(correction, name).xy.tolist() for name in VERDICTS}
    return {**lists, "done": correction.done}


def _correction(record: Mapping[str, Any]) -> Correction:
    """Take a correction from its record.

    Raises:
        LookupError: a part is missing.
        TypeError: a part is not what it should be.
        ValueError: a position is not a pair of finite numbers.
    """
    if not isinstance(record["done"], bool):
        raise TypeError(f"done is {record['done']!r:.40}")
    lists = {name: _positions(record[name]) for name in VERDICTS}
    return Correction(**lists, done=record["done"])


def _positions(rows: Sequence[Tuple[float, float]]) -> Coordinates:
    numbers: List[Tuple[float, float]] = [(float(x), float(y)) for x, y in rows]
    if not all(math.isfinite(value) for row in numbers for value in row):
        raise ValueError("a position is not finite")
    x, y = np.array(numbers).reshape(-1, 2).T
    return Coordinates.unscored(x, y)


def corrections_of(corrections: Corrections, micrographs: Sequence[Micrograph]) -> Corrections:
    """Key corrections by the names of micrographs, which may have been given from elsewhere since.

    A micrograph of the same name is another one where the one that was corrected is still there.

    Args:
        corrections: by the names that the micrographs had.
        micrographs: by the names that they have.

    Returns:
        Corrections by these names; those of no micrograph keep theirs.

    Raises:
        UsageError: a name fits two micrographs equally well.
    """
    matched = match_names(corrections, micrographs)
    now = {
        name: micrograph.name
        for name, micrograph in matched.items()
        if names_agree(name, micrograph) and not _is_another(name, micrograph)
    }
    moved = [name for name in now if now[name] != name]
    if moved:
        log.info(
            "The corrections of %d micrographs are taken for those of the same names in other "
            "folders, such as those of %s for %s.",
            len(moved),
            moved[0],
            now[moved[0]],
        )
    return {now.get(name, name): correction for name, correction in corrections.items()}


def _is_another(name: str, micrograph: Micrograph) -> bool:
    """Whether the file that a micrograph was named after is there, and is not its own."""
    if name == micrograph.name:
        return False
    named = Path(name)
    return named.exists() and not (micrograph.path.exists() and named.samefile(micrograph.path))


def find_corrections(
    picked: Picks, corrected: Picks, tolerance: Mapping[str, float], done: Collection[str] = ()
) -> Corrections:
    """Find what a person has changed, from the picks before and after.

    Args:
        picked: picks before, by micrograph name.
        corrected: picks after, by the same names; a micrograph that is missing was not looked at.
        tolerance: nearer than this (px of the micrograph), two positions are the same pick; by
            micrograph name.
        done: names of micrographs of which the person has looked at all picks.

    Returns:
        Corrections of the micrographs that were changed or are done.
    """
    found: Corrections = {}
    for name, after in corrected.items():
        before = picked.get(name, Coordinates.empty())
        left = _is_near(before, after, tolerance[name])
        is_new = ~_is_near(after, before, tolerance[name])
        correction = Correction(before.select(~left), after.select(is_new), done=name in done)
        if not correction.is_empty:
            found[name] = correction
    return found


def with_left_confirmed(
    correction: Correction, picked: Coordinates, tolerance: float
) -> Correction:
    """Return a correction with the picks that were left confirmed, if its micrograph is done.

    Args:
        correction: of one micrograph.
        picked: its picks before.
        tolerance: nearer than this (px), two positions are the same pick.
    """
    if not correction.done:
        return correction
    left = picked.select(~_is_said(correction, picked, tolerance))
    return replace(correction, confirmed=join_coordinates([correction.confirmed, left]))


def says_all(correction: Correction, picked: Coordinates, tolerance: float) -> bool:
    """Tell whether each of some picks was removed or confirmed.

    Args:
        correction: of one micrograph.
        picked: picks of it.
        tolerance: nearer than this (px), two positions are the same pick.
    """
    return bool(_is_said(correction, picked, tolerance).all())


def corrected_picks(picked: Coordinates, correction: Correction, tolerance: float) -> Coordinates:
    """Return the picks of a micrograph as they are after a correction.

    Args:
        picked: picks before.
        correction: of these.
        tolerance: nearer than this (px), two positions are the same pick.

    Returns:
        Picks that were not removed, with their scores, and what was added and confirmed.
    """
    left = picked.select(~_is_near(picked, correction.removed, tolerance))
    known = join_coordinates([correction.added, correction.confirmed])
    return join_coordinates([left, known.select(~_is_near(known, left, tolerance))])


def without_removed(labels: Coordinates, correction: Correction, tolerance: float) -> Coordinates:
    """Return labels of an earlier training without those that were removed since.

    A label was removed where, of all that was said near it, a removed pick is the nearest.

    Args:
        labels: of one micrograph, px.
        correction: of it.
        tolerance: a pick that is right lies no farther (px) from a label.
    """
    known = join_coordinates([correction.added, correction.confirmed])
    return _without(labels, correction.removed, known, tolerance)


def without_added(negatives: Coordinates, correction: Correction, tolerance: float) -> Coordinates:
    """Return negatives of an earlier training without those that were added or confirmed since.

    Arguments as of `without_removed`.
    """
    known = join_coordinates([correction.added, correction.confirmed])
    return _without(negatives, known, correction.removed, tolerance)


def _without(
    these: Coordinates, against: Coordinates, in_favour: Coordinates, tolerance: float
) -> Coordinates:
    nearest = _nearest(these, against, tolerance)
    return these.select(nearest >= _nearest(these, in_favour, tolerance))


def labels_of_corrections(corrections: Mapping[str, Correction]) -> Tuple[Picks, Picks]:
    """Return what corrections say are particles, and what they say are none, by micrograph."""
    particles = {n: join_coordinates([c.added, c.confirmed]) for n, c in corrections.items()}
    return particles, {name: correction.removed for name, correction in corrections.items()}


def _is_said(correction: Correction, picked: Coordinates, tolerance: float) -> np.ndarray:
    """Tell which picks (n,) were removed or confirmed."""
    said = join_coordinates([correction.removed, correction.confirmed])
    return _is_near(picked, said, tolerance)


def _is_near(these: Coordinates, others: Coordinates, tolerance: float) -> np.ndarray:
    """Tell which of some positions (n,) lie within a tolerance (px) of one of the others."""
    return np.isfinite(_nearest(these, others, tolerance))


def _nearest(these: Coordinates, others: Coordinates, tolerance: float) -> np.ndarray:
    """Square of the distance (n,), px, of the nearest other one; inf where none is near."""
    pairs = near_pairs(these.xy, others.xy, tolerance)
    squared = np.full(len(these), np.inf)
    np.minimum.at(squared, pairs.point, pairs.squared)
    return squared
