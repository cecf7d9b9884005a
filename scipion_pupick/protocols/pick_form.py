# SPDX-License-Identifier: GPL-3.0-or-later
"""The form of the protocol that picks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, List

import pyworkflow.protocol.params as params

from ..constants import (
    MODEL_FILE,
    MODEL_GENERAL,
    MODEL_TRAINED,
    MODELS,
    PICK_THRESHOLDS,
    THRESHOLD_OF_MODEL,
    THRESHOLD_VALUE,
)
from ..engine.settings import MICROGRAPHS_FITTED, PickSettings, Setting, offered_settings
from .form_inputs import add_reason_for_grey
from .form_settings import add_setting, setting
from .protocol_base import EngineProtocol

AUTOMATIC_BOX = -1
# settings of picking that have a place of their own in the form
PLACED = (
    "diameter",
    "particles_per_micrograph",
    "threshold",
    "border",
    "min_distance",
    "contamination",
)


def other_settings() -> List[Setting]:
    """Return the settings of picking that have no place of their own."""
    return [setting for setting in offered_settings(PickSettings) if setting.name not in PLACED]


def define_model(protocol: EngineProtocol, form: Any) -> None:
    """Add the model and what it has to be told."""
    add_reason_for_grey(form, "inputMicrographs", "the input micrographs")
    form.addParam(
        "modelFrom",
        params.EnumParam,
        choices=list(MODELS),
        default=MODEL_GENERAL,
        display=params.EnumParam.DISPLAY_COMBO,
        label="Model",
        help="_general model_: comes with pupick and needs no training; it has learned from "
        "simulated and real micrographs. Give the diameter of the particle. It is first fitted "
        f"to {MICROGRAPHS_FITTED} of the micrographs, without any pick; while micrographs "
        f"are still coming in, this protocol waits for the first {MICROGRAPHS_FITTED}.\n"
        "_trained in this project_: by *pupick - train*, or imported.\n"
        "_file_: a model (.safetensors) that pupick has written elsewhere; without a "
        "diameter below, its own is taken. One for any diameter, such as _pupick pretrain_ "
        "writes, is a general model, too.",
    )
    form.addParam(
        "inputModel",
        params.PointerParam,
        pointerClass="PUPickModel",
        condition=f"modelFrom=={MODEL_TRAINED}",
        important=True,
        label="Trained model",
        help="It knows the diameter of the particle; there is nothing to type again.",
    )
    trained = f"modelFrom=={MODEL_TRAINED} and "
    add_reason_for_grey(form, "inputModel", "a trained model, or another one above", trained)
    form.addParam(
        "modelFile",
        params.PathParam,
        default="",
        condition=f"modelFrom=={MODEL_FILE}",
        label="Model file",
        help="Written by _pupick train_, here or elsewhere.",
    )
    protocol.defineDiameter(form, condition=f"modelFrom!={MODEL_TRAINED}")
    add_setting(
        form,
        setting(PickSettings, "particles_per_micrograph"),
        "A file with a model for any diameter is a general model, too.",
        params.IntParam,
        allowsPointers=True,
        condition=f"modelFrom!={MODEL_TRAINED}",
    )


def define_picking(form: Any) -> None:
    """Add what is picked of the peaks that the model finds."""
    form.addSection("Picking")
    form.addParam(
        "thresholdFrom",
        params.EnumParam,
        choices=list(PICK_THRESHOLDS),
        default=THRESHOLD_OF_MODEL,
        display=params.EnumParam.DISPLAY_COMBO,
        label="Threshold",
        help="_of the model_: where estimated precision and recall balance best in the "
        "micrographs that the model was trained on, or fitted to.\n_score_: your own.\n"
        "After a change, *Continue* applies it to all micrographs without scoring them again.",
    )
    add_setting(
        form,
        replace(setting(PickSettings, "threshold"), default=0.0),
        condition=f"thresholdFrom=={THRESHOLD_VALUE}",
    )
    add_setting(
        form,
        setting(PickSettings, "border"),
        "0 keeps all.",
        expertLevel=params.LEVEL_ADVANCED,
    )
    add_setting(
        form,
        setting(PickSettings, "min_distance"),
        "After a change, *Continue* scores all micrographs again.",
        expertLevel=params.LEVEL_ADVANCED,
    )
    add_setting(
        form,
        setting(PickSettings, "contamination"),
        "After a change, *Continue* applies it to all micrographs without scoring them again.",
    )
    for other in other_settings():
        add_setting(form, other, "After a change, *Continue* picks all micrographs again.")
    form.addParam(
        "boxSize",
        params.IntParam,
        default=AUTOMATIC_BOX,
        allowsPointers=True,
        expertLevel=params.LEVEL_ADVANCED,
        label="Box size (px)",
        help="Of the output, for display and extraction. It does not change what is picked.\n"
        "-1: one and a half diameters.",
    )
