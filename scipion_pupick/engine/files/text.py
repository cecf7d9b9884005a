# SPDX-License-Identifier: GPL-3.0-or-later
"""What the readers and writers of all text formats share."""

from __future__ import annotations

from pathlib import Path
from typing import List, Sequence

import numpy as np
import numpy.typing as npt

from ..errors import UsageError

FloatArray = npt.NDArray[np.float64]


def read_text(path: Path) -> str:
    """Read a whole text file.

    Raises:
        UsageError: there is no such file, it cannot be read, or it is not text.
    """
    try:
        return _read(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: is not a text file in UTF-8") from error


def read_start(path: Path, size: int = 16) -> bytes:
    """Read the first bytes of a file.

    Raises:
        UsageError: there is no such file, or it cannot be read.
    """
    return _read(path, size)


def _read(path: Path, size: int = -1) -> bytes:
    if not path.is_file():
        raise UsageError(f"{path}: no such file")
    try:
        with path.open("rb") as file:
            return file.read(size)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})") from error


def parse_numbers(
    values: Sequence[str],
    lines: Sequence[int],
    path: Path,
    what: str,
    missing_allowed: bool = False,
) -> FloatArray:
    """Turn texts into numbers.

    Args:
        values: n texts; an empty one is a missing number.
        lines: the line of the file that each stands in, for the error.
        path: the file, for the error.
        what: what the numbers are, for the error.
        missing_allowed: missing numbers and NaN are NaN, not an error.

    Returns:
        (n,) numbers.

    Raises:
        UsageError: a text is not a number; the text names the file and the line.
    """
    numbers = np.array([parse_number(value) for value in values], dtype=np.float64)
    accepted = np.isfinite(numbers)
    if missing_allowed:
        missing = [value.strip().lower() in ("", "nan") for value in values]
        accepted |= np.array(missing, dtype=bool)
    if not accepted.all():
        first = int(np.argmin(accepted))
        raise UsageError(f"{path}, line {lines[first]}: {what} is {values[first]!r}, not a number")
    return numbers


def parse_number(value: str) -> float:
    """Turn a text into a number; NaN if it is none."""
    try:
        # Python takes 1_000 for a number, as no other program does
        return float(value) if "_" not in value else float("nan")
    except ValueError:
        return float("nan")


def check_names(names: Sequence[str]) -> None:
    """Refuse names of micrographs that no line of a text file can hold.

    Raises:
        UsageError: a name is empty or has a line break or another unprintable character.
    """
    for name in names:
        if not name or not name.isprintable():
            raise UsageError(
                f"the micrograph's name {name!r} cannot be written to a text file: rename it"
            )


def format_numbers(values: FloatArray) -> List[str]:
    """Write numbers with nine significant digits, which hold any float32; NaN is left blank."""
    return ["" if np.isnan(value) else f"{value:.9g}" for value in values.tolist()]
