# SPDX-License-Identifier: GPL-3.0-or-later
"""Picks in cryoSPARC's .cs files: NumPy's format, a record for each particle.

A place is a fraction of the micrograph's width and height. As in cryoSPARC's own examples, which
bring crYOLO's picks into it, y counts from the first row of the file, and nothing is turned. Where
another program has turned the micrographs upside down, it has to be counted from the last row.
"""

from __future__ import annotations

import hashlib
import io
import logging
import tokenize
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Iterable, List, Mapping, Sequence, Tuple

import numpy as np
import numpy.typing as npt

from ..errors import UsageError
from ..micrographs.micrograph import Shape
from .table import Coordinates, Picks, flatten_picks, group_picks

Records = npt.NDArray[np.void]

UID = "uid"
PATH, SHAPE = "location/micrograph_path", "location/micrograph_shape"
X_FRACTION, Y_FRACTION = "location/center_x_frac", "location/center_y_frac"
MICROGRAPH_UID = "location/micrograph_uid"
PICK_SCORE = "pick_stats/ncc_score"
EXPOSURE_PATH, EXPOSURE_SHAPE = "micrograph_blob/path", "micrograph_blob/shape"

SHIFTS = ("alignments3D/shift", "alignments2D/shift")

_NUMPY, _OWN = b"\x93NUMPY", b"\x94CSDAT"
# 200 fields have about 10,000 letters
_MOST_HEADER = 200_000

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Exposure:
    """A micrograph as cryoSPARC knows it.

    Attributes:
        path: of its file, as cryoSPARC has it.
        uid: its number there.
        shape: (ny, nx), px.
    """

    path: str
    uid: int
    shape: Shape

    @classmethod
    def of_file(cls, path: str, shape: Shape) -> Exposure:
        """Return a micrograph that cryoSPARC does not know yet, with a number of its own."""
        return cls(path, _uid(path), shape)


def is_records(start: bytes) -> bool:
    """Say whether a file that begins with these bytes is one of cryoSPARC's tables."""
    return start.startswith((_NUMPY, _OWN))


def read_cs(path: Path, from_last_row: bool = False) -> Picks:
    """Read particles of cryoSPARC: centres in px, the scores of its pickers, and their records.

    Args:
        path: a table of particles, or the passthrough file of a job where the places are.
        from_last_row: whether y counts from the last row of the micrograph's file.

    Raises:
        UsageError: it is no such file, has no places, or a value makes no sense.
    """
    records = read_records(path)
    _require(path, records, (PATH, SHAPE, X_FRACTION, Y_FRACTION))
    heights, widths = _shapes(path, records[SHAPE]).T
    x_fraction, y_fraction = (_fractions(path, records, name) for name in (X_FRACTION, Y_FRACTION))
    if from_last_row:
        y_fraction = 1 - y_fraction
    score = np.full(len(records), np.nan)
    if PICK_SCORE in _fields(records):
        score = np.asarray(_numeric(path, records, PICK_SCORE), dtype=np.float64)
    names = _texts(path, records, PATH)
    _say_that_shifts_stay(path, records)
    # a fraction has 24 bits, which tell a place to some thousandth of a pixel
    x, y = np.round(x_fraction * widths, 3), np.round(y_fraction * heights, 3)
    return group_picks(names, x, y, score, records)


def _say_that_shifts_stay(path: Path, records: Records) -> None:
    """Say that particles lie where they were picked; public programs apply shifts differently."""
    shifts = [name for name in SHIFTS if name in _fields(records) and np.any(records[name])]
    if shifts:
        log.warning(
            "%s: %s is not applied: particles are taken where they were picked. To have them where "
            "they were aligned, extract them again in cryoSPARC, recentred, and give that job's "
            "file.",
            path,
            shifts[0],
        )


def has_places(path: Path) -> bool:
    """Say whether a .cs file has the places of particles; a job has others beside it.

    Raises:
        UsageError: it cannot be read.
    """
    return X_FRACTION in _fields(read_records(path))


