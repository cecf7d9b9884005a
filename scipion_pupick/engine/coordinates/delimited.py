# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables with one pick a row: Topaz's (tabs), CSV, and their kin with other names of columns."""

from __future__ import annotations

import csv
import io
import logging
import re
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Dict, Iterator, List, Optional, Sequence, Tuple, Union

import numpy as np

from ..errors import UsageError
from ..files.rows import Lines, Part, RegularLines, Rows
from ..files.text import (
    check_names,
    format_numbers,
    format_rows,
    lines_of,
    parse_number,
    parse_numbers,
    pieces_of,
    read_text,
)
from .table import Coordinates, Picks, group_picks, refuse_depths

log = logging.getLogger(__name__)


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
_MISSING = ("", "nan")
_MICROGRAPH, _X, _Y, _Z, _SCORE = "micrograph", "x", "y", "z", "score"
_WIDTH, _HEIGHT = "width", "height"
_AXIS = "{0} {0}_coord {0}_coordinate {0}coord coord_{0} coordinate_{0} coordinate{0} {0}_center"
_AXIS += " center_{0} c{0} rlncoordinate{0}"
_NAMES: Dict[str, Tuple[str, ...]] = {
    _MICROGRAPH: (
        *("micrograph", "image_name", "micrograph_name", "micrographname", "rlnmicrographname"),
        *("micrograph_path", "mic_name", "image", "filename", "file_name"),
    ),
    **{axis: tuple(_AXIS.format(axis).split()) for axis in (_X, _Y, _Z)},
    _WIDTH: ("width", "w", "box_width", "boxwidth", "box_x", "box_size_x"),
    _HEIGHT: ("height", "h", "box_height", "boxheight", "box_y", "box_size_y"),
    _SCORE: ("score", "confidence", "figure_of_merit", "fom", "rlnautopickfigureofmerit"),
}


def is_table_text(text: str) -> bool:
    """Say whether a text is a table of picks: by its header, or by two numbers in each line."""
    lines = (line for line in lines_of(text) if line.strip())
    first = next(lines, None)
    if first is None:
        return False
    columns = _columns(_split(first, _delimiter(first)))
    if {_MICROGRAPH, _X, _Y} <= columns.keys():
        return True
    return all(_are_numbers(_split(line, _delimiter(line)), 2) for line in chain([first], lines))


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
    first = next((line for line in lines_of(text) if line.strip()), "")
    regular = _regular_rows(path, text, _delimiter(first))
    if regular is not None:
        return _with_header(1, *regular)
    numbered = list(_rows(path, text, _delimiter(first)))
    if numbered and _are_numbers(numbered[0][1], len(numbered[0][1])):
        return _without_header(path, numbered)
    header_line, header = numbered[0] if numbered else (0, [])
    lines, rows = [line for line, _ in numbered[1:]], [row for _, row in numbered[1:]]
    _require(path, header)
    _refuse_short(path, numbered)
    return _with_header(header_line, header, Rows(path, [Lines(rows, lines, list)]))


def _with_header(header_line: int, header: Sequence[str], rows: Rows) -> Union[Picks, Coordinates]:
    _require(rows.path, header)
    columns = _columns(header)
    is_centre = re.fullmatch(".*cent(er|re).*|cx", header[columns[_X]].lower())
    if {_WIDTH, _HEIGHT} <= columns.keys() and not is_centre:
        log.warning(
            "%s has columns of boxes, too, %s and %s: x and y are taken for centres. If they are "
            "corners, shift the picks by half a box.",
            rows.path,
            header[columns[_WIDTH]],
            header[columns[_HEIGHT]],
        )
    if _Z in columns:
        depths = rows.numbers(columns[_Z], header[columns[_Z]], _MISSING)
        refuse_depths(f"{rows.path}, line {header_line}", header[columns[_Z]], depths)
    x, y = (rows.numbers(columns[axis], header[columns[axis]]) for axis in (_X, _Y))
    score = np.full(len(rows), np.nan)
    if _SCORE in columns:
        score = rows.numbers(columns[_SCORE], _SCORE, _MISSING)
    if _MICROGRAPH not in columns:
        return Coordinates(x, y, score)
    names = rows.texts(columns[_MICROGRAPH])
    if "" in names:
        rows.refuse(names.index(""), "the micrograph's name is empty")
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


def _require(path: Path, header: Sequence[str]) -> None:
    columns = _columns(header)
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


def _refuse_short(path: Path, rows: Sequence[Tuple[int, List[str]]]) -> None:
    """Refuse rows with fewer fields than the header, which is the first one."""
    header_line, header = rows[0]
    for line, row in rows[1:]:
        if len(row) < len(header):
            raise UsageError(
                f"{path}, line {line}: has {len(row)} fields where the header (line "
                f"{header_line}) has {len(header)}"
            )


def _regular_rows(path: Path, text: str, delimiter: str) -> Optional[Tuple[List[str], Rows]]:
    """Return the header and the rows of a table if these are all alike, or else None."""
    head = text[: text.find("\n") + 1]
    # what begins the file or the line may be a sign that needs a closer look
    if '"' in text or not head.isascii() or not head.strip().replace("\t", "").isprintable():
        return None
    header = head.split() if delimiter == " " else head[:-1].split(delimiter)
    if not head.strip() or _are_numbers(header, len(header)):
        return None
    parts: List[Part] = []
    number = 2
    for piece in pieces_of(text, len(head)):
        lines = piece.rstrip("\n")
        if delimiter == " ":
            part = RegularLines.between_blanks(lines, len(header), number)
        else:
            part = RegularLines.between_marks(lines, len(header), number, delimiter)
        if part is None:
            return None
        parts.append(part)
        number += piece.count("\n")
    return header, Rows(path, parts)


def table_text(picks: Picks, layout: Layout) -> str:
    """Write picks as the text of a table; micrographs without picks leave no row.

    The score column is left out when no pick has a score, and a pick without one is left blank.

    Raises:
        UsageError: a micrograph's name cannot be written.
    """
    check_names(list(picks))
    with_scores = any(found.has_scores for found in picks.values())
    parts = [_line([*layout.needed, *([layout.score] if with_scores else [])], layout)]
    parts += [_rows_text(name, found, layout, with_scores) for name, found in picks.items()]
    return "".join(parts)


def _rows_text(name: str, picks: Coordinates, layout: Layout, with_scores: bool) -> str:
    """Write the rows of one micrograph."""
    columns: List[Sequence[Union[str, float]]] = [picks.x.tolist(), picks.y.tolist()]
    numbers = ["%.9g", "%.9g"]
    if with_scores:
        columns.append(format_numbers(picks.score))
        numbers.append("%s")
    # the name is written once, for it may need quotation marks
    form = _line([name, ""], layout).rstrip("\n").replace("%", "%%")
    return format_rows(form + layout.delimiter.join(numbers) + "\n", columns)


def _line(fields: Sequence[str], layout: Layout) -> str:
    text = io.StringIO()
    csv.writer(text, delimiter=layout.delimiter, lineterminator="\n").writerow(fields)
    return text.getvalue()
