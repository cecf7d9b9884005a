# SPDX-License-Identifier: GPL-3.0-or-later
"""The methods before networks: difference of Gaussians and template matching, by scikit-image.

    python benchmarks/paper/baselines.py --work FOLDER --data EMPIAR-10017 --shapes SHAPES.npz

Lines are added to FOLDER/cells.csv, beside those of experiments.py; see benchmarks/README.md. Needs
`pip install scikit-image`.
"""

from __future__ import annotations

import logging
import sys
import time
from pathlib import Path
from typing import Callable, List, Optional, Sequence

import numpy as np

# a script sees only its own folder
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from skimage.feature import match_template
from skimage.filters import difference_of_gaussians

from benchmarks.paper.cells_file import Row, add_row, read_rows
from benchmarks.paper.experiments import parser_of, revision_of_source
from benchmarks.paper.grid import CHOICES, LABELS, Cell
from benchmarks.paper.measures import particle_figures, region_ap, score_maps
from benchmarks.paper.sets import PreparedSet, find_set, with_some_labels
from scipion_pupick.engine.settings import STRIDE, WORKING_DIAMETER_PX
from scipion_pupick.engine.training.regions import TrainingImage

DOG, TEMPLATE = "dog", "template"
# widths of blobs, in diameters; the best one by the particles to train on is taken
DOG_WIDTHS = (0.25, 0.35, 0.5, 0.7, 1.0)
TEMPLATE_DIAMETERS = 1.3

Scorer = Callable[[np.ndarray], np.ndarray]

log = logging.getLogger("baselines")


def dog_scorer(width: float) -> Scorer:
    """Dark blobs of a width (px): an image blurred wide less the same blurred narrowly."""
    narrow = width / (2 * np.sqrt(2))

    def score(images: np.ndarray) -> np.ndarray:
        return np.stack(
            [-difference_of_gaussians(i, narrow, 1.6 * narrow)[::STRIDE, ::STRIDE] for i in images]
        )

    return score


def template_scorer(template: np.ndarray) -> Scorer:
    """Normalised cross-correlation with a template."""

    def score(images: np.ndarray) -> np.ndarray:
        maps = [match_template(i, template, pad_input=True, mode="edge") for i in images]
        return np.stack([each[::STRIDE, ::STRIDE] for each in maps])

    return score


def mean_particle(images: Sequence[TrainingImage], diameter_px: float) -> np.ndarray:
    """The rotational average of the labelled particles, an odd square."""
    half = round(TEMPLATE_DIAMETERS * diameter_px / 2)
    crops = [
        image.image[y - half : y + half + 1, x - half : x + half + 1]
        for image in images
        for x, y in np.rint(image.positive).astype(int)
    ]
    whole = [crop for crop in crops if crop.shape == (2 * half + 1,) * 2]
    if not whole:
        raise ValueError("every labelled particle lies at an edge")
    mean = np.mean(np.asarray(whole, np.float64), axis=0)
    distance = np.hypot(*np.mgrid[-half : half + 1, -half : half + 1])
    rings = np.rint(distance).astype(int)
    sums = np.bincount(rings.ravel(), mean.ravel())
    profile = sums / np.bincount(rings.ravel())
    return np.asarray(np.interp(distance, np.arange(len(profile)), profile))


def best_dog(on: PreparedSet) -> Scorer:
    """The width that ranks the regions of the images to train on best, all particles known."""
    known = PreparedSet(on.name, on.train, on.train, on.diameter, on.tolerance, on.border)
    scorers = [dog_scorer(width * WORKING_DIAMETER_PX) for width in DOG_WIDTHS]
    found = [region_ap(score_maps(scorer, known), known) for scorer in scorers]
    log.info("%s: widths %s, region AP %s", on.name, DOG_WIDTHS, np.round(found, 4))
    return scorers[int(np.argmax(found))]


def run_cell(cell: Cell, on: PreparedSet, revision: str) -> Row:
    """Score the images to test on."""
    started = time.process_time()
    if cell.method == DOG:
        scorer = best_dog(on)
    else:
        images = with_some_labels(on, cell.labels, cell.choice)
        scorer = template_scorer(mean_particle(images, WORKING_DIAMETER_PX))
    maps = score_maps(scorer, on)
    found = particle_figures(maps, on)
    return Row(
        *(cell.set, cell.method, cell.labels, cell.choice, cell.gamma, cell.pi_factor),
        steps=0,
        region_ap=region_ap(maps, on),
        particle_ap=found.average_precision,
        best_f1=found.best_f1,
        cpu_s=round(time.process_time() - started, 1),
        curve="",
        revision=revision,
    )


def cells_of(on: str, choices: Sequence[int]) -> List[Cell]:
    """Difference of Gaussians needs no label; templates are means of some."""
    templates = [Cell(on, TEMPLATE, count, choice) for count in LABELS for choice in choices]
    return [Cell(on, DOG, 0, 0), *templates]


def main(arguments: Optional[List[str]] = None) -> None:
    options = parser_of(__doc__).parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    table, revision = options.work / "cells.csv", revision_of_source()
    for name in options.sets.split(","):
        done = {row.cell for row in read_rows(table)}
        missing = [c for c in cells_of(name, CHOICES[: options.choices]) if c not in done]
        if not missing:
            continue
        on = find_set(name, options.data, options.shapes, options.work)
        for cell in missing:
            row = run_cell(cell, on, revision)
            add_row(table, row)
            log.info("%s: region AP %.3f, particle AP %.3f", cell, row.region_ap, row.particle_ap)


if __name__ == "__main__":
    main()
