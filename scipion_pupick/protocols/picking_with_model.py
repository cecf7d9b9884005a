# SPDX-License-Identifier: GPL-3.0-or-later
"""What a picking takes from the model that its form names."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

from ..constants import GENERAL, MODEL_GENERAL, MODEL_TRAINED, THRESHOLD_VALUE
from ..convert import PICKING, box_size
from ..engine import Cut, PickRun
from ..objects import PUPickModel
from .pick_form import AUTOMATIC_BOX
from .picking_by_id import PickingById
from .protocol_base import EngineProtocol


class PickingWithModel(EngineProtocol, PickingById):
    """A picking whose diameter, threshold and box follow from the form and the model."""

    def _wholeRun(self) -> PickRun:
        """Return the engine's run on all micrographs."""
        return PickRun(Path(self._getExtraPath(PICKING)))

    def _modelPath(self) -> str:
        if self.modelFrom == MODEL_TRAINED:
            return str(self.inputModel.get().getPath())
        return GENERAL if self.modelFrom == MODEL_GENERAL else str(self.modelFile.get())

    def getModel(self) -> PUPickModel:
        """Describe the model that the form names.

        Raises:
            UsageError: there is no such file, or it is no model.
        """
        return PUPickModel.from_file(self._modelPath())

    def _isFitted(self) -> bool:
        """Whether the engine fits the model to the micrographs: it is for any diameter."""
        return self.getModel().getDiameter() is None

    def _givenDiameter(self) -> Optional[float]:
        if self.modelFrom == MODEL_TRAINED:
            return None
        return self.diameterAngstrom(self.getInputMicrographs().getSamplingRate())

    def _diameter(self) -> Optional[float]:
        return self._givenDiameter() or self.getModel().getDiameter()

    def _box(self) -> int:
        if self.boxSize.get() != AUTOMATIC_BOX:
            return int(self.boxSize.get())
        return box_size(self._diameter() or 0.0, self.getInputMicrographs().getSamplingRate())

    def getThreshold(self) -> float:
        """Return the score (log-odds) from which on the form has peaks picked."""
        if self.thresholdFrom == THRESHOLD_VALUE:
            return float(self.threshold.get())
        fitted = self._wholeRun().adapted_model
        if fitted.exists() and self._isFitted():
            return PUPickModel.from_file(str(fitted)).getThreshold()
        return self.getModel().getThreshold()

    def _cut(self) -> Cut:
        """Return which peaks the form has picked."""
        edge = self.edge.get()
        border = (self._diameter() or 0.0) / 2 if edge < 0 else float(edge)
        return Cut(self.getThreshold(), border, float(self.contamination.get()))
