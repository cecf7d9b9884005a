# SPDX-License-Identifier: GPL-3.0-or-later
"""Banks of projections, made once for a density and pasted into micrographs many times."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Optional

import numpy as np
from scipy import fft

from ..errors import UsageError
from .density import Density
from .projection import project
from .rotations import random_rotations

BOX_DIAMETERS = 1.5


@dataclass(frozen=True, eq=False)
class Bank:
    """Projections of one density.

    Attributes:
        images: (m, size, size) float32 integrals of density along the beam, Å, about the pixel
            size // 2.
        pixel_size: Å/px.
        diameter: of the particle, Å.
        name: of the density.
    """

    images: np.ndarray
    pixel_size: float
    diameter: float
    name: str = ""

    @property
    def size(self) -> int:
        """Side of the projections, px."""
        return int(self.images.shape[1])


def make_bank(
    density: Density,
    pixel_size: float,
    random: np.random.Generator,
    count: int = 150,
    diameter: Optional[float] = None,
) -> Bank:
    """Project a density in random orientations.

    Args:
        density: of the particle.
        pixel_size: of the micrographs to come, Å/px.
        random: the source of randomness.
        count: of projections.
        diameter: by which particles are placed, Å; None for the density's own.

    Raises:
        UsageError: a number is not positive.
    """
    diameter = density.diameter if diameter is None else diameter
    for what, value in (("pixel size", pixel_size), ("diameter", diameter), ("count", count)):
        if not value > 0:
            raise UsageError(f"The {what} of a bank of projections is {value:g}: give more than 0.")
    extent = max(BOX_DIAMETERS * diameter, len(density.values) * density.pixel_size)
    size = 2 * fft.next_fast_len(math.ceil(extent / pixel_size / 2))
    images = project(density, random_rotations(count, random), pixel_size, size)
    return Bank(images, pixel_size, diameter, density.name)
