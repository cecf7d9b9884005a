# SPDX-License-Identifier: GPL-3.0-or-later
"""Small made-up micrographs, whose particles are known, and a model trained on some of them.

The model is a file, so that a test waits for no training that it is not about. A test trains it
anew. Where a change of the training makes another one wanted: `python tests/helpers/simulated.py`.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import mrcfile
import numpy as np

from scipion_pupick.engine import (
    Coordinates,
    LabelSettings,
    OptimizerSettings,
    TrainSettings,
    find_micrographs,
    train,
    write_picks,
)

DIAMETER = 96.0
PIXEL_SIZE = 4.0
SIDE = 256
MODEL = Path(__file__).parents[1] / "fixtures" / "model.safetensors"
PARTICLES = 25

# enough for blobs in noise, and quick
QUICK = OptimizerSettings(
    network="conv3",
    autoencoder=0.0,
    training_radius=1.0,
    epochs=4,
    steps=15,
    mosaics=1,
    tiles=2,
    seed=1,
)
# too little to learn from, but all that training does happens
HASTY = replace(QUICK, epochs=3, steps=2, tiles=1)
# the check of the labels, which has tests of its own, takes longer than these trainings
UNCHECKED = LabelSettings(check_picks="off")


def place(shape, count, spacing, random):
    """Random centres (n, 2) of (x, y), px, at least `spacing` apart and half of it inside."""
    xy = np.empty((0, 2))
    while len(xy) < count:
        point = random.uniform(spacing / 2, np.array(shape[::-1]) - 1 - spacing / 2)
        if np.linalg.norm(xy - point, axis=1).min(initial=np.inf) >= spacing:
            xy = np.vstack([xy, point])
    return xy


def draw(shape, xy, diameter, random, contrast=-2.0):
    """White noise of deviation 1 with discs that have soft edges, float32."""
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    image = random.standard_normal(shape)
    for x, y in xy:
        distance = np.hypot(columns - x, rows - y)
        image += contrast / (1 + np.exp((distance - 0.45 * diameter) / (0.05 * diameter)))
    return image.astype(np.float32)


def write_mrc(path, image, pixel_size=PIXEL_SIZE):
    """Write an image as MRC, in a folder that is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with mrcfile.new(path, overwrite=True) as file:
        file.set_data(image)
        file.voxel_size = pixel_size


def simulate(path, seed, side=SIDE, pixel_size=PIXEL_SIZE, particles=PARTICLES, contrast=-2.0):
    """Write a micrograph and give its particles (n, 2), px."""
    random = np.random.default_rng(seed)
    diameter = DIAMETER / pixel_size
    xy = place((side, side), particles, 1.25 * diameter, random)
    write_mrc(path, draw((side, side), xy, diameter, random, contrast), pixel_size)
    return xy


def simulate_set(folder, seeds, **options):
    """Write micrographs m<seed>.mrc, and return the particles by path."""
    return {
        str(folder / f"m{seed}.mrc"): simulate(folder / f"m{seed}.mrc", seed, **options)
        for seed in seeds
    }


def simulate_faint(folder):
    """Write m11, m12 and m13, in which particles are so faint that scores spread widely."""
    for seed, contrast in ((11, -1.3), (12, -1.5), (13, -1.7)):
        simulate(folder / f"m{seed}.mrc", seed, contrast=contrast)


def as_picks(particles, most=None):
    """Turn (n, 2) arrays into picks, at most so many a micrograph."""
    return {name: Coordinates.unscored(*xy[:most].T) for name, xy in particles.items()}


def sharing(tmp_path_factory, name, make):
    """Let `make` fill a folder once for all test files, and return that folder."""
    folder = tmp_path_factory.getbasetemp() / name
    if not folder.exists():
        folder.mkdir()
        make(folder)
    return folder


def shared_model(tmp_path_factory):
    """A folder with train/*.mrc, picks.star, and the model.safetensors that was trained on them."""
    return sharing(tmp_path_factory, "model", _copy_model)


def _copy_model(folder):
    _write_training_set(folder)
    shutil.copy(MODEL, folder)


def _write_training_set(folder):
    particles = simulate_set(folder / "train", range(4))
    write_picks(as_picks(particles), folder / "picks.star")
    return particles


def trained_run(tmp_path_factory):
    """As `shared_model`, but trained anew, with everything else that a training writes."""
    return sharing(tmp_path_factory, "trained", _train_model)


def _train_model(folder):
    particles = _write_training_set(folder)
    training = replace(QUICK, epochs=6)
    settings = TrainSettings(
        DIAMETER, particles_per_micrograph=PARTICLES, held_out=0.2, training=training
    )
    micrographs = find_micrographs([str(folder / "train")])
    train(micrographs, as_picks(particles), folder, settings, device="cpu", threads=1)


def modified(folder):
    """When each file below a folder was written, by its path."""
    files = [path for path in Path(folder).rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in files}


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as new:
        _train_model(Path(new))
        shutil.copy(Path(new) / MODEL.name, MODEL)