def read_exposures(path: Path) -> List[Exposure]:
    """Read the micrographs in a file of exposures of cryoSPARC.

    Raises:
        UsageError: it is no such file, or a value makes no sense.
    """
    records = read_records(path)
    _require(path, records, (UID, EXPOSURE_PATH, EXPOSURE_SHAPE))
    shapes = _shapes(path, records[EXPOSURE_SHAPE]).astype(int).tolist()
    uids = [int(uid) for uid in _numeric(path, records, UID)]
    names = _texts(path, records, EXPOSURE_PATH)
    return [Exposure(name, uid, (ny, nx)) for name, uid, (ny, nx) in zip(names, uids, shapes)]


def read_records(path: Path) -> Records:
    """Read the records of a .cs file, (n,) with named fields; Python objects are refused.

    Raises:
        UsageError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            start = file.read(len(_NUMPY))
            file.seek(0)
            if start == _OWN:
                raise UsageError(
                    f"{path}: is in cryoSPARC's internal format (CSDAT): export the job's results "
                    "in cryoSPARC and give the .cs file of the export"
                )
            if start != _NUMPY:
                raise UsageError(f"{path}: is not a .cs file of cryoSPARC")
            _check_header(path, file)
        records: Records = np.load(path, allow_pickle=False, max_header_size=_MOST_HEADER)
    except FileNotFoundError as error:
        raise UsageError(f"{path}: no such file") from error
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror or error})") from error
    except _BROKEN as error:
        if isinstance(error, UsageError):
            raise
        raise UsageError(f"{path}: is a broken .cs file: export it again") from error
    return records


# what NumPy raises for headers that make no sense
_BROKEN = (ValueError, SyntaxError, TypeError, KeyError, IndexError, EOFError, OverflowError,
           MemoryError, RecursionError, tokenize.TokenError)  # fmt: skip


def _check_header(path: Path, file: Any) -> None:
    """Refuse records that are none before memory is taken for them."""
    version = np.lib.format.read_magic(file)
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }[version]
    shape, _, dtype = read(file, max_header_size=_MOST_HEADER)
    if dtype.hasobject:
        raise UsageError(
            f"{path}: holds Python objects, which may run programs: export the job's results in "
            "cryoSPARC and give the .cs file of the export"
        )
    if dtype.names is None or len(shape) != 1:
        raise UsageError(f"{path}: is a NumPy array, but not a table as cryoSPARC's .cs files are")
    left = path.stat().st_size - file.tell()
    if shape[0] * dtype.itemsize > left:
        raise UsageError(
            f"{path}: has {left} bytes of records where its header says "
            f"{shape[0] * dtype.itemsize}: it is cut off"
        )


def _fields(records: Records) -> Tuple[str, ...]:
    return records.dtype.names or ()


def _require(path: Path, records: Records, needed: Sequence[str]) -> None:
    fields = _fields(records)
    missing = [name for name in needed if name not in fields]
    if not missing:
        return
    text = f"{path}: this .cs file of cryoSPARC has no {', '.join(missing)}"
    if EXPOSURE_PATH in fields:
        raise UsageError(f"{text}: it lists micrographs, not particles")
    raise UsageError(
        f"{text}: give the file of the same job that has them, mostly the one with passthrough in "
        "its name"
    )


def _numeric(path: Path, records: Records, name: str) -> np.ndarray:
    values = records[name]
    if values.dtype.kind not in "fiu" or values.ndim != 1:
        raise UsageError(f"{path}: {name} has no number for each record")
    return np.asarray(values)


def _fractions(path: Path, records: Records, name: str) -> npt.NDArray[np.float64]:
    values = _numeric(path, records, name).astype(np.float64)
    # beyond this it is pixels, or nothing
    wrong = ~((values > -1) & (values < 2))
    if wrong.any():
        row = int(np.argmax(wrong))
        raise UsageError(
            f"{path}, record {row + 1}: {name} is {values[row]:g}, not a fraction of the micrograph"
        )
    return values


def _shapes(path: Path, values: np.ndarray) -> npt.NDArray[np.float64]:
    """Return the micrograph's (ny, nx) for each record, (n, 2)."""
    if values.dtype.kind not in "fiu" or values.ndim != 2 or values.shape[1] != 2:
        raise UsageError(f"{path}: the micrographs' shapes are not two numbers each")
    shapes = values.astype(np.float64)
    wrong = ~((shapes > 0) & (shapes < 1e6)).all(axis=1)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise UsageError(f"{path}, record {row + 1}: the micrograph has the shape {values[row]}")
    return shapes


