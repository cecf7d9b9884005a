# SPDX-License-Identifier: GPL-3.0-or-later
"""The paper's figures 5a, 5b and S3, and learning curves, drawn from the table of cells."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Sequence

from benchmarks.paper.cells_file import Row
from benchmarks.paper.grid import GE_BINOMIAL, LABELS_OF_PI, PAPERS, Cell
from benchmarks.paper.paired_tests import SIGNIFICANT, Comparison, compare, summarise
from scipion_pupick.engine.reporting.plots import COLOURS, DASHES, make_figure, save_figure

NAMES: Mapping[str, str] = {
    "pn": "PN",
    "nnpu": "non-negative PU",
    "ge-kl": "GE-KL",
    "ge-binomial": "GE-binomial",
    "ge-binomial-kl": "pupick's GE-binomial-KL",
    "upu": "unbiased PU",
    "dog": "difference of Gaussians",
    "template": "template matching",
}
TITLES: Mapping[str, str] = {"empiar10017": "EMPIAR-10017", "rod": "77 kDa rod, simulated"}
PANEL = (4.6, 3.8)
AVERAGE_PRECISION = "average precision over regions"


def draw_all(rows: Sequence[Row], folder: Path) -> List[Path]:
    """Draw what there are cells for, and return the files."""
    drawings: Dict[str, Callable[[Any, Sequence[Row], str], bool]] = {
        "paper_objectives.png": plot_objectives,
        "paper_autoencoder.png": plot_autoencoder,
        "paper_pi.png": plot_pi,
        "paper_learning.png": plot_learning,
    }
    return [folder / name for name, plot in drawings.items() if _draw(rows, plot, folder / name)]


def _draw(rows: Sequence[Row], plot: Callable[[Any, Sequence[Row], str], bool], path: Path) -> bool:
    """Draw a panel for each set; False, and nothing, where there is nothing to show."""
    sets = sorted({row.set for row in rows})
    figure = make_figure((PANEL[0] * len(sets), PANEL[1]))
    drawn = [plot(figure.add_subplot(1, len(sets), i + 1), rows, on) for i, on in enumerate(sets)]
    if any(drawn):
        save_figure(figure, path, dpi=130)
    return any(drawn)


def labels_of(rows: Sequence[Row], on: str) -> List[int]:
    """Numbers of labels in the rows of a set."""
    return sorted({row.labels for row in rows if row.set == on and row.labels})


def plot_objectives(axes: Any, rows: Sequence[Row], on: str) -> bool:
    """Fig. 5a; a star where GE-binomial is above GE-KL with p < 0.05, a dagger where below.

    It says something from two numbers of labels on.
    """
    lines = {
        NAMES[method]: [Cell(on, method, count, 0) for count in labels_of(rows, on)]
        for method in PAPERS
    }
    drawn = _plot_lines(axes, rows, on, lines)
    for count in labels_of(rows, on):
        binomial, kl = (Cell(on, method, count, 0) for method in (GE_BINOMIAL, "ge-kl"))
        result = compare(rows, Comparison("", binomial, kl))
        if result.p < SIGNIFICANT:
            mark = "*" if result.first > result.second else "†"
            of_lines = [summarise(rows, cell) for cell in _at(lines, count)]
            height = max(of_line.mean + of_line.deviation for of_line in of_lines)
            axes.annotate(mark, (count, 1.02 * height), ha="center", fontsize=14)
    axes.set_ylim(top=1.1 * axes.get_ylim()[1])
    return drawn and len({r.labels for r in rows if r.set == on and r.method in PAPERS}) > 1


def _at(lines: Mapping[str, Sequence[Cell]], count: int) -> List[Cell]:
    return [cell for cells in lines.values() for cell in cells if cell.labels == count]


def plot_autoencoder(axes: Any, rows: Sequence[Row], on: str) -> bool:
    """Fig. 5b: GE-binomial with an autoencoder of weight γ.

    It says something from two numbers of labels with γ > 0 on.
    """
    counts = labels_of(rows, on)
    lines = {
        f"γ = {name}": [Cell(on, GE_BINOMIAL, n, 0, gamma=weight(n)) for n in counts]
        for name, weight in (("0", lambda n: 0.0), ("1", lambda n: 1.0), ("10/N", lambda n: 10 / n))
    }
    _plot_lines(axes, rows, on, lines)
    return len({row.labels for row in rows if row.gamma > 0 and row.set == on}) > 1


def plot_pi(axes: Any, rows: Sequence[Row], on: str) -> bool:
    """Fig. S3: GE-binomial with a π that is wrong by a factor."""
    axes.set(title=TITLES.get(on, on), xlabel="π given / true π", ylabel=AVERAGE_PRECISION)
    factors = sorted({row.pi_factor for row in rows if row.set == on})
    for i, count in enumerate(LABELS_OF_PI):
        settings = [Cell(on, GE_BINOMIAL, count, 0, pi_factor=factor) for factor in factors]
        _plot_line(axes, rows, factors, settings, f"{count} labels", i)
    _finish(axes)
    return len(factors) > 1


def plot_learning(axes: Any, rows: Sequence[Row], on: str) -> bool:
    """Average precision by updates of training, means over choices; 10 labels."""
    axes.set(title=f"{TITLES.get(on, on)}, 10 labels", xlabel="updates", ylabel=AVERAGE_PRECISION)
    lines = {NAMES[method]: Cell(on, method, 10, 0) for method in PAPERS}
    lines[f"{NAMES[GE_BINOMIAL]}, autoencoder"] = Cell(on, GE_BINOMIAL, 10, 0, gamma=1.0)
    for i, (name, setting) in enumerate(lines.items()):
        curves = [
            row.curve_points for row in rows if replace(row.cell, choice=0) == setting and row.curve
        ]
        steps = sorted(set.intersection(*map(set, curves))) if curves else []
        means = [sum(points[s] for points in curves) / len(curves) for s in steps]
        if means:
            label = f"{name} ({len(curves)})"
            axes.plot(steps, means, DASHES[i % 4], marker=".", color=COLOURS[i], label=label)
    _finish(axes)
    return bool(axes.lines)


def _plot_lines(
    axes: Any, rows: Sequence[Row], on: str, lines: Mapping[str, Sequence[Cell]]
) -> bool:
    axes.set(title=TITLES.get(on, on), xlabel="labels", ylabel=AVERAGE_PRECISION, xscale="log")
    for i, (name, settings) in enumerate(lines.items()):
        _plot_line(axes, rows, [cell.labels for cell in settings], settings, name, i)
    _finish(axes)
    return bool(axes.lines)


def _plot_line(
    axes: Any,
    rows: Sequence[Row],
    x: Sequence[float],
    settings: Sequence[Cell],
    name: str,
    number: int,
) -> None:
    """Means with standard deviations; the legend says over how many choices of labels."""
    found = [(at, summarise(rows, setting)) for at, setting in zip(x, settings)]
    there = [(at, summary) for at, summary in found if summary.choices]
    if not there:
        return
    counts = sorted({summary.choices for _, summary in there})
    choices = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    axes.errorbar(
        [at for at, _ in there],
        [summary.mean for _, summary in there],
        yerr=[0 if math.isnan(s.deviation) else s.deviation for _, s in there],
        fmt=f"o{DASHES[number % len(DASHES)]}",
        color=COLOURS[number],
        capsize=3,
        label=f"{name} ({choices})",
    )


def _finish(axes: Any) -> None:
    axes.set_ylim(bottom=0)
    axes.grid(color="0.9")
    if axes.get_legend_handles_labels()[1]:
        axes.legend(frameon=False, title="choices of labels in brackets", fontsize=8)
