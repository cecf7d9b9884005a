# SPDX-License-Identifier: GPL-3.0-or-later
"""The sets of micrographs of the accuracy benchmarks: half to train on, half to test on."""

from __future__ import annotations

import argparse
import json
from dataclasses import astuple, dataclass, field, replace
from pathlib import Path
from typing import Callable, Dict, List, Mapping, Optional, Tuple

import numpy as np

from scipion_pupick.engine import (
    Coordinates,
    Micrograph,
    Picks,
    read_picks,
    write_image,
    write_picks,
    write_text,
)
from scipion_pupick.engine.simulation import (
    Contamination,
    Crowding,
    Defocus,
    Ice,
    SimulationSettings,
    make_bank,
    random_phantom,
    read_map,
    simulate_micrograph,
)

TOLERANCE = 0.4  # of the diameter


@dataclass(frozen=True)
class RealSet:
    """Real `micrographs/*.mrc` and `particles.star`, what an expert picked on them.

    Attributes:
        folder: its name.
        diameter: of the particle, Å.
        pixel_size: Å/px.
        tolerance: largest distance of a hit from its particle, px.
        border: what lies nearer to the edge does not count, px: padding, and no labels.
        train: the first so many by name are to train on; None for half of them.
        swapped: those to train on are the last ones.
    """

    folder: str
    diameter: float
    pixel_size: float
    tolerance: float
    border: float
    train: Optional[int] = None
    swapped: bool = False


REAL = "empiar10017"
REAL_SETS = {
    # 0.4 of the 27 px that its label discs measure
    REAL: RealSet(REAL, 180.0, 7.08, 10.8, 32.0),
    # its pixel size is not known: px stand for Å
    "empiar10947": RealSet("empiar10947", 40.0, 1.0, 16.0, 34.0),
    "empiar10059": RealSet("empiar10059", 155.0, 4.556, 13.6, 35.0, train=3),
    "empiar10059-swapped": RealSet("empiar10059", 155.0, 4.556, 13.6, 35.0, train=3, swapped=True),
}

SettingsOf = Callable[[np.random.Generator], SimulationSettings]

TRAIN, TEST = 10, 5
SIDE = 768
# of sets with moderate junk
JUNK_COVERAGE, MORE_CRYSTALS = 0.1, 2
# Half of the 71 px that Topaz's network sees, which is the scale that its authors recommend.
SIMULATED_DIAMETER_PX = 36.0
SEED = 20170


@dataclass(frozen=True)
class PickingSet:
    """Micrographs whose particles are known.

    Attributes:
        name: of the set.
        train: files to train on.
        test: files to test on.
        particles: of all, by file name, px.
        diameter: of the particle, Å.
        pixel_size: Å/px.
        tolerance: largest distance of a hit from its particle, px.
        border: what lies nearer to the edge does not count, px.
        defocus: of simulated micrographs, by file name.
    """

    name: str
    train: Tuple[Path, ...]
    test: Tuple[Path, ...]
    particles: Picks
    diameter: float
    pixel_size: float
    tolerance: float
    border: float
    defocus: Mapping[str, Defocus] = field(default_factory=dict)

    @property
    def diameter_px(self) -> float:
        """Diameter in px of the micrographs."""
        return self.diameter / self.pixel_size

    @property
    def train_particles(self) -> Picks:
        """Particles of the micrographs to train on."""
        return {path.name: self.particles[path.name] for path in self.train}

    @property
    def test_particles(self) -> Picks:
        """Particles of the micrographs to test on."""
        return {path.name: self.particles[path.name] for path in self.test}

    @property
    def particles_per_micrograph(self) -> int:
        """Mean number of particles of a micrograph to train on."""
        counts = [len(particles) for particles in self.train_particles.values()]
        return round(sum(counts) / len(counts))

    def micrographs(self, paths: Tuple[Path, ...]) -> List[Micrograph]:
        """The files as the engine's functions take them."""
        return [Micrograph(path, path.name, self.pixel_size) for path in paths]


