# SPDX-License-Identifier: GPL-3.0-or-later
"""Import picks from the files of other programs."""

from __future__ import annotations

from dataclasses import astuple
from typing import Any, List

import numpy as np
import pyworkflow.protocol.params as params
from pwem.objects import SetOfCoordinates
from pwem.protocols import ProtImport

from ..assignment import left_out_text
from ..convert import append_picks, box_size, engine_micrographs, guessed_diameter
from ..engine import (
    Coordinates,
    MicrographError,
    Picks,
    PicksSettings,
    UsageError,
    assign_to_micrographs,
    image_shape,
    match_names,
    read_picks,
)
from ..engine.coordinates import FORMATS
from .form_inputs import add_reason_for_grey
from .form_settings import add_setting, form_name, setting
from .input_checks import empty_errors, input_ids, lacks_input, open_errors, pixel_size_warnings
from .protocol_base import NamedProtocol

AUTOMATIC_FORMAT = 0
AUTOMATIC_BOX = -1
CHOICES = ("automatic", *FORMATS)
PICKS_SETTINGS = ("least_score", "drop_from_names")


class PUPickProtImportCoordinates(NamedProtocol, ProtImport):
    """Reads picks and their scores from files of RELION, Topaz, EMAN, crYOLO, cryoSPARC or CSV."""

    _label = "import coordinates"
    _possibleOutputs = {"outputCoordinates": SetOfCoordinates}

    def _defineParams(self, form: Any) -> None:
        form.addSection("Import")
        form.addParam(
            "inputMicrographs",
            params.PointerParam,
            pointerClass="SetOfMicrographs",
            important=True,
            label="Input micrographs",
            help="That the picks are of. Names are compared with the folders above the files, as "
            "far as the picks name them, so that files of one name in two folders stay apart.",
        )
        add_reason_for_grey(form, "inputMicrographs", "the input micrographs")
        form.addParam(
            "filesPath",
            params.PathParam,
            default="",
            important=True,
            label="Files",
            help="A file, a pattern such as /data/picks/*.box, or a folder. Files of one "
            "micrograph are named after it.",
        )
        form.addParam(
            "format",
            params.EnumParam,
            choices=list(CHOICES),
            default=AUTOMATIC_FORMAT,
            display=params.EnumParam.DISPLAY_COMBO,
            label="Format",
            help="\n".join(f"_{name}_: {kind.what}." for name, kind in FORMATS.items()),
        )
        form.addParam(
            "scale",
            params.FloatParam,
            default=1.0,
            validators=[params.Positive],
            label="Multiply coordinates by",
            help="Such as 4 for picks that were made on micrographs binned by 4.",
        )
        form.addParam(
            "boxSize",
            params.IntParam,
            default=AUTOMATIC_BOX,
            allowsPointers=True,
            label="Box size (px)",
            help="Of the output, in pixels of the input micrographs, for display and extraction. "
            "The wand shows it over a micrograph.\n-1: guessed by the size of the micrographs.",
        )
        for name in PICKS_SETTINGS:
            add_setting(form, setting(PicksSettings, name), expertLevel=params.LEVEL_ADVANCED)

    # --------------------------- steps -----------------------------------------------------------
    def _insertAllSteps(self) -> None:
        asked = (self.filesPath, self.format, self.scale, self.boxSize)
        source = input_ids(self.inputMicrographs)
        values = [value.get() for value in asked]
        self._insertFunctionStep(self.importStep, source, *values, *astuple(self._settings()))

    def importStep(self, source: List[str], *asked: object) -> None:
        """Read the picks and tie them to the micrographs."""
        micrographs = [m.clone() for m in self.inputMicrographs.get()]
        found = self._read()
        picks = self._matched(found)
        scored = any(coordinates.has_scores for coordinates in picks.values())
        output = self._createSetOfCoordinates(self.inputMicrographs)
        output.setBoxSize(self._box())
        for micrograph in micrographs:
            own = picks.get(micrograph.getFileName(), Coordinates.empty())
            append_picks(own, micrograph, output, scored)
        output.setObjComment(self._leftOutText(found))
        self._defineOutputs(outputCoordinates=output)
        self._defineSourceRelation(self.inputMicrographs, output)

    def _box(self) -> int:
        if self.boxSize.get() not in (None, AUTOMATIC_BOX):
            return int(self.boxSize.get())
        micrographs = self.inputMicrographs.get()
        return box_size(guessed_diameter(micrographs), micrographs.getSamplingRate())

    def _read(self) -> Picks:
        format_name = self.format.get()
        format = "auto" if format_name == AUTOMATIC_FORMAT else CHOICES[format_name]
        scale = self.scale.get()
        # px of the micrographs that the picks were made on
        pixel_size = scale * self.inputMicrographs.get().getSamplingRate()
        picks = read_picks(self.filesPath.get(), format, pixel_size, self._settings())
        return {name: found.scaled(scale) for name, found in picks.items()}

    def _settings(self) -> PicksSettings:
        parameters = {name: form_name(setting(PicksSettings, name)) for name in PICKS_SETTINGS}
        return PicksSettings(**{n: getattr(self, p).get() for n, p in parameters.items()})

    def _matched(self, picks: Picks) -> Picks:
        micrographs = engine_micrographs(self.inputMicrographs.get())
        return assign_to_micrographs(picks, micrographs, "picks")

    def _leftOutText(self, picks: Picks) -> str:
        """Say which of the picks are of micrographs that are not in the input; empty if none."""
        known = match_names(picks, engine_micrographs(self.inputMicrographs.get()))
        left_out = {name: len(found) for name, found in picks.items() if name not in known}
        return left_out_text(left_out, sum(map(len, picks.values())), "picks")

    # --------------------------- texts -----------------------------------------------------------
    def _validate(self) -> List[str]:
        if lacks_input(self):
            return []
        micrographs = self.inputMicrographs.get()
        errors = [*empty_errors(micrographs), *open_errors(micrographs)]
        if not self._box() > 0:
            errors.append("The box size must be positive, or -1 for a guess.")
        if not self.filesPath.get():
            errors.append("Give the files to import.")
        return errors or self._fileErrors()

    def _fileErrors(self) -> List[str]:
        try:
            picks = self._read()
            matched = self._matched(picks)
        except UsageError as error:
            return [f"The picks cannot be imported: {error}"]
        if picks and not matched:
            name = next(iter(picks))
            return [f"The picks are of other micrographs (such as {name}) than those given."]
        return self._outsideErrors(matched)

    def _outsideErrors(self, picks: Picks) -> List[str]:
        outside = [name for name, found in picks.items() if _lies_outside(found, name)]
        if not outside:
            return []
        return [
            f"Picks lie outside of {len(outside)} micrographs, such as {outside[0]}: check the "
            "factor that coordinates are multiplied by."
        ]

    def _warnings(self) -> List[str]:
        text = self._leftOutText(self._read())
        warnings = pixel_size_warnings(self.inputMicrographs.get())
        return warnings + ([text] if text else [])

    def _summary(self) -> List[str]:
        if not hasattr(self, "outputCoordinates"):
            return ["No coordinates yet."]
        output = self.outputCoordinates
        left_out = output.getObjComment()
        guessed = " (guessed)" if self.boxSize.get() in (None, AUTOMATIC_BOX) else ""
        lines = [
            f"{output.getSize()} coordinates from {self.filesPath.get()}; box "
            f"{output.getBoxSize()} px{guessed}."
        ]
        return lines + ([f"*{left_out}*"] if left_out else [])

    def _methods(self) -> List[str]:
        return self._summary()[:1]


def _lies_outside(picks: Coordinates, path: str) -> bool:
    """Whether a pick is not in the image; what cannot be read is not in anyone's way here."""
    try:
        height, width = image_shape(path)
    except MicrographError:
        return False
    return bool(np.any((picks.x > width) | (picks.y > height) | (picks.x < -1) | (picks.y < -1)))
