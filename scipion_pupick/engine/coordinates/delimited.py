# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables with one pick a row and a header: Topaz's (tabs) and CSV (commas)."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Iterator, List, Tuple

from ..errors import UsageError
from ..files.text import check_names, format_numbers, parse_numbers, read_text
from .table import Picks, flatten_picks, group_picks


@dataclass(frozen=True)
class Layout:
    """How a table separates its fields and what it calls them."""

    delimiter: str
    micrograph: str
    x: str
    y: str
    score: str = "score"

    @property
    def needed(self) -> Tuple[str, str, str]:
        """The columns without which there are no picks."""
        return self.micrograph, self.x, self.y


TOPAZ = Layout("\t", "image_name", "x_coord", "y_coord")
CSV = Layout(",", "micrograph", "x", "y")


def is_topaz_text(text: str) -> bool:
    """Say whether a text begins with the header of Topaz's table."""
    return re.match(rf"\s*{TOPAZ.micrograph}\b", text) is not None


def read_table(path: Path, layout: Layout) -> Picks:
    """Read a table of picks: the centres in px, and the scores if it has them.

    Columns are found by their header; others than the known ones are ignored.

    Raises:
        UsageError: the file is missing or empty, or lacks a column, or a row is short, or a
            value is not a number; the text names the file and the line.
    """
    rows = _rows(path, layout)
    header_line, header = next(rows, (0, []))
    columns = _columns(path, [field.strip() for field in header], layout)
    lines: List[int] = []
    fields: Dict[str, List[str]] = {name: [] for name in columns}
    for line, row in rows:
        if len(row) < len(header):
            raise UsageError(
                f"{path}, line {line}: has {len(row)} fields where the header (line "
                f"{header_line}) has {len(header)}"
            )
        lines.append(line)
        for name, column in columns.items():
            fields[name].append(row[column])
    names = fields[layout.micrograph]
    if "" in names:
        raise UsageError(f"{path}, line {lines[names.index('')]}: the micrograph's name is empty")
    x = parse_numbers(fields[layout.x], lines, path, layout.x)
    y = parse_numbers(fields[layout.y], lines, path, layout.y)
    scores = fields.get(layout.score, [""] * len(lines))
    score = parse_numbers(scores, lines, path, layout.score, missing_allowed=True)
    return group_picks(names, x, y, score)


def _rows(path: Path, layout: Layout) -> Iterator[Tuple[int, List[str]]]:
    """Return the rows that are not blank, each with the number of its line."""
    reader = csv.reader(io.StringIO(read_text(path)), delimiter=layout.delimiter)
    try:
        for row in reader:
            if any(field.strip() for field in row):
                yield reader.line_num, row
    except csv.Error as error:
        raise UsageError(f"{path}, line {reader.line_num}: {error}") from error


def _columns(path: Path, header: List[str], layout: Layout) -> Dict[str, int]:
    missing = [name for name in layout.needed if name not in header]
    if missing:
        separator = "tabs" if layout.delimiter == "\t" else "commas"
        raise UsageError(
            f"{path}: the table needs the columns {', '.join(layout.needed)} separated by "
            f"{separator}; its header has {', '.join(header) or 'nothing'}"
        )
    return {name: header.index(name) for name in (*layout.needed, layout.score) if name in header}


def table_text(picks: Picks, layout: Layout) -> str:
    """Write picks as the text of a table; micrographs without picks leave no row.

    The score column is left out when no pick has a score, and a pick without one is left blank.

    Raises:
        UsageError: a micrograph's name cannot be written.
    """
    check_names(list(picks))
    names, rows = flatten_picks(picks)
    header, fields = list(layout.needed), [names, format_numbers(rows.x), format_numbers(rows.y)]
    if rows.has_scores:
        header.append(layout.score)
        fields.append(format_numbers(rows.score))
    text = io.StringIO()
    writer = csv.writer(text, delimiter=layout.delimiter, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(zip(*fields))
    return text.getvalue()
