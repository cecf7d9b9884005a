# SPDX-License-Identifier: GPL-3.0-or-later
"""What surrounds the particles: ice, carbon film, lumps of ice and gold beads."""

from __future__ import annotations

import math
from typing import Tuple

import numpy as np

from .contaminants import (
    add_beam_edge,
    add_clump,
    add_denatured,
    add_filament,
    add_micelle,
    add_rough_patch,
    add_thin_place,
)
from .ctf import Microscope
from .fields import smooth_field
from .random_numbers import log_uniform
from .settings import Contamination, Ice, SimulationSettings
from .specimen_map import ICE_POTENTIAL, SpecimenMap, random_window

Shape = Tuple[int, int]

# Å; inelastic losses in ice seen with an aperture at 300 kV (Rice et al., J. Struct. Biol. 204,
# 38, 2018)
ICE_MEAN_FREE_PATH = 3200.0
# mean inner potential, V, about as in Vulovic et al., J. Struct. Biol. 183, 19, 2013
_CARBON_POTENTIAL = 9.0
_CARBON_THICKNESS = 150.0
_CARBON_STRUCTURE = 3.0
_EDGE_RAGGEDNESS = 20.0  # Å, as is the width
_EDGE_WIDTH = 15.0
_RIM_WIDTH = 80.0
_LEAST_HOLE_RADIUS = 6000.0
_GOLD_PHASE = 1.5
_GOLD_TRANSMISSION = 0.15
# lumps thinner than this, Å, hide no particle
_HIDING_THICKNESS = 60.0


def make_specimen(
    shape: Shape, pixel_size: float, settings: SimulationSettings, random: np.random.Generator
) -> SpecimenMap:
    """Lay out what surrounds the particles.

    Args:
        shape: (ny, nx), px.
        pixel_size: Å/px.
        settings: of the ice, the contamination and the microscope.
        random: the source of randomness.
    """
    ice, contamination = settings.ice, settings.contamination
    relative = _ice_thickness(shape, pixel_size, ice, random)
    specimen = SpecimenMap(
        np.zeros(shape, np.float32),
        np.exp(-relative * np.float32(ice.thickness / ICE_MEAN_FREE_PATH)),
        np.sqrt(relative),
        np.zeros(shape, bool),
    )
    _add_contamination(specimen, pixel_size, contamination, settings.microscope, random)
    return specimen


def _add_contamination(
    specimen: SpecimenMap,
    pixel_size: float,
    contamination: Contamination,
    microscope: Microscope,
    random: np.random.Generator,
) -> None:
    if contamination.carbon > 0:
        _add_carbon(specimen, pixel_size, contamination, microscope, random)
    kinds = (
        (contamination.crystals, _add_crystal),
        (contamination.rough, add_rough_patch),
        (contamination.thin, add_thin_place),
        (contamination.filaments, add_filament),
        (contamination.clumps, add_clump),
        (contamination.micelles, add_micelle),
    )
    for number, add in kinds:
        for _ in range(number):
            add(specimen, pixel_size, microscope, random)
    for _ in range(contamination.gold):
        _add_gold(specimen, pixel_size, random)
    if contamination.denatured > 0:
        add_denatured(specimen, pixel_size, contamination.denatured, microscope, random)
    if contamination.beam_edge > 0:
        add_beam_edge(specimen, pixel_size, contamination.beam_edge, random)


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
    specimen: SpecimenMap,
    pixel_size: float,
    contamination: Contamination,
    microscope: Microscope,
    random: np.random.Generator,
) -> None:
    """Cover a share of the width from one side, up to the edge of a round hole and its rim."""
    share, shape = contamination.carbon, specimen.hidden.shape
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
    if contamination.rim > 0:
        from_edge = (depth * pixel_size - _RIM_WIDTH) / _RIM_WIDTH
        rim = np.exp(-(from_edge**2) / 2) * np.float32(contamination.rim)
        specimen.phase[...] += np.float32(microscope.interaction * _CARBON_POTENTIAL) * rim
    specimen.structure[...] *= 1 + film * np.float32(_CARBON_STRUCTURE - 1)
    specimen.hidden[...] |= film > 0.5


def _add_crystal(
    specimen: SpecimenMap, pixel_size: float, microscope: Microscope, random: np.random.Generator
) -> None:
    """Lay down a lump of ice: a polygon, or now and then a round drop."""
    radius = log_uniform(random, 60, 1000) / pixel_size
    window, y, x = random_window(specimen.hidden.shape, 1.5 * radius, random)
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
    specimen.phase[window] += microscope.interaction * ICE_POTENTIAL * thickness
    specimen.transmission[window] *= np.exp(-thickness / ICE_MEAN_FREE_PATH)
    specimen.hidden[window] |= thickness > _HIDING_THICKNESS


def _add_gold(specimen: SpecimenMap, pixel_size: float, random: np.random.Generator) -> None:
    """Lay down a bead of 50 to 150 Å."""
    radius = random.uniform(25, 75) / pixel_size
    window, y, x = random_window(specimen.hidden.shape, radius + 2, random)
    bead = np.clip(radius - np.hypot(x, y) + 0.5, 0, 1)
    specimen.phase[window] += _GOLD_PHASE * bead
    specimen.transmission[window] *= 1 - (1 - _GOLD_TRANSMISSION) * bead
    specimen.hidden[window] |= bead > 0
