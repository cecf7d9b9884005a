# SPDX-License-Identifier: GPL-3.0-or-later
"""Simulated working images of random particles, for training the general model."""

from __future__ import annotations

import hashlib
import json
import math
import signal
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Iterator, List, Optional, Sequence, Tuple

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from ..device import set_threads, usable_cores
from ..errors import PupickError
from ..files.atomic import PathLike, atomic_write
from ..files.lifeline import end_with_parent
from ..files.progress import track
from ..preprocessing.normalise import normalise
from ..preprocessing.working_image import MOST_DEVIATIONS
from ..settings import WORKING_DIAMETER_PX
from ..simulation import (
    Bank,
    Density,
    Protein,
    SimulationSettings,
    hard_settings,
    log_uniform,
    make_bank,
    random_phantom,
    random_settings,
    simulate_micrograph,
)

_SIDE = 448
_MICROGRAPHS_EACH = 2
_HARD_SHARE = 0.5

_PROJECTIONS, _JUNK_PROJECTIONS = 60, 12
_DIAMETERS = (70.0, 450.0)  # Å
_PROTEIN_SHARE, _PROTEIN_ENLARGED = 0.35, (0.9, 1.6)
_JUNK_DIAMETERS = (0.15, 0.5)
_JUNK_COVERAGE = (0.003, 0.12)
_JUNK_CONTRAST = (0.8, 3.0)
_MOST_STRIPES = 32  # px
# users differ in what they call the diameter, and particles are not round
_SCALE_DEVIATION = 0.2
_LEAST_PX, _MOST_PX = 15.0, 38.0
_STOPPING = (signal.SIGINT, signal.SIGTERM)
# key of the metadata: digest of the proteins
_MADE_FROM = "made_from"


@dataclass(frozen=True)
class KnownImage:
    """A normalised working image whose particles are all known.

    Attributes:
        pixels: (h, w) float16.
        xy: (n, 2) centres, px.
        diameter_px: of the particles, px.
        hidden: (h, w) bool, where contamination is; None where that is not known.
        masked_diameters: scores so near to a centre, but not at it, are not trained.
        border: so wide, px, nothing is known at the edges.
    """

    pixels: np.ndarray
    xy: np.ndarray
    diameter_px: float
    hidden: Optional[np.ndarray] = None
    masked_diameters: float = 0.25
    border: int = 0


def simulate_images(seed: int, index: int, proteins: Sequence[Protein] = ()) -> List[KnownImage]:
    """Simulate two working images of one random particle, at a random scale about the nominal.

    Args:
        seed: of every random choice, together with the index.
        index: number of the particle.
        proteins: of which a third of all particles are, if there are any.
    """
    random = np.random.default_rng([seed, index])
    particle = _random_particle(random, proteins)
    scale = math.exp(random.normal(0, _SCALE_DEVIATION))
    width = float(np.clip(WORKING_DIAMETER_PX * scale, _LEAST_PX, _MOST_PX))
    pixel_size = particle.diameter / width
    bank = make_bank(particle, pixel_size, random, _PROJECTIONS)
    junk = _random_junk(random, particle.diameter, pixel_size)
    images = []
    for _ in range(_MICROGRAPHS_EACH):
        settings = _with_junk(random_settings(random), random)
        if random.random() < _HARD_SHARE:
            settings = hard_settings(settings, random)
        micrograph = simulate_micrograph(bank, (_SIDE, _SIDE), settings, random, junk)
        image, hidden = _with_stripes(micrograph.image, micrograph.hidden, random)
        pixels = np.clip(normalise(image), -MOST_DEVIATIONS, MOST_DEVIATIONS)
        xy = micrograph.xy[~hidden[tuple(np.round(micrograph.xy).astype(int).T[::-1])]]
        images.append(KnownImage(pixels.astype(np.float16), xy, width, hidden))
    return images


def _random_particle(random: np.random.Generator, proteins: Sequence[Protein]) -> Density:
    if proteins and random.random() < _PROTEIN_SHARE:
        protein = proteins[int(random.integers(len(proteins)))]
        return protein.density(log_uniform(random, *_PROTEIN_ENLARGED))
    return random_phantom(random, log_uniform(random, *_DIAMETERS))


def _random_junk(random: np.random.Generator, diameter: float, pixel_size: float) -> Bank:
    """Small lumps, some of denser matter, that look like particles but for their size."""
    small = random_phantom(random, diameter * random.uniform(*_JUNK_DIAMETERS))
    bank = make_bank(small, pixel_size, random, _JUNK_PROJECTIONS)
    return replace(bank, images=bank.images * np.float32(log_uniform(random, *_JUNK_CONTRAST)))


def _with_junk(settings: SimulationSettings, random: np.random.Generator) -> SimulationSettings:
    """Add junk to three of four micrographs."""
    coverage = log_uniform(random, *_JUNK_COVERAGE) if random.random() < 0.75 else 0.0
    return replace(settings, crowding=replace(settings.crowding, junk_coverage=coverage))


