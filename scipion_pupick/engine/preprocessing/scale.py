# SPDX-License-Identifier: GPL-3.0-or-later
"""The working scale, at which every particle has the same diameter in pixels."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Dict, Optional

import numpy as np

from ..errors import MicrographError, UsageError
from ..micrographs import Shape
from ..micrographs.pixel_sizes import same_pixel_size
from ..settings import WORKING_DIAMETER_PX

LEAST_DIAMETER_PX = 6.0
LARGEST_WORKING_IMAGE = 2**26
# px; for particles that are so small in so large an image, each micrograph would take minutes
LARGEST_ENLARGED_IMAGE = 2**24
# along each side; less is nothing to be careful of
ENLARGED = 1.5


@dataclass(frozen=True)
class LengthUnit:
    """What diameters, and the pixel sizes with them, are given in.

    Attributes:
        name: `Å`, or `px` of images where a caller knows nothing else.
        angstrom: how many Å it is; None where that is not known.
    """

    name: str
    angstrom: Optional[float]

    def is_same(self, other: LengthUnit) -> bool:
        """Whether lengths in the one are lengths in the other, as far as that is known."""
        if self.name != other.name or self.angstrom is None or other.angstrom is None:
            return self.name == other.name
        return same_pixel_size(self.angstrom, other.angstrom)


ANGSTROM = LengthUnit("Å", 1.0)
PIXELS = "px"


def pixels(pixel_size: Optional[float]) -> LengthUnit:
    """Return px of images of a pixel size (Å/px), if that is known, as a unit."""
    return LengthUnit(PIXELS, pixel_size)


@dataclass(frozen=True)
class ModelScale:
    """Width of particles in a model's working images.

    Attributes:
        diameter: of the particle that the model was trained on; None for a general model.
        diameter_px: of any particle, px of the working image.
        unit: of the diameter; None where an older model does not say, and its callers know.
    """

    diameter: Optional[float]
    diameter_px: float = WORKING_DIAMETER_PX
    # scores do not depend on it, and digests of models are made of what is shown
    unit: Optional[LengthUnit] = field(default=None, repr=False)

    def __post_init__(self) -> None:
        WorkingScale(1.0 if self.diameter is None else self.diameter, self.diameter_px)

    def of(self, diameter: Optional[float] = None, unit: LengthUnit = ANGSTROM) -> WorkingScale:
        """Return the working scale for a particle.

        Args:
            diameter: of the particle; None for the one that the model was trained on.
            unit: of that diameter, and of the scale's.

        Raises:
            UsageError: no diameter is known, or not in this unit.
        """
        width = self._own_diameter(unit) if diameter is None else diameter
        if width is None:
            raise UsageError(
                "The general model picks particles of any size: give the particle's diameter, "
                f"{unit.name}.",
                setting="diameter",
            )
        return WorkingScale(width, self.diameter_px, unit)

    def _own_diameter(self, unit: LengthUnit) -> Optional[float]:
        """Diameter that the model was trained on, in a unit."""
        own = self.unit
        if self.diameter is None or own is None or own.is_same(unit):
            return self.diameter
        if own.angstrom is None or unit.angstrom is None:
            raise UsageError(
                f"The model was trained on particles {self.diameter:g} {own.name} wide, which "
                f"cannot be turned into {unit.name}: the pixel size of the images that it was "
                f"{'trained on' if own.angstrom is None else 'given'} is not known. Give the "
                f"particle's diameter, {unit.name}.",
                setting="diameter",
            )
        return self.diameter * own.angstrom / unit.angstrom


@dataclass(frozen=True)
class WorkingScale:
    """The scale at which networks see particles.

    Attributes:
        diameter: particle diameter, Å or another unit that pixel sizes have, too.
        diameter_px: the same diameter in px of the working image.
        unit: of the diameter.
    """

    diameter: float
    diameter_px: float = WORKING_DIAMETER_PX
    unit: LengthUnit = field(default=ANGSTROM, repr=False)

    def __post_init__(self) -> None:
        if not (np.isfinite(self.diameter) and self.diameter > 0):
            raise UsageError(
                f"The particle diameter is {self.diameter:g} {self.unit.name}: give a positive "
                f"number of {self.unit.name}.",
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

    def to_dict(self) -> Dict[str, float]:
        """Return the numbers, as they stand in the records of runs."""
        return {"diameter": self.diameter, "diameter_px": self.diameter_px}

    def seen_as(self, usual_px: float) -> float:
        """Return the diameter (Å) that particles seem to have to a network.

        Args:
            usual_px: width of the particles that it was trained on, px.
        """
        return self.diameter * usual_px / self.diameter_px

    def shape(self, shape: Shape, pixel_size: float) -> Shape:
        """Shape (ny, nx) of the working image of a micrograph, at most 2**26 px.

        An image that is enlarged by more than 1.5 has at most 2**24 px.

        Args:
            shape: (ny, nx) of the micrograph, px.
            pixel_size: of the micrograph, Å/px.

        Raises:
            MicrographError: the particle is larger than the micrograph, or too few pixels wide.
        """
        diameter_px = self.diameter / pixel_size
        size = f"{shape[1]} x {shape[0]} px"
        if diameter_px > min(shape):
            width = self._width(f"{diameter_px:.0f}", pixel_size)
            raise MicrographError(f"{width}, larger than the image of {size}: {self.advice}")
        if diameter_px < LEAST_DIAMETER_PX:
            width = self._width(f"only {diameter_px:.1f}", pixel_size)
            raise MicrographError(
                f"{width}, too small to be seen (at least {LEAST_DIAMETER_PX:g} px): {self.advice}"
            )
        factor = pixel_size / self.pixel_size
        working = max(1, round(shape[0] * factor)), max(1, round(shape[1] * factor))
        most = LARGEST_WORKING_IMAGE
        if factor > ENLARGED:
            most = min(most, max(LARGEST_ENLARGED_IMAGE, shape[0] * shape[1]))
        if working[0] * working[1] > most:
            width = self._width(f"{diameter_px:.1f}", pixel_size)
            raise MicrographError(
                f"{width}, so small that the image of {size} would have to be scaled to "
                f"{working[1]} x {working[0]} px: {self.advice}"
            )
        return working

    @property
    def advice(self) -> str:
        """What to check where a particle has a width that cannot be."""
        if self.unit.name == PIXELS:
            return "check the diameter (px)"
        return "check the diameter (Å) and the pixel size (Å/px)"

    def _width(self, width_px: str, pixel_size: float) -> str:
        if self.unit.name == PIXELS:
            return f"a particle is {width_px} px wide"
        return f"a particle of {self.diameter:g} Å is {width_px} px wide at {pixel_size:g} Å/px"


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
