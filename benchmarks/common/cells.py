# SPDX-License-Identifier: GPL-3.0-or-later
"""Results kept cell by cell, so that a benchmark can be stopped and continued."""

from __future__ import annotations

import json
import math
import statistics
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, List, Sequence

from benchmarks.common.machine import ROOT, describe_machine, describe_side
from benchmarks.common.markdown import conditions
from benchmarks.common.picking_sets import REAL, PickingSet
from scipion_pupick.engine import Evaluation, Picks, evaluate, write_text

Row = Dict[str, Any]


@dataclass(frozen=True)
class Store:
    """A folder with a JSON file for each cell.

    Attributes:
        folder: for the files.
        python: of the environment whose versions go into the rows.
    """

    folder: Path
    python: Path = Path(sys.executable)

    def cell(self, key: Dict[str, Any], compute: Callable[[], Row]) -> Row:
        """The row of the cell `key`, computed if it is not there."""
        name = self.name_of(key)
        path = self.folder / f"{name}.json"
        if not path.exists():
            row = {**key, **compute(), **describe_machine(), **describe_side(self.python, ROOT)}
            self.folder.mkdir(parents=True, exist_ok=True)
            write_text(path, json.dumps(row, indent=1) + "\n")
            print(f"{name}: AP {row['ap']:.3f}, F1 {row['f1']:.3f}", flush=True)
        return read_row(path)

    def name_of(self, key: Dict[str, Any]) -> str:
        """The key as a name of a file."""
        return "_".join(str(value) for value in key.values()).replace(" ", "-").replace("/", "-")

    def rows(self) -> List[Row]:
        """All rows that are there."""
        return [read_row(path) for path in sorted(self.folder.glob("*.json"))]


def read_row(path: Path) -> Row:
    row: Row = json.loads(path.read_text(encoding="utf-8"))
    return row


def figures(evaluation: Evaluation) -> Row:
    """What is kept of an evaluation: of the ranking, not of any one threshold."""
    curve = evaluation.curve
    return {
        "ap": curve.average_precision,
        "f1": curve.best_f1,
        "precision_90": curve.precision_at(0.9),
        "best_threshold": curve.best_threshold,
        "particles": evaluation.reference,
        "picks": evaluation.picks,
    }


def score(picking_set: PickingSet, picks: Picks) -> Evaluation:
    """Compare picks with the particles to test on."""
    micrographs = picking_set.micrographs(picking_set.test)
    return evaluate(
        picks, picking_set.test_particles, picking_set.tolerance, picking_set.border, micrographs
    )


def rows_with(rows: Sequence[Row], **wanted: Any) -> List[Row]:
    """The rows that have the wanted values."""
    return [row for row in rows if all(row.get(name) == value for name, value in wanted.items())]


def set_names(rows: Sequence[Row]) -> List[str]:
    """Names of the sets in the rows, the real one first."""
    return sorted({row["set"] for row in rows}, key=lambda name: (name != REAL, name))


def summary(rows: Sequence[Row], name: str, digits: int = 3) -> str:
    """Mean of a figure over rows, with its standard deviation; a dash without rows."""
    values = [row[name] for row in rows if row.get(name) is not None]
    if not values:
        return "–"
    if any(math.isnan(value) for value in values):
        return "not reached"
    text = f"{statistics.mean(values):.{digits}f}"
    return text + (f" ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else "")


def conditions_of(rows: Sequence[Row]) -> str:
    """Machine and versions under which the rows were measured, each of them once, as Markdown."""
    revisions: Dict[str, List[str]] = {}
    for row in rows:
        line = conditions({**row, "revision": "..."}).replace("; revision ...", "")
        revisions.setdefault(line, []).append(row["revision"])
    lines = [f"- {line}; revision {', '.join(sorted(set(r)))}" for line, r in revisions.items()]
    return "\n".join(lines) + "\n"
