# SPDX-License-Identifier: GPL-3.0-or-later
"""What surrounds the particles: ice, carbon film, lumps of ice and gold beads."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Tuple

import numpy as np

from .ctf import Microscope
from .fields import smooth_field
from .random_numbers import log_uniform
from .settings import Ice, SimulationSettings

Shape = Tuple[int, int]

# Å; inelastic losses in ice seen with an aperture at 300 kV (Rice et al., J. Struct. Biol. 204,
# 38, 2018)
ICE_MEAN_FREE_PATH = 3200.0
# mean inner potentials, V, about as in Vulovic et al., J. Struct. Biol. 183, 19, 2013
_ICE_POTENTIAL = 4.5
_CARBON_POTENTIAL = 9.0
_CARBON_THICKNESS = 150.0
_CARBON_STRUCTURE = 3.0
_EDGE_RAGGEDNESS = 20.0  # Å, as is the width
_EDGE_WIDTH = 15.0
_LEAST_HOLE_RADIUS = 6000.0
_GOLD_PHASE = 1.5
_GOLD_TRANSMISSION = 0.15
# lumps thinner than this, Å, hide no particle
_HIDING_THICKNESS = 60.0


@dataclass(frozen=True, eq=False)
class Specimen:
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


def make_specimen(
    shape: Shape, pixel_size: float, settings: SimulationSettings, random: np.random.Generator
) -> Specimen:
    """Lay out what surrounds the particles.

    Args:
        shape: (ny, nx), px.
        pixel_size: Å/px.
        settings: of the ice, the contamination and the microscope.
        random: the source of randomness.
    """
    ice, contamination = settings.ice, settings.contamination
    relative = _ice_thickness(shape, pixel_size, ice, random)
    specimen = Specimen(
        np.zeros(shape, np.float32),
        np.exp(-relative * np.float32(ice.thickness / ICE_MEAN_FREE_PATH)),
        np.sqrt(relative),
        np.zeros(shape, bool),
    )
    if contamination.carbon > 0:
        _add_carbon(specimen, pixel_size, contamination.carbon, settings.microscope, random)
    for _ in range(contamination.crystals):
        _add_crystal(specimen, pixel_size, settings.microscope, random)
    for _ in range(contamination.gold):
        _add_gold(specimen, pixel_size, random)
    return specimen


def _ice_thickness(
    shape: Shape, pixel_size: float, ice: Ice, random: np.random.Generator
) -> np.ndarray:
    """Thickness relative to the mean: (ny, nx) float32."""
    y, x = _centred_grid(shape)
    angle = random.uniform(0, 2 * math.pi)
    along = pixel_size * (x * math.cos(angle) + y * math.sin(angle))
    relative = 1 + ice.slope / ice.thickness * along
    if ice.roughness > 0:
        relative = relative + ice.roughness * smooth_field(shape, min(shape) / 8, random)
    return np.maximum(relative, 0.1).astype(np.float32)


def _centred_grid(shape: Shape) -> Tuple[np.ndarray, np.ndarray]:
    """Rows (ny, 1) and columns (1, nx) from the middle of the image, px."""
    y, x = (np.arange(size, dtype=np.float32) - (size - 1) / 2 for size in shape)
    return y[:, None], x[None, :]


def _add_carbon(
    specimen: Specimen,
    pixel_size: float,
    share: float,
    microscope: Microscope,
    random: np.random.Generator,
) -> None:
    """Cover a share of the width from one side, up to the edge of a round hole."""
    shape = specimen.hidden.shape
    y, x = _centred_grid((shape[0], shape[1]))
    angle = random.uniform(0, 2 * math.pi)
    cosine, sine = math.cos(angle), math.sin(angle)
    extent = abs(cosine) * shape[1] + abs(sine) * shape[0]
    radius = max(_LEAST_HOLE_RADIUS / pixel_size, 1.5 * extent) * random.uniform(1, 2)
    apex = (0.5 - share) * extent
    depth = np.hypot(x - (apex - radius) * cosine, y - (apex - radius) * sine) - radius
    ragged = smooth_field((shape[0], shape[1]), max(1.0, 150 / pixel_size), random)
    depth += (_EDGE_RAGGEDNESS / pixel_size) * ragged
    film = 1 / (1 + np.exp(np.clip(-depth * pixel_size / _EDGE_WIDTH, -30, 30)))
    phase = microscope.interaction * _CARBON_POTENTIAL * _CARBON_THICKNESS
    specimen.phase[...] += film * np.float32(phase)
    specimen.structure[...] *= 1 + film * np.float32(_CARBON_STRUCTURE - 1)
    specimen.hidden[...] |= film > 0.5


def _add_crystal(
    specimen: Specimen, pixel_size: float, microscope: Microscope, random: np.random.Generator
) -> None:
    """Lay down a lump of ice: a polygon, or now and then a round drop."""
    radius = log_uniform(random, 60, 1000) / pixel_size
    window, y, x = _window(specimen.hidden.shape, 1.5 * radius, random)
    sides = int(random.choice([4, 5, 6, 6, 7, 30]))
    angles = 2 * math.pi * (np.arange(sides) + random.uniform(-0.3, 0.3, sides)) / sides
    reaches = random.uniform(0.6, 1.0, sides) * radius if sides < 30 else np.full(sides, radius)
    ragged = smooth_field((y.size, x.size), max(0.5, 0.15 * radius), random)
    inside = np.full(ragged.shape, np.inf, np.float32)
    for angle, reach in zip(angles, reaches):
        inside = np.minimum(inside, reach - x * math.cos(angle) - y * math.sin(angle))
    inside += random.uniform(0, 0.08) * radius * ragged
    height = np.sqrt(np.clip(inside / radius * random.uniform(0.7, 3), 0, 1))
    thickness = random.uniform(150, 800) * height
    specimen.phase[window] += microscope.interaction * _ICE_POTENTIAL * thickness
    specimen.transmission[window] *= np.exp(-thickness / ICE_MEAN_FREE_PATH)
    specimen.hidden[window] |= thickness > _HIDING_THICKNESS


def _add_gold(specimen: Specimen, pixel_size: float, random: np.random.Generator) -> None:
    """Lay down a bead of 50 to 150 Å."""
    radius = random.uniform(25, 75) / pixel_size
    window, y, x = _window(specimen.hidden.shape, radius + 2, random)
    bead = np.clip(radius - np.hypot(x, y) + 0.5, 0, 1)
    specimen.phase[window] += _GOLD_PHASE * bead
    specimen.transmission[window] *= 1 - (1 - _GOLD_TRANSMISSION) * bead
    specimen.hidden[window] |= bead > 0


def _window(
    shape: Tuple[int, ...], reach: float, random: np.random.Generator
) -> Tuple[Tuple[slice, slice], np.ndarray, np.ndarray]:
    """Choose a centre at random; give the window about it, and rows and columns from it, px."""
    centre = random.uniform(0, shape)
    starts = np.maximum(0, np.floor(centre - reach)).astype(int)
    stops = np.minimum(shape, np.ceil(centre + reach) + 1).astype(int)
    y, x = (np.arange(start, stop) - at for start, stop, at in zip(starts, stops, centre))
    window = slice(starts[0], stops[0]), slice(starts[1], stops[1])
    return window, y[:, None].astype(np.float32), x[None, :].astype(np.float32)
