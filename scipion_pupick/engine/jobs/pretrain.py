# SPDX-License-Identifier: GPL-3.0-or-later
"""Make the general model: simulate micrographs of random particles and train a network on them."""

from __future__ import annotations

import hashlib
import json
import logging
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from functools import partial
from itertools import chain
from multiprocessing import get_context
from pathlib import Path
from typing import List, Sequence

import torch

from ..calibration.line import calibrated
from ..device import choose_device, set_threads, usable_cores
from ..evaluation.curves import precision_recall
from ..files.atomic import PathLike, make_folder
from ..files.progress import track
from ..networks.model import Model, save_model
from ..networks.scoring import make_scorer
from ..preprocessing.scale import ModelScale
from ..pretraining.dataset import SimulatedImage, load_images, save_images, simulate_images
from ..pretraining.pretrain import calibrate_on, join_peaks, match_peaks, pretrain
from ..runs.layout import CHECKPOINT, GENERAL_MODEL, SIMULATED, TRAINING_LOG
from ..runs.training_log import write_training_log
from ..settings import PretrainSettings
from ..training.checkpoint import Checkpoint
from ..training.progress import Progress, best_network, log_epoch

log = logging.getLogger(__name__)


def make_general_model(
    output: PathLike,
    settings: PretrainSettings = PretrainSettings(),
    device: str = "auto",
    threads: int = 0,
) -> Model:
    """Simulate micrographs, train a network on them and write it as a model of no one particle.

    In the output folder come to lie `simulated/` (a file for each particle), `training.tsv`,
    `checkpoint.safetensors` and `general.safetensors`. Called again with the same settings, a
    run that was stopped continues.

    Args:
        output: folder, made where needed.
        settings: how to make it.
        device: see `device.choose_device`.
        threads: see `device.set_threads`; as many processes simulate.

    Raises:
        UsageError: the folder holds a training with other settings.
        PupickError: training failed.
        OSError: a result cannot be written.
    """
    set_threads(threads)
    processor = choose_device(device)
    folder = Path(output)
    make_folder(folder)
    fingerprint = hashlib.sha256(json.dumps(asdict(settings)).encode()).hexdigest()
    checkpoint = Checkpoint(folder / CHECKPOINT, fingerprint)
    reached = checkpoint.load()
    number = settings.held_out + settings.particles
    images = _simulate(folder / SIMULATED, settings.training.seed, number, threads)
    held_out = [*chain.from_iterable(images[: settings.held_out])]
    training = [*chain.from_iterable(images[settings.held_out :])]

    def save(progress: Progress) -> None:
        checkpoint.save(progress)
        write_training_log(progress.history, folder / TRAINING_LOG)
        log_epoch(progress)

    progress = pretrain(training, held_out, settings.training, processor, reached, save)
    model = _model(progress, settings, held_out, processor)
    save_model(model, folder / GENERAL_MODEL)
    return model


def _simulate(folder: Path, seed: int, number: int, threads: int) -> List[List[SimulatedImage]]:
    """Simulate the images of so many particles, or read those that are there."""
    paths = [folder / f"seed{seed}_{index:05d}.safetensors" for index in range(number)]
    missing = [index for index, path in enumerate(paths) if not path.exists()]
    workers = threads or usable_cores()
    with ProcessPoolExecutor(workers, get_context("spawn"), set_threads, (1,)) as pool:
        made = pool.map(partial(_simulate_one, paths, seed), missing, chunksize=4)
        for _ in track(made, len(missing), "particles simulated"):
            pass
    return [load_images(path) for path in paths]


def _simulate_one(paths: Sequence[Path], seed: int, index: int) -> None:
    save_images(simulate_images(seed, index), paths[index])


def _model(
    progress: Progress,
    settings: PretrainSettings,
    held_out: Sequence[SimulatedImage],
    device: torch.device,
) -> Model:
    """Return the network of the best epoch, its scores calibrated on the held-out micrographs."""
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
        training={
            "general": True,
            "simulated_particles": settings.particles,
            "epochs": len(progress.history),
            "best_epoch": progress.best_epoch,
            "held_out_average_precision": progress.best_ap,
            "score_uncertainty": round(calibration.error, 3),
            "settings": asdict(settings.training),
        },
    )
