# SPDX-License-Identifier: GPL-3.0-or-later
"""From the progress of a training to a model whose scores are log-odds."""

from __future__ import annotations

import logging
import math
from dataclasses import asdict, dataclass, replace
from typing import Tuple

import numpy as np

from ..adaptation.scale import evenly_spaced
from ..calibration.gaussian import PROBABILITY_PER_PARTICLE, calibrate
from ..calibration.line import Calibration, calibrated
from ..calibration.mixture_fit import ESTIMATED_COUNT_ERROR, GIVEN_COUNT_ERROR
from ..calibration.precision_recall_estimate import best_threshold, estimate_precision_recall
from ..calibration.trained_scores import calibrate_trained
from ..errors import PupickError
from ..networks.architectures import Network
from ..networks.model import Model
from ..networks.scoring import make_picking_scorer
from ..networks.training_record import TrainingRecord
from ..picking.detector import SHARPNESS_OF_TRAINED, expected_among, peaks_inside_border
from ..preprocessing.scale import ModelScale
from ..preprocessing.working_image import pixel_method
from ..settings import LEAST_SCORE
from .data import TrainingData
from .prior import prior_shift
from .progress import Progress, best_network
from .start import Start
from .task import TrainingTask
from .validation import validate
from .weight_averaging import choose_fraction, interpolate_weights

log = logging.getLogger(__name__)

# their peaks say what scores are like, not how many there are
_MOST_NEGATIVES = 5


@dataclass(frozen=True)
class _Average:
    """A trained network averaged with what it started from.

    Attributes:
        network: the average.
        fraction: of what training found in it.
        precision: its held-out average precision; NaN without held-out labels.
    """

    network: Network
    fraction: float
    precision: float


def make_trained_model(
    progress: Progress, task: TrainingTask, start: Start, data: TrainingData
) -> Model:
    """Average the best network with its start, calibrate its scores and set the threshold.

    Args:
        progress: of the training, which has ended.
        task: that it was trained on.
        start: what it started from.
        data: what the task was made of.

    Raises:
        PupickError: the network finds no peak.
    """
    settings = start.settings
    average = _average(progress, task)
    calibration, threshold = _calibrate(average.network, task, start)
    return Model(
        network=calibrated(average.network, calibration),
        network_name=task.settings.network,
        scale=ModelScale(settings.diameter, task.settings.diameter_px, start.unit),
        threshold=threshold,
        normalisation=pixel_method(settings.normalisation),
        mixture=data.mixture,
        training=replace(
            _record(progress, task, start, data),
            score_uncertainty=round(calibration.error, 3),
            finetuned_fraction=average.fraction,
            held_out_average_precision=None if math.isnan(average.precision) else average.precision,
        ),
    )


def _record(
    progress: Progress, task: TrainingTask, start: Start, data: TrainingData
) -> TrainingRecord:
    """Record of a training, without what is known of the model alone."""
    return TrainingRecord(
        labels=data.labels,
        held_out_labels=data.held_out_labels,
        negatives=data.negatives or None,
        micrographs=len(data.images),
        bright_particles=start.sees_negatives,
        held_out_micrographs=len(data.held_out),
        failed_micrographs=data.failures,
        particles_per_micrograph=round(task.particles, 1),
        particles_estimated=start.settings.particles_per_micrograph is None,
        pi=progress.history[-1].pi,
        best_epoch=progress.best_epoch,
        epochs=len(progress.history),
        settings=asdict(task.settings),
    )


def _average(progress: Progress, task: TrainingTask) -> _Average:
    network = best_network(progress, task.settings)
    if task.start is None:
        return _Average(network, 1.0, progress.best_ap)

    def validate_average(average: Network) -> float:
        return validate(average, task)

    fraction, precision = choose_fraction(network, task.start, task.labels, validate_average)
    log.info(
        "The model keeps %.0f %% of the fine-tuning: its weights are averaged with the start's.",
        100 * fraction,
    )
    return _Average(interpolate_weights(network, task.start, fraction), fraction, precision)


def _calibrate(network: Network, task: TrainingTask, start: Start) -> Tuple[Calibration, float]:
    """The line from scores to log-odds, and the threshold."""
    scorer = make_picking_scorer(network, task.device)
    width = task.settings.diameter_px
    images = [*task.images, *task.held_out]
    peaks = [
        peaks_inside_border(scorer, image.image, width, SHARPNESS_OF_TRAINED) for image in images
    ]
    scores = np.concatenate([of_image.score for of_image in peaks])
    if not len(scores):
        raise PupickError("The trained network finds no peak at all: check the micrographs.")
    expected = expected_among(peaks, task.particles)
    is_given = start.settings.particles_per_micrograph is not None
    if start.is_general:
        decoys = [
            peaks_inside_border(scorer, -image.image, width, SHARPNESS_OF_TRAINED).score
            for image in evenly_spaced(images, _MOST_NEGATIVES)
        ]
        negatives = np.concatenate(decoys)
        return calibrate_trained(scores, negatives, expected, is_given, network.step)
    error = GIVEN_COUNT_ERROR if is_given else ESTIMATED_COUNT_ERROR
    shift = prior_shift(task.images, task.particles, task.settings)
    line = calibrate(scores + shift, PROBABILITY_PER_PARTICLE * expected, error)
    line = replace(line, offset=line.offset + line.slope * shift)
    curve = estimate_precision_recall([line.log_odds(scores)])
    return line, max(LEAST_SCORE, best_threshold(curve))
