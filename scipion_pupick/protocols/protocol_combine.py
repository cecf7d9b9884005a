# SPDX-License-Identifier: GPL-3.0-or-later
"""Combine the coordinates of several pickers."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List

import pyworkflow.protocol.params as params
from pwem.objects import SetOfCoordinates
from pwem.protocols import ProtParticlePicking

from ..convert import append_picks, box_size, picked_in, read_coordinates, read_micrographs, run_of
from ..engine import CombineSettings, Coordinates, PickSet, combine
from ..engine.coordinates.table import with_empty
from ..engine.settings import RULES
from ..namesakes import namesakes
from .form_inputs import define_coordinates
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
from .protocol_base import CITATION, NamedProtocol


class PUPickProtCombine(NamedProtocol, ProtParticlePicking):
    """Makes one set of coordinates out of those of several pickers.

    Takes what any of them found, what all found, what a number of them found, or what only the
    first found. Scores of *pupick - pick* are kept: a particle has the score of its surest pick.
    """

    _label = "combine"
    _possibleOutputs = {"outputCoordinates": SetOfCoordinates}

    def _defineParams(self, form: Any) -> None:
        form.addSection("Input")
        define_coordinates(
            form,
            "Coordinates of the first picker",
            "Where scores do not compare, places and scores of this one are kept.",
        )
        form.addParam(
            "otherCoordinates",
            params.MultiPointerParam,
            pointerClass="SetOfCoordinates",
            minNumObjects=1,
            important=True,
            label="Coordinates of other pickers",
            help="Of the same micrographs.",
        )
        add_setting(form, setting(CombineSettings, "rule"))
        vote = list(RULES).index("vote")
        add_setting(form, setting(CombineSettings, "vote"), condition=f"rule=={vote}")
        add_setting(form, setting(CombineSettings, "within"), expertLevel=params.LEVEL_ADVANCED)
        form.addParam(
            "diameter",
            params.FloatParam,
            default=0.0,
            label="Particle diameter (Å)",
            help="0: that of *pupick - pick*, if the first picker is that.",
        )

    # --------------------------- steps -----------------------------------------------------------
    def _insertAllSteps(self) -> None:
        asked = (self.rule, self.vote, self.within)
        ids = input_ids(self.inputCoordinates, *self.otherCoordinates)
        values = [value.get() for value in asked]
        self._insertFunctionStep(self.combineStep, ids, self._diameter(), *values)

    def combineStep(self, ids: List[str], diameter: float, *asked: float) -> None:
        """Write the coordinates that are taken."""
        micrographs = read_micrographs(self._micrographs())
        pointer = self.inputCoordinates.get().getMicrographs(asPointer=True)
        pointers = self._pointers()
        read = {what: read_coordinates(p.get(), micrographs) for what, p in pointers.items()}
        shared = {what: namesakes(p, pointer) for what, p in pointers.items()}
        self._leftOut().write(read, shared)
        sets = [
            PickSet(
                items.getObjLabel() or f"set {number}",
                with_empty(found.picks, picked_in(items, micrographs)),
                _is_calibrated(items),
            )
            for number, (items, found) in enumerate(zip(self._sets(), read.values()), 1)
        ]
        settings = CombineSettings(
            list(RULES)[self.rule.get()], self.vote.get() or None, self.within.get()
        )
        result = combine(sets, diameter / self._micrographs().getSamplingRate(), settings)
        output = self._createSetOfCoordinates(pointer)
        output.setBoxSize(
            self.inputCoordinates.get().getBoxSize()
            or box_size(diameter, self._micrographs().getSamplingRate())
        )
        scored = any(picks.has_scores for picks in result.picks.values())
        for micrograph in micrographs:
            picks = result.picks.get(micrograph.getFileName(), Coordinates.empty())
            append_picks(picks, micrograph, output, scored)
        output.setObjComment(result.summary())
        self._defineOutputs(outputCoordinates=output)
        for source in (self.inputCoordinates, *self.otherCoordinates):
            self._defineTransformRelation(source, output)

    def _pointers(self) -> Dict[str, Any]:
        """Return the pointers to the sets, by what messages call them."""
        pointers = [self.inputCoordinates, *self.otherCoordinates]
        return {f"coordinates of picker {i}": pointer for i, pointer in enumerate(pointers, 1)}

    def _sets(self) -> List[Any]:
        return [pointer.get() for pointer in self._pointers().values()]

    def _leftOut(self) -> LeftOutNotes:
        return LeftOutNotes(Path(self._getExtraPath()))

    def _micrographs(self) -> Any:
        return self.inputCoordinates.get().getMicrographs()

    def _diameter(self) -> float:
        """Return the diameter (Å) that is given, or the run's; 0 where neither is."""
        run = None if self.diameter.get() else run_of(self.inputCoordinates.get())
        return float(self.diameter.get() or 0.0) if run is None else run.diameter

    # --------------------------- texts -----------------------------------------------------------
    def _validate(self) -> List[str]:
        if lacks_input(self):
            return []
        sets = self._sets()
        errors = open_errors(*sets) or empty_errors(*sets)
        for items in [] if errors else sets:
            errors += coordinates_errors(items, self._micrographs(), "coordinates")
        if not errors and not self._diameter() > 0:
            errors.append("Give the diameter of the particle.")
        return errors

    def _warnings(self) -> List[str]:
        micrographs = self.inputCoordinates.get().getMicrographs(asPointer=True)
        return [
            text
            for what, pointer in self._pointers().items()
            for text in coordinates_warnings(pointer, micrographs, what)
        ]

    def _summary(self) -> List[str]:
        if not hasattr(self, "outputCoordinates"):
            return ["No particles yet."]
        return [f"{self.outputCoordinates.getObjComment()}.", *self._leftOut().lines()]

    def _methods(self) -> List[str]:
        if not hasattr(self, "outputCoordinates"):
            return []
        rule = list(RULES.values())[self.rule.get()]
        return [f"Of the picks of several pickers, {rule} were taken with pupick [{CITATION}]."]

    def _citations(self) -> List[str]:
        return [CITATION]


def _is_calibrated(coordinates: Any) -> bool:
    """Whether scores of coordinates are log-odds that are known to be about right."""
    run = run_of(coordinates)
    return run is not None and run.is_calibrated
