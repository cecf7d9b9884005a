# SPDX-License-Identifier: GPL-3.0-or-later
"""How good the picks of each micrograph seem to be: a table, in the order of the micrographs."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, Dict, List, Sequence

from ..files.atomic import append_line, write_text
from ..files.tables import read_table, table_line, write_table
from .layout import QUALITY, QUALITY_JSON
from .picked import Picked

_DIGITS = {"precision": 3, "recall": 3, "crowding": 3, "contrast": 3, "score": 2, "usable": 3}
QUALITY_COLUMNS = ("micrograph", "picks", *_DIGITS)


def _values(picked: Picked) -> List[Any]:
    numbers = [round(getattr(picked, name), digits) for name, digits in _DIGITS.items()]
    return [picked.name, picked.picks, *(None if math.isnan(n) else n for n in numbers)]


def _cells(values: Sequence[Any]) -> List[str]:
    return ["" if value is None else str(value) for value in values]


def write_quality(picked: Sequence[Picked], folder: Path) -> None:
    """Write the table of a run, as TSV and as JSON (an object a micrograph)."""
    values = [_values(each) for each in picked]
    write_table(folder / QUALITY, QUALITY_COLUMNS, [_cells(of_one) for of_one in values])
    lines = [json.dumps(dict(zip(QUALITY_COLUMNS, of_one))) for of_one in values]
    rows = ",\n".join(lines)
    write_text(folder / QUALITY_JSON, f'{{"micrographs": [\n{rows}\n]}}\n')


def begin_quality(folder: Path) -> None:
    """Make sure that there is a table to which rows can be added."""
    if not (folder / QUALITY).is_file():
        write_table(folder / QUALITY, QUALITY_COLUMNS, [])


def add_quality(picked: Picked, folder: Path) -> None:
    """Add a micrograph that has just been picked to the table; its last row counts."""
    append_line(folder / QUALITY, table_line(_cells(_values(picked))))


def read_quality(folder: Path) -> Dict[str, Dict[str, float]]:
    """Read the numbers of each micrograph by column; NaN where one is not known.

    Raises:
        PupickError: the table is damaged.
        OSError: it cannot be read.
    """
    return {
        row["micrograph"]: {
            name: float(row[name]) if row.get(name) else math.nan for name in QUALITY_COLUMNS[1:]
        }
        for row in read_table(folder / QUALITY, QUALITY_COLUMNS)
    }
