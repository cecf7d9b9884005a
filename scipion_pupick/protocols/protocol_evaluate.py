# SPDX-License-Identifier: GPL-3.0-or-later
"""Compare scored coordinates with particles that are known to be there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, List

import pyworkflow.protocol.params as params
from pwem.objects import SetOfMicrographs
from pyworkflow.object import Float

from ..constants import BOX_PER_DIAMETER
from ..convert import (
    has_scores,
    ranked_picks,
    ranking_run,
    read_coordinates,
    read_micrographs,
    write_micrographs,
)
from ..engine import EvaluateSettings, Picks, read_json, write_picks
from ..engine.runs.layout import PICKS
from ..engine.settings import TOLERANCE_DIAMETERS
from ..namesakes import namesakes
from .form_inputs import add_reason_for_grey, define_coordinates, define_other_micrographs
from .form_settings import add_setting, setting
from .input_checks import (
    coordinates_errors,
    coordinates_warnings,
    empty_errors,
    input_ids,
    lacks_input,
    open_errors,
)
from .left_out_notes import LeftOutNotes
from .protocol_base import CITATION, EngineProtocol

PICKS_COMPARED, REFERENCE = "scored coordinates", "reference coordinates"
TABLE, RESULT, RANKING = "precision_recall.tsv", "evaluation.json", "ranking.json"


class PUPickProtEvaluate(EngineProtocol):
    """Says how well scored coordinates agree with reference coordinates, such as an expert's.

    Only micrographs with reference coordinates count. Picks and references are matched one to
    one; what is left over is a false pick or a particle that was missed.
    """

    _label = "evaluate"
    _possibleOutputs = {"averagePrecision": Float, "f1": Float}

    def _defineParams(self, form: Any) -> None:
        form.addSection("Input")
        define_coordinates(
            form,
            "Scored coordinates",
            "Of picks that come straight from *pupick - pick*, the peaks below the threshold "
            "are compared as well: the average precision is that of all. Of others, take those of "
            "a low threshold.",
        )
        form.addParam(
            "referenceCoordinates",
            params.PointerParam,
            pointerClass="SetOfCoordinates",
            important=True,
            label="Reference coordinates",
            help="All particles of some of the same micrographs, not those that the model was "
            "trained on.",
        )
        add_reason_for_grey(form, "referenceCoordinates", "the reference coordinates")
        define_other_micrographs(form, "those that the reference coordinates name")
        derived = (
            f"{TOLERANCE_DIAMETERS:g} diameters, a diameter being the reference's box size / 1.5"
        )
        add_setting(
            form,
            # 0 is no tolerance here: it asks for one
            replace(setting(EvaluateSettings, "tolerance"), above=None, least=0, automatic=derived),
        )
        add_setting(form, setting(EvaluateSettings, "border"), expertLevel=params.LEVEL_ADVANCED)
        form.addParallelSection(threads=1, mpi=0)

    # --------------------------- steps -----------------------------------------------------------
    def _insertAllSteps(self) -> None:
        compared = input_ids(self.inputCoordinates, self.referenceCoordinates)
        if self.inputMicrographs.hasValue():
            compared += input_ids(self.inputMicrographs)
        self._insertFunctionStep(self.evaluateStep, compared, self._tolerance(), self.border.get())

    def evaluateStep(self, compared: List[str], tolerance: float, border: float) -> None:
        """Match and count, and give the result as numbers that other protocols can take."""
        micrographs = read_micrographs(self.getMicrographs())
        reference = read_coordinates(self.referenceCoordinates.get(), micrographs)
        picks = read_coordinates(self.inputCoordinates.get(), micrographs)
        write_picks(reference.picks, self._getExtraPath("reference.star"))
        sources = {PICKS_COMPARED: self.inputCoordinates, REFERENCE: self.referenceCoordinates}
        shared = {w: namesakes(p, self._micrographsPointer()) for w, p in sources.items()}
        self._leftOut().write({PICKS_COMPARED: picks, REFERENCE: reference}, shared)
        named = [m for m in micrographs if m.getFileName() in reference.picks]
        listed = self._getExtraPath("micrographs.star")
        write_micrographs(named, self._pixelSize(), listed)
        limits = ("--micrographs", listed, "--tolerance", tolerance, "--border", border)
        self._compare(picks.picks, PICKS, RESULT, *limits)
        ranked = self.rankedPicks()
        self._compare(ranked, "peaks.star", RANKING, *limits, "--table", self.getTable())
        self._defineOutputs(
            averagePrecision=Float(self.getRanking()["average_precision"]),
            f1=Float(self.getResult()["f1"]),
        )

    def _compare(self, picks: Picks, file: str, summary: str, *arguments: object) -> None:
        write_picks(picks, self._getExtraPath(file))
        self.runEngine(
            "evaluate",
            *("--picks", self._getExtraPath(file)),
            *("--reference", self._getExtraPath("reference.star")),
            *("--summary", self._getExtraPath(summary)),
            *arguments,
        )

    def _pixelSize(self) -> float:
        return float(self.getMicrographs().getSamplingRate())

    def getMicrographs(self) -> SetOfMicrographs:
        """Return the micrographs that are compared in, with and without reference particles."""
        return self._micrographsPointer().get()

    def _micrographsPointer(self) -> Any:
        if self.inputMicrographs.hasValue():
            return self.inputMicrographs
        return self.referenceCoordinates.get().getMicrographs(asPointer=True)

    def _leftOut(self) -> LeftOutNotes:
        return LeftOutNotes(Path(self._getExtraPath()))

    def _tolerance(self) -> float:
        if self.tolerance.get() >= 0:
            return float(self.tolerance.get())
        box = self.referenceCoordinates.get().getBoxSize() or 0
        return TOLERANCE_DIAMETERS * box / BOX_PER_DIAMETER

    # --------------------------- results ---------------------------------------------------------
    def getTable(self) -> Path:
        """Return the table (TSV) of precision, recall and F1 by threshold."""
        return Path(self._getExtraPath(TABLE))

    def getResult(self) -> Dict[str, Any]:
        """Return the numbers of the comparison by their names."""
        return read_json(self._getExtraPath(RESULT))

    def getRanking(self) -> Dict[str, Any]:
        """Return the same numbers of all peaks that are known, also those below the threshold."""
        path = Path(self._getExtraPath(RANKING))
        # runs of version 0.1 have compared the picks alone
        return read_json(path) if path.exists() else self.getResult()

    def rankedPicks(self) -> Picks:
        """Return all peaks that are known of the micrographs that are compared in, px."""
        coordinates, micrographs = self.inputCoordinates.get(), self.getMicrographs()
        if ranking_run(coordinates) is None or not has_scores(coordinates):
            return read_coordinates(coordinates, micrographs).picks
        paths = {m.getObjId(): m.getFileName() for m in micrographs}
        ranked = ranked_picks(coordinates, micrographs)
        return {paths[number]: picks for number, picks in ranked.items()}

    # --------------------------- texts -----------------------------------------------------------
    def _validate(self) -> List[str]:
        if lacks_input(self):
            return []
        coordinates, reference = self.inputCoordinates.get(), self.referenceCoordinates.get()
        errors = [*open_errors(coordinates, reference), *empty_errors(reference)]
        if errors:
            return errors
        if not self._tolerance() > 0:
            return ["Give a tolerance: the reference coordinates have no box size to derive it."]
        micrographs = self.getMicrographs()
        return [
            *coordinates_errors(reference, micrographs, REFERENCE),
            *coordinates_errors(coordinates, micrographs, PICKS_COMPARED),
        ]

    def _warnings(self) -> List[str]:
        micrographs = self._micrographsPointer()
        warnings = coordinates_warnings(self.referenceCoordinates, micrographs, REFERENCE)
        warnings += coordinates_warnings(self.inputCoordinates, micrographs, PICKS_COMPARED)
        coordinates = self.inputCoordinates.get()
        if coordinates.getSize() and not has_scores(coordinates):
            warnings.append(
                "The coordinates have no scores: all that can be said is how many are right."
            )
        return warnings

    def _summary(self) -> List[str]:
        if not hasattr(self, "f1"):
            return ["Not compared yet."]
        result, ranking = self.getResult(), self.getRanking()
        lines = [
            f"{result['picks']} picks and {result['reference']} reference particles in "
            f"{result['micrographs']} micrographs.",
            f"These picks: F1 {result['f1']:.3f} (precision {result['precision']:.3f}, recall "
            f"{result['recall']:.3f}).",
            f"Ranking of all {ranking['picks']} peaks: average precision "
            f"{ranking['average_precision']:.3f}.",
        ]
        if ranking["best_threshold"] is not None:
            lines.append(
                f"Best F1 {ranking['best_f1']:.3f}, from score {ranking['best_threshold']:.2f} on."
            )
        return lines + self._leftOut().lines()

    def _methods(self) -> List[str]:
        if not hasattr(self, "f1"):
            return []
        result = self.getResult()
        return [
            f"Picks were compared with {result['reference']} reference particles (at most "
            f"{result['tolerance']:.0f} px apart): average precision "
            f"{self.getRanking()['average_precision']:.3f}, F1 {result['f1']:.3f} [{CITATION}]."
        ]

    def _citations(self) -> List[str]:
        return [CITATION]
