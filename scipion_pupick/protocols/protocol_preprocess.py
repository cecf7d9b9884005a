# SPDX-License-Identifier: GPL-3.0-or-later
"""Write micrographs as the network sees them: downsampled and normalised."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Set

import pyworkflow.protocol.params as params
from pwem.objects import Micrograph, SetOfMicrographs

from ..convert import read_micrographs, write_micrographs
from ..engine import (
    PreprocessSettings,
    PupickError,
    file_of_micrograph,
    read_json,
    write_json,
)
from ..engine.preprocessing.scale import LEAST_DIAMETER_PX
from ..engine.runs.layout import FAILED
from ..engine.runs.lists import read_failures, write_failures
from ..engine.settings import NORMALISATIONS
from .form_inputs import add_reason_for_grey
from .form_settings import add_setting, setting
from .growing import publish, rounds, started_anew
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

OUTPUT = "outputMicrographs"
# the normalisation for which all micrographs are read before one is written
JOINT = "joint"


class PUPickProtPreprocess(EngineProtocol):
    """Writes micrographs downsampled and normalised, to look at them or to use them elsewhere.

    Training and picking do this by themselves; they take the original micrographs.
    """

    _label = "preprocess micrographs"
    _possibleOutputs = {OUTPUT: SetOfMicrographs}

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
        add_setting(
            form,
            setting(PreprocessSettings, "normalisation"),
            expertLevel=params.LEVEL_ADVANCED,
        )
        form.addParallelSection(threads=4, mpi=0)

    # --------------------------- steps -----------------------------------------------------------
    @classmethod
    def worksInStreaming(cls) -> bool:
        """Whether it can start on sets that still grow."""
        return True

    def _insertAllSteps(self) -> None:
        if read_failures(self._failuresPath()):
            # a step of which a result is missing is done again: what was in the way may be mended
            self._failuresPath().unlink()
        source = input_ids(self.inputMicrographs)
        # that of earlier versions has another name and no result, so that it is done again, too
        self._insertFunctionStep(self.writeStep, source, self._arguments(), needsGPU=False)

    def _arguments(self) -> List[str]:
        return [
            *("--diameter", f"{self._diameter():g}", "--diameter-px", f"{self.diameterPx.get():g}"),
            *("--normalisation", self._normalisation()),
        ]

    def _normalisation(self) -> str:
        return list(NORMALISATIONS)[self.normalisation.get()]

    def writeStep(self, source: List[str], arguments: List[str]) -> List[str]:
        """Write the images, also while micrographs come in, and gather them in a set.

        Returns:
            The file without which *Continue* does this step again.

        Raises:
            PupickError: none could be written; the text says why the first could not.
        """
        self._forgetOthers([*source, *arguments])
        output = started_anew(self, OUTPUT, self._createSetOfMicrographs)
        output.copyInfo(self.inputMicrographs.get())
        output.setSamplingRate(self._diameter() / self.diameterPx.get())
        failures: Dict[str, str] = {}
        gathered: Set[int] = set()
        for closed in rounds(self.inputMicrographs):
            present = read_micrographs(self.inputMicrographs.get())
            new = [m for m in present if m.getObjId() not in gathered]
            gathered.update(m.getObjId() for m in new)
            failures.update(self._write(new, arguments))
            write_failures(failures, self._failuresPath())
            images = [self._image(m, output) for m in new if m.getFileName() not in failures]
            for image in images:
                output.append(image)
            if closed and failures and len(failures) == len(gathered):
                first = next(iter(failures.values()))
                raise PupickError(f"None of the {len(failures)} micrographs could be used: {first}")
            if closed or images:
                output = publish(self, OUTPUT, output, closed)
        self._defineTransformRelation(self.inputMicrographs, output)
        return [str(self._failuresPath())]

    def _failuresPath(self) -> Path:
        return Path(self._getExtraPath(FAILED))

    def _forgetOthers(self, request: List[str]) -> None:
        """Remove the images of another request; those that are there are used again."""
        record = Path(self._getExtraPath("request.json"))
        if not record.exists() or read_json(record).get("request") != request:
            self._forgetImages()
            write_json(record, {"request": request})

    def _forgetImages(self) -> None:
        shutil.rmtree(self._getExtraPath("micrographs"), ignore_errors=True)

    def _write(self, micrographs: Sequence[Micrograph], arguments: List[str]) -> Dict[str, str]:
        """Write the images that are missing; give the reason by path for those that failed."""
        missing = [m for m in micrographs if not self._path(m).exists()]
        if not missing:
            return {}
        if self._normalisation() == JOINT:
            # they share one mixture: those that are there have that of other micrographs
            self._forgetImages()
            missing = list(micrographs)
        listed = self._getExtraPath("micrographs.star")
        write_micrographs(missing, self.inputMicrographs.get().getSamplingRate(), listed)
        return self.runOnMicrographs(
            "preprocess",
            Path(self._getExtraPath("failed_now.tsv")),
            *("--micrographs", listed, "--output", self._getExtraPath("micrographs")),
            *arguments,
            *("--threads", self.engineThreads()),
            # the folder is the protocol's own
            "--overwrite",
        )

    def _path(self, micrograph: Micrograph) -> Path:
        folder = Path(self._getExtraPath("micrographs"))
        return file_of_micrograph(micrograph.getFileName(), folder, ".mrc")

    def _image(self, micrograph: Micrograph, output: SetOfMicrographs) -> Micrograph:
        image = micrograph.clone()
        image.setFileName(str(self._path(micrograph)))
        image.setSamplingRate(output.getSamplingRate())
        return image

    def _diameter(self) -> Optional[float]:
        return self.diameterAngstrom(self.inputMicrographs.get().getSamplingRate())

    # --------------------------- texts -----------------------------------------------------------
    def _validate(self) -> List[str]:
        if lacks_input(self):
            return []
        micrographs = self.inputMicrographs.get()
        errors = empty_errors(micrographs)
        if self._normalisation() == JOINT:
            # one mixture for the set needs the whole set
            errors += open_errors(micrographs)
        return errors or diameter_errors(self._diameter(), micrographs)

    def _warnings(self) -> List[str]:
        return pixel_size_warnings(self.inputMicrographs.get())

    def _summary(self) -> List[str]:
        if not hasattr(self, OUTPUT):
            return ["No micrographs yet."]
        output = self.outputMicrographs
        failures = read_failures(self._failuresPath())
        lines = [
            f"{output.getSize()} micrographs at {output.getSamplingRate():.2f} Å/px: a particle "
            f"of {self._diameter():g} Å is {self.diameterPx.get():g} px wide."
        ]
        return lines + failure_lines(failures, self.inputMicrographs.get().getSize())

    def _methods(self) -> List[str]:
        if not hasattr(self, OUTPUT):
            return []
        return [
            f"Micrographs were downsampled by Fourier cropping to "
            f"{self.outputMicrographs.getSamplingRate():.2f} Å/px and normalised with pupick "
            f"[{CITATION}]."
        ]

    def _citations(self) -> List[str]:
        return [CITATION]
