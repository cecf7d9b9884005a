# SPDX-License-Identifier: GPL-3.0-or-later
"""What spoils micrographs beside lumps of ice and gold: filaments, clumps, rough ice and more."""

from __future__ import annotations

import math
from typing import Tuple

import numpy as np
from scipy import ndimage

from .ctf import Microscope
from .fields import smooth_field
from .random_numbers import log_uniform
from .specimen_map import ICE_POTENTIAL, PROTEIN_POTENTIAL, SpecimenMap, random_window

# thinner protein than this, Å, hides no particle
_HIDING_PROTEIN = 30.0
_MICELLE_BELT = 25.0  # Å
_BEAM_EDGE_WIDTH = 60.0  # Å


def add_filament(
    specimen: SpecimenMap, pixel_size: float, microscope: Microscope, random: np.random.Generator
) -> None:
    """Lay down a bent filament of 40 to 200 Å that crosses the micrograph."""
    height, width = specimen.hidden.shape
    radius = log_uniform(random, 20, 100) / pixel_size
    step = max(0.5, radius / 4)
    steps = math.ceil(2 * math.hypot(height, width) / step)
    bend = random.normal(0, 0.02, steps).cumsum() * step / max(height, width) * 8
    angle = random.uniform(0, 2 * math.pi) + np.cumsum(bend)
    path = np.cumsum(step * np.stack([np.cos(angle), np.sin(angle)], axis=1), axis=0)
    path += random.uniform(0, (width, height)) - path[steps // 2]
    x, y = np.round(path).astype(int).T
    inside = (x >= 0) & (y >= 0) & (x < width) & (y < height)
    away = np.ones((height, width), bool)
    away[y[inside], x[inside]] = False
    if not inside.any():
        return
    distance = ndimage.distance_transform_edt(away).astype(np.float32)
    chord = 2 * np.sqrt(np.clip(radius**2 - distance**2, 0, None)) * pixel_size
    density = random.uniform(0.5, 1.2)
    specimen.phase[...] += np.float32(microscope.interaction * PROTEIN_POTENTIAL * density) * chord
    specimen.hidden[...] |= distance < radius


def add_clump(
    specimen: SpecimenMap, pixel_size: float, microscope: Microscope, random: np.random.Generator
) -> None:
    """Lay down an aggregate: 15 to 120 blobs of protein that stick together."""
    blobs = int(random.integers(15, 121))
    width = log_uniform(random, 10, 50) / pixel_size
    spread = width * blobs ** (1 / 3) * random.uniform(0.8, 2.0)
    places = random.normal(0, spread * random.uniform(0.4, 1.0, 2), (blobs, 2))
    reach = float(np.abs(places).max() + 4 * width)
    window, y, x = random_window(specimen.hidden.shape, reach, random)
    thickness = np.zeros((y.size, x.size), np.float32)
    for place, size in zip(places, random.uniform(0.6, 1.4, blobs) * width):
        across = np.exp(-((x - place[0]) ** 2) / (2 * size**2))
        along = np.exp(-((y - place[1]) ** 2) / (2 * size**2))
        thickness += np.float32(2 * size * pixel_size) * along * across
    density = random.uniform(0.5, 1.3)
    specimen.phase[window] += microscope.interaction * PROTEIN_POTENTIAL * density * thickness
    specimen.hidden[window] |= thickness > 2 * _HIDING_PROTEIN


def add_thin_place(
    specimen: SpecimenMap, pixel_size: float, microscope: Microscope, random: np.random.Generator
) -> None:
    """Take ice away from a blob of 60 to 800 Å: a bright place."""
    radius = log_uniform(random, 30, 400) / pixel_size
    window, y, x = random_window(specimen.hidden.shape, 2 * radius, random)
    ragged = smooth_field((y.size, x.size), max(0.5, 0.4 * radius), random)
    inside = radius * (1 + 0.25 * ragged) - np.hypot(x, y)
    missing = random.uniform(60, 400) * np.sqrt(np.clip(2 * inside / radius, 0, 1))
    specimen.phase[window] -= np.float32(microscope.interaction * ICE_POTENTIAL) * missing
    specimen.hidden[window] |= missing > 60


def add_rough_patch(
    specimen: SpecimenMap, pixel_size: float, microscope: Microscope, random: np.random.Generator
) -> None:
    """Crystallise the ice of a patch of 150 to 3000 Å: grains of strong contrast, or a lattice."""
    radius = log_uniform(random, 75, 1500) / pixel_size
    window, y, x = random_window(specimen.hidden.shape, 1.6 * radius, random)
    shape = (y.size, x.size)
    ragged = smooth_field(shape, max(0.5, 0.3 * radius), random)
    inside = np.clip(radius * (1 + 0.3 * ragged) - np.hypot(x, y), 0, 3) / 3
    if random.random() < 0.6:
        grains = smooth_field(shape, log_uniform(random, 8, 40) / pixel_size, random)
    else:
        grains = _lattice(y, x, random)
    strength = microscope.interaction * ICE_POTENTIAL * log_uniform(random, 4, 100)
    specimen.phase[window] += (strength * inside * grains).astype(np.float32)
    specimen.hidden[window] |= inside > 0.5


def _lattice(y: np.ndarray, x: np.ndarray, random: np.random.Generator) -> np.ndarray:
    period, angle = random.uniform(3, 14), random.uniform(0, math.pi)
    waves = np.zeros((y.size, x.size))
    for turn in range(int(random.integers(1, 4))):
        along = x * math.cos(angle + turn * math.pi / 3) + y * math.sin(angle + turn * math.pi / 3)
        waves = waves + np.cos(2 * math.pi * along / period)
    return waves


def add_micelle(
    specimen: SpecimenMap, pixel_size: float, microscope: Microscope, random: np.random.Generator
) -> None:
    """Lay down an empty micelle of 70 to 120 Å: a hollow ball, which hides nothing."""
    outer = random.uniform(35, 60)
    inner = max(0.0, outer - _MICELLE_BELT)
    window, y, x = random_window(specimen.hidden.shape, outer / pixel_size + 1, random)
    squared = (x**2 + y**2) * pixel_size**2
    chord = 2 * np.sqrt(np.clip(outer**2 - squared, 0, None))
    chord -= 2 * random.uniform(0.4, 1.0) * np.sqrt(np.clip(inner**2 - squared, 0, None))
    specimen.phase[window] += np.float32(microscope.interaction * PROTEIN_POTENTIAL) * chord


def add_denatured(
    specimen: SpecimenMap,
    pixel_size: float,
    thickness: float,
    microscope: Microscope,
    random: np.random.Generator,
) -> None:
    """Spread denatured protein, as at the air-water interface, over part of the micrograph.

    Args:
        specimen: to spread it over.
        pixel_size: Å/px.
        thickness: standard deviation of its thickness, Å.
        microscope: that looks at it.
        random: the source of randomness.
    """
    shape = (specimen.hidden.shape[0], specimen.hidden.shape[1])
    where = 1 / (1 + np.exp(-3 * smooth_field(shape, min(shape) / 8, random)))
    threads = smooth_field(shape, max(0.7, log_uniform(random, 8, 25) / pixel_size), random)
    strength = microscope.interaction * PROTEIN_POTENTIAL * thickness
    specimen.phase[...] += (strength * where * threads).astype(np.float32)


def add_beam_edge(
    specimen: SpecimenMap, pixel_size: float, share: float, random: np.random.Generator
) -> None:
    """Darken a share of the width at one side, outside the round beam."""
    height, width = specimen.hidden.shape
    y, x = (np.arange(size, dtype=np.float32) - (size - 1) / 2 for size in (height, width))
    angle = random.uniform(0, 2 * math.pi)
    extent = abs(math.cos(angle)) * width + abs(math.sin(angle)) * height
    radius = 1.5 * extent * random.uniform(1, 2)
    apex = (0.5 - share) * extent - radius
    centre: Tuple[float, float] = apex * math.cos(angle), apex * math.sin(angle)
    beyond = np.hypot(x[None, :] - centre[0], y[:, None] - centre[1]) - radius
    fade = max(1.0, _BEAM_EDGE_WIDTH / pixel_size)
    lit = 1 / (1 + np.exp(np.clip(beyond / fade, -30, 30)))
    specimen.transmission[...] *= 0.03 + 0.97 * lit
    specimen.hidden[...] |= lit < 0.7
