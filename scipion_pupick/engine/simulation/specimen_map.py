# SPDX-License-Identifier: GPL-3.0-or-later
"""The arrays that whatever lies in a specimen is added to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Tuple

import numpy as np

# V; mean inner potential of ice, and of protein above that of ice, about as in Vulovic et al.,
# J. Struct. Biol. 183, 19, 2013
ICE_POTENTIAL = 4.5
PROTEIN_POTENTIAL = 2.5


@dataclass(frozen=True, eq=False)
class SpecimenMap:
    """What surrounds the particles, each array of shape (ny, nx).

    Attributes:
        phase: shift of the electrons' phase, rad.
        transmission: share of the electrons that are not lost.
        structure: standard deviation of the structural noise, relative to ice of mean thickness.
        hidden: where particles are not counted.
    """

    phase: np.ndarray
    transmission: np.ndarray
    structure: np.ndarray
    hidden: np.ndarray


def random_window(
    shape: Tuple[int, ...], reach: float, random: np.random.Generator
) -> Tuple[Tuple[slice, slice], np.ndarray, np.ndarray]:
    """Choose a centre at random; give the window about it, and rows and columns from it, px."""
    centre = random.uniform(0, shape)
    starts = np.maximum(0, np.floor(centre - reach)).astype(int)
    stops = np.minimum(shape, np.ceil(centre + reach) + 1).astype(int)
    y, x = (np.arange(start, stop) - at for start, stop, at in zip(starts, stops, centre))
    window = slice(starts[0], stops[0]), slice(starts[1], stops[1])
    return window, y[:, None].astype(np.float32), x[None, :].astype(np.float32)
