# SPDX-License-Identifier: GPL-3.0-or-later
"""From the progress of a training to a model whose scores are log-odds."""

from __future__ import annotations

import logging
import math
from dataclasses import asdict, dataclass, replace
from typing import Tuple

import numpy as np

from ..calibration.gaussian import PROBABILITY_PER_PARTICLE, calibrate
from ..calibration.line import Calibration, calibrated
from ..calibration.mixture_fit import ESTIMATED_COUNT_ERROR, GIVEN_COUNT_ERROR
from ..calibration.precision_recall_estimate import best_threshold, estimate_precision_recall
from ..calibration.trained_scores import calibrate_trained
from ..errors import PupickError
from ..networks.architectures import Network
from ..networks.model import Model
from ..networks.scoring import make_picking_judge
from ..networks.training_record import TrainingRecord
from ..picking.decoys import PeaksAndDecoys, find_peaks_and_decoys
from ..picking.detector import SHARPNESS_OF_TRAINED
from ..preprocessing.scale import ModelScale
from ..preprocessing.working_image import pixel_method
from ..settings import LEAST_SCORE
from .data import TrainingData
from .particle_count import expected_particles, mean_count
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
    found = _find_peaks(average.network, task, start.is_general)
    particles = _particles(found, task, start, data)
    calibration, threshold = _calibrate(found, particles, average.network.step, task, start)
    return Model(
        network=calibrated(average.network, calibration),
        network_name=task.settings.network,
        scale=ModelScale(settings.diameter, task.settings.diameter_px, start.unit),
        threshold=threshold,
        normalisation=pixel_method(settings.normalisation),
        mixture=data.mixture,
        training=replace(
            _record(progress, task, start, data),
            particles_per_micrograph=round(particles, 1),
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


def _find_peaks(network: Network, task: TrainingTask, with_decoys: bool) -> PeaksAndDecoys:
    images = [image.image for image in (*task.images, *task.held_out)]
    found = find_peaks_and_decoys(
        make_picking_judge(network, task.device),
        images,
        task.settings.diameter_px,
        math.ceil(len(images) / _MOST_NEGATIVES) if with_decoys else None,
        SHARPNESS_OF_TRAINED,
    )
    if not len(found.scores):
        raise PupickError("The trained network finds no peak at all: check the micrographs.")
    return found


def _particles(
    found: PeaksAndDecoys, task: TrainingTask, start: Start, data: TrainingData
) -> float:
    """How many an image holds: as users said, or what seems likely after the training."""
    general = start.network
    is_given = start.settings.particles_per_micrograph is not None
    if is_given or general is None or not start.expects_particles:
        return task.particles
    width = task.settings.diameter_px
    expected = expected_particles(general, data.images, width, task.device)
    likely = mean_count(expected, task.particles * found.clean_share)
    return max(likely, data.labels / len(data.images), 1.0)


def _calibrate(
    found: PeaksAndDecoys, particles: float, step: int, task: TrainingTask, start: Start
) -> Tuple[Calibration, float]:
    """The line from scores to log-odds, and the threshold."""
    scores, expected = found.scores, particles * found.share
    if start.is_general:
        decoys = np.concatenate(found.decoys)
        return calibrate_trained(scores, decoys, expected, start.knows_particles, step)
    is_given = start.settings.particles_per_micrograph is not None
    error = GIVEN_COUNT_ERROR if is_given else ESTIMATED_COUNT_ERROR
    shift = prior_shift(task.images, particles, task.settings)
    line = calibrate(scores + shift, PROBABILITY_PER_PARTICLE * expected, error)
    line = replace(line, offset=line.offset + line.slope * shift)
    curve = estimate_precision_recall([line.log_odds(scores)])
    return line, max(LEAST_SCORE, best_threshold(curve))
