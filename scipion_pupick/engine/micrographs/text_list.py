# SPDX-License-Identifier: GPL-3.0-or-later
"""Lists of micrographs as text: a name in each line, or a table with a column of paths."""

from __future__ import annotations

from pathlib import Path
from typing import List

from ..errors import UsageError
from ..files.text import read_text

# of pupick's own lists and of Topaz's tables
_PATH_COLUMNS = ("file", "path")
_START_BYTES = 4096


def is_text_list(path: Path) -> bool:
    """Tell whether a file is text, as no image is: the headers of images hold zero bytes."""
    try:
        with path.open("rb") as stream:
            start = stream.read(_START_BYTES)
    except OSError:
        return False
    # a character may be cut off at the end of what is read
    return b"\0" not in start and bool(start.decode("utf-8", errors="ignore").strip())


def read_text_list(path: Path) -> List[str]:
    """Read the names of micrographs in a text file, as they stand there.

    Blank lines and those that begin with # are left out. A table (TSV) has a header in which one
    column is called path or file.

    Raises:
        UsageError: the file cannot be read, or names nothing.
    """
    names = _names_in(read_text(path))
    if not names:
        raise UsageError(f"{path}: this list names no micrograph: give one in each line")
    if any("\0" in name for name in names):
        raise UsageError(f"{path}: is no list of micrographs: it has zero bytes, as images have")
    return names


def _names_in(text: str) -> List[str]:
    lines = [line.strip("\r\n") for line in text.split("\n")]
    rows = [line for line in lines if line.strip() and not line.lstrip().startswith("#")]
    header = [word.strip().lower() for word in rows[0].split("\t")] if rows else []
    column = next((header.index(name) for name in _PATH_COLUMNS if name in header), None)
    if column is None:
        return [row.strip() for row in rows]
    cells = [row.split("\t") for row in rows[1:]]
    names = [row[column].strip() for row in cells if len(row) > column]
    return [name for name in names if name]
