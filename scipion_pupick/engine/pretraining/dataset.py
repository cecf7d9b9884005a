# SPDX-License-Identifier: GPL-3.0-or-later
"""Simulated working images of random particles, for training the general model."""

from __future__ import annotations

import json
import math
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import List, Sequence

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save

from ..device import set_threads, usable_cores
from ..files.atomic import PathLike, atomic_write
from ..files.progress import track
from ..preprocessing.normalise import normalise
from ..preprocessing.working_image import MOST_DEVIATIONS
from ..settings import WORKING_DIAMETER_PX
from ..simulation import (
    Bank,
    SimulationSettings,
    log_uniform,
    make_bank,
    random_phantom,
    random_settings,
    simulate_micrograph,
)

_SIDE = 448
_MICROGRAPHS_EACH = 2

_PROJECTIONS, _JUNK_PROJECTIONS = 60, 12
_DIAMETERS = (70.0, 450.0)  # Å
_JUNK_DIAMETERS = (0.15, 0.5)
_JUNK_COVERAGE = (0.003, 0.12)
_JUNK_CONTRAST = (0.8, 3.0)
# users differ in what they call the diameter, and particles are not round
_SCALE_DEVIATION = 0.2
_LEAST_PX, _MOST_PX = 15.0, 38.0


@dataclass(frozen=True)
class SimulatedImage:
    """A normalised working image whose particles are all known.

    Attributes:
        pixels: (h, w) float16.
        xy: (n, 2) centres, px.
        diameter_px: of the particles, px.
    """

    pixels: np.ndarray
    xy: np.ndarray
    diameter_px: float


def simulate_images(seed: int, index: int) -> List[SimulatedImage]:
    """Simulate two working images of one random particle, at a random scale about the nominal.

    Args:
        seed: of every random choice, together with the index.
        index: number of the particle.
    """
    random = np.random.default_rng([seed, index])
    diameter = log_uniform(random, *_DIAMETERS)
    scale = math.exp(random.normal(0, _SCALE_DEVIATION))
    width = float(np.clip(WORKING_DIAMETER_PX * scale, _LEAST_PX, _MOST_PX))
    bank = make_bank(random_phantom(random, diameter), diameter / width, random, _PROJECTIONS)
    junk = _random_junk(random, diameter, diameter / width)
    images = []
    for _ in range(_MICROGRAPHS_EACH):
        settings = _with_junk(random_settings(random), random)
        micrograph = simulate_micrograph(bank, (_SIDE, _SIDE), settings, random, junk)
        pixels = np.clip(normalise(micrograph.image), -MOST_DEVIATIONS, MOST_DEVIATIONS)
        images.append(SimulatedImage(pixels.astype(np.float16), micrograph.xy, width))
    return images


def _random_junk(random: np.random.Generator, diameter: float, pixel_size: float) -> Bank:
    """Small lumps, some of denser matter, that look like particles but for their size."""
    small = random_phantom(random, diameter * random.uniform(*_JUNK_DIAMETERS))
    bank = make_bank(small, pixel_size, random, _JUNK_PROJECTIONS)
    return replace(bank, images=bank.images * np.float32(log_uniform(random, *_JUNK_CONTRAST)))


def _with_junk(settings: SimulationSettings, random: np.random.Generator) -> SimulationSettings:
    """Add junk to three of four micrographs."""
    coverage = log_uniform(random, *_JUNK_COVERAGE) if random.random() < 0.75 else 0.0
    return replace(settings, crowding=replace(settings.crowding, junk_coverage=coverage))


def save_images(images: List[SimulatedImage], path: PathLike) -> None:
    """Write images (safetensors)."""
    tensors = {}
    for i, image in enumerate(images):
        tensors[f"{i}/pixels"] = np.ascontiguousarray(image.pixels)
        tensors[f"{i}/xy"] = np.ascontiguousarray(image.xy)
    widths = json.dumps([image.diameter_px for image in images])
    with atomic_write(path) as temporary:
        temporary.write_bytes(save(tensors, {"diameter_px": widths}))


def load_images(path: PathLike) -> List[SimulatedImage]:
    """Read images that `save_images` wrote."""
    with safe_open(Path(path), framework="np") as file:
        widths = json.loads(file.metadata()["diameter_px"])
        return [
            SimulatedImage(file.get_tensor(f"{i}/pixels"), file.get_tensor(f"{i}/xy"), width)
            for i, width in enumerate(widths)
        ]


def simulate_particles(
    folder: Path, seed: int, number: int, threads: int
) -> List[List[SimulatedImage]]:
    """Simulate images of random particles in several processes, or read those that are there.

    Args:
        folder: of a file for each particle.
        seed: of every random choice, together with the number of the particle.
        number: of particles.
        threads: as many processes simulate; 0 for all cores.

    Returns:
        The images of each particle.
    """
    paths = [folder / f"seed{seed}_{index:05d}.safetensors" for index in range(number)]
    missing = [index for index, path in enumerate(paths) if not path.exists()]
    workers = threads or usable_cores()
    with ProcessPoolExecutor(workers, get_context("spawn"), set_threads, (1,)) as pool:
        made = pool.map(partial(_simulate_one, paths, seed), missing, chunksize=4)
        for _ in track(made, len(missing), "particles simulated"):
            pass
    return [load_images(path) for path in paths]


def _simulate_one(paths: Sequence[Path], seed: int, index: int) -> None:
    save_images(simulate_images(seed, index), paths[index])
