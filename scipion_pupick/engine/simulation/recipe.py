# SPDX-License-Identifier: GPL-3.0-or-later
"""One micrograph from a density or a random phantom, with all that was chosen at random."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Dict, Mapping, Optional, Tuple

import numpy as np

from ..errors import UsageError
from ..micrographs import Shape
from ..settings import WORKING_DIAMETER_PX
from .bank import make_bank
from .density import Density
from .micrograph import simulate_micrograph
from .phantom import random_phantom
from .settings import SimulationSettings, random_settings, with_fixed

PHANTOM_DIAMETERS = (80.0, 400.0)
JUNK_OF_DIAMETER = (0.2, 0.5)
PROJECTIONS_OF_JUNK = 50


@dataclass(frozen=True)
class Recipe:
    """What the micrographs of a simulation share.

    Attributes:
        shape: (ny, nx) of each, px.
        pixel_size: Å/px; None for a particle 24 px wide.
        diameter: of the particle, Å; None for that of the map, or for phantoms a random one.
        settings: of all micrographs; None for random ones in each.
        fixed: values that replace those of the settings, by name; see `with_fixed`.

    Raises:
        UsageError: a number makes no sense, or a name is unknown.
    """

    shape: Shape
    pixel_size: Optional[float]
    diameter: Optional[float]
    settings: Optional[SimulationSettings]
    fixed: Mapping[str, float]

    def __post_init__(self) -> None:
        """Refuse what cannot be simulated."""
        if min(self.shape) < 1:
            raise UsageError(
                f"Micrographs of {self.shape[1]} x {self.shape[0]} px cannot be simulated: give "
                "positive numbers."
            )
        for what, value in (("pixel size", self.pixel_size), ("diameter", self.diameter)):
            if value is not None and not (math.isfinite(value) and value > 0):
                raise UsageError(f"The {what} is {value:g} Å: it must be a positive number.")
        with_fixed(self.settings or SimulationSettings(), self.fixed)

    def simulate(
        self, density: Optional[Density], random: np.random.Generator
    ) -> Tuple[np.ndarray, Dict[str, Any]]:
        """Simulate a micrograph.

        Args:
            density: of the particle; None for a random phantom.
            random: the only source of chance.

        Returns:
            The image (ny, nx), and what it was made with, its particles (n, 2) among it, as JSON
            can hold it.
        """
        if density is None:
            low, high = np.log(PHANTOM_DIAMETERS)
            drawn = math.exp(random.uniform(low, high))
            density = random_phantom(random, drawn if self.diameter is None else self.diameter)
        settings = with_fixed(self.settings or random_settings(random), self.fixed)
        diameter = density.diameter if self.diameter is None else self.diameter
        pixel_size = diameter / WORKING_DIAMETER_PX if self.pixel_size is None else self.pixel_size
        bank = make_bank(density, pixel_size, random, diameter=diameter)
        small = random_phantom(random, diameter * random.uniform(*JUNK_OF_DIAMETER))
        junk = make_bank(small, pixel_size, random, PROJECTIONS_OF_JUNK)
        simulated = simulate_micrograph(bank, self.shape, settings, random, junk)
        return simulated.image, {
            "density": density.name,
            "diameter": diameter,
            "pixel_size": pixel_size,
            "potential": simulated.potential,
            "settings": asdict(settings),
            "particles": simulated.xy.tolist(),
        }
