# SPDX-License-Identifier: GPL-3.0-or-later
"""From the progress of pre-training to the general model."""

from __future__ import annotations

from dataclasses import asdict
from types import MappingProxyType
from typing import Mapping, Sequence

import torch

from ..calibration.line import calibrated
from ..evaluation.curves import precision_recall
from ..networks.model import Model
from ..networks.scoring import make_scorer
from ..networks.training_record import TrainingRecord
from ..preprocessing.scale import ModelScale
from ..settings import PretrainSettings
from ..training.progress import Progress, best_network
from .dataset import KnownImage
from .pretrain import calibrate_on, join_peaks, match_peaks


def calibrate_general_model(
    progress: Progress,
    settings: PretrainSettings,
    held_out: Sequence[KnownImage],
    device: torch.device,
    learned_from: Mapping[str, int] = MappingProxyType({}),
) -> Model:
    """Return the network of the best epoch, its scores calibrated on the held-out micrographs.

    Args:
        progress: of the training, which has ended.
        settings: it was made with.
        held_out: images that were not trained on.
        device: to score on.
        learned_from: number of labelled particles by sets of real micrographs.
    """
    network = best_network(progress, settings.training)
    scorer = make_scorer(network, device)
    of_images = [match_peaks(scorer, image) for image in held_out]
    calibration = calibrate_on(of_images)
    peaks = join_peaks(of_images)
    curve = precision_recall(peaks.hits, calibration.log_odds(peaks.score), peaks.particles)
    return Model(
        network=calibrated(network, calibration),
        network_name=settings.training.network,
        scale=ModelScale(None, settings.training.diameter_px),
        threshold=curve.best_threshold,
        training=TrainingRecord(
            general=True,
            simulated_particles=settings.particles,
            learned_from=dict(learned_from),
            epochs=len(progress.history),
            best_epoch=progress.best_epoch,
            held_out_average_precision=progress.best_ap,
            score_uncertainty=round(calibration.error, 3),
            settings=asdict(settings.training),
        ),
    )
