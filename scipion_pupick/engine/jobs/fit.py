# SPDX-License-Identifier: GPL-3.0-or-later
"""Fit the general model to micrographs, for runs that are going to pick in them."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Optional, Sequence

import torch

from ..device import memory_errors_explained, use_device
from ..errors import UsageError
from ..files.atomic import PathLike
from ..micrographs import Micrograph, say_pixel_sizes
from ..networks.model import Model, load_model
from ..networks.model_file import model_path
from ..preprocessing.working_image import require_scale
from ..runs.pick_run import PickRun
from ..settings import GENERAL, MICROGRAPHS_FITTED, PickSettings

log = logging.getLogger(__name__)


@memory_errors_explained()
def fit(
    micrographs: Sequence[Micrograph],
    output: PathLike,
    settings: PickSettings,
    model: PathLike = GENERAL,
    device: str = "auto",
    threads: int = 0,
) -> Path:
    """Fit the general model to micrographs, and pick nothing yet.

    The fitted model comes to lie in the folder of a picking run. `pick`, called with this folder
    and the same model and settings, takes it for all micrographs that it is given, also for others
    than these; so can many calls on parts of a set pick alike.

    Args:
        micrographs: to fit to; at most twelve, spread over them, are looked at.
        output: folder of the run, made where needed.
        settings: how to pick.
        model: `general`, or the path of another model for any diameter.
        device: see `device.choose_device`.
        threads: see `device.set_threads`.

    Returns:
        The path of the fitted model.

    Raises:
        UsageError: the model was trained for one particle, the device cannot be used, no
            micrograph was given, or there is no diameter.
        PupickError: the memory does not suffice.
        OSError: the model cannot be written.
    """
    processor = use_device(device, threads)
    say_pixel_sizes(micrographs)
    loaded = load_for(micrographs, model, settings)
    run = PickRun(Path(output))
    with run.owned(micrographs, "pupick pick"):
        path = fit_model(loaded, micrographs, settings, run, processor)
    if path is None:
        raise UsageError(f"{model} was trained for one particle: there is nothing to fit.")
    return path


def load_for(micrographs: Sequence[Micrograph], model: PathLike, settings: PickSettings) -> Model:
    """Load a model to pick in micrographs with.

    Raises:
        UsageError: it cannot be used, there is no micrograph, or there is no diameter, or one that
            suits no micrograph.
    """
    if not micrographs:
        raise UsageError("There is no micrograph to pick in.")
    loaded = load_model(model)
    require_scale(micrographs, loaded.scale.of(settings.diameter))
    return loaded


def model_for(
    micrographs: Sequence[Micrograph],
    model: PathLike,
    loaded: Model,
    settings: PickSettings,
    run: PickRun,
    device: torch.device,
) -> Path:
    """Return the file of the model to pick with, of the general one as fitted to micrographs."""
    return fit_model(loaded, micrographs, settings, run, device) or model_path(model)


def fit_model(
    model: Model,
    micrographs: Sequence[Micrograph],
    settings: PickSettings,
    run: PickRun,
    device: torch.device,
) -> Optional[Path]:
    """Fit the general model to micrographs, and return its file; None for a trained model."""
    number = settings.particles_per_micrograph
    if model.scale.diameter is not None:
        if number is not None:
            log.warning(
                "A trained model knows how many particles to expect: %g is ignored.", number
            )
        return None
    # loads scipy.optimize, which trained models do without
    from ..adaptation.fit import adapt_to_micrographs

    scale = model.scale.of(settings.diameter)
    return adapt_to_micrographs(model, scale, micrographs, number, run.adapted_model, device)


def least_number(model: PathLike, settings: PickSettings, run: PickRun) -> int:
    """Return how many micrographs picking waits for: the general model is fitted to some.

    Raises:
        UsageError: the model cannot be used, or there is no diameter.
    """
    general, number = load_model(model), settings.particles_per_micrograph
    if general.scale.diameter is not None:
        return 1
    # loads scipy.optimize, which trained models do without
    from ..adaptation.fit import is_fitted

    scale = general.scale.of(settings.diameter)
    return 1 if is_fitted(general, scale, [], number, run.adapted_model) else MICROGRAPHS_FITTED
