# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables with one pick a row: Topaz's (tabs), CSV, and their kin with other names of columns."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Iterator, List, Sequence, Tuple, Union

import numpy as np

from ..errors import UsageError
from ..files.text import check_names, format_numbers, parse_number, parse_numbers, read_text
from .table import Coordinates, Picks, flatten_picks, group_picks, refuse_depths


@dataclass(frozen=True)
class Layout:
    """How a table that is written separates its fields and what it calls them."""

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

# what programs call a column, in small letters and with _ between words; the first found counts
_MICROGRAPH, _X, _Y, _Z, _SCORE = "micrograph", "x", "y", "z", "score"
_AXIS = "{0} {0}_coord {0}_coordinate {0}coord coord_{0} coordinate_{0} coordinate{0} {0}_center"
_AXIS += " center_{0} c{0} rlncoordinate{0}"
_NAMES: Dict[str, Tuple[str, ...]] = {
    _MICROGRAPH: (
        *("micrograph", "image_name", "micrograph_name", "micrographname", "rlnmicrographname"),
        *("micrograph_path", "mic_name", "image", "filename", "file_name"),
    ),
    **{axis: tuple(_AXIS.format(axis).split()) for axis in (_X, _Y, _Z)},
    _SCORE: ("score", "confidence", "figure_of_merit", "fom", "rlnautopickfigureofmerit"),
}


def is_table_text(text: str) -> bool:
    """Say whether a text is a table of picks: by its header, or by two numbers in each line."""
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines:
        return False
    columns = _columns(_split(lines[0], _delimiter(lines[0])))
    if {_MICROGRAPH, _X, _Y} <= columns.keys():
        return True
    return all(_are_numbers(_split(line, _delimiter(line)), 2) for line in lines)


def read_table(path: Path) -> Union[Picks, Coordinates]:
    """Read a table of picks: the centres in px, and the scores if it has them.

    Fields are separated by tabs, commas, semicolons or blanks. Columns are found by their header,
    whatever usual names it has for them; others are ignored. A table of two columns of numbers
    needs no header.

    Returns:
        Picks, or Coordinates if no column names the micrograph.

    Raises:
        UsageError: the file is missing or empty, or lacks a column, or a row is short, or a
            value is not a number, or the places have a z; the text names the file and the line.
    """
    text = read_text(path)
    first = next((line for line in text.splitlines() if line.strip()), "")
    rows = list(_rows(path, text, _delimiter(first)))
    if rows and _are_numbers(rows[0][1], len(rows[0][1])):
        return _without_header(path, rows)
    header_line, header = rows[0] if rows else (0, [])
    columns = _columns(header)
    _require(path, header, columns)
    lines = [line for line, _ in rows[1:]]
    fields = {name: _fields(path, rows, index) for name, index in columns.items()}
    if _Z in fields:
        depths = parse_numbers(fields[_Z], lines, path, header[columns[_Z]], missing_allowed=True)
        refuse_depths(f"{path}, line {header_line}", header[columns[_Z]], depths)
    x, y = (parse_numbers(fields[a], lines, path, header[columns[a]]) for a in (_X, _Y))
    scores = fields.get(_SCORE, [""] * len(lines))
    score = parse_numbers(scores, lines, path, _SCORE, missing_allowed=True)
    if _MICROGRAPH not in fields:
        return Coordinates(x, y, score)
    names = fields[_MICROGRAPH]
    if "" in names:
        raise UsageError(f"{path}, line {lines[names.index('')]}: the micrograph's name is empty")
    return group_picks(names, x, y, score)


def _without_header(path: Path, rows: Sequence[Tuple[int, List[str]]]) -> Coordinates:
    for line, row in rows:
        if len(row) != 2:
            raise UsageError(
                f"{path}, line {line}: has {len(row)} values and the table no header: name the "
                "columns in a first line, such as micrograph,x,y,score"
            )
    lines = [line for line, _ in rows]
    x, y = (parse_numbers([row[i] for _, row in rows], lines, path, "xy"[i]) for i in (0, 1))
    return Coordinates.unscored(x, y)


def _delimiter(line: str) -> str:
    """Return what separates the fields of a header; a blank stands for any number of these."""
    return next((mark for mark in "\t,;" if mark in line), " ")


def _split(line: str, delimiter: str) -> List[str]:
    fields = line.split() if delimiter == " " else line.split(delimiter)
    return [field.strip().strip('"') for field in fields]


def _are_numbers(fields: Sequence[str], count: int) -> bool:
    return len(fields) == count and all(np.isfinite(parse_number(field)) for field in fields)


def _columns(header: Sequence[str]) -> Dict[str, int]:
    """Return the place of each known column."""
    found = [re.sub(r"[-\s]+", "_", field.strip().lower().lstrip("_")) for field in header]
    places = {
        column: next((found.index(name) for name in names if name in found), None)
        for column, names in _NAMES.items()
    }
    return {column: place for column, place in places.items() if place is not None}


def _require(path: Path, header: Sequence[str], columns: Dict[str, int]) -> None:
    if _X not in columns or _Y not in columns:
        raise UsageError(
            f"{path}: the table needs the columns micrograph, x, y (or image_name, x_coord, "
            f"y_coord) separated by commas or tabs; its header has {', '.join(header) or 'nothing'}"
        )


def _rows(path: Path, text: str, delimiter: str) -> Iterator[Tuple[int, List[str]]]:
    """Return the rows that are not blank, each with the number of its line."""
    if delimiter == " ":
        numbered = enumerate(text.splitlines(), 1)
        yield from ((number, line.split()) for number, line in numbered if line.strip())
        return
    reader = csv.reader(io.StringIO(text), delimiter=delimiter)
    try:
        for row in reader:
            if any(field.strip() for field in row):
                yield reader.line_num, row
    except csv.Error as error:
        raise UsageError(f"{path}, line {reader.line_num}: {error}") from error


def _fields(path: Path, rows: Sequence[Tuple[int, List[str]]], column: int) -> List[str]:
    """Return a column of the rows below the header."""
    header_line, header = rows[0]
    for line, row in rows[1:]:
        if len(row) < len(header):
            raise UsageError(
                f"{path}, line {line}: has {len(row)} fields where the header (line "
                f"{header_line}) has {len(header)}"
            )
    return [row[column] for _, row in rows[1:]]


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
