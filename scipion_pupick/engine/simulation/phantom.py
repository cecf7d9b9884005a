# SPDX-License-Identifier: GPL-3.0-or-later
"""Random particles: clumps of matter in random shapes, some symmetric, some hollow.

A general network learns from these what a particle is, so they vary more than proteins do.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Callable, Dict

import numpy as np
from scipy import fft, ndimage
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from .density import Density, centre_density
from .random_numbers import log_uniform

VOXELS_PER_DIAMETER = 40
# standard deviation, voxels: details down to about a thirtieth of the diameter are left
_BLUR = 0.6
_RADIUS_QUANTILE = 0.995
_POINTS = 24000

# Says of points (n, 3), within the unit ball or cube, which lie inside.
Shape = Callable[[np.ndarray], np.ndarray]


def random_phantom(random: np.random.Generator, diameter: float) -> Density:
    """Make a random particle.

    Matter is laid out as points: clumps at random places inside a random shape, repeated by a
    random point group, scaled to the diameter, counted in voxels and blurred to a resolution of
    about a thirtieth of the diameter. Half of the phantoms have denser domains, too. Power spectra
    of proteins lie amid those of phantoms, up to nine cycles in a diameter.

    Args:
        random: the source of randomness.
        diameter: as `Density.diameter` gives it, Å.

    Returns:
        The density, whose name says the shape and the point group.
    """
    shape = str(random.choice(list(_SHAPES), p=_WEIGHTS / _WEIGHTS.sum()))
    group = _random_group(shape, random)
    rotations = Rotation.create_group(group)
    points = _random_clumps(_SHAPES[shape](random), _POINTS // len(rotations), random)
    if shape in ("ellipsoid", "domains") and group != "C1":
        # away from the axes, so that some are rings of subunits
        points += [random.uniform(0, 1), 0, random.uniform(0, 0.5)]
    points = np.concatenate([rotation.apply(points) for rotation in rotations])
    points -= points.mean(axis=0)
    radius = np.quantile(np.linalg.norm(points, axis=1), _RADIUS_QUANTILE)
    values = _count_in_voxels(points * (VOXELS_PER_DIAMETER / 2 / radius))
    density = centre_density(values, 1.0, name=f"{shape} {group}")
    return replace(density, pixel_size=diameter / density.diameter)


def _random_group(shape: str, random: np.random.Generator) -> str:
    """Choose a point group: none for half of all, cubic ones mostly for shells."""
    if shape == "shell" and random.random() < 0.6:
        return str(random.choice(["T", "O", "I"]))
    if random.random() < 0.5:
        return "C1"
    return f"{random.choice(['C', 'D'])}{random.integers(2, 8)}"


def _random_clumps(inside: Shape, count: int, random: np.random.Generator) -> np.ndarray:
    """Scatter about `count` points (n, 3) in clumps whose centres lie inside a shape."""
    clumps = max(20, round(count / log_uniform(random, 8, 40)))
    centres = _points_inside(inside, clumps, random)
    spread = log_uniform(random, 0.025, 0.08)
    shares = random.gamma(random.uniform(1, 8), size=clumps)
    if random.random() < 0.5:
        shares *= _density_of_domains(centres, random)
    owners = random.choice(clumps, size=count, p=shares / shares.sum())
    return centres[owners] + spread * random.standard_normal((count, 3))


def _density_of_domains(points: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return for points (n, 3) the density (n,) of round domains about some, and of the rest."""
    middles = points[random.integers(len(points), size=random.integers(3, 25))]
    width = random.uniform(0.1, 0.3)
    distance, _ = cKDTree(middles).query(points)
    return random.uniform(0.1, 0.6) + np.exp(-(distance**2) / (2 * width**2))


def _points_inside(inside: Shape, count: int, random: np.random.Generator) -> np.ndarray:
    """Draw points (count, 3) uniformly inside a shape."""
    found = np.empty((0, 3))
    while len(found) < count:
        points = random.uniform(-1, 1, (8 * count, 3))
        found = np.concatenate([found, points[inside(points)]])
    return found[:count]


