# SPDX-License-Identifier: GPL-3.0-or-later
"""What a training starts from: a model or random weights, and the settings that this binds."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import Any, Dict, List, Optional, Sequence

import torch

from ..adaptation.contrast import fit_contrast, invert_contrast
from ..adaptation.scale import best_scale
from ..files.atomic import PathLike
from ..micrographs import Micrograph
from ..networks.architectures import Network
from ..networks.model import Model, load_model
from ..preprocessing.scale import ANGSTROM, LengthUnit, WorkingScale
from ..settings import (
    EARLIER_GENERAL,
    GENERAL,
    STRIDE,
    OptimizerSettings,
    TrainSettings,
    as_meant_by_version_01,
)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Start:
    """What a training starts from.

    Attributes:
        model: whose weights are adjusted; None for random weights.
        settings: how to train, with the network, scale and normalisation of the model.
        unit: of the diameter in the settings.
    """

    model: Optional[Model]
    settings: TrainSettings
    unit: LengthUnit = ANGSTROM

    @property
    def network(self) -> Optional[Network]:
        """The network of the model."""
        return None if self.model is None else self.model.network

    @property
    def scale(self) -> WorkingScale:
        """The working scale to train at."""
        return WorkingScale(self.settings.diameter, self.settings.training.diameter_px, self.unit)

    @property
    def is_general(self) -> bool:
        """Whether the model is one for particles of any kind."""
        return self.model is not None and bool(self.model.training.general)

    @property
    def expects_particles(self) -> bool:
        """Whether the model has its say of how many particles a micrograph holds.

        That of version 0.1 has none: how much it may be trusted has not been measured.
        """
        return self.is_general and self.network is not None and self.network.step < STRIDE

    @property
    def knows_particles(self) -> bool:
        """Whether not labels alone say how many particles a micrograph holds."""
        return self.settings.particles_per_micrograph is not None or self.expects_particles

    @property
    def sees_negatives(self) -> bool:
        """Whether the model takes particles to be brighter than what is round them."""
        return self.model is not None and bool(self.model.training.bright_particles)

    def at_scale(self, scale: WorkingScale) -> Start:
        """Return the start with settings for another working scale."""
        training = replace(self.settings.training, diameter_px=scale.diameter_px)
        return replace(self, settings=replace(self.settings, training=training))

    def of_version_01(self) -> Start:
        """Return what the same words meant to version 0.1, with its general model."""
        settings = as_meant_by_version_01(self.settings)
        if not self.is_general:
            return replace(self, settings=settings)
        model = load_model(EARLIER_GENERAL)
        return Start(model, _continue_from(model, settings), self.unit)

    def inverted(self) -> Start:
        """Return the start with a model that sees negatives, if there is a model."""
        if self.model is None or self.sees_negatives:
            return self
        return replace(self, model=invert_contrast(self.model))


def choose_start(
    path: Optional[PathLike], settings: TrainSettings, unit: LengthUnit = ANGSTROM
) -> Start:
    """Load the model to start from, if there is one that fits.

    Args:
        path: of a model, whose network, scale and normalisation replace those of the settings, or
            `general`, which is taken only where the settings do not differ from its own in these;
            None for random weights.
        settings: how to train.
        unit: of the diameter in the settings.

    Raises:
        UsageError: there is no such model.
    """
    if path is None:
        return Start(None, settings, unit)
    model = load_model(path)
    continued = _continue_from(model, settings)
    usual = settings.training.network == OptimizerSettings().network
    wished = _with_network(settings, model.network_name) if usual else settings
    fits = wished == continued and settings.training.first_scores == "prior"
    if str(path) in (GENERAL, EARLIER_GENERAL) and not fits:
        log.info(
            "The general model has the network %s, %g px a diameter and its own normalisation: "
            "with these settings training starts from random weights.",
            model.network_name,
            model.scale.diameter_px,
        )
        return Start(None, settings, unit)
    name = "the general model" if model.training.general else str(path)
    log.info("Fine-tuning %s (%s).", name, model.network_name)
    unused = _unused_settings(settings, continued)
    if unused:
        log.warning("Not as set, for weights are bound to it: %s.", ", ".join(unused))
    return Start(model, continued, unit)


def _unused_settings(settings: TrainSettings, continued: TrainSettings) -> List[str]:
    """Say which settings that are not as they came give way to those of a model."""
    usual = _bound_settings(TrainSettings(settings.diameter))
    wished, used = _bound_settings(settings), _bound_settings(continued)
    return [
        f"{name} is {used[name]} (not {wished[name]})"
        for name in used
        if wished[name] not in (usual[name], used[name])
    ]


def _bound_settings(settings: TrainSettings) -> Dict[str, Any]:
    training = settings.training
    return {
        "network": training.network,
        "units": training.units,
        "diameter_px": training.diameter_px,
        "normalisation": settings.normalisation,
    }


def _with_network(settings: TrainSettings, network: str) -> TrainSettings:
    return replace(settings, training=replace(settings.training, network=network))


def _continue_from(model: Model, settings: TrainSettings) -> TrainSettings:
    """Take over from a model what its weights are bound to: network, scale, normalisation."""
    training = replace(
        settings.training,
        network=model.network_name,
        units=model.units,
        diameter_px=model.scale.diameter_px,
    )
    shared = "micrograph" if model.mixture is None else "joint"
    normalisation = "affine" if model.normalisation == "affine" else shared
    return replace(settings, training=training, normalisation=normalisation)


def adapt_start(start: Start, labelled: Sequence[Micrograph], device: torch.device) -> Start:
    """Fit contrast and scale of the general model to micrographs; leave any other start as it is.

    Args:
        start: what training starts from.
        labelled: micrographs with particles.
        device: to score on.
    """
    if start.model is None or start.model.scale.diameter is not None:
        return start
    search = fit_contrast(start.model, start.scale, labelled, device)
    return replace(start, model=search.general).at_scale(best_scale(search))
