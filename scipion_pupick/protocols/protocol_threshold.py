# SPDX-License-Identifier: GPL-3.0-or-later
"""Choose among scored coordinates, without picking again."""

from __future__ import annotations

from typing import Any, Dict, List, Optional

import numpy as np
import pyworkflow.protocol.params as params
from pwem.objects import SetOfCoordinates
from pwem.protocols import ProtParticlePicking

from ..assignment import left_out_text
from ..constants import BY_MEAN_NUMBER, BY_MOST, BY_PRECISION, BY_SCORE, THRESHOLD_MODES
from ..convert import (
    append_picks,
    count_coordinates,
    picking_folder,
    ranked_picks,
    ranking_run,
    read_micrographs,
    size_now,
)
from ..engine import (
    Coordinates,
    UsageError,
    estimate_precision_recall,
    threshold_of_count,
    threshold_of_precision,
)
from ..engine.settings import LEAST_SCORE
from ..namesakes import namesakes, namesakes_text
from .form_inputs import define_coordinates, define_other_micrographs
from .growing import publish, rounds, started_anew
from .input_checks import (
    coordinates_errors,
    coordinates_warnings,
    empty_errors,
    input_ids,
    lacks_input,
)
from .protocol_base import CITATION, NamedProtocol
from .quality import expected_quality

OUTPUT = "outputCoordinates"


