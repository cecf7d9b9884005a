# SPDX-License-Identifier: GPL-3.0-or-later
"""The sets of the paper's experiments: EMPIAR-10017, and a small rod of low contrast, simulated.

Both are read once, at the working scale and with one mixture of grey values, as the paper does.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Tuple

import numpy as np

from benchmarks.common.picking_sets import TOLERANCE, PickingSet, real_set
from scipion_pupick.engine import (
    Coordinates,
    Picks,
    TrainSettings,
    make_settings,
    read_picks,
    write_image,
    write_picks,
    write_text,
)
from scipion_pupick.engine.preprocessing.scale import WorkingScale, to_working
from scipion_pupick.engine.preprocessing.working_image import pixel_method, prepare
from scipion_pupick.engine.simulation import (
    Contamination,
    Crowding,
    Defocus,
    Density,
    Ice,
    SimulationSettings,
    make_bank,
    read_proteins,
    simulate_micrograph,
)
from scipion_pupick.engine.training.data import read_data
from scipion_pupick.engine.training.labels import assign_labels
from scipion_pupick.engine.training.regions import TrainingImage, label_map

log = logging.getLogger(__name__)

ROD = "rod"
ROD_COMPLEX = "2VIS"  # Fab with a head of hemagglutinin: 77 kDa, 123 Å long, 40 Å wide
ROD_TRAIN, ROD_TEST = 24, 12
ROD_SIDE = 768
ROD_DIAMETER_PX = 36.0
ROD_SNR = 0.2
ROD_COVERAGE = 0.1
ROD_SEED = 75


@dataclass(frozen=True)
class PreparedSet:
    """Normalised working images of a set; all lengths are px of these.

    Attributes:
        name: of the set.
        train: to train on, with all of their particles as labels.
        test: to test on, likewise.
        diameter: of the particle, Å.
        tolerance: largest distance of a hit.
        border: what lies nearer to the edge does not count.
    """

    name: str
    train: Tuple[TrainingImage, ...]
    test: Tuple[TrainingImage, ...]
    diameter: float
    tolerance: float
    border: float

    @property
    def particles(self) -> int:
        """In the images to train on."""
        return sum(len(image.positive) for image in self.train)

    @property
    def particles_per_image(self) -> float:
        """Mean number of particles of an image to train on."""
        return self.particles / len(self.train)


def find_set(name: str, data: Path, shapes: Path, work: Path) -> PreparedSet:
    """Prepare a set by its name.

    Args:
        name: empiar10017 or rod.
        data: folder of EMPIAR-10017.
        shapes: file of shapes of proteins (.npz), for the rod.
        work: folder in which the rod is simulated.
    """
    return prepare_set(rod_set(work / ROD, shapes) if name == ROD else real_set(data))


def prepare_set(on: PickingSet) -> PreparedSet:
    """Read a set as `--recipe paper` does; images to test on get the mixture of those to train on.

    Grey values of a test image are divided by its own factor first, as in picking.
    """
    settings = make_settings(TrainSettings, {"diameter": on.diameter, "recipe": "paper"})
    micrographs = on.micrographs(on.train)
    data = read_data(micrographs, assign_labels(on.train_particles, None, micrographs), settings)
    scale = WorkingScale(on.diameter, settings.training.diameter_px)
    method = pixel_method(settings.normalisation)
    test = []
    for micrograph in on.micrographs(on.test):
        working = prepare(micrograph, scale, method, data.mixture)
        xy = to_working(on.particles[micrograph.name].xy, working.shape, working.working_shape)
        test.append(labelled(working.image, xy, settings))
    factor = settings.training.diameter_px / on.diameter_px
    return PreparedSet(
        on.name, data.images, tuple(test), on.diameter, on.tolerance * factor, on.border * factor
    )


def labelled(image: np.ndarray, xy: np.ndarray, settings: TrainSettings) -> TrainingImage:
    """An image (h, w) with labels (n, 2)."""
    training = settings.training
    radii = (training.training_radius, training.diameter_px / 2)
    labels = label_map((image.shape[0], image.shape[1]), xy, *radii)
    return TrainingImage(image, labels, xy, np.empty((0, 2)))


def with_some_labels(on: PreparedSet, count: int, choice: int) -> Tuple[TrainingImage, ...]:
    """The images to train on with some of their labels, drawn at random.

    Args:
        on: the set.
        count: of labels.
        choice: seed of the draw.

    Raises:
        ValueError: the set has fewer particles.
    """
    if count > on.particles:
        raise ValueError(f"{on.name} has {on.particles} particles to train on, not {count}")
    settings = make_settings(TrainSettings, {"diameter": on.diameter, "recipe": "paper"})
    taken = np.zeros(on.particles, bool)
    taken[np.random.default_rng([choice, count]).permutation(on.particles)[:count]] = True
    parts = np.split(taken, np.cumsum([len(image.positive) for image in on.train])[:-1])
    return tuple(
        labelled(image.image, image.positive[part], settings)
        for image, part in zip(on.train, parts)
    )


def rod_set(folder: Path, shapes: Path) -> PickingSet:
    """Micrographs of a 77 kDa rod of low contrast, simulated where they are not there."""
    done = folder / "set.json"
    if not done.exists():
        simulate_rods(folder, shapes)
    diameter, pixel_size = json.loads(done.read_text(encoding="utf-8"))
    paths = tuple(sorted((folder / "micrographs").glob("*.mrc")))
    return PickingSet(
        ROD,
        paths[:ROD_TRAIN],
        paths[ROD_TRAIN:],
        read_picks(folder / "particles.star"),
        diameter,
        pixel_size,
        TOLERANCE * diameter / pixel_size,
        diameter / pixel_size / 2,
    )


def simulate_rods(folder: Path, shapes: Path) -> None:
    """Write micrographs, particles.star and, last, set.json with diameter and pixel size."""
    density = read_shape(shapes, ROD_COMPLEX)
    pixel_size = density.diameter / ROD_DIAMETER_PX
    (folder / "micrographs").mkdir(parents=True, exist_ok=True)
    bank = make_bank(density, pixel_size, np.random.default_rng(ROD_SEED), count=600)
    truth: Picks = {}
    for index in range(ROD_TRAIN + ROD_TEST):
        random = np.random.default_rng([ROD_SEED, index])
        made = simulate_micrograph(bank, (ROD_SIDE, ROD_SIDE), rod_settings(random), random)
        path = folder / "micrographs" / f"rod_{index:02d}.mrc"
        write_image(path, made.image, pixel_size)
        truth[path.name] = Coordinates.unscored(made.xy[:, 0], made.xy[:, 1])
        log.info("%s: %d particles", path.name, len(made.xy))
    write_picks(truth, folder / "particles.star")
    write_text(folder / "set.json", json.dumps([density.diameter, pixel_size]))


def rod_settings(random: np.random.Generator) -> SimulationSettings:
    """One session: defocus and ice vary from one micrograph to the next."""
    defocus = random.uniform(10000, 35000)
    return SimulationSettings(
        defocus=Defocus(defocus, 0.98 * defocus, random.uniform(0, 180)),
        b_factor=150.0,
        dose=60.0,
        snr=ROD_SNR,
        ice=Ice(random.uniform(300, 600), 0.03, 0.08, structure=1.0),
        crowding=Crowding(ROD_COVERAGE, 0.7, 0.2),
        contamination=Contamination(crystals=int(random.integers(0, 4))),
    )


def read_shape(shapes: Path, name: str) -> Density:
    """The density of a complex.

    Args:
        shapes: see `read_proteins`.
        name: of the complex.
    """
    return next(each for each in read_proteins(shapes) if each.name == name).density()
