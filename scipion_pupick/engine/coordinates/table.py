# SPDX-License-Identifier: GPL-3.0-or-later
"""Picks in memory: the coordinates of one micrograph, and those of a set of micrographs."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import Dict, Iterable, List, Optional, Sequence, Tuple

import numpy as np
import numpy.typing as npt

from ..errors import UsageError
from ..files.text import FloatArray


@dataclass(frozen=True, eq=False)
class Coordinates:
    """The picks of one micrograph.

    Attributes:
        x: (n,) columns in px of the micrograph; the centre of the first pixel is 0.
        y: (n,) rows in px of the micrograph, in the order of the file.
        score: (n,) scores, higher is more like a particle; NaN where a pick has none.
        record: (n,) what else a file of cryoSPARC keeps of the picks, for files that are written;
            None if they come from elsewhere.
        pixel_size: Å/px of the micrograph that x and y are px of, where the file says it.

    Raises:
        UsageError: the arrays differ in length, are not 1-D, or a position is not finite.
    """

    x: FloatArray
    y: FloatArray
    score: FloatArray
    record: Optional[npt.NDArray[np.void]] = None
    pixel_size: Optional[float] = None

    def __post_init__(self) -> None:
        """Take anything like an array, and refuse what is no set of positions."""
        for name in ("x", "y", "score"):
            object.__setattr__(self, name, np.asarray(getattr(self, name), dtype=np.float64))
        shapes = (self.x.shape, self.y.shape, self.score.shape)
        if self.x.ndim != 1 or len(set(shapes)) != 1:
            raise UsageError(
                f"x, y and score must be one-dimensional and of one length, not of shapes {shapes}"
            )
        if not (np.isfinite(self.x).all() and np.isfinite(self.y).all()):
            raise UsageError("every x and y must be a finite number of pixels")

    @classmethod
    def empty(cls) -> Coordinates:
        """Return the picks of a micrograph on which nothing was picked."""
        return cls.unscored(np.empty(0), np.empty(0))

    @classmethod
    def unscored(cls, x: npt.ArrayLike, y: npt.ArrayLike) -> Coordinates:
        """Return picks at `x`, `y` (each (n,), px) without scores, such as hand picks."""
        columns = np.asarray(x, dtype=np.float64)
        return cls(columns, np.asarray(y, dtype=np.float64), np.full(columns.shape, np.nan))

    def __len__(self) -> int:
        """Return the number of picks."""
        return len(self.x)

    @property
    def xy(self) -> FloatArray:
        """Positions (n, 2) as (x, y), px of the micrograph."""
        return np.column_stack([self.x, self.y])

    @property
    def has_scores(self) -> bool:
        """Whether at least one pick has a score."""
        return bool(np.any(~np.isnan(self.score)))

    def select(self, which: npt.ArrayLike) -> Coordinates:
        """Return the picks that `which` (a mask of shape (n,) or indices) takes."""
        chosen = np.asarray(which)
        record = None if self.record is None else self.record[chosen]
        columns = self.x[chosen], self.y[chosen], self.score[chosen]
        return Coordinates(*columns, record, self.pixel_size)

    def part(self, start: int, stop: int) -> Coordinates:
        """Return the picks from one row to before another, which share the memory of all."""
        rows = slice(start, stop)
        record = None if self.record is None else self.record[rows]
        columns = self.x[rows], self.y[rows], self.score[rows]
        return Coordinates(*columns, record, self.pixel_size)

    def at_least(self, score: Optional[float]) -> Coordinates:
        """Return the picks without those that have a lower score; None for all."""
        return self if score is None else self.select(~(self.score < score))

    def scaled(self, factor: float) -> Coordinates:
        """Return the same picks with x and y multiplied by `factor`.

        Fourier cropping, by which MotionCor2, RELION and this program bin, keeps the first sample
        at 0, so positions scale without an offset. A binning that averages blocks of f pixels
        puts the centre of its first pixel (f - 1) / 2 px further; no offset is added for that.

        Raises:
            UsageError: `factor` is not a positive number.
        """
        if not (np.isfinite(factor) and factor > 0):
            raise UsageError(f"the scale of coordinates must be a positive number, not {factor}")
        # a record is of the micrograph that the picks were on
        record = self.record if factor == 1 else None
        pixel_size = None if self.pixel_size is None else self.pixel_size / factor
        return Coordinates(self.x * factor, self.y * factor, self.score, record, pixel_size)


Picks = Dict[str, Coordinates]


def have_pixel_sizes(picks: Picks) -> bool:
    """Whether there are picks, and the pixel size of each micrograph with picks is known."""
    sizes = [coordinates.pixel_size for coordinates in picks.values() if len(coordinates)]
    return bool(sizes) and None not in sizes


def group_picks(
    names: Sequence[str],
    x: FloatArray,
    y: FloatArray,
    score: FloatArray,
    record: Optional[npt.NDArray[np.void]] = None,
) -> Picks:
    """Sort the rows of one table into micrographs, in the order in which these appear.

    Args:
        names: the micrograph's name for each of the n rows.
        x: (n,) columns, px.
        y: (n,) rows, px.
        score: (n,) scores.
        record: (n,) see `Coordinates.record`.
    """
    every_pick = Coordinates(x, y, score, record)
    index = {name: code for code, name in enumerate(dict.fromkeys(names))}
    codes = np.fromiter(map(index.__getitem__, names), np.intp, len(names))
    ordered = every_pick.select(np.argsort(codes, kind="stable"))
    stops = np.cumsum(np.bincount(codes, minlength=len(index))).tolist()
    starts = [0, *stops[:-1]]
    return {name: ordered.part(*rows) for name, *rows in zip(index, starts, stops)}


def flatten_picks(picks: Picks) -> Tuple[List[str], Coordinates]:
    """Return the picks of all micrographs as one table: the name for each row, and the rows."""
    names = list(chain.from_iterable([name] * len(found) for name, found in picks.items()))
    return names, join_coordinates(list(picks.values()))


def with_empty(picks: Picks, names: Iterable[str]) -> Picks:
    """Return picks by micrograph, and of those of the names that have none an empty set."""
    return {**dict.fromkeys(names, Coordinates.empty()), **picks}


def join_coordinates(parts: Sequence[Coordinates]) -> Coordinates:
    """Return the picks of all `parts`, one after the other."""
    parts = [part for part in parts if len(part)]
    if len(parts) < 2:
        return parts[0] if parts else Coordinates.empty()
    pixel_sizes = {part.pixel_size for part in parts}
    return Coordinates(
        np.concatenate([part.x for part in parts]),
        np.concatenate([part.y for part in parts]),
        np.concatenate([part.score for part in parts]),
        _join_records([part.record for part in parts]),
        pixel_size=pixel_sizes.pop() if len(pixel_sizes) == 1 else None,
    )


def _join_records(
    records: Sequence[Optional[npt.NDArray[np.void]]],
) -> Optional[npt.NDArray[np.void]]:
    """Return the records of all parts, if each has them in the same form."""
    known = [record for record in records if record is not None]
    if len(known) < len(records) or len({record.dtype for record in known}) != 1:
        return None
    return np.concatenate(known)


def refuse_depths(place: str, column: str, depths: FloatArray) -> None:
    """Refuse places in a volume, which no micrograph has; a plane has no depth or depth 0.

    Args:
        place: file and line, for the error.
        column: what the depths are called there.
        depths: (n,) px; NaN where there is none.

    Raises:
        UsageError: a depth is not 0.
    """
    if np.nan_to_num(depths).any():
        raise UsageError(
            f"{place}: {column} gives places in a tomogram or volume; pupick takes particles in "
            "micrographs only, and does not flatten them"
        )