class PUPickProtThreshold(NamedProtocol, ProtParticlePicking):
    """Makes a new set of coordinates from those that score high enough.

    Coordinates that come straight from *pupick - pick* may also be widened: the scores of
    all peaks are kept there, and lower thresholds than that of the picking can be chosen. Of
    corrected picks only those are chosen from that are left or were added.
    """

    _label = "threshold"
    _possibleOutputs = {OUTPUT: SetOfCoordinates}

    def _defineParams(self, form: Any) -> None:
        form.addSection("Input")
        define_coordinates(
            form, "Scored coordinates", "Picked by pupick, or imported with their scores."
        )
        define_other_micrographs(form, "those that the coordinates name")
        form.addParam(
            "mode",
            params.EnumParam,
            choices=list(THRESHOLD_MODES),
            default=BY_SCORE,
            display=params.EnumParam.DISPLAY_COMBO,
            label="Choose by",
            help="_score_: all from a score on.\n_particles per micrograph, on average_: one "
            "threshold for all micrographs, at which they give that many on average.\n"
            "_best particles of each micrograph_: at most that many of each, however good.\n"
            "_estimated precision_: as many as possible while the scores say that this share of "
            "them are particles.\nWhile picks still come in, the first and the third are applied "
            "at once; the others wait until all are there.",
        )
        form.addParam(
            "threshold",
            params.FloatParam,
            default=0.0,
            condition=f"mode=={BY_SCORE}",
            label="Least score",
            help="Log-odds that a pick is a particle: 0 is one in two, 2.2 nine in ten. "
            f"Peaks below {LEAST_SCORE:g} are not kept.",
        )
        form.addParam(
            "particlesPerMicrograph",
            params.IntParam,
            default=300,
            allowsPointers=True,
            condition=f"mode in [{BY_MEAN_NUMBER},{BY_MOST}]",
            validators=[params.Positive],
            label="Particles per micrograph",
            help="On average over all micrographs, or at most in each, as chosen above.",
        )
        form.addParam(
            "precision",
            params.FloatParam,
            default=0.8,
            condition=f"mode=={BY_PRECISION}",
            label="Precision wanted",
            help="Share of the picks that shall be particles, between 0 and 1, by the estimate "
            "that follows from calibrated scores.",
        )

    # --------------------------- steps -----------------------------------------------------------
    def _insertAllSteps(self) -> None:
        asked = (self.mode, self.threshold, self.particlesPerMicrograph, self.precision)
        ranked = input_ids(self.inputCoordinates)
        if self.inputMicrographs.hasValue():
            ranked += input_ids(self.inputMicrographs)
        self._insertFunctionStep(self.chooseStep, ranked, *(value.get() for value in asked))

    @classmethod
    def worksInStreaming(cls) -> bool:
        """Whether it can start on sets that still grow."""
        return True

    def chooseStep(self, ranked: List[str], *asked: float) -> None:
        """Write the coordinates that are chosen, also while others come in."""
        coordinates, pointer = self.inputCoordinates.get(), self.getInputMicrographsPointer()
        output = started_anew(self, OUTPUT, lambda: self._createSetOfCoordinates(pointer))
        output.setBoxSize(coordinates.getBoxSize())
        peaks: Dict[int, Coordinates] = {}
        chosen: Dict[int, Coordinates] = {}
        for closed in rounds(self.inputCoordinates):
            if not closed and not self._canBegin():
                continue
            present = read_micrographs(self.getInputMicrographs())
            new = [m for m in present if m.getObjId() not in peaks]
            # for none, it would return those of all
            found = ranked_picks(coordinates, new) if new else {}
            threshold = self._threshold(found)
            peaks.update(found)
            chosen.update(self._choose(found, threshold))
            for micrograph in new:
                picks = chosen.get(micrograph.getObjId(), Coordinates.empty())
                append_picks(picks, micrograph, output)
            output.setObjComment(self._comment(peaks, chosen, threshold))
            if closed or any(map(len, found.values())):
                output = publish(self, OUTPUT, output, closed)
        self._defineTransformRelation(self.inputCoordinates, output)

    def _canBegin(self) -> bool:
        """Whether what is asked for can be done micrograph by micrograph, of a set that grows.

        Of a picking run that is at work, the peaks of a micrograph are there at once or not at all.
        """
        coordinates = self.inputCoordinates.get()
        own = picking_folder(coordinates) is not None
        return own and self.mode in (BY_SCORE, BY_MOST) and bool(size_now(coordinates))

    def _choose(
        self, ranked: Dict[int, Coordinates], threshold: Optional[float]
    ) -> Dict[int, Coordinates]:
        if threshold is None:
            most = self.particlesPerMicrograph.get()
            return {i: p.select(np.argsort(-p.score)[:most]) for i, p in ranked.items()}
        return {i: picks.select(picks.score >= threshold) for i, picks in ranked.items()}

    def _threshold(self, ranked: Dict[int, Coordinates]) -> Optional[float]:
        """Return the least score that is asked for; None where each micrograph has its own."""
        if self.mode == BY_MOST:
            return None
        scores = [picks.score for picks in ranked.values()]
        if self.mode == BY_MEAN_NUMBER:
            return threshold_of_count(scores, self.particlesPerMicrograph.get())
        if self.mode == BY_PRECISION:
            return threshold_of_precision(estimate_precision_recall(scores), self.precision.get())
        return float(self.threshold.get())

    def _asked(self) -> float:
        if self.mode == BY_SCORE:
            return float(self.threshold.get())
        number = self.precision if self.mode == BY_PRECISION else self.particlesPerMicrograph
        return float(number.get())

    def _comment(
        self,
        ranked: Dict[int, Coordinates],
        chosen: Dict[int, Coordinates],
        threshold: Optional[float],
    ) -> str:
        number, peaks = (sum(map(len, picks.values())) for picks in (chosen, ranked))
        parts = [f"{number} of {peaks} ranked peaks in {len(ranked)} micrographs"]
        if threshold is not None:
            parts[0] += f", score {threshold:.2f} or more"
            parts.append(expected_quality(self._estimate(ranked, threshold) if number else {}))
        counts = count_coordinates(self.inputCoordinates.get(), self.getInputMicrographs())
        shared = namesakes(self.inputCoordinates, self.getInputMicrographsPointer())
        parts.append(left_out_text(counts.left_out, counts.total, "coordinates").rstrip("."))
        parts.append(namesakes_text(shared, "coordinates").rstrip("."))
        return "; ".join(filter(None, parts))

    def _estimate(self, ranked: Dict[int, Coordinates], threshold: float) -> Dict[str, float]:
        """Return what is expected of one threshold for all, as the run that has picked would."""
        # the scores of picks that people have looked at no longer say how many are right
        run = ranking_run(self.inputCoordinates.get())
        if run is None or not run.is_calibrated:
            return {}
        scores = [picks.score for picks in ranked.values()]
        curve = estimate_precision_recall(scores, run.score_uncertainty, [threshold])
        return curve.at(threshold).summary()

    # --------------------------- texts -----------------------------------------------------------
    def getInputMicrographs(self) -> Any:
        """Return the micrographs that the coordinates are of."""
        return self.getInputMicrographsPointer().get()

    def getInputMicrographsPointer(self) -> Any:
        """Return the pointer to the micrographs that the coordinates are of."""
        if self.inputMicrographs.hasValue():
            return self.inputMicrographs
        return self.inputCoordinates.get().getMicrographs(asPointer=True)

    def _validate(self) -> List[str]:
        if lacks_input(self):
            return []
        coordinates = self.inputCoordinates.get()
        if coordinates.isStreamOpen():
            # what is wrong with those that are still to come shows when they come
            return []
        errors: List[str] = []
        if not coordinates.getSize():
            # a run that picked nothing at its threshold may still have kept peaks below it
            errors = self._scoreErrors() and empty_errors(coordinates)
        micrographs = self.getInputMicrographs()
        errors = errors or coordinates_errors(coordinates, micrographs, "coordinates")
        return errors or self._scoreErrors()

    def _warnings(self) -> List[str]:
        micrographs = self.getInputMicrographsPointer()
        return coordinates_warnings(self.inputCoordinates, micrographs, "coordinates")

    def _scoreErrors(self) -> List[str]:
        try:
            ranked = ranked_picks(self.inputCoordinates.get(), self.getInputMicrographs())
            self._threshold(ranked)
        except UsageError as error:
            return [str(error)]
        return []

    def _summary(self) -> List[str]:
        if not hasattr(self, OUTPUT):
            return ["No particles yet."]
        return [
            f"Chosen by {THRESHOLD_MODES[self.mode.get()]} ({self._asked():g}): "
            f"{self.outputCoordinates.getObjComment()}."
        ]

    def _methods(self) -> List[str]:
        if not hasattr(self, OUTPUT):
            return []
        return [
            f"{self.outputCoordinates.getSize()} particles were chosen by their pupick scores "
            f"({self.outputCoordinates.getObjComment()}) [{CITATION}]."
        ]

    def _citations(self) -> List[str]:
        return [CITATION]
