# SPDX-License-Identifier: GPL-3.0-or-later
"""One micrograph from its grey values to a normalised working image."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Optional, Sequence

import numpy as np

from ..errors import MicrographError, UsageError
from ..micrographs import (
    AnyMicrograph,
    Micrograph,
    Shape,
    image_of,
    image_shape,
    require_pixel_size,
)
from ..settings import NORMALISATIONS
from .fourier_crop import Resample, downsample
from .mixture import Mixture
from .normalise import normalise
from .outliers import PixelMender, warn_of_bad_pixels
from .scale import WorkingScale

MOST_DEVIATIONS = 10.0
WIDEST_PARTICLE = 0.25  # of the micrograph's shorter side, without a doubt
_NO_MEMORY = "there is too little memory for it"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class WorkingImage:
    """A micrograph at the working scale.

    Attributes:
        micrograph: where it comes from.
        image: (h, w) float32.
        shape: (ny, nx) of the micrograph, px.
        pixel_size: of the micrograph, Å/px.
    """

    micrograph: AnyMicrograph
    image: np.ndarray
    shape: Shape
    pixel_size: float

    @property
    def working_shape(self) -> Shape:
        """Shape (h, w) of the image, px at the working scale."""
        return self.image.shape[0], self.image.shape[1]


def read_working_image(
    micrograph: AnyMicrograph,
    scale: WorkingScale,
    threads: int = 1,
    resample: Resample = downsample,
) -> WorkingImage:
    """Read a micrograph and downsample it, grey values kept but for single hot or dead pixels.

    Args:
        micrograph: to read.
        scale: working scale.
        threads: for the transforms.
        resample: does it, as `fourier_crop.downsample`.

    Raises:
        MicrographError: it cannot be used; says why.
    """
    pixel_size = require_pixel_size(micrograph)
    image = image_of(micrograph)
    shape = (image.shape[0], image.shape[1])
    try:
        mender = PixelMender(image)
        working = resample(image, scale.shape(shape, pixel_size), threads, mender)
    except MicrographError as error:
        raise MicrographError(f"{micrograph.path}: {error}") from error
    except MemoryError as error:
        raise MicrographError(f"{micrograph.path}: {_NO_MEMORY}") from error
    warn_of_bad_pixels(micrograph.path, image, mender.outliers, mender.left)
    return WorkingImage(micrograph, working, shape, pixel_size)


def normalise_working_image(
    working: WorkingImage, method: str, mixture: Optional[Mixture] = None
) -> WorkingImage:
    """Normalise grey values, and limit those far from the background's to 10 deviations.

    Raises:
        MicrographError: the image is constant.
    """
    try:
        image = normalise(working.image, method, mixture)
    except MicrographError as error:
        raise MicrographError(f"{working.micrograph.path}: {error}") from error
    except MemoryError as error:
        raise MicrographError(f"{working.micrograph.path}: {_NO_MEMORY}") from error
    image = np.clip(image, -MOST_DEVIATIONS, MOST_DEVIATIONS)
    return WorkingImage(working.micrograph, image, working.shape, working.pixel_size)


def prepare(
    micrograph: AnyMicrograph,
    scale: WorkingScale,
    method: str = "gmm",
    mixture: Optional[Mixture] = None,
    threads: int = 1,
    resample: Resample = downsample,
) -> WorkingImage:
    """Read, downsample and normalise a micrograph.

    Args:
        micrograph: to read.
        scale: working scale.
        method: of `normalise.normalise`.
        mixture: shared over a set, or None to fit one to this micrograph.
        threads: for the transforms.
        resample: does them, as `fourier_crop.downsample`.

    Raises:
        MicrographError: it cannot be used; the text names the file and says why.
    """
    working = read_working_image(micrograph, scale, threads, resample)
    return normalise_working_image(working, method, mixture)


def require_scale(micrographs: Sequence[Micrograph], scale: WorkingScale) -> None:
    """Refuse a diameter or pixel size with which no micrograph can be prepared.

    Headers are read up to the first micrograph that can; files that are damaged say nothing. A
    particle that is wide in that micrograph is doubted in the log.

    Raises:
        UsageError: there is none, though there are good files; says what is wrong with the first.
    """
    reason = ""
    for micrograph in micrographs:
        try:
            shape = image_shape(micrograph.path)
        except MicrographError:
            continue
        try:
            pixel_size = require_pixel_size(micrograph)
            scale.shape(shape, pixel_size)
        except MicrographError as error:
            reason = reason or f"{micrograph.name}: {error}"
        else:
            _warn_if_wide(scale, pixel_size, shape, micrograph.name)
            return
    if reason:
        raise UsageError(reason)


def _warn_if_wide(scale: WorkingScale, pixel_size: float, shape: Shape, name: str) -> None:
    """Say that a particle takes more of an image (ny, nx) than particles do."""
    diameter_px = scale.diameter / pixel_size
    if diameter_px > WIDEST_PARTICLE * min(shape):
        log.warning(
            "A particle is %.0f px wide in %s, which has %d x %d px: few fit in: %s.",
            diameter_px,
            name,
            shape[1],
            shape[0],
            scale.advice,
        )


def pixel_method(method: str) -> str:
    """Return the method of `normalise.normalise` that a normalisation of a set uses.

    Raises:
        UsageError: there is no such normalisation.
    """
    if method not in NORMALISATIONS:
        raise UsageError(
            f"There is no normalisation {method!r}: choose one of {', '.join(NORMALISATIONS)}."
        )
    return "affine" if method == "affine" else "gmm"
