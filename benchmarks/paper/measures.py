# SPDX-License-Identifier: GPL-3.0-or-later
"""What the paper measures of scores, and what counts in picking."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Sequence

import numpy as np

from benchmarks.paper.sets import PreparedSet
from scipion_pupick.engine import Coordinates
from scipion_pupick.engine.evaluation.curves import region_average_precision
from scipion_pupick.engine.evaluation.evaluate import evaluate_picks
from scipion_pupick.engine.picking.border import grid_inside
from scipion_pupick.engine.picking.detector import Detector
from scipion_pupick.engine.picking.score_places import ScorePlaces
from scipion_pupick.engine.settings import STRIDE, OptimizerSettings
from scipion_pupick.engine.training.regions import positive_map

Scorer = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class ParticleFigures:
    """How well particles are found.

    Attributes:
        average_precision: of all peaks.
        best_f1: at any threshold.
    """

    average_precision: float
    best_f1: float


def score_maps(scorer: Scorer, on: PreparedSet) -> Sequence[np.ndarray]:
    """Scores (h/4, w/4) of the images to test on, by a function of images (1, h, w)."""
    return [scorer(image.image[None].astype(np.float32))[0] for image in on.test]


def region_ap(maps: Sequence[np.ndarray], on: PreparedSet) -> float:
    """Average precision over regions (paper, Methods 8): Σ precision times change of recall.

    A region is positive within the training radius of a particle.
    """
    radius = OptimizerSettings().training_radius
    scores, positive = [], []
    for image, score_map in zip(on.test, maps):
        shape = (image.image.shape[0], image.image.shape[1])
        places = [ScorePlaces.of_map(score_map.shape, shape).along(size) for size in shape]
        inside = grid_inside((on.border, on.border), shape, places)
        near = positive_map(shape, image.positive, radius)[::STRIDE, ::STRIDE]
        scores.append(score_map[inside].ravel())
        positive.append(near[inside].ravel())
    return region_average_precision(np.concatenate(scores), np.concatenate(positive))


def particle_figures(maps: Sequence[np.ndarray], on: PreparedSet) -> ParticleFigures:
    """Peaks of score maps against the particles, matched one to one."""
    detector = Detector.of_width(OptimizerSettings().diameter_px)
    peaks = [
        detector.find_in_map(score_map, (image.image.shape[0], image.image.shape[1]))
        for score_map, image in zip(maps, on.test)
    ]
    names = [str(i) for i in range(len(maps))]
    picks = {
        n: Coordinates(of_map.xy[:, 0], of_map.xy[:, 1], of_map.score)
        for n, of_map in zip(names, peaks)
    }
    known = {n: Coordinates.unscored(*image.positive.T) for n, image in zip(names, on.test)}
    shapes = {n: (i.image.shape[0], i.image.shape[1]) for n, i in zip(names, on.test)}
    curve = evaluate_picks(picks, known, on.tolerance, on.border, shapes).curve
    return ParticleFigures(curve.average_precision, curve.best_f1)
