# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of cells: one line each, added as soon as it is measured."""

from __future__ import annotations

import csv
import io
import os
from dataclasses import Field, asdict, dataclass, fields
from pathlib import Path
from typing import Any, Dict, List, Mapping, Sequence

from benchmarks.paper.grid import Cell

STEP_SEPARATOR, PAIR_SEPARATOR = " ", ":"


@dataclass(frozen=True)
class Row:
    """A cell and what was measured of it.

    Attributes:
        set, method, labels, choice, gamma, pi_factor: as of `Cell`; method may be a baseline.
        steps: updates of the training; 0 of a baseline.
        region_ap: average precision over regions after these.
        particle_ap: over particles.
        best_f1: over particles, at any threshold.
        cpu_s: CPU seconds of training and test.
        curve: region_ap by updates, such as '250:0.1523 500:0.1611'.
        revision: of pupick.
    """

    set: str
    method: str
    labels: int
    choice: int
    gamma: float
    pi_factor: float
    steps: int
    region_ap: float
    particle_ap: float
    best_f1: float
    cpu_s: float
    curve: str
    revision: str

    @property
    def cell(self) -> Cell:
        """What was measured."""
        return Cell(self.set, self.method, self.labels, self.choice, self.gamma, self.pi_factor)

    @property
    def curve_points(self) -> Dict[int, float]:
        """Average precision over regions by updates."""
        pairs = [pair.split(PAIR_SEPARATOR) for pair in self.curve.split(STEP_SEPARATOR) if pair]
        return {int(step): float(value) for step, value in pairs}


def curve_text(points: Mapping[int, float]) -> str:
    """`points` as in the column `curve`."""
    return STEP_SEPARATOR.join(f"{s}{PAIR_SEPARATOR}{v:.4f}" for s, v in points.items())


def read_rows(path: Path) -> List[Row]:
    """All rows of the file, none if there is none; a line that was cut off is left out."""
    if not path.exists():
        return []
    kinds = {
        part.name: {"int": int, "float": float}.get(str(part.type), str) for part in _columns()
    }
    with path.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if None not in row.values()]
    return [Row(**{name: kinds[name](value) for name, value in row.items()}) for row in rows]


def add_row(path: Path, row: Row) -> None:
    """Add a line in one write, so that several processes can add to one file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    names = [part.name for part in _columns()]
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        text = io.StringIO()
        writer = csv.DictWriter(text, names, lineterminator="\n")
        if os.fstat(file).st_size == 0:
            writer.writeheader()
        writer.writerow({name: _text(value) for name, value in asdict(row).items()})
        os.write(file, text.getvalue().encode())
    finally:
        os.close(file)


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """Write a file anew, its rows sorted by cell."""
    path.unlink(missing_ok=True)
    for row in sorted(rows, key=lambda row: tuple(map(str, asdict(row.cell).values()))):
        add_row(path, row)


def _columns() -> Sequence[Field[Any]]:
    return fields(Row)


def _text(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
