# SPDX-License-Identifier: GPL-3.0-or-later
"""Write micrographs as the network sees them: downsampled and normalised."""

from __future__ import annotations

from pathlib import Path
from typing import Any, List, Optional

import pyworkflow.protocol.params as params
from pwem.objects import Micrograph, SetOfMicrographs

from ..convert import read_micrographs, write_micrographs
from ..engine import PreprocessSettings, PupickError, file_of_micrograph
from ..engine.preprocessing.scale import LEAST_DIAMETER_PX
from ..engine.runs.layout import FAILED
from ..engine.runs.pick_run import read_failures
from ..engine.settings import NORMALISATIONS
from .form_inputs import add_reason_for_grey
from .form_settings import add_setting, setting
from .input_checks import (
    diameter_errors,
    empty_errors,
    failure_lines,
    input_ids,
    lacks_input,
    open_errors,
    pixel_size_warnings,
)
from .protocol_base import CITATION, EngineProtocol


class PUPickProtPreprocess(EngineProtocol):
    """Writes micrographs downsampled and normalised, to look at them or to use them elsewhere.

    Training and picking do this by themselves; they take the original micrographs.
    """

    _label = "preprocess micrographs"
    _possibleOutputs = {"outputMicrographs": SetOfMicrographs}

    def _defineParams(self, form: Any) -> None:
        form.addSection("Input")
        form.addParam(
            "inputMicrographs",
            params.PointerParam,
            pointerClass="SetOfMicrographs",
            important=True,
            label="Input micrographs",
        )
        add_reason_for_grey(form, "inputMicrographs", "the input micrographs")
        self.defineDiameter(form)
        add_setting(
            form,
            setting(PreprocessSettings, "diameter_px"),
            validators=[params.GE(LEAST_DIAMETER_PX, error="is too small to see a particle.")],
        )
        add_setting(form, setting(PreprocessSettings, "normalisation"))
        form.addParallelSection(threads=4, mpi=0)

    # --------------------------- steps -----------------------------------------------------------
    def _insertAllSteps(self) -> None:
        source = input_ids(self.inputMicrographs)
        for step in (self.preprocessStep, self.createOutputStep):
            self._insertFunctionStep(step, source, self._arguments(), needsGPU=False)

    def _arguments(self) -> List[str]:
        normalisation = list(NORMALISATIONS)[self.normalisation.get()]
        return [
            *("--diameter", f"{self._diameter():g}", "--diameter-px", f"{self.diameterPx.get():g}"),
            *("--normalisation", normalisation),
        ]

    def preprocessStep(self, source: List[str], arguments: List[str]) -> None:
        """Write the images.

        Raises:
            PupickError: none could be written; the text says why the first could not.
        """
        micrographs = read_micrographs(self.inputMicrographs.get())
        listed = self._getExtraPath("micrographs.star")
        write_micrographs(micrographs, self.inputMicrographs.get().getSamplingRate(), listed)
        failures = self.runOnMicrographs(
            "preprocess",
            Path(self._getExtraPath(FAILED)),
            *("--micrographs", listed, "--output", self._getExtraPath("micrographs")),
            *arguments,
            *("--threads", self.engineThreads()),
            # the folder is the protocol's own
            "--overwrite",
        )
        if len(failures) == len(micrographs):
            first = next(iter(failures.values()))
            raise PupickError(f"None of the {len(failures)} micrographs could be used: {first}")

    def createOutputStep(self, source: List[str], arguments: List[str]) -> None:
        """Gather the images in a set."""
        micrographs = self.inputMicrographs.get()
        failures = read_failures(Path(self._getExtraPath(FAILED)))
        output = self._createSetOfMicrographs()
        output.copyInfo(micrographs)
        output.setSamplingRate(self._diameter() / self.diameterPx.get())
        for micrograph in micrographs:
            if micrograph.getFileName() not in failures:
                output.append(self._image(micrograph, output.getSamplingRate()))
        self._defineOutputs(outputMicrographs=output)
        self._defineTransformRelation(self.inputMicrographs, output)

    def _image(self, micrograph: Micrograph, pixelSize: float) -> Micrograph:
        image = micrograph.clone()
        folder = Path(self._getExtraPath("micrographs"))
        image.setFileName(str(file_of_micrograph(micrograph.getFileName(), folder, ".mrc")))
        image.setSamplingRate(pixelSize)
        return image

    def _diameter(self) -> Optional[float]:
        return self.diameterAngstrom(self.inputMicrographs.get().getSamplingRate())

    # --------------------------- texts -----------------------------------------------------------
    def _validate(self) -> List[str]:
        if lacks_input(self):
            return []
        micrographs = self.inputMicrographs.get()
        errors = [*empty_errors(micrographs), *open_errors(micrographs)]
        return errors or diameter_errors(self._diameter(), micrographs)

    def _warnings(self) -> List[str]:
        return pixel_size_warnings(self.inputMicrographs.get())

    def _summary(self) -> List[str]:
        if not hasattr(self, "outputMicrographs"):
            return ["No micrographs yet."]
        output = self.outputMicrographs
        failures = read_failures(Path(self._getExtraPath(FAILED)))
        lines = [
            f"{output.getSize()} micrographs at {output.getSamplingRate():.2f} Å/px: a particle "
            f"of {self._diameter():g} Å is {self.diameterPx.get():g} px wide."
        ]
        return lines + failure_lines(failures, self.inputMicrographs.get().getSize())

    def _methods(self) -> List[str]:
        if not hasattr(self, "outputMicrographs"):
            return []
        return [
            f"Micrographs were downsampled by Fourier cropping to "
            f"{self.outputMicrographs.getSamplingRate():.2f} Å/px and normalised with pupick "
            f"[{CITATION}]."
        ]

    def _citations(self) -> List[str]:
        return [CITATION]
