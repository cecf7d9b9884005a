# SPDX-License-Identifier: GPL-3.0-or-later
"""The form of the protocol that trains."""

from __future__ import annotations

from typing import Any

import pyworkflow.protocol.params as params

from ..constants import START_GENERAL, START_PREVIOUS, START_SCRATCH, STARTS
from ..engine.settings import CorrectionSettings, TrainSettings, offered_settings
from .form_inputs import add_reason_for_grey
from .form_settings import add_setting, setting
from .protocol_base import EngineProtocol

# what may say where particles are
PICKS = "SetOfCoordinates, SetOfParticles, SetOfClasses2D"
# a model to start from has these already
KEPT_FROM_START = ("network", "units", "normalisation")
# settings that have a place of their own in the form
PLACED = ("diameter", "particles_per_micrograph", "epochs")


def define_input(protocol: EngineProtocol, form: Any) -> None:
    """Add what to train on."""
    form.addSection("Input")
    protocol.defineGpu(form)
    form.addParam(
        "inputMicrographs",
        params.PointerParam,
        pointerClass="SetOfMicrographs",
        important=True,
        label="Input micrographs",
        help="With and without picks: micrographs without picks show what else there is.",
    )
    form.addParam(
        "inputCoordinates",
        params.PointerParam,
        pointerClass=PICKS,
        important=True,
        label="Picked particles",
        help="Picked by hand, or chosen otherwise so that hardly one is wrong. Pick all kinds "
        "of views, and at random: not all of a micrograph need be picked.\nParticles and 2D "
        "classes that were selected will do, too: their shifts are taken into account.",
    )
    add_reason_for_grey(form, "inputMicrographs", "the input micrographs")
    add_reason_for_grey(form, "inputCoordinates", "the picked particles")
    form.addParam(
        "negativeCoordinates",
        params.PointerParam,
        pointerClass=PICKS,
        allowsNull=True,
        expertLevel=params.LEVEL_ADVANCED,
        label="Places without a particle (optional)",
        help="Such as ice or carbon edges that an earlier model took for particles.\nOr the "
        "classes or particles that the picked particles were selected from: those of classes that "
        "were rejected as a whole are taken. Classes with hardly a particle say nothing.",
    )
    _define_corrected(form)
    protocol.defineDiameter(form)
    add_setting(
        form,
        setting(TrainSettings, "particles_per_micrograph"),
        "It decides how many the model will pick.",
        params.IntParam,
        allowsPointers=True,
    )


def _define_corrected(form: Any) -> None:
    form.addParam(
        "correctedCoordinates",
        params.PointerParam,
        pointerClass="SetOfCoordinates",
        allowsNull=True,
        expertLevel=params.LEVEL_ADVANCED,
        label="Picks before they were corrected (optional)",
        help="The output of *pupick - pick* or *pupick - suggest* that you have corrected; the "
        "picked particles above are the corrected ones. What you removed counts as no particle. "
        "Training starts from the model that had picked, unless you choose another start than the "
        "general model.",
    )
    add_setting(
        form, setting(CorrectionSettings, "done"), condition="correctedCoordinates is not None"
    )


def define_training(protocol: EngineProtocol, form: Any) -> None:
    """Add the start and the settings of the training."""
    form.addSection("Training")
    form.addParam(
        "startFrom",
        params.EnumParam,
        choices=list(STARTS),
        default=START_GENERAL,
        display=params.EnumParam.DISPLAY_COMBO,
        label="Start from",
        help="_general model_: comes with pupick and needs fewest picks. It has learned from "
        "simulated particles of many kinds and from real micrographs.\n"
        "_previous model_: trained or imported in this project.\n"
        "_from scratch_: knows nothing yet.",
    )
    form.addParam(
        "previousModel",
        params.PointerParam,
        pointerClass="PUPickModel",
        condition=f"startFrom=={START_PREVIOUS}",
        label="Previous model",
        help="It is trained further. The diameter may be another.",
    )
    previous = f"startFrom=={START_PREVIOUS} and "
    add_reason_for_grey(form, "previousModel", "a previous model", previous)
    add_setting(form, setting(TrainSettings, "epochs"))
    _define_expert(form)


def _define_expert(form: Any) -> None:
    of_start = {"condition": f"startFrom=={START_SCRATCH}"}
    for other in offered_settings(TrainSettings):
        if other.name not in PLACED:
            add_setting(form, other, **(of_start if other.name in KEPT_FROM_START else {}))
    form.addParam(
        "moreArguments",
        params.StringParam,
        default="",
        expertLevel=params.LEVEL_ADVANCED,
        label="More arguments",
        help="Of the command _pupick train_, such as --steps 100 --held-out 0.",
    )


def define_streaming(form: Any) -> None:
    """Add when to train on sets that are still growing."""
    form.addSection("Streaming")
    form.addParam(
        "minMicrographs",
        params.IntParam,
        default=5,
        validators=[params.Positive],
        label="Least number of picked micrographs",
        help="While micrographs or picks are still coming in, training starts when this many "
        "micrographs have picks, and there are enough picks. Complete sets are taken as they "
        "are.",
    )
    form.addParam(
        "minPicks",
        params.IntParam,
        default=50,
        validators=[params.Positive],
        label="Least number of picks",
        help="That training starts with, while sets are still growing.",
    )
    form.addParam(
        "keepTraining",
        params.BooleanParam,
        default=False,
        label="Train again as picks come in?",
        help="Yes: train again each time that the number of picks has doubled, and once more "
        "when the sets are complete. The output becomes the newest model; a picking protocol "
        "goes on with the one that it started with.\nNo: the first model is the only one.",
    )
    form.addParam(
        "streamingSleepOnWait",
        params.IntParam,
        default=10,
        validators=[params.Positive],
        label="Look for new picks every (s)",
        help="Seconds from one look at growing sets to the next.",
    )
