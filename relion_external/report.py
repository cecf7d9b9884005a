# SPDX-License-Identifier: GPL-3.0-or-later
"""The report of a job, `logfile.pdf`, which RELION's window shows."""

from __future__ import annotations

import csv
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Dict, List, Mapping, Optional, Sequence

import numpy as np

from scipion_pupick.engine import Coordinates, Micrograph, Picks
from scipion_pupick.engine.coordinates.names import file_of_micrograph
from scipion_pupick.engine.errors import MicrographError
from scipion_pupick.engine.files import atomic_write
from scipion_pupick.engine.kept import SUFFIX, load_peaks
from scipion_pupick.engine.micrograph import read_image, require_pixel_size
from scipion_pupick.engine.picture import make_figure, plot_picks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PAGE = (8.3, 8.3)
PICTURES = 3
PICTURE_PX = 700
MOST_MICROGRAPHS = 1000


@dataclass(frozen=True)
class Report:
    """What a report shows.

    Attributes:
        title: of the first page.
        facts: lines of text, by what they are about.
        picks: by micrograph name, px: found by the job, or the labels of a training.
        diameter: of the particle, Å.
        history: table of a training's epochs; there need be no such file.
        scores: (n,) of all peaks, for a histogram; none for a training.
        threshold: score from which on peaks are picked.
    """

    title: str
    facts: Mapping[str, str]
    picks: Picks
    diameter: float
    history: Path
    scores: Optional[np.ndarray] = None
    threshold: float = 0.0


def kept_file(name: str, folder: Path) -> Path:
    """Give the file of all peaks of a micrograph in the folder that the engine has written to."""
    return file_of_micrograph(name, folder / "scores", SUFFIX)


def kept_scores(names: Sequence[str], folder: Path) -> np.ndarray:
    """Give the scores (n,) of all peaks of some micrographs, picked or not.

    Args:
        names: of the micrographs; of very many, some are taken.
        folder: that the engine has written to.
    """
    step = -(-len(names) // MOST_MICROGRAPHS)
    kept = [load_peaks(kept_file(name, folder)) for name in names[::step]]
    return np.concatenate([peaks.coordinates.score for peaks in kept if peaks is not None])


def write_report(report: Report, micrographs: Sequence[Micrograph], path: Path) -> None:
    """Write a report.

    Args:
        report: what to show.
        micrographs: that the picks are on; some with the most picks are shown.
        path: of the PDF file.

    Raises:
        PupickError: matplotlib is not installed.
        OSError: the file cannot be written.
    """
    figures = [_overview(report), *_pictures(report, micrographs)]
    from matplotlib.backends.backend_pdf import PdfPages

    with atomic_write(path) as temporary, PdfPages(temporary) as pdf:
        for figure in figures:
            pdf.savefig(figure, dpi=100)


def _overview(report: Report) -> Figure:
    figure = make_figure(PAGE)
    figure.suptitle(report.title)
    text, *plots = figure.subplots(2, 2).flat
    text.axis("off")
    lines = [f"{name}: {value}" for name, value in report.facts.items()]
    wrapped = [part for line in lines for part in textwrap.wrap(line, 46, subsequent_indent="  ")]
    text.text(0, 1, "\n".join(wrapped), va="top", fontsize=9)
    _plot_counts(plots[0], report)
    _plot_scores(plots[1], report)
    _plot_history(plots[2], read_history(report.history))
    return figure


def _plot_counts(axes: Axes, report: Report) -> None:
    counts = [len(coordinates) for coordinates in report.picks.values()]
    axes.plot(range(1, len(counts) + 1), counts, ".")
    axes.set(title="Particles", xlabel="micrograph", ylabel="number", ylim=(0, None))


def _plot_scores(axes: Axes, report: Report) -> None:
    if report.scores is None:
        axes.axis("off")
        return
    axes.hist(report.scores, bins=80, color="tab:gray")
    axes.axvline(report.threshold, color="tab:red", label=f"threshold {report.threshold:.2f}")
    axes.set(title="Scores of all peaks", xlabel="score (log-odds)", ylabel="peaks")
    axes.legend()


def _plot_history(axes: Axes, history: Mapping[str, np.ndarray]) -> None:
    if not history:
        axes.axis("off")
        return
    axes.plot(history["epoch"], history["loss"], ".-", color="tab:gray")
    axes.set(title="Training", xlabel="epoch", ylabel="loss")
    if np.isfinite(history["held_out_ap"]).any():
        beside = axes.twinx()
        beside.plot(history["epoch"], history["held_out_ap"], ".-", color="tab:blue")
        beside.set_ylabel("held-out average precision", color="tab:blue")


def read_history(path: Path) -> Dict[str, np.ndarray]:
    """Read the table of a training's epochs: columns (epochs,) by name, none without a file."""
    if not path.is_file():
        return {}
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    return {name: np.array([float(row[name]) for row in rows]) for name in rows[0]} if rows else {}


def _pictures(report: Report, micrographs: Sequence[Micrograph]) -> List[Figure]:
    """Draw the micrographs that stand at even steps in the order of their numbers of picks."""
    known = {micrograph.name: micrograph for micrograph in micrographs}
    order = sorted(report.picks, key=lambda name: -len(report.picks[name]))
    positions = np.unique(np.linspace(0, len(order) - 1, PICTURES).round().astype(int))
    figures = []
    for name in (order[position] for position in positions):
        try:
            figures.append(_picture(known[name], report.picks[name], report.diameter))
        except MicrographError:
            continue
    return figures


def _picture(micrograph: Micrograph, picks: Coordinates, diameter: float) -> Figure:
    image = read_image(micrograph.path)
    figure = make_figure(PAGE)
    axes = figure.add_subplot(xlabel="x (px)", ylabel="y (px)")
    axes.set_title(f"{micrograph.name}: {len(picks)} particles", fontsize=8)
    plot_picks(axes, image, picks, diameter / require_pixel_size(micrograph), PICTURE_PX)
    return figure
