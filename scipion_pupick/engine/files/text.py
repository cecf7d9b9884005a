# SPDX-License-Identifier: GPL-3.0-or-later
"""What the readers and writers of all text formats share."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import Iterator, List, Sequence, Union

import numpy as np
import numpy.typing as npt

from ..errors import UsageError

FloatArray = npt.NDArray[np.float64]

# of a text, characters: the first lines tell what it is
_FIRST_CUT, _CUT = 2**14, 2**20


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


def pieces_of(text: str, start: int = 0) -> Iterator[str]:
    """Cut a text from a place on into pieces at ends of lines, the first one smaller."""
    size = _FIRST_CUT
    while start < len(text):
        stop = text.find("\n", start + size) + 1 or len(text)
        yield text[start:stop]
        start, size = stop, _CUT


def lines_of(text: str) -> Iterator[str]:
    """Return the lines of a text as `str.splitlines` does, one after the other."""
    for piece in pieces_of(text):
        yield from piece.splitlines()


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


def format_numbers(values: FloatArray, missing: str = "") -> List[str]:
    """Write numbers with nine significant digits, which hold any float32.

    Args:
        values: (n,) finite numbers or NaN.
        missing: is written for NaN.
    """
    words = format_rows("%.9g ", [values.tolist()]).split()
    return [missing if word == "nan" else word for word in words]


def format_rows(form: str, columns: Sequence[Sequence[Union[str, float]]]) -> str:
    """Write rows of columns of one length, each as a form (`%`) says.

    One formatting of all is several times faster than one of each.
    """
    return form * len(columns[0]) % tuple(chain.from_iterable(zip(*columns)))
