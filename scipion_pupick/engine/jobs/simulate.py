# SPDX-License-Identifier: GPL-3.0-or-later
"""Write simulated micrographs with known particles."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from ..coordinates import Coordinates, Picks, write_picks
from ..device import memory_errors_explained
from ..errors import UsageError
from ..files.atomic import PathLike, write_text
from ..files.progress import track
from ..micrographs import write_image
from ..settings import MOST_SEEDS, WORKING_DIAMETER_PX
from ..simulation import (
    Density,
    SimulationSettings,
    make_bank,
    random_phantom,
    random_settings,
    read_map,
    simulate_micrograph,
    with_fixed,
)

FOLDER = "micrographs"
TRUTH = "particles.star"
REQUEST = "simulation.json"

_PHANTOM_DIAMETERS = (80.0, 400.0)
_JUNK_DIAMETERS = (0.2, 0.5)
_JUNK_PROJECTIONS = 50


@dataclass(frozen=True)
class SimulationResult:
    """What was simulated.

    Attributes:
        files: of the micrographs.
        truth: file of their particles.
        particles: that count, px of the micrographs, by the micrographs' paths as seen from the
            output folder.
    """

    files: List[Path]
    truth: Path
    particles: Picks


@memory_errors_explained()
def simulate(
    output: PathLike,
    maps: Sequence[PathLike] = (),
    count: int = 10,
    shape: Tuple[int, int] = (512, 512),
    pixel_size: Optional[float] = None,
    diameter: Optional[float] = None,
    seed: int = 0,
    settings: Optional[SimulationSettings] = None,
    fixed: Optional[Mapping[str, float]] = None,
    overwrite: bool = False,
) -> SimulationResult:
    """Simulate micrographs and write them, their particles and all that was chosen at random.

    The output folder comes to hold `micrographs/simulated_0000.mrc` and so on, each with a .json
    of its parameters, and `particles.star`. Each micrograph depends on the seed and its number
    alone, so those that are there from a stopped run, or one with another count, are kept.

    Args:
        output: folder, made where needed.
        maps: density maps (MRC), taken in turn; none for another random phantom in each.
        count: of micrographs.
        shape: (ny, nx) of each, px.
        pixel_size: Å/px; None for a particle 24 px wide.
        diameter: of the particle, Å; None for that of the map, or for phantoms a random one.
        seed: of every random choice.
        settings: of all micrographs; None for random ones in each.
        fixed: values that replace those of the settings, by name; see `with_fixed`.
        overwrite: remove the micrographs of another simulation in the same folder.

    Raises:
        UsageError: an argument makes no sense, a map cannot be read, or the folder holds another
            simulation.
        PupickError: the memory does not suffice.
        OSError: a file cannot be written.
    """
    _check(count, shape, pixel_size, diameter, seed)
    folder = Path(output)
    densities = [read_map(path) for path in maps]
    request: Dict[str, Any] = {
        "maps": [str(Path(path)) for path in maps],
        "shape": list(shape),
        "pixel_size": pixel_size,
        "diameter": diameter,
        "seed": seed,
        "settings": None if settings is None else asdict(settings),
        "fixed": dict(fixed or {}),
    }
    with_fixed(settings or SimulationSettings(), fixed or {})
    _check_output_folder(folder, request, overwrite)
    _remove(folder, first=count)
    files: List[Path] = []
    particles: Picks = {}
    for index in track(range(count), count, "micrographs simulated"):
        path = folder / FOLDER / f"simulated_{index:04d}.mrc"
        if not (path.is_file() and path.with_suffix(".json").is_file()):
            random = np.random.default_rng([seed, index])
            density = densities[index % len(densities)] if densities else None
            _simulate_one(path, density, shape, pixel_size, diameter, settings, fixed, random)
        files.append(path)
        particles[f"{FOLDER}/{path.name}"] = _read_particles(path.with_suffix(".json"))
    write_picks(particles, folder / TRUTH)
    return SimulationResult(files, folder / TRUTH, particles)


def _check(
    count: int,
    shape: Tuple[int, int],
    pixel_size: Optional[float],
    diameter: Optional[float],
    seed: int,
) -> None:
    if count < 1 or min(shape) < 1:
        raise UsageError(
            f"{count} micrographs of {shape[1]} x {shape[0]} px cannot be simulated: "
            "give positive numbers."
        )
    for what, value in (("pixel size", pixel_size), ("diameter", diameter)):
        if value is not None and not (math.isfinite(value) and value > 0):
            raise UsageError(f"The {what} is {value:g} Å: it must be a positive number.")
    if not 0 <= seed < MOST_SEEDS:
        raise UsageError(f"The seed is {seed}: give a number from 0 to {MOST_SEEDS - 1}.")


def _check_output_folder(folder: Path, request: Dict[str, Any], overwrite: bool) -> None:
    """Note in the folder what is simulated there; clear away another simulation if allowed."""
    note = folder / REQUEST
    text = json.dumps(request, indent=2) + "\n"
    if note.is_file() and note.read_text(encoding="utf-8") != text:
        if not overwrite and any((folder / FOLDER).glob("simulated_*")):
            raise UsageError(
                f"{folder} holds another simulation ({REQUEST} says which): give another folder, "
                "or allow to overwrite it.",
                setting="overwrite",
            )
        _remove(folder, first=0)
    write_text(note, text)


def _remove(folder: Path, first: int) -> None:
    """Delete micrographs from number `first` on, and the truth, which no longer fits."""
    (folder / TRUTH).unlink(missing_ok=True)
    for path in (folder / FOLDER).glob("simulated_*"):
        number = path.stem[len("simulated_") :]
        if path.suffix in (".mrc", ".json") and number.isdigit() and int(number) >= first:
            path.unlink()


def _simulate_one(
    path: Path,
    density: Optional[Density],
    shape: Tuple[int, int],
    pixel_size: Optional[float],
    diameter: Optional[float],
    settings: Optional[SimulationSettings],
    fixed: Optional[Mapping[str, float]],
    random: np.random.Generator,
) -> None:
    if density is None:
        low, high = np.log(_PHANTOM_DIAMETERS)
        drawn = math.exp(random.uniform(low, high))
        density = random_phantom(random, drawn if diameter is None else diameter)
    settings = with_fixed(settings or random_settings(random), fixed or {})
    diameter = density.diameter if diameter is None else diameter
    pixel_size = diameter / WORKING_DIAMETER_PX if pixel_size is None else pixel_size
    bank = make_bank(density, pixel_size, random, diameter=diameter)
    small = random_phantom(random, diameter * random.uniform(*_JUNK_DIAMETERS))
    junk = make_bank(small, pixel_size, random, _JUNK_PROJECTIONS)
    simulated = simulate_micrograph(bank, shape, settings, random, junk)
    write_image(path, simulated.image, pixel_size)
    parameters = {
        "density": density.name,
        "diameter": diameter,
        "pixel_size": pixel_size,
        "potential": simulated.potential,
        "settings": asdict(settings),
        "particles": simulated.xy.tolist(),
    }
    # last, so that a micrograph with parameters is a whole one
    write_text(path.with_suffix(".json"), json.dumps(parameters) + "\n")


def _read_particles(path: Path) -> Coordinates:
    xy = np.array(json.loads(path.read_text(encoding="utf-8"))["particles"], float).reshape(-1, 2)
    return Coordinates.unscored(xy[:, 0], xy[:, 1])