def _texts(path: Path, records: Records, name: str) -> List[str]:
    values = records[name]
    if values.dtype.kind not in "SU" or values.ndim != 1:
        raise UsageError(f"{path}: {name} has no text for each record")
    if values.dtype.kind == "U":
        return [str(value) for value in values]
    # a path may have any bytes but 0
    return [bytes(value).decode("utf-8", "replace") for value in values]


def cs_bytes(picks: Picks, exposures: Mapping[str, Exposure], from_last_row: bool = False) -> bytes:
    """Write particles as cryoSPARC's .cs file.

    Particles that were read from such a file keep their number and all that stood with them.

    Args:
        picks: centres in px of the micrograph.
        exposures: the micrograph of each name, unless the picks come from a .cs file.
        from_last_row: whether y counts from the last row of the micrograph's file.

    Raises:
        UsageError: a micrograph's size is not known.
    """
    names, rows = flatten_picks(picks)
    records = rows.record
    if records is None or exposures:
        records = _new_records(names, rows, _known(picks, exposures))
    records = records.copy()
    heights, widths = records[SHAPE].astype(np.float64).reshape(-1, 2).T
    y_fraction = rows.y / heights
    records[X_FRACTION] = rows.x / widths
    records[Y_FRACTION] = 1 - y_fraction if from_last_row else y_fraction
    if PICK_SCORE in _fields(records):
        records[PICK_SCORE] = rows.score
    content = io.BytesIO()
    np.save(content, records, allow_pickle=False)
    return content.getvalue()


def _known(picks: Picks, exposures: Mapping[str, Exposure]) -> Dict[str, Exposure]:
    """Return the micrograph of each name that has picks."""
    known = dict(exposures)
    for name, coordinates in picks.items():
        if name not in known and len(coordinates):
            raise UsageError(
                f"cryoSPARC's files give places as fractions of the micrograph, and the size of "
                f"{name} is not known: give the micrographs, or their .cs file of exposures",
                setting="micrographs",
            )
    return known


def _new_records(
    names: Sequence[str], rows: Coordinates, exposures: Mapping[str, Exposure]
) -> Records:
    length = max([1, *(len(exposure.path.encode()) for exposure in exposures.values())])
    fields: List[Tuple[Any, ...]] = [
        (UID, "<u8"), (MICROGRAPH_UID, "<u8"), ("location/exp_group_id", "<u4"),
        (PATH, f"S{length}"), (SHAPE, "<u4", (2,)), (X_FRACTION, "<f4"), (Y_FRACTION, "<f4"),
    ]  # fmt: skip
    if rows.has_scores:
        fields.append((PICK_SCORE, "<f4"))
    records: Records = np.zeros(len(names), dtype=np.dtype(fields))
    of_rows = [exposures[name] for name in names]
    records[MICROGRAPH_UID] = np.array([exposure.uid for exposure in of_rows], dtype=np.uint64)
    records[PATH] = [exposure.path.encode() for exposure in of_rows]
    records[SHAPE] = np.array([exposure.shape for exposure in of_rows]).reshape(-1, 2)
    records[UID] = _old_or_new_uids(names, rows)
    return records


def _old_or_new_uids(names: Sequence[str], rows: Coordinates) -> npt.NDArray[np.uint64]:
    if rows.record is not None and UID in _fields(rows.record):
        return np.asarray(rows.record[UID], dtype=np.uint64)
    places: Iterable[str] = (
        f"{name} {i} {x:.9g} {y:.9g}" for i, (name, x, y) in enumerate(zip(names, rows.x, rows.y))
    )
    return np.array([_uid(place) for place in places], dtype=np.uint64)


def _uid(text: str) -> int:
    """Return a number for a text, the same each time; cryoSPARC's own are random."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")
