# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of boxes, one micrograph a file: EMAN's .box and crYOLO's .cbox.

Both hold a box's first corner and its sides; the pick is the centre, corner + side / 2, and no
row is flipped.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Dict, Optional, Sequence, Tuple

import numpy as np

from ..errors import UsageError
from ..files.star import Column, StarTable, is_blocks, read_blocks, star_text
from ..files.text import FloatArray, format_numbers, parse_number, parse_numbers, read_text
from .table import Coordinates, refuse_depths

CORNER_AND_SIDES = ("CoordinateX", "CoordinateY", "Width", "Height")
CONFIDENCE = "Confidence"
# crYOLO picks from here on, and writes .cbox files with boxes far below
USUAL_CONFIDENCE = 0.3
DEPTH = "CoordinateZ"


def read_box(path: Path) -> Coordinates:
    """Read the centres of the boxes of an EMAN .box file (x, y, width, height).

    A fifth column holds scores, as REPIC, crYOLO and Topaz through REPIC write them, unless all in
    it are whole numbers: these are EMAN's marks. A file without a line is a micrograph without
    picks.

    Raises:
        UsageError: a line has less than four numbers, or a box has a negative side.
    """
    return _read_rows(path, CORNER_AND_SIDES)


def read_cbox(path: Path) -> Coordinates:
    """Read the centres of the boxes of a .cbox file, with the confidence as score.

    crYOLO from 1.8 writes STAR files, before that rows of x, y, width, height, confidence. A file
    without content is a micrograph without picks.

    Raises:
        UsageError: no block has the columns of a .cbox file, or a value is not a number.
    """
    if not any(line.startswith("data_") for line in read_text(path).splitlines()):
        return _read_rows(path, (*CORNER_AND_SIDES, CONFIDENCE))
    blocks = read_blocks(path)
    table = next((table for table in blocks.values() if is_boxes(table)), None)
    if table is None:
        raise UsageError(
            f"{path}: no block has the columns {', '.join(CORNER_AND_SIDES)} of crYOLO's boxes; "
            f"it has the blocks {', '.join('data_' + name for name in blocks)}"
        )
    if DEPTH in table:
        depths = table.numbers(DEPTH, missing_allowed=True)
        refuse_depths(str(path), DEPTH, depths)
    score = (
        table.numbers(CONFIDENCE, missing_allowed=True)
        if CONFIDENCE in table
        else np.full(len(table), np.nan)
    )
    x, y, width, height = (table.numbers(column) for column in CORNER_AND_SIDES)
    return _centred(path, (x, y), (width, height), score)


def is_boxes(table: StarTable) -> bool:
    """Say whether a block of a STAR file holds crYOLO's boxes."""
    return all(column in table for column in CORNER_AND_SIDES)


def is_cbox_text(text: str) -> bool:
    """Say whether a text is a STAR file of crYOLO's boxes."""
    columns = ("_CoordinateX", "_Width")
    # of a long text, looking for these words takes far less time than for ends of lines
    if not all(column in text for column in columns):
        return False
    return is_blocks(text) and all(re.search(rf"(?m)^{c}\b", text) for c in columns)


def _read_rows(path: Path, columns: Tuple[str, ...]) -> Coordinates:
    """Read lines of numbers: corner x and y, width, height, and a score if `columns` has five."""
    numbered = [(i, line.split()) for i, line in enumerate(read_text(path).splitlines(), 1)]
    rows = [(i, words) for i, words in numbered if words and not words[0].startswith("#")]
    for line, words in rows:
        if len(words) < len(columns):
            raise UsageError(
                f"{path}, line {line}: a box needs {len(columns)} numbers "
                f"({', '.join(columns)}), not {len(words)}"
            )
    lines = [line for line, _ in rows]
    x, y, width, height, *scores = (
        parse_numbers([words[i] for _, words in rows], lines, path, name)
        for i, name in enumerate(columns)
    )
    score = scores[0] if scores else _scores_or_marks([words for _, words in rows])
    return _centred(path, (x, y), (width, height), score)


def _scores_or_marks(rows: Sequence[Sequence[str]]) -> FloatArray:
    """Return the fifth words of rows, NaN if one has none or all are EMAN's marks."""
    values = np.array([parse_number(row[4]) if len(row) > 4 else np.nan for row in rows])
    values[~np.isfinite(values)] = np.nan
    known = values[~np.isnan(values)]
    return np.full(len(rows), np.nan) if (known == np.round(known)).all() else values


def _centred(
    path: Path,
    corner: Tuple[FloatArray, FloatArray],
    sides: Tuple[FloatArray, FloatArray],
    score: FloatArray,
) -> Coordinates:
    smallest = min((float(side.min()) for side in sides if side.size), default=0.0)
    if smallest < 0:
        raise UsageError(f"{path}: a box has the side {smallest:g}, which is negative")
    return Coordinates(corner[0] + sides[0] / 2, corner[1] + sides[1] / 2, score)


def box_text(coordinates: Coordinates, box_size: Optional[float], with_scores: bool = False) -> str:
    """Write boxes of the side `box_size` (px) round the picks as the text of a .box file.

    Corners are not rounded; a program that reads whole numbers only cuts the decimals off. A fifth
    column of scores is for REPIC: EMAN has marks there.

    Raises:
        UsageError: `box_size` is missing or not a positive number.
    """
    side = _check_box_size(box_size)
    x, y = (format_numbers(centre - side / 2) for centre in (coordinates.x, coordinates.y))
    ends = [f"\t{score:.6f}" for score in coordinates.score] if with_scores else [""] * len(x)
    return "".join(f"{a}\t{b}\t{side:.9g}\t{side:.9g}{end}\n" for a, b, end in zip(x, y, ends))


def cbox_text(coordinates: Coordinates, box_size: Optional[float]) -> str:
    """Write boxes of the side `box_size` (px) round the picks as the text of a .cbox file.

    Scores become the confidence as they are, though crYOLO's own lie between 0 and 1.

    Raises:
        UsageError: `box_size` is missing or not a positive number.
    """
    side = _check_box_size(box_size)
    n = len(coordinates)
    sides, unknown = np.full(n, side), ["<NA>"] * n
    columns: Dict[str, Column] = {
        "CoordinateX": coordinates.x - side / 2,
        "CoordinateY": coordinates.y - side / 2,
        DEPTH: unknown,
        "Width": sides,
        "Height": sides,
        "Depth": unknown,
        "EstWidth": sides,
        "EstHeight": sides,
        CONFIDENCE: coordinates.score,
        "NumBoxes": np.ones(n, dtype=int),
        "Angle": unknown,
    }
    return "\ndata_global\n\n_cbox_format_version 1.0\n" + star_text({"cryolo": columns})


def _check_box_size(box_size: Optional[float]) -> float:
    if box_size is None:
        raise UsageError(
            "files of boxes hold a box's corner, so its side must be known: give the box size "
            "in pixels of the micrograph"
        )
    if not (np.isfinite(box_size) and box_size > 0):
        raise UsageError(f"the box size must be a positive number of pixels, not {box_size}")
    return float(box_size)
