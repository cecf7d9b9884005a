# SPDX-License-Identifier: GPL-3.0-or-later
"""Micrographs of 4096 x 4096 px for the speed benchmark: white noise and faint dark discs.

    python benchmarks/speed/simulate.py FOLDER [--count 10] [--seed 1]

The same seed gives the same files. Good for timing only: they say nothing about accuracy.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import List, Optional

import mrcfile
import numpy as np

from scipion_pupick.engine import atomic_write, write_text

SIDE = 4096
PIXEL_SIZE = 1.25
DIAMETER = 180.0
PARTICLES = 300
CONTRAST = 0.15  # of the noise's standard deviation: about 1 after downsampling to 24 px
CELLS = 20  # particles sit in the cells of a grid of 20 x 20, so that none overlap much

STAR_HEADER = """
data_

loop_
_rlnMicrographName #1
_rlnCoordinateX #2
_rlnCoordinateY #3
"""


def centres(rng: np.random.Generator) -> np.ndarray:
    """Centres (PARTICLES, 2) of the particles as x, y in px, each in another cell of a grid."""
    cell = SIDE / CELLS
    cells = rng.choice(CELLS * CELLS, size=PARTICLES, replace=False)
    corners = np.stack([cells % CELLS, cells // CELLS], axis=1) * cell
    return np.round(corners + cell / 2 + rng.uniform(-cell / 16, cell / 16, size=(PARTICLES, 2)))


def micrograph(rng: np.random.Generator, points: np.ndarray) -> np.ndarray:
    """A float32 image (SIDE, SIDE) with a soft dark disc at each of `points` (n, 2)."""
    image = rng.standard_normal((SIDE, SIDE), dtype=np.float32)
    radius = DIAMETER / PIXEL_SIZE / 2
    reach = int(1.2 * radius)
    offsets = np.arange(-reach, reach + 1)
    disc = CONTRAST * np.exp(-((np.hypot(offsets[:, None], offsets) / radius) ** 8))
    for x, y in points.astype(int):
        image[y - reach : y + reach + 1, x - reach : x + reach + 1] -= disc
    return image


def write_set(folder: Path, count: int, seed: int) -> None:
    """Write sim_00.mrc ... and their particles (particles.star) into `folder`."""
    rows: List[str] = []
    for index in range(count):
        rng = np.random.default_rng([seed, index])
        points = centres(rng)
        name = f"sim_{index:02d}.mrc"
        with atomic_write(folder / name) as path:
            mrcfile.write(path, micrograph(rng, points), overwrite=True, voxel_size=PIXEL_SIZE)
        rows += [f"{name} {x:.1f} {y:.1f}" for x, y in points]
    write_text(folder / "particles.star", STAR_HEADER + "\n".join(rows) + "\n")


def main(arguments: Optional[List[str]] = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    write_set(options.folder, options.count, options.seed)


if __name__ == "__main__":
    main()
