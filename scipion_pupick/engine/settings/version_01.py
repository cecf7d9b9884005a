# SPDX-License-Identifier: GPL-3.0-or-later
"""How version 0.1 said what settings of trainings say now, so that its trainings go on as begun.

Its objective `ge-binomial` is `ge-binomial-kl` now, its `autoencoder` is `autoencoder_per_pixel`,
labelled negatives had the weight `class`, no patch became fainter, and batches were twice as
large.
"""

from __future__ import annotations

from dataclasses import MISSING, Field, asdict, fields, replace
from typing import Any, Dict, Union

from .train import OptimizerSettings, PretrainSettings, TrainSettings

_SETTINGS = frozenset(
    (
        *("diameter", "particles_per_micrograph", "normalisation", "held_out", "most_micrographs"),
        *("training", "labels", "particles", "network", "objective", "slack", "autoencoder"),
        *("distillation", "diameter_px", "training_radius", "epochs", "steps", "mosaics", "tiles"),
        *("unlabeled_scores", "learning_rate", "weight_decay", "averaging", "seed"),
        "augmentation",
    )
)
NEGATIVES_WEIGHT_OF_VERSION_01 = "class"
_TILES_OF_VERSION_01 = 8
_OBJECTIVES = {"ge-binomial-kl": "ge-binomial", "ge-binomial": "ge-binomial of the paper"}


def in_words_of_version_01(settings: Union[TrainSettings, PretrainSettings]) -> Dict[str, Any]:
    """Return settings as a dict, as version 0.1 would have had it.

    What it did not know is left out where it is as it comes, and so are the weight of negatives
    and how faint labelled patches become: a training depends on these only where there are some.
    """
    words = {**_known(settings), "training": _known(settings.training)}
    training = words["training"]
    training.pop("negatives_weight", None)
    training["augmentation"].pop("faintest")
    training["objective"] = _OBJECTIVES.get(training["objective"], training["objective"])
    summed, per_pixel = training["autoencoder"], training.pop("autoencoder_per_pixel", None)
    if summed is not None and summed != 0:
        training["autoencoder_sum"] = summed
        per_pixel = None
    elif summed is not None:
        per_pixel = summed
    training["autoencoder"] = per_pixel
    return words


def as_meant_by_version_01(settings: TrainSettings) -> TrainSettings:
    """Return what version 0.1 took the same settings for."""
    training = settings.training
    if training.mosaics == OptimizerSettings.mosaics:
        training = replace(training, mosaics=_TILES_OF_VERSION_01)
    if training.tiles == OptimizerSettings.tiles:
        training = replace(training, tiles=_TILES_OF_VERSION_01)
    if training.negatives_weight == OptimizerSettings.negatives_weight:
        training = replace(training, negatives_weight=NEGATIVES_WEIGHT_OF_VERSION_01)
    if training.augmentation.faintest is None:
        training = replace(training, augmentation=replace(training.augmentation, faintest=1.0))
    if training.objective == "ge-binomial":
        training = replace(training, objective="ge-binomial-kl")
    if training.autoencoder is not None:
        per_pixel = training.autoencoder
        training = replace(training, autoencoder=None, autoencoder_per_pixel=per_pixel)
    return replace(settings, training=training)


def _known(settings: Union[TrainSettings, PretrainSettings, OptimizerSettings]) -> Dict[str, Any]:
    """Values by name: all that version 0.1 knew, and what is not as it comes."""
    values = asdict(settings)
    return {
        part.name: values[part.name]
        for part in fields(settings)
        if part.name in _SETTINGS or getattr(settings, part.name) != _default(part)
    }


def _default(part: Field[Any]) -> Any:
    return part.default if part.default is not MISSING else None