def add_set_options(parser: argparse.ArgumentParser) -> None:
    """The options that `find_sets` needs."""
    parser.add_argument("--work", type=Path, required=True, help="folder for all that is written")
    parser.add_argument(
        "--data", type=Path, required=True, help="folder of EMPIAR-10017; other sets lie beside it"
    )
    parser.add_argument("--maps", type=Path, required=True, help="folder of density maps (MRC)")
    parser.add_argument(
        "--sets",
        help=f"names, with commas between: {', '.join(REAL_SETS)}, a map's, such as apoferritin, "
        f"or one with {' or '.join(f'-{kind}' for kind in KINDS_OF_SETS)} behind it; "
        f"default: {REAL} and all maps",
    )


def find_sets(options: argparse.Namespace) -> List[PickingSet]:
    """The sets that were asked for; those that are not there yet are simulated."""
    maps = {short_name(path): path for path in sorted(options.maps.glob("*.mrc"))}
    names = options.sets.split(",") if options.sets else [REAL, *maps]
    return [
        real_set(options.data, name)
        if name in REAL_SETS
        else simulated_kind(options.work / "sets", name, maps)
        for name in names
    ]


def simulated_kind(
    folder: Path, name: str, maps: Mapping[str, Path], train: int = TRAIN, test: int = TEST
) -> PickingSet:
    """The set of a map's name, with one of `KINDS_OF_SETS` behind a hyphen or none."""
    of_map, _, kind = name.partition("-")
    settings_of = KINDS_OF_SETS[kind] if kind else micrograph_settings
    made = simulated_set(folder / name, maps[of_map], settings_of, train, test)
    return replace(made, name=name)


def short_name(map_path: Path) -> str:
    """Name of the particle: that of the map's file up to the first underscore."""
    return map_path.stem.split("_")[0]


def real_set(data: Path, name: str = REAL) -> PickingSet:
    """One of `REAL_SETS`, split by name.

    Args:
        data: folder of EMPIAR-10017; other sets lie beside it.
        name: of the set.

    Raises:
        FileNotFoundError: the folder holds no micrographs.
    """
    known = REAL_SETS[name]
    folder = data if name == REAL else data.resolve().parent / known.folder
    paths = tuple(sorted((folder / "micrographs").glob("*.mrc")))
    if not paths:
        raise FileNotFoundError(f"{folder / 'micrographs'}: no *.mrc in it")
    train = known.train or len(paths) // 2
    first = len(paths) - train if known.swapped else 0
    return PickingSet(
        name,
        paths[first : first + train],
        paths[:first] + paths[first + train :],
        read_picks(folder / "particles.star"),
        known.diameter,
        known.pixel_size,
        known.tolerance,
        known.border,
    )


def simulated_set(
    folder: Path,
    map_path: Path,
    settings_of: Optional[SettingsOf] = None,
    train: int = TRAIN,
    test: int = TEST,
) -> PickingSet:
    """Micrographs of the density in `map_path`, simulated into `folder` where they are not there.

    Those to train on and those to test on differ in nothing but their random numbers. Of larger
    sets, the first ones to train on and to test on are those of smaller sets.
    """
    done = folder / "set.json"
    if not done.exists():
        simulate_set(folder, map_path, settings_of or micrograph_settings, train + test)
    diameter, pixel_size = json.loads(done.read_text(encoding="utf-8"))
    paths = tuple(sorted((folder / "micrographs").glob("*.mrc")))
    defocus = folder / "defocus.json"
    known = json.loads(defocus.read_text(encoding="utf-8")) if defocus.exists() else {}
    return PickingSet(
        short_name(map_path),
        paths[:TRAIN] + paths[TRAIN + test :],
        paths[TRAIN : TRAIN + test],
        read_picks(folder / "particles.star"),
        diameter,
        pixel_size,
        TOLERANCE * diameter / pixel_size,
        diameter / pixel_size / 2,
        {name: Defocus(*values) for name, values in known.items()},
    )


