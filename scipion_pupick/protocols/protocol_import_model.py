# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring a model that was trained elsewhere into a project."""

from __future__ import annotations

import shutil
from typing import Any, List

import pyworkflow.protocol.params as params
from pwem.protocols import ProtImport

from ..engine import UsageError
from ..engine.runs.layout import MODEL
from ..objects import PUPickModel
from .protocol_base import CITATION, NamedProtocol


class PUPickProtImportModel(NamedProtocol, ProtImport):
    """Copies a model file of pupick into the project, for picking and for further training."""

    _label = "import model"
    _possibleOutputs = {"outputModel": PUPickModel}

    def _defineParams(self, form: Any) -> None:
        form.addSection("Import")
        form.addParam(
            "modelFile",
            params.PathParam,
            default="",
            important=True,
            label="Model file",
            help="A file model.safetensors that pupick has written, in Scipion, in RELION or on "
            "the command line. Models of Topaz itself (.sav) cannot be used.",
        )

    # --------------------------- steps -----------------------------------------------------------
    def _insertAllSteps(self) -> None:
        self._insertFunctionStep(self.importStep, self.modelFile.get())

    def importStep(self, path: str) -> None:
        """Copy the file, so that the project stays whole wherever it goes."""
        copied = self._getExtraPath(MODEL)
        shutil.copyfile(path, copied)
        self._defineOutputs(outputModel=PUPickModel.from_file(copied))

    # --------------------------- texts -----------------------------------------------------------
    def _validate(self) -> List[str]:
        if not self.modelFile.get():
            return ["Give a model file."]
        try:
            model = PUPickModel.from_file(self.modelFile.get())
        except UsageError as error:
            return [f"The model cannot be used: {error}"]
        if model.getDiameter() is None:
            return ["This model is for any diameter: name it in the form for picking instead."]
        return []

    def _summary(self) -> List[str]:
        if not hasattr(self, "outputModel"):
            return ["No model yet."]
        model = self.outputModel
        return [
            f"Imported from {self.modelFile.get()}.",
            f"Diameter {model.getDiameter():g} Å; picks from score {model.getThreshold():.2f} on.",
        ]

    def _methods(self) -> List[str]:
        if not hasattr(self, "outputModel"):
            return []
        return [
            f"A picking model for a diameter of {self.outputModel.getDiameter():g} Å was imported "
            f"into pupick [{CITATION}]."
        ]

    def _citations(self) -> List[str]:
        return [CITATION]
