# SPDX-License-Identifier: GPL-3.0-or-later
"""Write simulated micrographs with known particles."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from ..coordinates import Picks
from ..device import memory_errors_explained
from ..errors import UsageError
from ..files.atomic import PathLike
from ..files.progress import track
from ..runs.simulation_run import MAP_DIGESTS, SimulationRun
from ..settings import MOST_SEEDS
from ..simulation import Recipe, SimulationSettings, read_map


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
    alone, so those that are there from a stopped run, or one with another count, are kept. Maps are
    known by their paths and contents: one whose file has changed makes another simulation.

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
    if count < 1:
        raise UsageError(f"{count} micrographs cannot be simulated: give a positive number.")
    if not 0 <= seed < MOST_SEEDS:
        raise UsageError(f"The seed is {seed}: give a number from 0 to {MOST_SEEDS - 1}.")
    recipe = Recipe(shape, pixel_size, diameter, settings, dict(fixed or {}))
    densities = [read_map(path) for path in maps]
    run = SimulationRun(Path(output))
    request = {**_request_of_maps(maps), **_request(recipe, seed)}
    with run.owned(request, overwrite):
        run.forget_from(count)
        for index in track(range(count), count, "micrographs simulated"):
            if not run.has(index):
                density = densities[index % len(densities)] if densities else None
                run.write(index, *recipe.simulate(density, np.random.default_rng([seed, index])))
        particles = {run.name(index): run.particles(index) for index in range(count)}
        run.write_particles(particles)
    files = [run.micrograph_path(index) for index in range(count)]
    return SimulationResult(files, run.particles_path, particles)


def _request_of_maps(maps: Sequence[PathLike]) -> Dict[str, Any]:
    # of the files, since what is read of them may differ by a rounding between computers
    digests = [hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in maps]
    return {"maps": [str(Path(path)) for path in maps], MAP_DIGESTS: digests}


def _request(recipe: Recipe, seed: int) -> Dict[str, Any]:
    """Describe a simulation, so that it is known again."""
    return {
        "shape": list(recipe.shape),
        "pixel_size": recipe.pixel_size,
        "diameter": recipe.diameter,
        "seed": seed,
        "settings": None if recipe.settings is None else asdict(recipe.settings),
        "fixed": dict(recipe.fixed),
    }
