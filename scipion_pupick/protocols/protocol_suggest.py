# SPDX-License-Identifier: GPL-3.0-or-later
"""Name the areas to correct first, in the micrographs that the model doubts most."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, List

import pyworkflow.protocol.params as params
from pwem.objects import SetOfCoordinates, SetOfMicrographs

from ..convert import (
    SUGGESTION_FOLDER,
    append_picks,
    count,
    picking_folder,
    ranking_run,
    read_micrographs,
)
from ..engine.runs.suggested import Suggested, holds_suggestion, read_suggested
from ..engine.settings import SUGGESTED_PICKS
from .form_inputs import define_coordinates
from .input_checks import input_ids, lacks_input, open_errors
from .protocol_base import CITATION, EngineProtocol


class PUPickProtSuggest(EngineProtocol):
    """Names an area in each of the up to six micrographs that the model doubts most.

    The picks in these areas come as a small set. Remove what is no particle, add what was missed
    there, and give both sets to *pupick - train*.
    """

    _label = "suggest"
    _possibleOutputs = {
        "outputCoordinates": SetOfCoordinates,
        "outputMicrographs": SetOfMicrographs,
    }

    def _defineParams(self, form: Any) -> None:
        form.addSection("Input")
        define_coordinates(form, "Picked particles", "The output of *pupick - pick*.")
        form.addParam(
            "count",
            params.IntParam,
            default=SUGGESTED_PICKS,
            validators=[params.Positive],
            label="Picks to look at",
            help="In areas of up to six micrographs; all picks in these areas are in the set.",
        )

    # --------------------------- steps -----------------------------------------------------------
    def _insertAllSteps(self) -> None:
        self._insertFunctionStep(
            self.suggestStep, input_ids(self.inputCoordinates), self.count.get(), needsGPU=False
        )

    def suggestStep(self, ids: List[str], number: int) -> None:
        """Have the engine choose areas, and make a set of the picks in them."""
        run = picking_folder(self.inputCoordinates.get())
        # what a step that was stopped has left
        shutil.rmtree(self._folder(), ignore_errors=True)
        self.runEngine("suggest", run, "--output", self._folder(), "--count", number)
        self._defineResult(read_suggested(self._folder()))

    def _defineResult(self, suggested: Suggested) -> None:
        source = self.inputCoordinates.get()
        every = source.getMicrographs()
        chosen = self._createSetOfMicrographs()
        chosen.copyInfo(every)
        output = self._createSetOfCoordinates(source.getMicrographs(asPointer=True))
        output.setBoxSize(source.getBoxSize())
        for micrograph in read_micrographs(every):
            picks = suggested.shown.get(micrograph.getFileName())
            if picks is not None:
                chosen.append(micrograph)
                append_picks(picks, micrograph, output)
        output.setObjComment(
            f"{count(suggested.shown)} picks in {len(suggested.shown)} micrographs to look at"
        )
        self._defineOutputs(outputCoordinates=output, outputMicrographs=chosen)
        self._defineTransformRelation(self.inputCoordinates, output)
        self._defineSourceRelation(self.inputCoordinates, chosen)

    def _folder(self) -> Path:
        return Path(self._getExtraPath(SUGGESTION_FOLDER))

    # --------------------------- texts -----------------------------------------------------------
    def _validate(self) -> List[str]:
        if lacks_input(self):
            return []
        coordinates = self.inputCoordinates.get()
        errors = open_errors(coordinates)
        if not errors and ranking_run(coordinates) is None:
            errors.append("The picked particles have to be the output of *pupick - pick*.")
        return errors

    def _summary(self) -> List[str]:
        if not hasattr(self, "outputCoordinates") or not holds_suggestion(self._folder()):
            return ["Nothing is suggested yet."]
        suggested = read_suggested(self._folder())
        return [
            f"{self.outputCoordinates.getObjComment()}:",
            *(f"  {Path(name).name}: {suggested.what(name)}" for name in suggested.reasons),
            "Correct them, and add what was missed in these areas; then *pupick - train* takes the "
            "corrected ones as picked particles, and these as picks before they were corrected.",
        ]

    def _methods(self) -> List[str]:
        if not hasattr(self, "outputCoordinates"):
            return []
        return [
            f"{self.outputCoordinates.getSize()} picks of micrographs that the model doubts most "
            f"were chosen with pupick [{CITATION}]."
        ]

    def _citations(self) -> List[str]:
        return [CITATION]
