# SPDX-License-Identifier: GPL-3.0-or-later
"""Train a model on micrographs and a few picks."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence

from pwem.objects import Micrograph
from pyworkflow.object import Integer

from ..assignment import AssignedPicks
from ..constants import START_PREVIOUS
from ..convert import (
    box_size,
    corrigible_folder,
    count,
    is_closed,
    read_coordinates,
    read_micrographs,
    read_negatives,
    size_now,
    write_micrographs,
)
from ..engine import (
    PupickError,
    read_json,
    read_picks,
    show_model,
    write_json,
)
from ..engine.networks.training_record import TrainingRecord
from ..engine.runs.layout import CORRECTIONS, FAILED, MODEL, PICKS, TRAINING_LOG
from ..engine.settings import CorrectionSettings
from ..namesakes import namesakes
from ..objects import PUPickModel
from .form_settings import arguments_of, setting
from .input_checks import (
    coordinates_errors,
    coordinates_warnings,
    diameter_errors,
    empty_errors,
    input_ids,
    lacks_input,
    pixel_size_warnings,
)
from .left_out_notes import LeftOutNotes
from .protocol_base import CITATION
from .train_form import define_input, define_streaming, define_training
from .training_arguments import TrainingArguments
from .training_rounds import (
    NEGATIVES,
    RECORD_VERSION,
    Lesson,
    Said,
    TrainingRound,
    in_words_of_now,
)

MICROGRAPHS = "micrographs.star"
PLACES = "places without a particle"
NOT_OWN = "The picks before they were corrected have to be pupick's own output."


class PUPickProtTrain(TrainingArguments):
    """Trains a picking model on micrographs of which a few particles have been picked by hand.

    Ten to a hundred picks are enough. Nothing has to be said of what is no particle: all that was
    not picked counts as unknown. The model picks with *pupick - pick*.
    """

    _label = "train"
    _possibleOutputs = {"outputModel": PUPickModel, "boxSize": Integer}

    def _defineParams(self, form: Any) -> None:
        define_input(self, form)
        define_training(self, form)
        define_streaming(form)
        form.addParallelSection(threads=4, mpi=0)

    @classmethod
    def worksInStreaming(cls) -> bool:
        """Whether it can start on sets that still grow."""
        return True

    # --------------------------- steps -----------------------------------------------------------
    def _insertAllSteps(self) -> None:
        if self._sourcesAreClosed():
            self._forgetChangedInput()
        # with another keepTraining the step goes on from what was trained, and does not start anew
        self._insertFunctionStep(
            self.trainStep, self._arguments(), self._input(), self.keepTraining.get()
        )

    def trainStep(self, arguments: List[str], used: Dict[str, Any], keep: bool) -> List[str]:
        """Train as soon as there is enough, and again if all new picks are to be learned from.

        Args:
            arguments: of the engine.
            used: what else, when changed, gives another model.
            keep: train again as picks come in.

        Returns:
            The models without which *Continue* does this step again.
        """
        self._forgetOthers({"arguments": arguments, **used, "version": RECORD_VERSION})
        self._forgetChangedInput()
        trained = 0
        number = 1
        while True:
            folder = Path(self._getExtraPath(f"round_{number:03d}"))
            if not (folder / PICKS).exists():
                picks = self._waitForPicks(trained, keep)
                if picks is None:
                    break
                self._writeInput(folder, picks)
            if not (folder / MODEL).exists():
                self._train(folder, arguments)
            self._defineModel(str(folder / MODEL))
            trained = count(read_picks(folder / PICKS))
            number += 1
        return [str(folder / MODEL) for folder in self._rounds()]

    def _forgetOthers(self, asked: Dict[str, Any]) -> None:
        """Start anew if what an earlier run has left was made with other parameters or input."""
        record = Path(self._getExtraPath("arguments.json"))
        if record.exists() and in_words_of_now(read_json(record)) != asked:
            self._forgetRounds()
        write_json(record, asked)

    def _forgetChangedInput(self) -> None:
        """Start anew if complete sets hold something else now, or other corrections were made."""
        rounds = [TrainingRound(folder) for folder in self._rounds()]
        complete = [each for each in rounds if each.is_complete]
        if not complete:
            return
        while not self._sourcesAreClosed():
            self.info("The picks are being made anew: waiting for all of them.")
            time.sleep(self.streamingSleepOnWait.get())
        micrographs = read_micrographs(self.inputMicrographs.get())
        picks = read_coordinates(self.inputCoordinates.get(), micrographs)
        lesson = self._lesson({"picks": picks, **self._readNegatives(micrographs)}, micrographs)
        if complete[-1].is_outdated(lesson):
            self._forgetRounds()

    def _sources(self) -> Dict[str, Any]:
        """Return the pointers to the sets that say what is a particle, and what is none."""
        sources = {"picks": self.inputCoordinates}
        if self.negativeCoordinates.get() is not None:
            sources[PLACES] = self.negativeCoordinates
        return sources

    def _sourcesAreClosed(self) -> bool:
        return all(map(is_closed, self._sources().values()))

    def _forgetRounds(self) -> None:
        for folder in self._rounds():
            shutil.rmtree(folder)

    def _waitForPicks(self, trained: int, keep: bool) -> Optional[AssignedPicks]:
        """Return the picks when they are enough for a training; None if there will be none."""
        if trained and not keep:
            return None
        while True:
            coordinates, micrographs = self.inputCoordinates.get(), self.inputMicrographs.get()
            closed, all_micrographs = map(is_closed, (self.inputCoordinates, self.inputMicrographs))
            assigned = read_coordinates(coordinates, read_micrographs(micrographs))
            number, picked = assigned.number, len(assigned.picks)
            # micrographs that are still to come have no picks
            if closed and (all_micrographs or number == size_now(coordinates)):
                return self._last(assigned, trained)
            wanted = max(self.minPicks.get(), 2 * trained)
            if number >= wanted and picked >= self.minMicrographs.get():
                return assigned
            self.info(f"{number} picks in {picked} micrographs so far: waiting for more.")
            time.sleep(self.streamingSleepOnWait.get())

    def _last(self, assigned: AssignedPicks, trained: int) -> Optional[AssignedPicks]:
        if not assigned.number:
            raise PupickError("No pick is of one of the input micrographs: pick some particles.")
        return assigned if assigned.number > trained else None

    def _writeInput(self, folder: Path, assigned: AssignedPicks) -> None:
        micrographs = self.inputMicrographs.get()
        present = read_micrographs(micrographs)
        write_micrographs(present, micrographs.getSamplingRate(), folder / MICROGRAPHS)
        used = {"picks": assigned, **self._readNegatives(present)}
        shared = {w: namesakes(p, self.inputMicrographs) for w, p in self._sources().items()}
        LeftOutNotes(folder).write(used, shared)
        complete = is_closed(self.inputCoordinates) and is_closed(self.inputMicrographs)
        TrainingRound(folder).write(self._lesson(used, present), complete)

    def _readNegatives(self, present: Sequence[Micrograph]) -> Dict[str, AssignedPicks]:
        negatives = self.negativeCoordinates.get()
        if negatives is None:
            return {}
        return {PLACES: read_negatives(negatives, self.inputCoordinates.get(), present)}

    def _lesson(self, used: Mapping[str, AssignedPicks], present: Sequence[Micrograph]) -> Lesson:
        picks = used["picks"].picks
        negatives = used[PLACES].picks if PLACES in used else None
        return Lesson(picks, negatives, self._said(present))

    def _said(self, present: Sequence[Micrograph]) -> Optional[Said]:
        """Return what was said of picks that were corrected; None where the form names none."""
        before = self.correctedCoordinates.get()
        if before is None:
            return None
        done = list(setting(CorrectionSettings, "done").choices)[self.done.get()]
        file = self._correctedFolder() / CORRECTIONS if self._areInBrowser() else None
        return Said(read_coordinates(before, present).picks, done, file)

    def _train(self, folder: Path, arguments: List[str]) -> None:
        negatives = folder / NEGATIVES
        more = ["--negatives", negatives] if negatives.exists() else []
        self.runOnMicrographs(
            "train",
            folder / FAILED,
            "--micrographs",
            folder / MICROGRAPHS,
            *self._picksOrCorrections(folder / PICKS),
            "--output",
            folder,
            *more,
            *arguments,
            *self.computer(),
            onGpu=True,
        )

    def _picksOrCorrections(self, picks: Path) -> List[Any]:
        if self.correctedCoordinates.get() is None:
            return ["--picks", picks]
        corrected: List[Any] = ["--corrected", self._correctedFolder()]
        if not self._areInBrowser():
            corrected += ["--corrections", picks]
        return corrected + arguments_of(self, [setting(CorrectionSettings, "done")])

    def _correctedFolder(self) -> Path:
        folder = corrigible_folder(self.correctedCoordinates.get())
        if folder is None:
            raise PupickError(NOT_OWN)
        return folder

    def _areInBrowser(self) -> bool:
        """Whether what was corrected lies with its run: one set is given for both."""
        before = self.correctedCoordinates.get()
        return bool(before.getFileName() == self.inputCoordinates.get().getFileName())

    def _defineModel(self, path: str) -> None:
        model = PUPickModel.from_file(path)
        pixel_size = self.inputMicrographs.get().getSamplingRate()
        box = box_size(float(model.getDiameter() or 0.0), pixel_size)
        if hasattr(self, "outputModel"):
            self.outputModel.copy(model, copyId=False)
            self.boxSize.set(box)
        else:
            self._defineOutputs(outputModel=model, boxSize=Integer(box))
        # a run that is continued may have had other input before
        self.mapper.deleteRelations(self)
        self._defineSourceRelation(self.inputMicrographs, self.outputModel)
        self._defineSourceRelation(self.inputCoordinates, self.outputModel)
        # this step may go on for hours: others can start with the model now
        self._store()

    def _input(self) -> Dict[str, Any]:
        """Return what the model depends on beside the engine's arguments: sets by their ids."""
        sets = [self.inputMicrographs, self.inputCoordinates, self.negativeCoordinates]
        # runs of earlier versions have no such input
        if self.correctedCoordinates.get() is not None:
            sets.append(self.correctedCoordinates)
        # a previous model that was trained anew has the path of the old one
        previous = self.startFrom == START_PREVIOUS
        return {
            "sets": input_ids(*sets),
            "start": self.previousModel.get().digest() if previous else None,
            "minMicrographs": self.minMicrographs.get(),
            "minPicks": self.minPicks.get(),
        }

    # --------------------------- results ---------------------------------------------------------
    def _rounds(self) -> List[Path]:
        return sorted(Path(self._getExtraPath()).glob("round_*"))

    def getTrainingLog(self) -> Optional[Path]:
        """Return the table (TSV) of the newest training, a row for each epoch; None before any."""
        logs = [folder / TRAINING_LOG for folder in self._rounds()]
        return next((log for log in reversed(logs) if log.exists()), None)

    def _training(self) -> TrainingRecord:
        return TrainingRecord.from_dict(show_model(self.outputModel.getPath())["training"])

    # --------------------------- texts -----------------------------------------------------------
    def _validate(self) -> List[str]:
        if lacks_input(self):
            return []
        micrographs, coordinates = self.inputMicrographs.get(), self.inputCoordinates.get()
        errors = empty_errors(micrographs, coordinates) or [
            *coordinates_errors(coordinates, micrographs, "picks"),
            *diameter_errors(self._diameter(), micrographs),
        ]
        if self.negativeCoordinates.get() is not None:
            negatives = self.negativeCoordinates.get()
            errors += coordinates_errors(negatives, micrographs, PLACES)
        before = self.correctedCoordinates.get()
        if before is not None and corrigible_folder(before) is None:
            errors.append(NOT_OWN)
        return errors + self.gpuErrors() + ([] if errors else self._argumentErrors())

    def _warnings(self) -> List[str]:
        picks, micrographs = self.inputCoordinates.get(), self.inputMicrographs.get()
        warnings = pixel_size_warnings(micrographs)
        warnings += coordinates_warnings(self.inputCoordinates, self.inputMicrographs, "picks")
        if self.negativeCoordinates.hasValue():
            places_without = self.negativeCoordinates
            warnings += coordinates_warnings(places_without, self.inputMicrographs, PLACES)
        if picks.isStreamClosed() and 0 < picks.getSize() < 10:
            warnings.append(f"There are only {picks.getSize()} picks: ten or more are advised.")
        diameter = self._diameter()
        if self.startFrom == START_PREVIOUS and diameter:
            model = self.previousModel.get().getDiameter()
            if model and not 0.8 < diameter / model < 1.25:
                warnings.append(
                    f"The previous model was trained for {model:g} Å, this one is for "
                    f"{diameter:g} Å: particles are scaled to the same width, but may look unlike."
                )
        return warnings

    def _summary(self) -> List[str]:
        if not hasattr(self, "outputModel"):
            return ["No model yet."]
        training = self._training()
        labels = training.all_labels
        estimated = " (estimated)" if training.particles_estimated else ""
        lines = [
            f"Trained on {labels} picks; about {training.particles_per_micrograph:g} particles "
            f"per micrograph{estimated}.",
            f"Best epoch: {training.best_epoch} of {training.epochs}.",
            f"Diameter {self.outputModel.getDiameter():g} Å, suggested box {self.boxSize.get()} "
            f"px; picks from score {self.outputModel.getThreshold():.2f} on.",
        ]
        precision = training.held_out_average_precision
        if precision is not None:
            lines.append(f"Average precision on held-out picks: {precision:.2f}.")
        failed = training.failed_micrographs
        lines += LeftOutNotes(Path(self.outputModel.getPath()).parent).lines()
        return lines + ([f"*{len(failed)} micrographs could not be used.*"] if failed else [])

    def _methods(self) -> List[str]:
        if not hasattr(self, "outputModel"):
            return []
        training = self._training()
        return [
            f"A convolutional network ({training.settings['network']}) was trained with pupick "
            f"on {training.all_labels} particles picked in "
            f"{training.all_micrographs} micrographs by "
            f"positive-unlabeled learning ({training.objective}) [{CITATION}]."
        ]

    def _citations(self) -> List[str]:
        return [CITATION]
