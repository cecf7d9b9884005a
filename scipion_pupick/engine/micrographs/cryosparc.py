# SPDX-License-Identifier: GPL-3.0-or-later
"""Micrographs as cryoSPARC knows them: its files of exposures (.cs)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import List, Optional, Sequence

from ..files.cs_tables import (
    fields_of,
    numbers_of,
    read_records,
    require_fields,
    shapes_of,
    texts_of,
)
from .micrograph import Shape
from .mrc import check_pixel_size

UID = "uid"
EXPOSURE_PATH, EXPOSURE_SHAPE = "micrograph_blob/path", "micrograph_blob/shape"
EXPOSURE_PIXEL_SIZE = "micrograph_blob/psize_A"
_NO_EXPOSURES = "give the file of exposures of the job that corrected the motion, or imported them"


@dataclass(frozen=True)
class Exposure:
    """A micrograph as cryoSPARC knows it.

    Attributes:
        path: of its file, as cryoSPARC has it.
        uid: its number there.
        shape: (ny, nx), px.
        pixel_size: Å/px; None where the file does not say.
    """

    path: str
    uid: int
    shape: Shape
    pixel_size: Optional[float] = None

    @classmethod
    def of_file(cls, path: str, shape: Shape) -> Exposure:
        """Return a micrograph that cryoSPARC does not know yet, with a number of its own."""
        return cls(path, new_uid(path), shape)


def is_exposures(source: str) -> bool:
    """Whether a source of micrographs is a table of cryoSPARC, by its name."""
    return source.lower().endswith(".cs")


def read_exposures(path: Path) -> List[Exposure]:
    """Read the micrographs in a file of exposures of cryoSPARC.

    Raises:
        UsageError: it is no such file, or a value makes no sense.
    """
    records = read_records(path)
    require_fields(path, records, (UID, EXPOSURE_PATH, EXPOSURE_SHAPE), _NO_EXPOSURES)
    shapes = shapes_of(path, records, EXPOSURE_SHAPE).astype(int).tolist()
    uids = [int(uid) for uid in numbers_of(path, records, UID)]
    names = texts_of(path, records, EXPOSURE_PATH)
    pixel_sizes: Sequence[Optional[float]] = [None] * len(names)
    if EXPOSURE_PIXEL_SIZE in fields_of(records):
        values: List[float] = numbers_of(path, records, EXPOSURE_PIXEL_SIZE).astype(float).tolist()
        for value in set(values):
            check_pixel_size(value)
        pixel_sizes = values
    return [
        Exposure(name, uid, (ny, nx), pixel_size)
        for name, uid, (ny, nx), pixel_size in zip(names, uids, shapes, pixel_sizes)
    ]


def new_uid(text: str) -> int:
    """Return a number for a text, the same each time; cryoSPARC's own are random."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")
