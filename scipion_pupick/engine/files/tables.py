# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables of text with a header (TSV)."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any, Dict, List, Sequence

from ..errors import PupickError
from .atomic import write_text
from .json_files import read_record


def write_table(path: Path, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Write a table, whole or not at all."""
    text = io.StringIO()
    csv.writer(text, delimiter="\t", lineterminator="\n").writerows([header, *rows])
    write_text(path, text.getvalue())


def table_line(row: Sequence[Any]) -> str:
    """Write one row of a table, without the end of the line."""
    text = io.StringIO()
    csv.writer(text, delimiter="\t", lineterminator="").writerow(row)
    return text.getvalue()


def read_table(path: Path, columns: Sequence[str] = ()) -> List[Dict[str, str]]:
    """Read the rows of a table, each by column; none where there is no file.

    Args:
        path: of the file.
        columns: that every row must have.

    Raises:
        PupickError: the table is damaged; says in which line.
        OSError: it cannot be read.
    """
    if not path.exists():
        return []
    try:
        # as they were written: a line break or a byte that is no text may stand in a name
        text = read_record(path, errors="surrogateescape")
        reader = csv.DictReader(io.StringIO(text, newline=""), delimiter="\t", strict=True)
        rows = []
        for row in reader:
            _check(row, columns, reader.line_num)
            rows.append(row)
    except (ValueError, csv.Error) as error:
        raise PupickError(
            f"{path} is damaged ({error}): run again the command that wrote it."
        ) from error
    return rows


def _check(row: Dict[Any, Any], columns: Sequence[str], line: int) -> None:
    """Refuse a row that is longer or shorter than the header, or lacks a column."""
    if None in row or None in row.values() or not all(name in row for name in columns):
        raise ValueError(f"line {line} has other columns than {', '.join(columns) or 'the first'}")