def _with_stripes(
    image: np.ndarray, hidden: np.ndarray, random: np.random.Generator
) -> Tuple[np.ndarray, np.ndarray]:
    """Replace the borders of one of eight images by repetitions of what lies inside them."""
    if random.random() > 0.125:
        return image, hidden
    width = int(random.integers(4, _MOST_STRIPES + 1))
    inside = slice(width, -width)
    mode = str(random.choice(["edge", "reflect", "mean"]))
    covered = np.pad(hidden[inside, inside], width, mode="constant", constant_values=True)
    if mode == "mean":
        grey = float(image[inside, inside].mean())
        return np.pad(image[inside, inside], width, constant_values=grey), covered
    # reflected particles look like particles, so they are no contamination
    striped = np.pad(image[inside, inside], width, mode=mode)  # type: ignore[call-overload]
    return striped, covered


def save_images(images: List[KnownImage], path: PathLike, made_from: str = "") -> None:
    """Write images (safetensors), and a digest of the proteins that they were made from."""
    tensors = {}
    for i, image in enumerate(images):
        tensors[f"{i}/pixels"] = np.ascontiguousarray(image.pixels)
        tensors[f"{i}/xy"] = np.ascontiguousarray(image.xy)
        if image.hidden is not None:
            tensors[f"{i}/hidden"] = np.ascontiguousarray(image.hidden)
    widths = json.dumps([image.diameter_px for image in images])
    with atomic_write(path) as temporary:
        temporary.write_bytes(save(tensors, {"diameter_px": widths, _MADE_FROM: made_from}))


def load_images(path: PathLike) -> List[KnownImage]:
    """Read images that `save_images` wrote."""
    with safe_open(Path(path), framework="np") as file:
        widths = json.loads(file.metadata()["diameter_px"])
        return [
            KnownImage(
                file.get_tensor(f"{i}/pixels"),
                file.get_tensor(f"{i}/xy"),
                width,
                file.get_tensor(f"{i}/hidden"),
            )
            for i, width in enumerate(widths)
        ]


def _holds_images(path: Path, made_from: str) -> bool:
    """Whether a whole file is there, of images that were made from the same proteins."""
    try:
        with safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError):
        return False
    # files of older versions do not say
    return "diameter_px" in metadata and metadata.get(_MADE_FROM, made_from) == made_from


def simulate_particles(
    folder: Path, seed: int, number: int, threads: int, proteins: Sequence[Protein] = ()
) -> List[List[KnownImage]]:
    """Simulate images of random particles in several processes, or read those that are there.

    Images that were made from other proteins, and files that are damaged, are replaced.

    Args:
        folder: of a file for each particle.
        seed: of every random choice, together with the number of the particle.
        number: of particles.
        threads: as many processes simulate; 0 for all cores.
        proteins: see `simulate_images`.

    Returns:
        The images of each particle.

    Raises:
        PupickError: a process was ended.
        OSError: a file cannot be written.
    """
    paths = [folder / f"seed{seed}_{index:05d}.safetensors" for index in range(number)]
    made_from = digest_of(proteins, ())
    missing = [i for i, path in enumerate(paths) if not _holds_images(path, made_from)]
    workers = threads or usable_cores()
    simulate_one = partial(_simulate_one, paths, seed, proteins, made_from)
    try:
        with ProcessPoolExecutor(workers, get_context("spawn"), _begin_process) as pool:
            with _signals_put_off():
                made = pool.map(simulate_one, missing)
            for _ in track(made, len(missing), "particles simulated"):
                pass
    except BrokenProcessPool as error:
        raise PupickError(
            "A process that simulates was ended from outside, as systems do where the memory does "
            "not suffice: call again to go on, with fewer threads if it happens again.",
            setting="threads",
        ) from error
    return [load_images(path) for path in paths]


@contextmanager
def _signals_put_off() -> Iterator[None]:
    """Let signals to stop wait; processes that are started here wait, too, until they begin."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _STOPPING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin_process() -> None:
    end_with_parent()
    # queues and terminals tell all processes of a job to stop: the parent decides what to do
    for number in _STOPPING:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPPING)
    set_threads(1)


def _simulate_one(
    paths: Sequence[Path], seed: int, proteins: Sequence[Protein], made_from: str, index: int
) -> None:
    save_images(simulate_images(seed, index, proteins), paths[index], made_from)


def digest_of(proteins: Sequence[Protein], sets: Sequence[Sequence[KnownImage]]) -> str:
    """Digest of what a training is made from beside its settings; empty for nothing."""
    digest = hashlib.sha256()
    for protein in proteins:
        digest.update(protein.xyz.tobytes())
    for image in (image for images in sets for image in images):
        digest.update(image.pixels.tobytes() + image.xy.tobytes())
    return digest.hexdigest() if proteins or sets else ""
