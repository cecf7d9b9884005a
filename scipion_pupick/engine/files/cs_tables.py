# SPDX-License-Identifier: GPL-3.0-or-later
"""The tables of cryoSPARC (.cs): NumPy's format, a record with named fields for each row."""

from __future__ import annotations

import tokenize
from pathlib import Path
from typing import Any, List, Sequence, Tuple

import numpy as np
import numpy.typing as npt

from ..errors import UsageError

Records = npt.NDArray[np.void]

_NUMPY, _OWN = b"\x93NUMPY", b"\x94CSDAT"
# 200 fields have about 10,000 letters
_MOST_HEADER = 200_000


def is_records(start: bytes) -> bool:
    """Say whether a file that begins with these bytes is one of cryoSPARC's tables."""
    return start.startswith((_NUMPY, _OWN))


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


def fields_of(records: Records) -> Tuple[str, ...]:
    """Return the names of the fields of records."""
    return records.dtype.names or ()


def require_fields(path: Path, records: Records, needed: Sequence[str], advice: str) -> None:
    """Refuse records that have not all fields that are needed.

    Args:
        path: of the table.
        records: of the table.
        needed: names of fields.
        advice: what to do, for the message.

    Raises:
        UsageError: a field is missing.
    """
    missing = [name for name in needed if name not in fields_of(records)]
    if missing:
        raise UsageError(
            f"{path}: this .cs file of cryoSPARC has no {', '.join(missing)}: {advice}"
        )


def numbers_of(path: Path, records: Records, name: str) -> np.ndarray:
    """Return the numbers (n,) in a field.

    Raises:
        UsageError: it has none.
    """
    values = records[name]
    if values.dtype.kind not in "fiu" or values.ndim != 1:
        raise UsageError(f"{path}: {name} has no number for each record")
    return np.asarray(values)


def shapes_of(path: Path, records: Records, name: str) -> npt.NDArray[np.float64]:
    """Return the (ny, nx) of images in a field, (n, 2) px.

    Raises:
        UsageError: they make no sense.
    """
    values = records[name]
    if values.dtype.kind not in "fiu" or values.ndim != 2 or values.shape[1] != 2:
        raise UsageError(f"{path}: the micrographs' shapes are not two numbers each")
    shapes = values.astype(np.float64)
    wrong = ~((shapes > 0) & (shapes < 1e6)).all(axis=1)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise UsageError(f"{path}, record {row + 1}: the micrograph has the shape {values[row]}")
    return shapes


def texts_of(path: Path, records: Records, name: str) -> List[str]:
    """Return the texts (n,) in a field.

    Raises:
        UsageError: it has none.
    """
    values = records[name]
    if values.dtype.kind not in "SU" or values.ndim != 1:
        raise UsageError(f"{path}: {name} has no text for each record")
    if values.dtype.kind == "U":
        return [str(value) for value in values]
    # a path may have any bytes but 0
    return [bytes(value).decode("utf-8", "replace") for value in values]
