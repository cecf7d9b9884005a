# SPDX-License-Identifier: GPL-3.0-or-later
"""Plots for papers, logs and viewers; all but the functions of files draw on given axes.

matplotlib is an extra: it is imported by what needs it, when that is called.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, Mapping, Optional, Tuple

import numpy as np

from ..calibration.precision_recall_estimate import EstimatedCurve, estimate_precision_recall
from ..coordinates import Coordinates
from ..errors import PupickError, UsageError
from ..evaluation.evaluate import Evaluation
from ..files.atomic import PathLike, atomic_write
from ..micrographs import AnyMicrograph, image_of, require_pixel_size

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

# Colours of Okabe & Ito, which the colour-blind can tell apart; dashes serve print in grey.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES = ("-", "--", "-.", ":")
# from low scores to high: purple to yellow, darker to lighter, and bright enough on grey
SCORE_COLOURS = ("#b5308b", "#e16462", "#fca636", "#f0f921")
REFERENCE_COLOUR = "#56d0ff"
GREY = "#999999"
LARGEST_SIDE = 1600
SCORE_BINS = 80


def make_figure(size: Tuple[float, float]) -> Figure:
    """Make an empty figure of a size (width, height) in inches.

    Raises:
        PupickError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise PupickError(
            "Plots need matplotlib, which is not installed: pip install 'scipion-em-pupick[plot]'"
        ) from error
    return Figure(figsize=size, layout="constrained")


def check_figure_file(path: PathLike) -> None:
    """Refuse a file whose suffix is none of a format that matplotlib writes.

    Raises:
        PupickError: matplotlib is not installed.
        UsageError: it is none.
    """
    formats = make_figure((1.0, 1.0)).canvas.get_supported_filetypes()
    if Path(path).suffix[1:].lower() not in formats:
        raise UsageError(f"{path}: no plot can have this suffix; use one of {', '.join(formats)}.")


def save_figure(figure: Figure, path: PathLike, dpi: int = 200) -> None:
    """Write a figure to a file, whose suffix (.png, .svg, .pdf) chooses the format.

    Raises:
        UsageError: matplotlib does not know the format.
        OSError: the file cannot be written.
    """
    check_figure_file(path)
    with atomic_write(path) as temporary:
        figure.savefig(temporary, dpi=dpi)


def draw_picks(
    micrograph: AnyMicrograph,
    picks: Coordinates,
    diameter: float,
    path: PathLike,
    reference: Optional[Coordinates] = None,
    title: str = "",
) -> None:
    """Draw picks over a micrograph to a file, with the axes in px; see `plot_picks`.

    Args:
        micrograph: to show.
        picks: px of the micrograph.
        diameter: of the circles, Å.
        path: of the file.
        reference: known particles, px of the micrograph.
        title: of the figure.

    Raises:
        MicrographError: the micrograph cannot be read, or its pixel size is not known.
        PupickError: matplotlib is not installed.
        UsageError: matplotlib does not know the file's format.
        OSError: the file cannot be written.
    """
    image = image_of(micrograph)
    height, width = image.shape
    figure = make_figure((9.0, 9.0 * height / width))
    axes = figure.add_subplot(title=title, xlabel="x (px)", ylabel="y (px)")
    plot_picks(axes, image, picks, diameter / require_pixel_size(micrograph), reference)
    save_figure(figure, path, dpi=110)


def draw_evaluation(evaluation: Evaluation, path: PathLike) -> None:
    """Draw `plot_precision_recall` and `plot_by_threshold` side by side to a file.

    Raises:
        PupickError: matplotlib is not installed.
        UsageError: matplotlib does not know the file's format.
        OSError: the file cannot be written.
    """
    figure = make_figure((9.5, 4.5))
    plot_precision_recall(figure.add_subplot(1, 2, 1), {"picks": evaluation})
    plot_by_threshold(figure.add_subplot(1, 2, 2), evaluation)
    save_figure(figure, path)


