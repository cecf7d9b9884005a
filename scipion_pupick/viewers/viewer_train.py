# SPDX-License-Identifier: GPL-3.0-or-later
"""Look at a training, and at the model that came of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Optional

import numpy as np
import pyworkflow.protocol.params as params
from matplotlib.axes import Axes
from pyworkflow.viewer import View

from ..engine import UsageError, read_training_log, show_model
from ..engine.networks.training_record import TrainingRecord
from ..engine.reporting.plots import COLOURS, DASHES, plot_training
from ..engine.runs.layout import MODEL, TRAINING_LOG
from ..objects import PUPickModel
from ..protocols import PUPickProtImportModel, PUPickProtTrain
from .form import ResultsViewer
from .windows import FigureWindow

SIZE = (7.5, 7.5)
PARTS = {
    "classification": "labelled regions",
    "penalty": "unlabelled regions (penalty)",
    "reconstruction": "reconstruction",
}


class PUPickTrainingViewer(ResultsViewer):
    """Curves of a training, and what its model knows of itself."""

    _label = "training and model"
    _targets = [PUPickProtTrain, PUPickProtImportModel, PUPickModel]

    def _defineParams(self, form: Any) -> None:
        form.addSection("Training")
        form.addParam(
            "showCurves",
            params.LabelParam,
            label="Training curves",
            help="Loss and its parts by epoch, and the average precision estimated from picks "
            "that were held out, where there were enough. A line marks the epoch whose weights "
            "the model has.",
        )
        form.addParam(
            "showModel",
            params.LabelParam,
            label="Model",
            help="What the model was trained on, and how.",
        )
        self.defineReport(form)

    def _getVisualizeDict(self) -> Dict[str, Callable[[str], List[View]]]:
        return {
            "showCurves": self._showCurves,
            "showModel": self._showModel,
            "showReport": self.openReport,
        }

    def _model(self) -> Optional[PUPickModel]:
        if isinstance(self.shown, PUPickModel):
            return self.shown
        return getattr(self.protocol, "outputModel", None)

    def _trainingLog(self) -> Optional[Path]:
        """Return the table of the epochs, also of a training that still runs."""
        if self.shown is self.protocol and isinstance(self.protocol, PUPickProtTrain):
            log: Optional[Path] = self.protocol.getTrainingLog()
            return log
        model = self._model()
        return None if model is None else Path(model.getPath()).with_name(TRAINING_LOG)

    def _showCurves(self, name: str) -> List[View]:
        log = self._trainingLog()
        history = {} if log is None else read_training_log(log)
        if log is None or not history:
            text = "There is no epoch yet, or the model was trained elsewhere."
            return [self.infoMessage(text, "Training curves")]
        return [training_window(history, best_epoch(log.with_name(MODEL)))]

    def _showModel(self, name: str) -> List[View]:
        model = self._model()
        if model is None:
            return [self.infoMessage("There is no model yet.", "Model")]
        try:
            return [self.infoMessage(describe_model(show_model(model.getPath())), "Model")]
        except UsageError as error:
            return [self.errorMessage(str(error), "Model")]


def training_window(history: Mapping[str, np.ndarray], best: int) -> FigureWindow:
    """Make a window with the curves of a training.

    Args:
        history: columns (epochs,) of the training's table.
        best: epoch whose weights the model has; 0 where there is none yet.
    """
    window = FigureWindow("Training", SIZE)
    whole, parts = window.getFigure().subplots(2, 1)
    plot_training(whole, history, best)
    plot_parts(parts, history)
    return window


def plot_parts(axes: Axes, history: Mapping[str, np.ndarray]) -> None:
    """Plot the parts that the loss of a training has, by epoch."""
    axes.set(title="Parts of the loss", xlabel="epoch", ylabel="part")
    for (column, label), colour, dash in zip(PARTS.items(), COLOURS, DASHES):
        if history[column].any():
            axes.plot(
                history["epoch"], history[column], dash, marker=".", color=colour, label=label
            )
    axes.set_ylim(0, None)
    axes.legend(frameon=False)


def best_epoch(model: Path) -> int:
    """Return the epoch whose weights a model file has; 0 where there is no file."""
    if not model.exists():
        return 0
    return TrainingRecord.from_dict(show_model(model)["training"]).best_epoch or 0


def describe_model(known: Mapping[str, Any]) -> str:
    """Say what a model file says of itself, in lines for people."""
    training, diameter = TrainingRecord.from_dict(known["training"]), known["diameter"]
    facts = {
        "Particle diameter": "any" if diameter is None else f"{diameter:g} Å",
        "Network": f"{known['network']}, sees particles {known['diameter_px']:g} px wide",
        "Picks from score": f"{known['threshold']:.2f}",
        "Picks trained on": training.labels,
        "Simulated particles trained on": training.simulated_particles,
        "Picks held out": training.held_out_labels,
        "Micrographs trained on": training.micrographs,
        "Micrographs held out": training.held_out_micrographs,
        "Particles per micrograph": training.particles_per_micrograph,
        "Best epoch": training.best_epoch,
    }
    precision = training.held_out_average_precision
    if precision is not None:
        facts["Average precision on held-out particles"] = f"{precision:.3f}"
    return "\n".join(f"{name}: {fact}" for name, fact in facts.items() if fact is not None)
