# SPDX-License-Identifier: GPL-3.0-or-later
"""Look at how well picks agree with reference coordinates."""

from __future__ import annotations

from typing import Any, Callable, Dict, List

import numpy as np
import pyworkflow.protocol.params as params
from pwem.objects import SetOfCoordinates
from pyworkflow.viewer import View

from ..convert import read_coordinates, uncertainty_of
from ..engine import (
    Evaluation,
    Micrograph,
    Picks,
    PrecisionRecall,
    estimate_precision_recall,
    evaluate_picks,
    image_shape,
)
from ..engine.reporting.plots import (
    COLOURS,
    DASHES,
    GREY,
    plot_estimated_curve,
    plot_precision_recall,
)
from ..protocols import PUPickProtEvaluate
from .form import ResultsViewer
from .scored_picks import ScoredPicks, diameter_of, shown_micrographs
from .viewer_picks import picks_window
from .windows import FigureWindow

CURVE_SIZE = (6.5, 6.5)
BY_THRESHOLD_SIZE = (7.0, 5.0)


class PUPickEvaluationViewer(ResultsViewer):
    """Precision and recall of picks, and picks beside reference coordinates."""

    _label = "evaluation"
    _targets = [PUPickProtEvaluate]

    def _defineParams(self, form: Any) -> None:
        form.addSection("Evaluation")
        form.addParam(
            "showCurve",
            params.LabelParam,
            label="Precision and recall",
            help="By the reference coordinates, and as estimated from the scores alone with its "
            "95 % interval, of all peaks that the picking has kept. A dot marks the highest F1.",
        )
        form.addParam(
            "showByThreshold",
            params.LabelParam,
            label="Precision and recall by threshold",
            help="To choose a threshold for micrographs like these.",
        )
        form.addParam(
            "showPicks",
            params.LabelParam,
            label="Picks and reference over micrographs",
            help="Circles are picks, from the score of the highest F1 on; crosses are reference "
            "coordinates.",
        )
        self.defineReport(form)

    def _getVisualizeDict(self) -> Dict[str, Callable[[str], List[View]]]:
        return {
            "showCurve": self._showCurve,
            "showByThreshold": self._showByThreshold,
            "showPicks": self._showPicks,
            "showReport": self.openReport,
        }

    def _validate(self) -> List[str]:
        return [] if hasattr(self.protocol, "f1") else ["The protocol has no result yet."]

    def _micrographs(self) -> List[Micrograph]:
        """Return the micrographs with reference coordinates."""
        names = self._read(self.protocol.referenceCoordinates.get())
        return [m for m in shown_micrographs(self.protocol.getMicrographs()) if m.name in names]

    def _read(self, coordinates: SetOfCoordinates) -> Picks:
        """Return coordinates by the names of the micrographs that are compared."""
        return read_coordinates(coordinates, self.protocol.getMicrographs()).picks

    def _evaluation(self) -> Evaluation:
        border = self.protocol.border.get()
        shapes = {m.name: image_shape(m.path) for m in self._micrographs() if border > 0}
        return evaluate_picks(
            self.protocol.rankedPicks(),
            self._read(self.protocol.referenceCoordinates.get()),
            self.protocol.getResult()["tolerance"],
            border,
            shapes,
        )

    def _showCurve(self, name: str) -> List[View]:
        picks = self.protocol.rankedPicks()
        scores = [picks[m.name].score for m in self._micrographs() if m.name in picks]
        uncertainty = uncertainty_of(self.protocol.inputCoordinates.get())
        return [curve_window(self._evaluation(), scores, uncertainty)]

    def _showByThreshold(self, name: str) -> List[View]:
        return [threshold_window(self._evaluation().curve)]

    def _showPicks(self, name: str) -> List[View]:
        picks = self.protocol.rankedPicks()
        reference = self.protocol.referenceCoordinates.get()
        threshold = self._evaluation().curve.best_threshold
        scored = ScoredPicks(self._micrographs(), picks, threshold, diameter_of(reference))
        return [picks_window(scored, self._read(reference))]


def curve_window(
    evaluation: Evaluation, scores: List[np.ndarray], uncertainty: float = 0.0
) -> FigureWindow:
    """Make a window with precision over recall, measured and estimated.

    Args:
        evaluation: of the picks.
        scores: of the same picks, an array (n,) for each micrograph, log-odds; may be NaN.
        uncertainty: standard error that all scores share, log-odds.
    """
    window = FigureWindow("Precision and recall", CURVE_SIZE)
    axes = window.getFigure().add_subplot()
    particles = [each for each in scores if not np.isnan(each).any()]
    if particles:
        plot_estimated_curve(axes, estimate_precision_recall(particles, uncertainty))
    plot_precision_recall(axes, {"measured": evaluation})
    axes.set_title(
        f"{evaluation.picks:,} picks, {evaluation.reference:,} reference particles,\n"
        f"{evaluation.hits:,} agree within {evaluation.tolerance:.1f} px",
        fontsize="medium",
    )
    return window


def threshold_window(curve: PrecisionRecall) -> FigureWindow:
    """Make a window with precision, recall and F1 by threshold."""
    window = FigureWindow("Precision and recall by threshold", BY_THRESHOLD_SIZE)
    axes = window.getFigure().add_subplot(
        xlabel="threshold (log-odds)", ylabel="share", ylim=(0, 1.01)
    )
    lines = {"precision": curve.precision, "recall": curve.recall, "F1": curve.f1}
    for (label, values), colour, dash in zip(lines.items(), COLOURS, DASHES):
        axes.plot(curve.threshold, values, dash, color=colour, label=label)
    axes.axvline(curve.best_threshold, color=GREY, linestyle=":")
    axes.set_title(f"F1 is highest ({curve.best_f1:.3f}) at {curve.best_threshold:.2f}")
    axes.grid(color="0.9")
    axes.legend(frameon=False)
    return window
