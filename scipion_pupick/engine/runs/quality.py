# SPDX-License-Identifier: GPL-3.0-or-later
"""How good the picks of each micrograph seem to be: a table, in the order of the micrographs.

Which of the numbers are out of line is known, and written, when a run has ended.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Dict, List, Mapping, Sequence

import numpy as np

from ..files.atomic import append_line, write_text
from ..files.tables import read_table, table_line, write_table
from .layout import QUALITY, QUALITY_JSON
from .outliers import find_outliers
from .picked import Picked

_DIGITS = {"precision": 3, "recall": 3, "crowding": 3, "contrast": 3, "score": 2, "usable": 3}
QUALITY_NUMBERS = ("picks", *_DIGITS)
_OF_MICROGRAPH, _OUT_OF_LINE = "micrograph", "out_of_line"
_COLUMNS = (_OF_MICROGRAPH, *QUALITY_NUMBERS, _OUT_OF_LINE)


def _numbers(picked: Picked) -> List[float]:
    return [picked.picks, *(round(getattr(picked, name), n) for name, n in _DIGITS.items())]


def _cells(name: str, numbers: Sequence[float], out_of_line: Sequence[str]) -> List[str]:
    known = ["" if math.isnan(number) else str(number) for number in numbers]
    return [name, *known, ", ".join(out_of_line)]


def _record(name: str, numbers: Sequence[float], out_of_line: Sequence[str]) -> str:
    known = (None if math.isnan(number) else number for number in numbers)
    return json.dumps(dict(zip(_COLUMNS, (name, *known, out_of_line))))


def write_quality(picked: Sequence[Picked], folder: Path) -> None:
    """Write the table of a run, as TSV and as JSON (an object a micrograph)."""
    numbers = [_numbers(each) for each in picked]
    table = np.array(numbers, float).reshape(-1, len(QUALITY_NUMBERS))
    marks: List[List[str]] = [[] for _ in picked]
    for outlier in find_outliers(dict(zip(QUALITY_NUMBERS, table.T))):
        marks[outlier.index].append(outlier.describe())
    rows = list(zip([each.name for each in picked], numbers, marks))
    write_table(folder / QUALITY, _COLUMNS, [_cells(*row) for row in rows])
    lines = ",\n".join(_record(*row) for row in rows)
    write_text(folder / QUALITY_JSON, f'{{"micrographs": [\n{lines}\n]}}\n')


def begin_quality(folder: Path) -> None:
    """Make sure that there is a table to which rows can be added."""
    path = folder / QUALITY
    # the table of an older version has no column for what is out of line
    if not path.is_file() or _header(path) != table_line(_COLUMNS):
        write_table(path, _COLUMNS, [])


def add_quality(picked: Picked, folder: Path) -> None:
    """Add a micrograph that has just been picked to the table; its last row counts."""
    append_line(folder / QUALITY, table_line(_cells(picked.name, _numbers(picked), ())))


def read_quality(folder: Path) -> Dict[str, Dict[str, float]]:
    """Read the numbers of each micrograph by column; NaN where one is not known.

    Raises:
        PupickError: the table is damaged.
        OSError: it cannot be read.
    """
    return {
        row[_OF_MICROGRAPH]: {
            name: float(row[name]) if row.get(name) else math.nan for name in QUALITY_NUMBERS
        }
        for row in read_table(folder / QUALITY, (_OF_MICROGRAPH, *QUALITY_NUMBERS))
    }


def read_out_of_line(folder: Path) -> Dict[str, str]:
    """Read which numbers of which micrographs are out of line, such as "picks low, score high".

    Returns:
        By name of the micrograph, in their order; only of those that have such a number, and of
        none in a table of an older version.

    Raises:
        PupickError: the table is damaged.
        OSError: it cannot be read.
    """
    rows = read_table(folder / QUALITY, (_OF_MICROGRAPH,))
    return {row[_OF_MICROGRAPH]: row[_OUT_OF_LINE] for row in rows if row.get(_OUT_OF_LINE)}


def quality_columns(rows: Sequence[Mapping[str, float]]) -> Dict[str, np.ndarray]:
    """Return the numbers of some micrographs (n,) by column, where any is known."""
    columns = {name: np.array([row[name] for row in rows], float) for name in QUALITY_NUMBERS}
    return {name: values for name, values in columns.items() if np.isfinite(values).any()}


def _header(path: Path) -> str:
    with path.open(encoding="utf-8", errors="surrogateescape") as file:
        return file.readline().rstrip("\n")