def _count_in_voxels(points: np.ndarray) -> np.ndarray:
    """Count points (n, 3) of x, y, z about the origin in voxels of side 1, and blur."""
    side = 2 * fft.next_fast_len(math.ceil(np.abs(points).max() + 4 * _BLUR))
    edges = [np.arange(side + 1) - side / 2 - 0.5] * 3
    counts, _ = np.histogramdd(points[:, ::-1], edges)
    return ndimage.gaussian_filter(counts.astype(np.float32), _BLUR)


def _ellipsoid(random: np.random.Generator) -> Shape:
    axes = np.array([random.uniform(0.35, 1), random.uniform(0.35, 1), 1])
    return lambda points: ((points / axes) ** 2).sum(axis=1) < 1


def _rod(random: np.random.Generator) -> Shape:
    radius = random.uniform(0.15, 0.4)

    def inside(points: np.ndarray) -> np.ndarray:
        beyond = np.maximum(np.abs(points[:, 2]) - (1 - radius), 0)
        return _off_axis(points) ** 2 + beyond**2 < radius**2

    return inside


def _barrel(random: np.random.Generator) -> Shape:
    outer, half, bulge = random.uniform([0.45, 0.4, -0.3], [0.9, 1, 0.3])
    inner = outer * random.uniform(0.2, 0.65)
    waist = outer * random.uniform(0.1, 0.5)

    def inside(points: np.ndarray) -> np.ndarray:
        height = np.abs(points[:, 2])
        radius = _off_axis(points)
        wall = outer * (1 + bulge * np.cos(math.pi * height / half)) / (1 + abs(bulge))
        # the channel may narrow in the middle, as a septum does
        channel = np.where(height < 0.2 * half, min(waist, inner), inner)
        return (height < half) & (radius < wall) & (radius > channel)

    return inside


def _ring(random: np.random.Generator) -> Shape:
    tube = random.uniform(0.15, 0.4)
    stretch = random.uniform(0.7, 1.8)
    return lambda points: np.hypot(_off_axis(points) - (1 - tube), points[:, 2] / stretch) < tube


def _disc(random: np.random.Generator) -> Shape:
    half = random.uniform(0.15, 0.4)
    width = random.uniform(0.6, 1)
    return lambda points: (
        (np.hypot(points[:, 0], points[:, 1] / width) < 1) & (np.abs(points[:, 2]) < half)
    )


def _domains(random: np.random.Generator) -> Shape:
    """Return a chain or tree of overlapping ellipsoids, like domains of a complex."""
    count = int(random.integers(2, 9))
    radii = random.uniform(0.15, 0.4, (count, 3))
    centres = np.zeros((count, 3))
    for domain in range(1, count):
        parent = random.integers(domain)
        step = random.standard_normal(3)
        reach = 0.8 * (radii[parent].mean() + radii[domain].mean())
        centres[domain] = centres[parent] + reach * step / np.linalg.norm(step)
    centres -= centres.mean(axis=0)
    size = (np.abs(centres) + radii).max()
    return lambda points: np.any(
        [
            (((size * points - centre) / radius) ** 2).sum(axis=1) < 1
            for centre, radius in zip(centres, radii)
        ],
        axis=0,
    )


def _shell(random: np.random.Generator) -> Shape:
    """Return a hollow sphere, sometimes with a core, like a cage or a virus."""
    inner = random.uniform(0.6, 0.88)
    core = random.choice([0, random.uniform(0.3, 0.75)]) * inner
    flattening = random.uniform(0.85, 1)

    def inside(points: np.ndarray) -> np.ndarray:
        radius = np.sqrt(points[:, 0] ** 2 + points[:, 1] ** 2 + (points[:, 2] / flattening) ** 2)
        return ((radius < 1) & (radius > inner)) | (radius < core)

    return inside


def _off_axis(points: np.ndarray) -> np.ndarray:
    return np.hypot(points[:, 0], points[:, 1])


_SHAPES: Dict[str, Callable[[np.random.Generator], Shape]] = {
    "ellipsoid": _ellipsoid,
    "rod": _rod,
    "barrel": _barrel,
    "ring": _ring,
    "disc": _disc,
    "domains": _domains,
    "shell": _shell,
}
_WEIGHTS = np.array([3, 1, 2, 1, 1, 5, 2])