def simulate_set(folder: Path, map_path: Path, settings_of: SettingsOf, number: int) -> None:
    """Write micrographs/NAME_00.mrc ..., what is known of them, and, last, set.json (scale)."""
    density = read_map(map_path)
    name = short_name(map_path)
    pixel_size = density.diameter / SIMULATED_DIAMETER_PX
    (folder / "micrographs").mkdir(parents=True, exist_ok=True)
    seeds = [SEED, *name.encode()]
    random = np.random.default_rng(seeds)
    bank = make_bank(density, pixel_size, random)
    small = random_phantom(random, 0.35 * density.diameter)
    junk = make_bank(small, pixel_size, random)
    truth: Picks = {}
    defocus: Dict[str, Tuple[float, ...]] = {}
    for index in range(number):
        random = np.random.default_rng([*seeds, index])
        settings = settings_of(random)
        made = simulate_micrograph(bank, (SIDE, SIDE), settings, random, junk)
        path = folder / "micrographs" / f"{name}_{index:02d}.mrc"
        write_image(path, made.image, pixel_size)
        truth[path.name] = Coordinates.unscored(made.xy[:, 0], made.xy[:, 1])
        defocus[path.name] = astuple(settings.defocus)
    write_picks(truth, folder / "particles.star")
    write_text(folder / "defocus.json", json.dumps(defocus))
    write_text(folder / "set.json", json.dumps([density.diameter, pixel_size]))


def micrograph_settings(random: np.random.Generator) -> SimulationSettings:
    """One session on one microscope: defocus, ice, density and contrast vary, nothing else."""
    defocus = random.uniform(8000, 26000)
    return SimulationSettings(
        defocus=Defocus(defocus, 0.98 * defocus, random.uniform(0, 180)),
        b_factor=150.0,
        dose=40.0,
        snr=float(np.exp(random.uniform(np.log(0.05), np.log(0.2)))),
        ice=Ice(random.uniform(300, 600), 0.03, 0.08, structure=1.0),
        crowding=Crowding(random.uniform(0.15, 0.3), 0.7, 0.2, junk_coverage=0.03),
        contamination=Contamination(
            carbon=0.25 if random.random() < 0.2 else 0.0, crystals=int(random.integers(0, 4))
        ),
    )


def crowded_settings(random: np.random.Generator) -> SimulationSettings:
    """As `micrograph_settings`, with particles so near to each other that most overlap."""
    crowding = Crowding(random.uniform(0.5, 0.8), 0.6, 0.0, junk_coverage=0.03)
    return replace(micrograph_settings(random), crowding=crowding)


def dirty_settings(random: np.random.Generator) -> SimulationSettings:
    """As `micrograph_settings`, with all kinds of contamination in every micrograph."""
    contamination = Contamination(
        carbon=random.uniform(0.1, 0.3),
        crystals=int(random.integers(4, 13)),
        rim=random.uniform(50, 300),
        rough=int(random.integers(0, 4)),
        thin=int(random.integers(0, 3)),
        filaments=int(random.integers(0, 3)),
        clumps=int(random.integers(2, 9)),
        micelles=int(random.integers(0, 40)),
    )
    return replace(micrograph_settings(random), contamination=contamination)


def junky_settings(random: np.random.Generator) -> SimulationSettings:
    """As `micrograph_settings`, with three times the junk and more ice crystals."""
    settings = micrograph_settings(random)
    contamination = settings.contamination
    return replace(
        settings,
        crowding=replace(settings.crowding, junk_coverage=JUNK_COVERAGE),
        contamination=replace(contamination, crystals=contamination.crystals + MORE_CRYSTALS),
    )


KINDS_OF_SETS = {
    "crowded": crowded_settings,
    "dirty": dirty_settings,
    "junk": junky_settings,
}
