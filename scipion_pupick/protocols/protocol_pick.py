# SPDX-License-Identifier: GPL-3.0-or-later
"""Pick particles with a trained model, also while micrographs are still coming in."""

from __future__ import annotations

import shutil
import time
from dataclasses import asdict, astuple
from pathlib import Path
from typing import Any, Dict, List, Sequence

import pyworkflow.protocol.params as params
from pwem.objects import Micrograph, SetOfCoordinates, SetOfMicrographs

from ..constants import (
    THRESHOLD_VALUE,
)
from ..convert import (
    PICKING,
    PICKING_RECORD,
    append_picks,
    is_closed,
    kept_peaks,
    read_micrographs,
    write_micrographs,
)
from ..engine import (
    PickRun,
    PupickError,
    UsageError,
    part_of,
    read_json,
    write_json,
)
from ..engine.runs.pick_run import holds_pick_run
from ..engine.settings import MICROGRAPHS_FITTED
from .failure_notes import FailureNotes
from .form_settings import arguments_of
from .input_checks import (
    diameter_errors,
    empty_errors,
    failure_lines,
    input_ids,
    lacks_input,
    pixel_size_warnings,
)
from .pick_form import AUTOMATIC_BOX, define_model, define_picking, other_settings
from .protocol_base import CITATION
from .quality import out_of_line_lines, run_lines
from .usable_micrographs import UsableMicrographs, define_usable

# name of the engine's run on all micrographs, after those on batches
ALL = "all"
# name of its call that fits the general model
FITTED = "fitted"
# s between two looks at a growing set
LEAST_WAIT = 2


