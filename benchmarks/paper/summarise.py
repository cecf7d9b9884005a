# SPDX-License-Identifier: GPL-3.0-or-later
"""Take the cells that were measured into the results: tables, tests and figures.

    python benchmarks/paper/summarise.py FOLDER/cells.csv
    python benchmarks/results/tables.py

The first writes the cells, their means and paired t-tests to benchmarks/results (paper.csv,
paper_summary.csv, paper_tests.csv), and the figures to docs; the second the tables of
docs/results.md.
"""

from __future__ import annotations

import argparse
import csv
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import List, Optional, Sequence

# a script sees only its own folder
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.paper.cells_file import Row, read_rows, write_rows
from benchmarks.paper.figures import draw_all
from benchmarks.paper.grid import Cell
from benchmarks.paper.paired_tests import results, summarise

ROOT = Path(__file__).resolve().parents[2]
MEASURES = ("region_ap", "particle_ap", "best_f1")


def parse(arguments: Optional[List[str]]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("cells", type=Path, nargs="+", help="tables of cells; later ones count")
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks" / "results")
    parser.add_argument("--figures", type=Path, default=ROOT / "docs")
    return parser.parse_args(arguments)


def last_of_each(rows: Sequence[Row]) -> List[Row]:
    """One row for each cell: the one that stands last, which was trained longest."""
    return list({row.cell: row for row in rows}.values())


def settings_of(rows: Sequence[Row]) -> List[Cell]:
    """What the rows measure, each once, whatever the choice of labels."""
    return sorted({replace(row.cell, choice=0) for row in rows}, key=lambda c: str(asdict(c)))


def write_summary(rows: Sequence[Row], path: Path) -> None:
    """Write mean and standard deviation over choices of labels, by setting and figure."""
    lines = []
    for setting in settings_of(rows):
        said = {name: f"{value}" for name, value in asdict(setting).items() if name != "choice"}
        for measure in MEASURES:
            found = summarise(rows, setting, measure)
            figures = {
                "measure": measure,
                "value": f"{found.mean:.3f}",
                "deviation": "" if found.choices < 2 else f"{found.deviation:.3f}",
                "choices_of_labels": f"{found.choices}",
            }
            lines.append({**said, **figures})
    write_csv(lines, path)


def write_tests(rows: Sequence[Row], path: Path) -> None:
    """Write the paired t-tests."""
    lines = []
    for result in results(rows):
        first, second = result.comparison.first, result.comparison.second
        lines.append(
            {
                "claim": result.comparison.claim,
                "set": first.set,
                "labels": f"{first.labels}",
                "first": name_of(first),
                "second": name_of(second),
                "choices_of_labels": f"{result.choices}",
                "mean_of_first": f"{result.first:.3f}",
                "mean_of_second": f"{result.second:.3f}",
                "p": f"{result.p:.2g}",
                "first_is": result.verdict,
            }
        )
    write_csv(lines, path)


def name_of(setting: Cell) -> str:
    """A setting in words."""
    gamma = f", γ = {setting.gamma:g}" if setting.gamma else ""
    return f"{setting.method}{gamma}" + (
        f", {setting.pi_factor:g} π" if setting.pi_factor != 1 else ""
    )


def write_csv(lines: Sequence[dict], path: Path) -> None:
    """Write lines of the same columns; nothing where there is none."""
    if not lines:
        return
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(lines[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)


def main(arguments: Optional[List[str]] = None) -> None:
    options = parse(arguments)
    rows = last_of_each([row for path in options.cells for row in read_rows(path)])
    write_rows(options.results / "paper.csv", rows)
    write_summary(rows, options.results / "paper_summary.csv")
    write_tests(rows, options.results / "paper_tests.csv")
    for path in draw_all(rows, options.figures):
        print(path)


if __name__ == "__main__":
    main()
