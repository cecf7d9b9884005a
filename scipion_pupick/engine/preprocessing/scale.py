# SPDX-License-Identifier: GPL-3.0-or-later
"""The working scale, at which every particle has the same diameter in pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

import numpy as np

from ..errors import MicrographError, UsageError
from ..micrographs import Shape
from ..settings import WORKING_DIAMETER_PX

LEAST_DIAMETER_PX = 6.0
LARGEST_WORKING_IMAGE = 2**26


@dataclass(frozen=True)
class ModelScale:
    """Width of particles in a model's working images.

    Attributes:
        diameter: of the particle that the model was trained on, Å; None for a general model.
        diameter_px: of any particle, px of the working image.
    """

    diameter: Optional[float]
    diameter_px: float = WORKING_DIAMETER_PX

    def __post_init__(self) -> None:
        WorkingScale(1.0 if self.diameter is None else self.diameter, self.diameter_px)

    def of(self, diameter: Optional[float] = None) -> WorkingScale:
        """Return the working scale for a particle of this diameter, Å; None for the model's own.

        Raises:
            UsageError: neither is known.
        """
        width = self.diameter if diameter is None else diameter
        if width is None:
            raise UsageError(
                "The general model picks particles of any size: give the particle's diameter, Å.",
                setting="diameter",
            )
        return WorkingScale(width, self.diameter_px)


@dataclass(frozen=True)
class WorkingScale:
    """The scale at which networks see particles.

    Attributes:
        diameter: particle diameter, Å.
        diameter_px: the same diameter in px of the working image.
    """

    diameter: float
    diameter_px: float = WORKING_DIAMETER_PX

    def __post_init__(self) -> None:
        if not (np.isfinite(self.diameter) and self.diameter > 0):
            raise UsageError(
                f"The particle diameter is {self.diameter:g} Å: give a positive number of Å.",
                setting="diameter",
            )
        if not (np.isfinite(self.diameter_px) and self.diameter_px > 0):
            raise UsageError(
                f"The working diameter is {self.diameter_px:g} px: give a positive number of px.",
                setting="diameter_px",
            )

    @property
    def pixel_size(self) -> float:
        """Pixel size of working images, Å/px."""
        return self.diameter / self.diameter_px

    def seen_as(self, usual_px: float) -> float:
        """Return the diameter (Å) that particles seem to have to a network.

        Args:
            usual_px: width of the particles that it was trained on, px.
        """
        return self.diameter * usual_px / self.diameter_px

    def shape(self, shape: Shape, pixel_size: float) -> Shape:
        """Shape (ny, nx) of the working image of a micrograph, at most 2**26 px.

        Args:
            shape: (ny, nx) of the micrograph, px.
            pixel_size: of the micrograph, Å/px.

        Raises:
            MicrographError: the particle is larger than the micrograph, or too few pixels wide.
        """
        diameter_px = self.diameter / pixel_size
        if diameter_px > min(shape):
            raise MicrographError(
                f"a particle of {self.diameter:g} Å is {diameter_px:.0f} px wide at "
                f"{pixel_size:g} Å/px, larger than the image of {shape[1]} x {shape[0]} px: "
                "check the diameter (Å) and the pixel size (Å/px)"
            )
        if diameter_px < LEAST_DIAMETER_PX:
            raise MicrographError(
                f"a particle of {self.diameter:g} Å is only {diameter_px:.1f} px wide at "
                f"{pixel_size:g} Å/px, too small to be seen (at least {LEAST_DIAMETER_PX:g} px): "
                "check the diameter (Å) and the pixel size (Å/px)"
            )
        factor = pixel_size / self.pixel_size
        working = max(1, round(shape[0] * factor)), max(1, round(shape[1] * factor))
        if working[0] * working[1] > LARGEST_WORKING_IMAGE:
            raise MicrographError(
                f"a particle of {self.diameter:g} Å is so small in {shape[1]} x {shape[0]} px at "
                f"{pixel_size:g} Å/px that the image would have to be enlarged to {working[1]} x "
                f"{working[0]} px: check the diameter (Å) and the pixel size (Å/px)"
            )
        return working


def to_original(xy: np.ndarray, shape: Shape, working_shape: Shape) -> np.ndarray:
    """Map points (n, 2) of (x, y) from px of the working image to px of the micrograph.

    Fourier cropping keeps the centre of the first pixel where it is, so the map has no offset.
    """
    return xy * _factors(shape, working_shape)


def to_working(xy: np.ndarray, shape: Shape, working_shape: Shape) -> np.ndarray:
    """Map points (n, 2) of (x, y) from px of the micrograph to px of the working image."""
    return xy / _factors(shape, working_shape)


def _factors(shape: Shape, working_shape: Shape) -> np.ndarray:
    return np.array([shape[1] / working_shape[1], shape[0] / working_shape[0]])
