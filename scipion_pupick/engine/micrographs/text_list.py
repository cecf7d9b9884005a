# SPDX-License-Identifier: GPL-3.0-or-later
"""Lists of micrographs as text: a name in each line, or a table with a column of paths.

The list that a run of pupick has left is such a table, and also has the pixel sizes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Dict, Mapping, Optional, Tuple

from ..errors import UsageError
from ..files.text import read_text
from .micrograph import CS_FILE, GIVEN, STAR_FILE
from .mrc import check_pixel_size
from .pixel_sizes import HEADER

# of every list that a run has left, the oldest too; and one that says where a pixel size is from
RUN_LIST_COLUMNS = ("micrograph", "file", "pixel_size")
PIXEL_SIZE_FROM = "pixel_size_from"

# of pupick's own lists and of Topaz's tables
_PATH_COLUMNS = ("file", "path")
_START_BYTES = 4096

# Å/px, and where it was stated; None and an empty text where the header has it
StatedPixelSize = Tuple[Optional[float], str]
_UNSTATED: StatedPixelSize = (None, "")


def is_text_list(path: Path) -> bool:
    """Tell whether a file is text, as no image is: the headers of images hold zero bytes."""
    try:
        with path.open("rb") as stream:
            start = stream.read(_START_BYTES)
    except OSError:
        return False
    # a character may be cut off at the end of what is read
    return b"\0" not in start and bool(start.decode("utf-8", errors="ignore").strip())


def read_text_list(path: Path) -> Dict[str, StatedPixelSize]:
    """Read the names of micrographs in a text file, as they stand there.

    Blank lines and those that begin with # are left out. A table (TSV) has a header in which one
    column is called path or file.

    Returns:
        By name, the pixel size (Å/px) that was stated when a run of pupick wrote the list, and
        where; of other lists, none.

    Raises:
        UsageError: the file cannot be read, names nothing, or is a run's and damaged.
    """
    text = read_text(path)
    try:
        names = _names_in(text)
    except ValueError as error:
        raise UsageError(
            f"{path} is damaged ({error}): run again the command that wrote it."
        ) from error
    if not names:
        raise UsageError(f"{path}: this list names no micrograph: give one in each line")
    if any("\0" in name for name in names):
        raise UsageError(f"{path}: is no list of micrographs: it has zero bytes, as images have")
    return names


def _names_in(text: str) -> Dict[str, StatedPixelSize]:
    lines = [line.strip("\r\n") for line in text.split("\n")]
    rows = [line for line in lines if line.strip() and not line.lstrip().startswith("#")]
    header = [word.strip().lower() for word in rows[0].split("\t")] if rows else []
    column = next((header.index(name) for name in _PATH_COLUMNS if name in header), None)
    if column is None:
        return dict.fromkeys((row.strip() for row in rows), _UNSTATED)
    is_of_run = set(RUN_LIST_COLUMNS) <= set(header)
    cells = [[cell.strip() for cell in row.split("\t")] for row in rows[1:]]
    return {
        row[column]: stated_pixel_size(dict(zip(header, row))) if is_of_run else _UNSTATED
        for row in cells
        if len(row) > column and row[column]
    }


def stated_pixel_size(row: Mapping[str, str]) -> StatedPixelSize:
    """Return the pixel size (Å/px) of a row of a run's list that was stated, and where.

    Args:
        row: its cells by column.

    Raises:
        ValueError: it is no positive number.
    """
    text = row.get("pixel_size") or ""
    # version 0.1 wrote no source, and no pixel size that was in a header
    source = row.get(PIXEL_SIZE_FROM) or ""
    if source == HEADER or not text:
        return _UNSTATED
    try:
        check_pixel_size(float(text))
    except UsageError as error:
        raise ValueError(str(error)) from error
    return float(text), source if source in (STAR_FILE, CS_FILE) else GIVEN
