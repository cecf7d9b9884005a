# SPDX-License-Identifier: GPL-3.0-or-later
"""The report of a job, `logfile.pdf`, which RELION's window shows."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, List, Mapping, Optional, Sequence

import numpy as np

from scipion_pupick.engine import (
    Coordinates,
    Micrograph,
    MicrographError,
    Picks,
    atomic_write,
    estimate_precision_recall,
    read_image,
    read_pick_run,
    read_training_log,
    require_pixel_size,
)
from scipion_pupick.engine.reporting.plots import (
    make_figure,
    plot_counts,
    plot_picks,
    plot_scores,
    plot_training,
)

if TYPE_CHECKING:
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
        scores: (n,) of all peaks of each micrograph; none for a training.
        threshold: score from which on peaks are picked.
    """

    title: str
    facts: Mapping[str, str]
    picks: Picks
    diameter: float
    history: Path
    scores: Optional[Sequence[np.ndarray]] = None
    threshold: float = 0.0


def kept_scores(folder: Path) -> List[np.ndarray]:
    """Return the scores (n,) of all peaks of each micrograph, picked or not, but at the edges.

    Args:
        folder: that the engine has picked into; of very many micrographs, some are taken.
    """
    run = read_pick_run(folder)
    step = max(1, -(-len(run.micrographs) // MOST_MICROGRAPHS))
    kept = [run.peaks_of(micrograph) for micrograph in run.micrographs[::step]]
    return [peaks.coordinates.score for peaks in kept if peaks is not None]


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
    counts = [len(coordinates) for coordinates in report.picks.values()]
    plot_counts(plots[0], np.array(counts))
    if report.scores is None:
        plots[1].axis("off")
    else:
        scores = np.concatenate([np.empty(0), *report.scores])
        plot_scores(plots[1], scores, report.threshold, estimate_precision_recall(report.scores))
    plot_training(plots[2], read_training_log(report.history))
    return figure


def _pictures(report: Report, micrographs: Sequence[Micrograph]) -> List[Figure]:
    """Draw the micrographs that stand at even steps in the order of their numbers of picks."""
    by_name = {micrograph.name: micrograph for micrograph in micrographs}
    order = sorted(report.picks, key=lambda name: -len(report.picks[name]))
    positions = np.unique(np.linspace(0, len(order) - 1, PICTURES).round().astype(int))
    figures = []
    for name in (order[position] for position in positions):
        try:
            figures.append(_picture(by_name[name], report.picks[name], report.diameter))
        except MicrographError:
            continue
    return figures


def _picture(micrograph: Micrograph, picks: Coordinates, diameter: float) -> Figure:
    image = read_image(micrograph.path)
    size = diameter / require_pixel_size(micrograph)
    figure = make_figure(PAGE)
    axes = figure.add_subplot(xlabel="x (px)", ylabel="y (px)")
    axes.set_title(f"{micrograph.name}: {len(picks)} particles", fontsize=8)
    plot_picks(axes, image, picks, size, largest_side=PICTURE_PX)
    return figure
