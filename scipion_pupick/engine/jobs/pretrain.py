# SPDX-License-Identifier: GPL-3.0-or-later
"""Make the general model: simulate micrographs of random particles and train a network on them."""

from __future__ import annotations

from itertools import chain
from pathlib import Path

from ..device import choose_device, set_threads
from ..files.atomic import PathLike
from ..networks.model import Model
from ..pretraining.dataset import simulate_particles
from ..pretraining.general_model import calibrate_general_model
from ..pretraining.pretrain import pretrain
from ..runs.pretrain_run import PretrainRun
from ..settings import PretrainSettings


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
    run = PretrainRun.of_settings(Path(output), settings)
    with run.owned():
        reached = run.checkpoint.load()
        number = settings.held_out + settings.particles
        images = simulate_particles(run.simulated, settings.training.seed, number, threads)
        held_out = [*chain.from_iterable(images[: settings.held_out])]
        training = [*chain.from_iterable(images[settings.held_out :])]
        progress = pretrain(training, held_out, settings.training, processor, reached, run.save)
        model = calibrate_general_model(progress, settings, held_out, processor)
        run.finish(model)
    return model
