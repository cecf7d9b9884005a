# SPDX-License-Identifier: GPL-3.0-or-later
"""A histogram of scores whose threshold follows the mouse, and what it would mean."""

from __future__ import annotations

from typing import Callable, Optional, Sequence, Union

import numpy as np
from matplotlib.backend_bases import Event, KeyEvent, MouseEvent
from matplotlib.figure import Figure, SubFigure

from ..engine import EstimatedCurve, estimate_precision_recall
from ..engine.calibration.precision_recall_estimate import best_threshold
from ..engine.reporting.plots import plot_estimated_curve, plot_scores
from .navigation import is_navigating

NUDGE = 0.1


class ThresholdFigure:
    """A histogram of scores, and the estimated precision and recall below it.

    A click or a drag in the histogram moves the threshold; so do the arrow keys up and down. It
    has to be kept for as long as its figure is shown.

    Attributes:
        threshold: log-odds.
        quality: estimated at each threshold.
    """

    def __init__(
        self,
        figure: Union[Figure, SubFigure],
        scores: Sequence[np.ndarray],
        threshold: float,
        uncertainty: float = 0.0,
        changed: Optional[Callable[[float], None]] = None,
    ) -> None:
        """Draw on an empty figure.

        Args:
            figure: or a part of one.
            scores: of all peaks, an array (n,) for each micrograph, log-odds.
            threshold: to begin with, log-odds.
            uncertainty: standard error that all scores share, log-odds.
            changed: called with each new threshold.
        """
        self.threshold = float(threshold)
        self.quality = estimate_precision_recall(scores, uncertainty)
        self._changed = changed
        self._micrographs = len(scores)
        self._scores = np.concatenate([*scores, np.empty(0)])
        self._canvas = figure.canvas
        self._histogram, self._curve = figure.subplots(2, 1, height_ratios=(2, 3))
        for name in ("button_press_event", "motion_notify_event"):
            self._canvas.mpl_connect(name, self._follow_mouse)
        self._canvas.mpl_connect("key_press_event", self._follow_keys)
        self._draw()

    def select(self, threshold: float) -> None:
        """Move the threshold."""
        self.threshold = float(threshold)
        self._draw()
        if self._changed is not None:
            self._changed(self.threshold)
        self._canvas.draw_idle()

    def select_best(self) -> None:
        """Move the threshold to the highest estimated F1, if there is any peak."""
        if len(self._scores):
            self.select(best_threshold(self.quality))

    def _draw(self) -> None:
        self._histogram.clear()
        self._curve.clear()
        plot_scores(self._histogram, self._scores, self.threshold, self.quality)
        plot_estimated_curve(self._curve, self.quality, self.threshold)
        picks = np.count_nonzero(self._scores >= self.threshold) / max(self._micrographs, 1)
        text = f"{picks:.0f} picks per micrograph; estimated\n"
        self._curve.set_title(text + describe(self.quality, self.threshold), fontsize="medium")

    def _follow_mouse(self, event: Event) -> None:
        if not isinstance(event, MouseEvent) or event.inaxes is not self._histogram:
            return
        if event.button == 1 and event.xdata is not None and not is_navigating(self._canvas):
            self.select(event.xdata)

    def _follow_keys(self, event: Event) -> None:
        if isinstance(event, KeyEvent) and event.key in ("up", "down"):
            self.select(self.threshold + (NUDGE if event.key == "up" else -NUDGE))


def describe(quality: EstimatedCurve, threshold: float) -> str:
    """Say how good the picks of a threshold are estimated to be."""
    if len(quality.threshold) == 0:
        return "no peak"
    at = quality.at(threshold)
    precision = _with_interval(at.precision, at.precision_low, at.precision_high)
    recall = _with_interval(at.recall, at.recall_low, at.recall_high)
    return f"precision {precision}, recall {recall}"


def _with_interval(*numbers: np.ndarray) -> str:
    value, low, high = map(float, numbers)
    return f"{value:.2f}" if low == high else f"{value:.2f} ({low:.2f} to {high:.2f})"