def plot_picks(
    axes: Axes,
    image: np.ndarray,
    picks: Coordinates,
    diameter: float,
    reference: Optional[Coordinates] = None,
    largest_side: int = LARGEST_SIDE,
) -> None:
    """Show an image with circles round picks, coloured by score if there are any.

    Args:
        axes: to draw on.
        image: (ny, nx) grey values.
        picks: px of the image.
        diameter: of the circles, px of the image.
        reference: known particles, px of the image, drawn as crosses of another colour.
        largest_side: of what is shown, px; larger images are sampled.
    """
    from matplotlib.collections import EllipseCollection

    height, width = image.shape
    step = -(-max(image.shape) // largest_side)
    shown = np.asarray(image[::step, ::step], np.float32)
    low, high = np.percentile(shown, [1, 99])
    extent = (-0.5, width - 0.5, height - 0.5, -0.5)
    axes.imshow(shown, cmap="gray", vmin=low, vmax=high, extent=extent)
    sizes = np.full(len(picks), diameter)
    circles = EllipseCollection(
        sizes,
        sizes,
        np.zeros(len(picks)),
        units="xy",
        offsets=picks.xy,
        offset_transform=axes.transData,
        facecolors="none",
        linewidths=1.5,
        **_colours(picks),
    )
    axes.add_collection(circles)
    if reference is not None:
        axes.plot(reference.x, reference.y, "+", color=REFERENCE_COLOUR, markersize=5)
    if picks.has_scores:
        axes.figure.colorbar(circles, ax=axes, label="score (log-odds)", shrink=0.7)


def score_colours() -> Colormap:
    """Return the colours of scores, from low to high, as a colour map of matplotlib."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("scores", SCORE_COLOURS)


def _colours(picks: Coordinates) -> Dict[str, Any]:
    if picks.has_scores:
        return {"array": picks.score, "cmap": score_colours()}
    return {"edgecolors": SCORE_COLOURS[-2]}


def plot_training(axes: Axes, history: Mapping[str, np.ndarray], best_epoch: int = 0) -> None:
    """Plot the loss of a training by epoch, and beside it the held-out average precision.

    Args:
        axes: to draw on.
        history: columns (epochs,) of `runs.training_log.read_training_log`.
        best_epoch: whose weights the model has, marked by a line; 0 where that is not known.
    """
    axes.set(title="Training", xlabel="epoch", ylabel="loss")
    if not history:
        _say(axes, "no training")
        return
    axes.plot(history["epoch"], history["loss"], ".-", color=GREY)
    axes.locator_params(axis="x", integer=True)
    if best_epoch:
        axes.axvline(best_epoch, color=COLOURS[1], linestyle=":", label=f"best: {best_epoch}")
        axes.legend(frameon=False)
    if np.isfinite(history["held_out_ap"]).any():
        beside = axes.twinx()
        beside.plot(history["epoch"], history["held_out_ap"], ".-", color=COLOURS[0])
        beside.set_ylabel("held-out average precision", color=COLOURS[0])


def plot_scores(
    axes: Axes, scores: np.ndarray, threshold: float, quality: Optional[EstimatedCurve] = None
) -> None:
    """Plot a histogram of the scores of all peaks, and how many of these are particles.

    Args:
        axes: to draw on.
        scores: (n,) log-odds of all peaks, picked or not.
        threshold: log-odds from which on a peak is picked.
        quality: estimate from the same scores, for the numbers of true and false picks.
    """
    axes.set(title="Scores of all peaks", xlabel="score (log-odds)", ylabel="peaks")
    if len(scores) == 0:
        _say(axes, "no peak")
        return
    counts, edges = np.histogram(scores, SCORE_BINS)
    axes.stairs(counts, edges, fill=True, color="0.8")
    axes.axvline(threshold, color=COLOURS[1], label=f"threshold {threshold:.2f}")
    title = f"{np.count_nonzero(scores >= threshold):,} of {len(scores):,} peaks are picked"
    if quality is not None:
        particles = _particles_between(quality, edges, counts)
        axes.stairs(particles, edges, fill=True, color=COLOURS[0], alpha=0.7, label="particles")
        at = estimate_precision_recall([scores], thresholds=[threshold])
        true = round(float(at.true_picks[0]))
        false = int(at.picks[0]) - true
        title += f":\nabout {true:,} particles and {false:,} others (estimated)"
    axes.set_title(title, fontsize="medium")
    axes.legend(frameon=False)


def _particles_between(
    quality: EstimatedCurve, edges: np.ndarray, counts: np.ndarray
) -> np.ndarray:
    """Estimate how many of the peaks between two edges each are particles."""
    above = np.interp(edges, quality.threshold, quality.true_picks, right=0.0)
    return np.clip(-np.diff(above), 0, counts)


def plot_precision_recall(axes: Axes, evaluations: Mapping[str, Evaluation]) -> None:
    """Plot precision against recall, a dot where F1 is highest, one curve for each evaluation.

    Args:
        axes: to draw on.
        evaluations: by the name to show in the legend.
    """
    _prepare_precision_recall(axes)
    for i, (name, evaluation) in enumerate(evaluations.items()):
        curve = evaluation.curve
        colour, dash = COLOURS[i % len(COLOURS)], DASHES[i % len(DASHES)]
        label = f"{name} (AP {curve.average_precision:.3f}, F1 {curve.best_f1:.3f})"
        best = curve.threshold == curve.best_threshold
        axes.plot(curve.recall, curve.precision, dash, color=colour, linewidth=1.8, label=label)
        axes.plot(curve.recall[best], curve.precision[best], "o", color=colour)
    axes.legend(loc="lower left", frameon=False)


def plot_by_threshold(axes: Axes, evaluation: Evaluation) -> None:
    """Plot precision, recall and F1 by the threshold, with a line where F1 is highest.

    Picks without scores have no threshold; nothing is drawn of them.

    Args:
        axes: to draw on.
        evaluation: of scored picks.
    """
    axes.set(xlabel="threshold (score)", ylim=(0, 1.01))
    axes.grid(color="0.9")
    curve = evaluation.curve
    scored = np.isfinite(curve.threshold)
    if not scored.any():
        _say(axes, "no score")
        return
    parts = (("precision", curve.precision), ("recall", curve.recall), ("F1", curve.f1))
    for (name, values), colour, dash in zip(parts, COLOURS, DASHES):
        axes.plot(curve.threshold[scored], values[scored], dash, color=colour, label=name)
    best = curve.best_threshold
    label = f"best F1 {curve.best_f1:.3f}, at {best:.2f}"
    axes.axvline(best, color=GREY, linestyle=":", label=label)
    axes.legend(frameon=False)


def plot_estimated_curve(
    axes: Axes, quality: EstimatedCurve, threshold: Optional[float] = None
) -> None:
    """Plot precision against recall as estimated without negatives, with 95 % intervals.

    May be drawn on the axes of `plot_precision_recall`.

    Args:
        axes: to draw on.
        quality: estimate.
        threshold: log-odds whose place on the curve a diamond marks.
    """
    _prepare_precision_recall(axes)
    if len(quality.threshold) == 0:
        _say(axes, "no peak")
        return
    colour = COLOURS[3]
    axes.fill_between(
        quality.recall, quality.precision_low, quality.precision_high, color=colour, alpha=0.2
    )
    axes.plot(quality.recall, quality.precision, color=colour, label="estimated")
    if threshold is not None:
        at = quality.at(threshold)
        label = f"threshold {threshold:.2f}"
        axes.plot(at.recall, at.precision, "D", color=colour, linestyle="none", label=label)
    axes.legend(loc="lower left", frameon=False)


def _prepare_precision_recall(axes: Axes) -> None:
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1.01), ylim=(0, 1.01), aspect="equal")
    axes.grid(color="0.9")


def plot_counts(axes: Axes, counts: np.ndarray) -> None:
    """Plot the particles of each micrograph, (n,) in the order of acquisition, and their median."""
    axes.set(title="Particles per micrograph", xlabel="micrograph", ylabel="particles")
    if len(counts) == 0:
        _say(axes, "no micrograph")
        return
    axes.plot(np.arange(1, len(counts) + 1), counts, ".", color=COLOURS[0], markersize=4)
    median = float(np.median(counts))
    axes.axhline(median, color=GREY, linestyle=":", label=f"median {median:g}")
    axes.set_ylim(0, 1.1 * max(counts.max(), 1))
    axes.legend(frameon=False)


def _say(axes: Axes, text: str) -> None:
    axes.text(0.5, 0.5, text, ha="center", va="center", transform=axes.transAxes, color="0.4")