class PUPickProtPick(UsableMicrographs):
    """Picks particles with the general or a trained model, and ranks them by score.

    A score is the log-odds that there is a particle. All peaks are kept, so that *Continue* with
    another threshold, and *pupick - threshold*, need not pick again.
    """

    _label = "pick"
    _possibleOutputs = {
        "outputCoordinates": SetOfCoordinates,
        "outputMicrographs": SetOfMicrographs,
    }
    stepsExecutionMode = params.STEPS_PARALLEL

    def _defineParams(self, form: Any) -> None:
        super()._defineParams(form)
        self.defineGpu(form)
        define_model(self, form)
        define_picking(form)
        define_usable(form)
        self._defineStreamingParams(form)
        form.getParam("streamingBatchSize").setDefault(16)
        form.addParallelSection(threads=1, mpi=0, binThreads=4)

    # --------------------------- steps -----------------------------------------------------------
    def _insertInitialSteps(self) -> List[int]:
        self._forgetOthers()
        self._forgetFailures()
        if not self._isFitted():
            return []
        # without its result, Continue does this step again
        step = self._insertFunctionStep(
            self.fitStep, *self.scoring, prerequisites=[], needsGPU=self.usesGpu()
        )
        return [int(step)]

    def fitStep(self, source: List[str], digest: str, *arguments: str) -> List[str]:
        """Fit the general model before any batch is picked, so that all are picked alike.

        Returns:
            The file without which *Continue* does this step again.
        """
        micrographs = self._waitForMicrographs()
        if not micrographs:
            return []
        run = self._wholeRun()
        self._runPick(FITTED, run, micrographs, *arguments, "--fit-only")
        return [str(run.adapted_model)]

    def _waitForMicrographs(self) -> List[Micrograph]:
        """Return all micrographs of a complete set, or as many first ones as are fitted to."""
        while True:
            closed = is_closed(self.getInputMicrographsPointer())
            micrographs = read_micrographs(self.getInputMicrographs())
            if closed:
                return micrographs
            if len(micrographs) >= MICROGRAPHS_FITTED:
                return micrographs[:MICROGRAPHS_FITTED]
            self.info(f"{len(micrographs)} micrographs so far: waiting for {MICROGRAPHS_FITTED}.")
            time.sleep(max(self.streamingSleepOnWait.get(), LEAST_WAIT))

    def _insertFinalSteps(self, micSteps: List[int]) -> None:
        # the arguments are those that, when changed, need another output
        self._insertFunctionStep(
            self.createOutputStep,
            *astuple(self._cut()),
            self._box(),
            *self._askedOfMicrographs(),
            *self.scoring,
            prerequisites=micSteps,
            wait=True,
            needsGPU=self.usesGpu(),
        )

    def _forgetOthers(self) -> None:
        """Score all micrographs again if they, or the model, are others than before."""
        record = Path(self._getExtraPath(PICKING, PICKING_RECORD))
        # a model that was trained anew has the path of the old one
        digest, source = self.getModel().digest(), input_ids(self.inputMicrographs)
        self.scoring = [source, digest, *self._getPickArgs()]
        if record.exists() and read_json(record).get("scoring") != self.scoring:
            for folder in ("DONE", "failed"):
                shutil.rmtree(self._getExtraPath(folder), ignore_errors=True)
            # its threshold is that of another model or diameter
            self._wholeRun().adapted_model.unlink(missing_ok=True)
        cut = self._cut()
        asked = {"threshold": cut.threshold, "edge": cut.border}
        dirt = {"contamination": cut.contamination}
        write_json(record, {"scoring": self.scoring, **asked, **dirt})

    def _forgetFailures(self) -> None:
        """Have micrographs that failed picked again: what was in the way may be mended."""
        failed = self._failures().read()
        for number in failed:
            self._failures().write(number, None)
            # a step of which a result is missing is done again
            Path(self._getExtraPath("DONE", f"mic_{number:06d}.TXT")).unlink(missing_ok=True)
        if failed:
            self._listFile(ALL).unlink(missing_ok=True)
        if failed and not any(Path(self._getExtraPath("DONE")).glob("mic_*.TXT")):
            # there was no micrograph that it could have been fitted to
            self._wholeRun().adapted_model.unlink(missing_ok=True)

    def _getPickArgs(self) -> List[str]:
        """Return the arguments of the engine that scores depend on.

        The least distance has its old name, by which runs of earlier versions are known again.
        """
        typed_diameter = self._givenDiameter()
        diameter = [] if typed_diameter is None else ["--diameter", f"{typed_diameter:g}"]
        number = self.particlesPerMicrograph.get() if self._isFitted() else 0
        particles = ["--particles-per-micrograph", str(number)] if number else []
        least = self.separation.get()
        separation = [] if least < 0 else ["--separation", f"{least:g}"]
        others = arguments_of(self, other_settings())
        return ["--model", self._modelPath(), *diameter, *particles, *separation, *others]

    def _pickMicrograph(
        self, micrograph: Micrograph, source: List[str], digest: str, *arguments: str
    ) -> None:
        self._pickMicrographList([micrograph], source, digest, *arguments)

    def _pickMicrographList(
        self, micrographs: Sequence[Micrograph], source: List[str], digest: str, *arguments: str
    ) -> None:
        if not micrographs:
            return
        name = f"batch_{micrographs[0].getObjId():06d}"
        with part_of(self._wholeRun(), Path(self._getExtraPath("batches", name))) as part:
            failures = self._runPick(name, part, micrographs, *arguments, "--no-report")
        self._noteFailures(micrographs, failures)

    def _runPick(
        self, name: str, run: PickRun, micrographs: Sequence[Micrograph], *arguments: str
    ) -> Dict[str, str]:
        """Have the engine pick in micrographs; give the reason by path for those that failed."""
        renamed = ["--min-distance" if text == "--separation" else text for text in arguments]
        listed = self._listFile(name)
        write_micrographs(micrographs, self.getInputMicrographs().getSamplingRate(), listed)
        return self.runOnMicrographs(
            "pick",
            listed.with_suffix(".failed.tsv"),
            "--micrographs",
            listed,
            "--output",
            run.folder,
            *renamed,
            *self.computer(),
            onGpu=True,
        )

    def _listFile(self, name: str) -> Path:
        return Path(self._getExtraPath("batches", f"{name}.star"))

    def _noteFailures(self, micrographs: Sequence[Micrograph], reasons: Dict[str, str]) -> None:
        for micrograph in micrographs:
            self._failures().write(micrograph.getObjId(), reasons.get(micrograph.getFileName()))

    def createOutputStep(self, *arguments: object) -> List[str]:
        """Close the run: it failed if not one micrograph could be used.

        From the scores that are kept, the engine writes the list of all picks and the report. It
        tries micrographs that failed once more.

        Returns:
            The file without which *Continue* does this step again.

        Raises:
            PupickError: all failed; the text says why the first did.
        """
        self._requireOne()
        cut = self._cut()
        micrographs = read_micrographs(self.getInputMicrographs())
        cut_arguments = [f"--{name}={value!r}" for name, value in asdict(cut).items()]
        masks = ["--masks"] if self.writeMasks.get() else []
        if not micrographs:
            return []
        before = self._failures().read().keys()
        run = self._wholeRun()
        failures = self._runPick(
            ALL, run, micrographs, *self._getPickArgs(), *cut_arguments, *masks
        )
        self._noteFailures(micrographs, failures)
        scored_now = run.record["micrographs"] - run.record["reused"]
        if scored_now or self._failures().read().keys() != before:
            self._fillOutput(micrographs)
        self._requireOne()
        self._fillMicrographs(micrographs)
        return [str(self._listFile(ALL))]

    def _requireOne(self) -> None:
        failures = self._failures().read()
        if failures and len(failures) == len(self.micDict):
            first = next(iter(failures.values()))
            raise PupickError(f"None of the {len(failures)} micrographs could be used: {first}")

    # --------------------------- batches ---------------------------------------------------------
    def pickMicrographListStep(self, ids: Sequence[int], *arguments: Any) -> List[str]:
        """Pick in a batch; give the marks without which *Continue* does this step again."""
        super().pickMicrographListStep(ids, *arguments)
        return [self._getMicDone(self.micDict[micrograph_id]) for micrograph_id in ids]

    def _insertPickMicrographListStep(
        self, micrographs: Sequence[Micrograph], prerequisites: List[int], *arguments: Any
    ) -> int:
        ids = [micrograph.getObjId() for micrograph in micrographs]
        step = self._insertFunctionStep(
            self.pickMicrographListStep,
            ids,
            *arguments,
            prerequisites=prerequisites,
            needsGPU=self.usesGpu(),
        )
        return int(step)

    # --------------------------- output ----------------------------------------------------------
    def getCoordsDir(self) -> str:
        """Return the folder with the engine's results."""
        return self._getExtraPath(PICKING)

    def _checkNewOutput(self) -> None:
        if not getattr(self, "outputIsOwn", False):
            self.outputIsOwn = True
            self._forgetOutput()
        super()._checkNewOutput()

    def _forgetOutput(self) -> None:
        """Fill the output anew from the kept scores when a run is continued.

        So the threshold, model and micrographs of the form hold for all of it, and a run that was
        killed while it wrote its output has no pick twice.
        """
        Path(self._getAllDone()).unlink(missing_ok=True)
        output = getattr(self, "outputCoordinates", None)
        if output is not None:
            output.enableAppend()
            output.clear()
            # with its id, setMicrographs would store the output's pointer in place of the form's
            input_ids = self.getInputMicrographsPointer()
            output.getMicrographs(asPointer=True).copy(input_ids, copyId=False)
            self.mapper.deleteRelations(self)
            self._defineSourceRelation(input_ids, output)

    def _fillOutput(self, micrographs: Sequence[Micrograph]) -> None:
        """Fill the closed output anew with the picks of all micrographs."""
        output = self.outputCoordinates
        output.enableAppend()
        output.clear()
        self.readCoordsFromMics(self.getCoordsDir(), micrographs, output)
        output.setObjComment(self.getSummary(output))
        self._updateOutputSet("outputCoordinates", output, SetOfCoordinates.STREAM_CLOSED)

    def _createSetOfCoordinates(self, micrographs: Any, suffix: str = "") -> SetOfCoordinates:
        output = super()._createSetOfCoordinates(micrographs, suffix)
        output.setBoxSize(self._box())
        return output

    def readCoordsFromMics(
        self, folder: str, micrographs: Sequence[Micrograph], output: SetOfCoordinates
    ) -> None:
        """Add the picks of micrographs to the output, at the threshold and margin of the form."""
        cut = self._cut()
        output.setBoxSize(self._box())
        for micrograph in micrographs:
            kept = kept_peaks(folder, micrograph)
            if kept is not None and not self._failures().has(micrograph.getObjId()):
                append_picks(cut.choose(kept), micrograph, output)

    def _failures(self) -> FailureNotes:
        return FailureNotes(Path(self._getExtraPath("failed")))

    # --------------------------- texts -----------------------------------------------------------
    def _validate(self) -> List[str]:
        if lacks_input(self):
            return []
        micrographs = self.getInputMicrographs()
        errors = empty_errors(micrographs) + self.gpuErrors()
        try:
            self.getModel()
        except UsageError as error:
            return [*errors, f"The model cannot be used: {error}"]
        errors += [] if errors else diameter_errors(self._diameter(), micrographs)
        if self.boxSize.get() != AUTOMATIC_BOX and self.boxSize.get() <= 0:
            errors.append("The box size must be positive, or -1 for one that fits the diameter.")
        return errors

    def _warnings(self) -> List[str]:
        box, diameter = self._box(), self._diameter() or 0.0
        width = diameter / self.getInputMicrographs().getSamplingRate()
        warnings = pixel_size_warnings(self.getInputMicrographs())
        if box < width:
            warnings.append(f"The box ({box} px) is smaller than the particle ({width:.0f} px).")
        return warnings

    def getSummary(self, coordinates: SetOfCoordinates) -> str:
        """Describe the picks in the comment of the output."""
        # an empty set has no columns to count by
        empty = not coordinates.getSize()
        micrographs = [] if empty else coordinates.aggregate(["COUNT"], "_micId", ["_micId"])
        picked = f"{coordinates.getSize()} particles in {len(micrographs)} micrographs"
        return (
            f"{picked}, score {self.getThreshold():.2f} or more; box {coordinates.getBoxSize()} px"
        )

    def _summary(self) -> List[str]:
        if not hasattr(self, "outputCoordinates"):
            return ["No particles yet."]
        total = self.getInputMicrographs().getSize()
        output, run = self.outputCoordinates, self._wholeRun()
        lines = [f"*{total} micrographs*: {output.getObjComment()}."]
        asked = "as you set it" if self.thresholdFrom == THRESHOLD_VALUE else "chosen by the model"
        lines.append(f"Threshold: score {self.getThreshold():.2f}, {asked}.")
        # until then, the engine's record is of one batch
        if output.isStreamClosed() and holds_pick_run(run.folder):
            lines += run_lines(run) + self._usableLines() + out_of_line_lines(run)
        return lines + failure_lines(self._failures().read(), total)

    def _methods(self) -> List[str]:
        if not hasattr(self, "outputCoordinates"):
            return []
        labels = self.getModel()._labels.get()
        if self._isFitted():
            trained = "the general model fitted to the micrographs"
        else:
            trained = f"trained on {labels or 'many'} particles"
        return [
            f"{self.outputCoordinates.getSize()} particles were picked with pupick by a "
            f"convolutional network for a diameter of {self._diameter():g} Å, {trained}, from a "
            f"score (log-odds) of {self.getThreshold():.2f} on [{CITATION}]."
        ]

    def _citations(self) -> List[str]:
        return [CITATION]
