# SPDX-License-Identifier: GPL-3.0-or-later
"""The two sets of micrographs of the speed benchmark, laid out in its work folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import List, Tuple

import numpy as np

from benchmarks.speed.simulate import STAR_HEADER
from benchmarks.speed.steps import COPIES, SIMULATED, SIMULATED_MANY, TRAIN_SET

LABELS = 100
TRAINING_MICROGRAPHS = 10

Label = Tuple[str, float, float]


def simulated_set(work: Path, count: int, seed: int) -> List[str]:
    """Make the simulated micrographs in `work`/simulated; gives their file names."""
    folder = work / SIMULATED
    names = [f"sim_{index:02d}.mrc" for index in range(count)]
    script = str(Path(__file__).with_name("simulate.py"))
    options = ["--count", str(count), "--seed", str(seed)]
    subprocess.run([sys.executable, script, str(folder), *options], check=True)
    many = fresh_folder(work / SIMULATED_MANY)
    for copy in range(COPIES):
        for name in names:
            # Hard links: a program may well take symbolic links for one and the same micrograph.
            os.link(folder / name, many / f"{copy}_{name}")
    return names


def training_set(data: Path, work: Path, seed: int) -> List[str]:
    """File names of the first ten micrographs of `data`, linked below `work`/train, with labels.

    `data` holds micrographs/*.mrc and particles.star; LABELS of the particles are drawn as labels
    and written for both programs.

    Raises:
        FileNotFoundError: `data` has no micrographs or no particles.star.
    """
    paths = sorted((data / "micrographs").glob("*.mrc"))[:TRAINING_MICROGRAPHS]
    if not paths:
        raise FileNotFoundError(f"{data / 'micrographs'}: no *.mrc in it")
    folder = fresh_folder(work / TRAIN_SET)
    for path in paths:
        (folder / path.name).symlink_to(path.resolve())
    names = [path.name for path in paths]
    labels = draw([row for row in read_star(data / "particles.star") if row[0] in names], seed)
    write_star(work / "labels.star", labels)
    write_topaz_table(work / "labels-topaz.txt", labels)
    return names


def fresh_folder(folder: Path) -> Path:
    """An existing `folder` without the links that an earlier run has left in it."""
    folder.mkdir(exist_ok=True)
    for path in folder.iterdir():
        path.unlink()
    return folder


def draw(particles: List[Label], seed: int) -> List[Label]:
    """LABELS of `particles`, drawn without replacement."""
    indices = np.random.default_rng(seed).choice(len(particles), size=LABELS, replace=False)
    return [particles[index] for index in sorted(indices)]


def read_star(path: Path) -> List[Label]:
    """Name, x and y of the rows of a STAR file of just these three columns."""
    fields = [line.split() for line in path.read_text(encoding="utf-8").splitlines()]
    rows = [row for row in fields if len(row) == 3 and not row[0].startswith(("_", "#"))]
    return [(name, float(x), float(y)) for name, x, y in rows]


def write_star(path: Path, labels: List[Label]) -> None:
    rows = "".join(f"{name} {x:.2f} {y:.2f}\n" for name, x, y in labels)
    path.write_text(STAR_HEADER + rows, encoding="utf-8")


def write_topaz_table(path: Path, labels: List[Label]) -> None:
    """Topaz's table: names without .mrc, whole pixels of the preprocessed micrographs."""
    rows = [f"{name[: -len('.mrc')]}\t{round(x)}\t{round(y)}\n" for name, x, y in labels]
    path.write_text("image_name\tx_coord\ty_coord\n" + "".join(rows), encoding="utf-8")
