# SPDX-License-Identifier: GPL-3.0-or-later
"""Densities of particles: cubes about their centre of mass, in units of the mean protein."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

import mrcfile
import numpy as np
from scipy import ndimage

from ..errors import UsageError
from ..files.atomic import PathLike

# the share of the mass inside the diameter; it agrees with the longest extent of known complexes
MASS_INSIDE = 0.995
_SOLVENT_BELOW = 0.1
_MARGIN = 2
# calibrations of the axes may differ by so much
_CUBIC_WITHIN = 0.01
_MOST_SLANT = 0.5  # degrees


@dataclass(frozen=True, eq=False)
class Density:
    """The density of a particle.

    Attributes:
        values: (n, n, n) float32 in the order z, y, x, n even; solvent is 0, the mean of what is
            not solvent 1, and the centre of mass lies at the voxel n // 2 of each axis.
        pixel_size: Å/px.
        name: where it is from.
    """

    values: np.ndarray
    pixel_size: float
    name: str = ""

    @property
    def diameter(self) -> float:
        """Diameter in Å of the sphere about the centre with 99.5 % of the mass."""
        side = len(self.values)
        axis = np.arange(side) - side // 2
        squared = axis**2
        radius = np.sqrt(squared[:, None, None] + squared[:, None] + squared).ravel()
        order = np.argsort(radius)
        mass = np.cumsum(np.maximum(self.values.ravel()[order], 0), dtype=np.float64)
        where = np.searchsorted(mass, MASS_INSIDE * mass[-1])
        return 2 * self.pixel_size * float(radius[order[where]])


def centre_density(
    values: np.ndarray, pixel_size: float, threshold: Optional[float] = None, name: str = ""
) -> Density:
    """Cut a density out about its centre of mass, and scale it to a mean of 1.

    Args:
        values: (nz, ny, nx), protein positive.
        pixel_size: Å/px.
        threshold: what is not above is solvent; None for a tenth of the 99.9th percentile of the
            positive voxels.
        name: for messages and records.

    Raises:
        UsageError: the array is not three-dimensional or finite, or nothing is above the
            threshold.
    """
    if values.ndim != 3 or not np.isfinite(values).all():
        raise UsageError(f"{name or 'density'}: is no three-dimensional array of finite numbers.")
    if threshold is None:
        positive = values[values > 0]
        threshold = _SOLVENT_BELOW * float(np.percentile(positive, 99.9)) if positive.size else 0.0
    occupied = values > threshold
    if not occupied.any():
        raise UsageError(
            f"{name or 'density'}: no voxel is above {threshold:g}: give a lower threshold, and "
            "protein as positive density."
        )
    solid = np.where(occupied, values, 0).astype(np.float32)
    centre = np.array(ndimage.center_of_mass(solid))
    extent = np.abs(np.argwhere(occupied) - centre).max()
    cube = _cut_cube(solid, centre, math.ceil(extent) + _MARGIN)
    return Density(cube / solid[occupied].mean(), pixel_size, name)


def _cut_cube(values: np.ndarray, centre: np.ndarray, half: int) -> np.ndarray:
    """Cut a cube of side 2 * half so that `centre` comes to lie at its voxel `half`."""
    whole = np.round(centre).astype(int)
    cube = np.zeros((2 * half,) * 3, np.float32)
    source, target = [], []
    for middle, size in zip(whole, values.shape):
        start, stop = max(0, middle - half), min(size, middle + half)
        source.append(slice(start, stop))
        target.append(slice(start - middle + half, stop - middle + half))
    cube[tuple(target)] = values[tuple(source)]
    return ndimage.shift(cube, whole - centre, order=3)


def read_map(
    path: PathLike, threshold: Optional[float] = None, pixel_size: Optional[float] = None
) -> Density:
    """Read a density map.

    Args:
        path: MRC or CCP4 file, protein positive; also compressed.
        threshold: see `centre_density`.
        pixel_size: Å/px; None for the file's own.

    Raises:
        UsageError: the file is missing or no map, its voxels are no cubes, or it says no pixel
            size and none is given.
    """
    try:
        with mrcfile.open(Path(path), permissive=False) as file:
            values = _in_order(np.array(file.data, np.float32), file.header)
            sides = [float(file.voxel_size[axis]) for axis in "xyz"]
            angles = [float(file.header.cellb[angle]) for angle in ("alpha", "beta", "gamma")]
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: cannot be read as a density map: {error}") from error
    size = sides[0] if pixel_size is None else pixel_size
    if not (math.isfinite(size) and size > 0):
        raise UsageError(
            f"{path}: its pixel size is {size:g} Å: write the right one (Å/px) into its header."
        )
    slanted = any(angle and abs(angle - 90) > _MOST_SLANT for angle in angles)
    uneven = max(sides) - min(sides) > _CUBIC_WITHIN * max(sides)
    if pixel_size is None and (slanted or uneven):
        raise UsageError(
            f"{path}: its voxels are no cubes: they have sides of "
            f"{' x '.join(f'{side:g}' for side in sides)} Å and angles of "
            f"{', '.join(f'{angle:g}' for angle in angles)} degrees. Resample it to cubes."
        )
    return centre_density(values, size, threshold, Path(path).name)


def _in_order(values: np.ndarray, header: np.recarray) -> np.ndarray:
    """Return a map in the order z, y, x, whatever the axes of its file are."""
    # the slowest axis of the file comes first; 1 is x
    axes = [int(header.maps), int(header.mapr), int(header.mapc)]
    if values.ndim != 3 or sorted(axes) != [1, 2, 3]:
        return values
    return values.transpose([axes.index(axis) for axis in (3, 2, 1)])
