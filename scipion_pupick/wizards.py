# SPDX-License-Identifier: GPL-3.0-or-later
"""Wizards: a diameter and a box by eye, and a threshold by the scores."""

from __future__ import annotations

from typing import Any, List, Optional

from pwem.objects import SetOfCoordinates
from pyworkflow.gui.dialog import showWarning
from pyworkflow.wizard import Wizard

from .constants import MODEL_TRAINED
from .convert import box_size, guessed_diameter, read_coordinates, to_angstrom
from .engine import Micrograph, Picks, PupickError
from .particles import coordinates_of
from .protocols import (
    PUPickProtImportCoordinates,
    PUPickProtPick,
    PUPickProtPreprocess,
    PUPickProtThreshold,
    PUPickProtTrain,
)
from .viewers.dialogs import OutlineDialog, ThresholdDialog
from .viewers.scored_picks import diameter_of, read_scored_picks, shown_micrographs


class PUPickWizardDiameter(Wizard):
    """Sets the diameter of the particle with a circle over the input micrographs."""

    _targets = [
        (PUPickProtTrain, ["diameter"]),
        (PUPickProtPick, ["diameter"]),
        (PUPickProtPreprocess, ["diameter"]),
    ]

    def show(self, form: Any, *params: str) -> None:
        """Ask, and put the answer into the form in its unit."""
        protocol = form.protocol
        micrographs = _micrographs_or_warning(form)
        if micrographs is None:
            return
        pixel_size = protocol.inputMicrographs.get().getSamplingRate()
        dialog = OutlineDialog(
            form.root,
            micrographs,
            _hand_picks(protocol),
            protocol.diameterAngstrom(pixel_size) or _guessed_diameter(protocol),
        )
        if dialog.resultYes():
            value = dialog.value / to_angstrom(1.0, protocol.diameterUnit.get(), pixel_size)
            form.setVar("diameter", f"{value:.4g}")


class PUPickWizardBox(Wizard):
    """Sets the box of the output, with a square round the particle over the input micrographs."""

    _targets = [(PUPickProtPick, ["boxSize"]), (PUPickProtImportCoordinates, ["boxSize"])]

    def show(self, form: Any, *params: str) -> None:
        """Ask, and put the answer into the form."""
        protocol = form.protocol
        micrographs = _micrographs_or_warning(form)
        if micrographs is None:
            return
        pixel_size = protocol.inputMicrographs.get().getSamplingRate()
        diameter = _known_diameter(protocol) or _guessed_diameter(protocol)
        box = protocol.boxSize.get()
        first = box if box is not None and box > 0 else box_size(diameter, pixel_size)
        dialog = OutlineDialog(form.root, micrographs, {}, diameter, first)
        if dialog.resultYes():
            form.setVar("boxSize", dialog.value)


class PUPickWizardThreshold(Wizard):
    """Sets the threshold in the histogram of the scores, beside the picks that it gives."""

    _targets = [(PUPickProtPick, ["threshold"]), (PUPickProtThreshold, ["threshold"])]

    def show(self, form: Any, *params: str) -> None:
        """Ask, and put the answer into the form."""
        coordinates = _scored_coordinates(form.protocol)
        if coordinates is None:
            text = (
                "The scores are known when this protocol has run: run it with any threshold, "
                "choose another one here and press Continue. Nothing is scored twice."
                if isinstance(form.protocol, PUPickProtPick)
                else "Choose the scored coordinates first."
            )
            showWarning("No scores yet", text, form.root)
            return
        try:
            scored = read_scored_picks(coordinates)
        except PupickError as error:
            showWarning("No scores", str(error), form.root)
            return
        dialog = ThresholdDialog(form.root, scored)
        if dialog.resultYes():
            form.setVar("threshold", f"{dialog.threshold:.3f}")


def _micrographs_or_warning(form: Any) -> Optional[List[Micrograph]]:
    """Return the micrographs of the form; warn and give None if there are none."""
    micrographs = form.protocol.inputMicrographs.get()
    if micrographs is None or not micrographs.getSize():
        showWarning("No micrographs", "Choose the input micrographs first.", form.root)
        return None
    return shown_micrographs(micrographs)


def _scored_coordinates(protocol: Any) -> Optional[SetOfCoordinates]:
    if isinstance(protocol, PUPickProtThreshold):
        coordinates: Optional[SetOfCoordinates] = protocol.inputCoordinates.get()
        return coordinates
    return getattr(protocol, "outputCoordinates", None)


def _hand_picks(protocol: Any) -> Picks:
    """Return the picks that the form names, by the name of the micrograph, px."""
    pointer = getattr(protocol, "inputCoordinates", None)
    if pointer is None or pointer.get() is None:
        return {}
    return read_coordinates(pointer.get(), protocol.inputMicrographs.get()).picks


def _known_diameter(protocol: Any) -> Optional[float]:
    """Return the diameter (Å) of the model or of the form, None if that is not chosen yet."""
    if not isinstance(protocol, PUPickProtPick):
        return None
    if protocol.modelFrom == MODEL_TRAINED:
        model = protocol.inputModel.get()
        return None if model is None else model.getDiameter()
    diameter = protocol.diameterAngstrom(protocol.inputMicrographs.get().getSamplingRate())
    try:
        return diameter or protocol.getModel().getDiameter()
    except PupickError:
        return None


def _guessed_diameter(protocol: Any) -> float:
    """Guess a diameter (Å) by the box of the hand picks, or by the size of the micrographs."""
    pointer = getattr(protocol, "inputCoordinates", None)
    picked = None if pointer is None else pointer.get()
    # particles and classes have no box of their own, but mostly know what they were extracted at
    coordinates = None if picked is None else coordinates_of(picked)
    if coordinates is not None and coordinates.getBoxSize():
        return diameter_of(coordinates)
    return guessed_diameter(protocol.inputMicrographs.get())
