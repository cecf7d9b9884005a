# SPDX-License-Identifier: GPL-3.0-or-later
"""Make the general model: simulate micrographs of random particles and train a network on them."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import Optional, Sequence

from ..device import choose_device, set_threads
from ..files.atomic import PathLike
from ..networks.model import Model, load_model
from ..pretraining.dataset import digest_of, simulate_particles
from ..pretraining.general_model import calibrate_general_model
from ..pretraining.labelled import LabelledSet, count_particles, labelled_images
from ..pretraining.pretrain import first_network, pretrain
from ..runs.pretrain_run import PretrainRun
from ..settings import PretrainSettings
from ..simulation import read_proteins


def make_general_model(
    output: PathLike,
    settings: PretrainSettings = PretrainSettings(),
    device: str = "auto",
    threads: int = 0,
    proteins: Optional[PathLike] = None,
    labelled: Sequence[LabelledSet] = (),
    start: Optional[PathLike] = None,
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
        proteins: file of real proteins, see `simulation.read_proteins`, of which a third of the
            simulated particles are; None for phantoms alone.
        labelled: real micrographs to learn from beside simulated ones.
        start: general model to go on from, or `general`; None for random weights.

    Raises:
        UsageError: the folder holds a training with other settings, or proteins, labelled
            micrographs or the model to go on from cannot be used.
        MicrographError: a labelled micrograph cannot be used.
        PupickError: training failed.
        OSError: a result cannot be written.
    """
    set_threads(threads)
    processor = choose_device(device)
    shapes = [] if proteins is None else read_proteins(proteins)
    sets = [labelled_images(each) for each in labelled]
    first = None if start is None else load_model(start)
    started = None if first is None else first.network
    # simulating takes hours, so a start that does not fit is refused before
    first_network(settings.training, started)
    sources = digest_of(shapes, sets) + ("" if first is None else first.digest)
    run = PretrainRun.of_settings(Path(output), settings, sources)
    with run.owned():
        reached = run.reached()
        number = settings.held_out + settings.particles
        images = simulate_particles(run.simulated, settings.training.seed, number, threads, shapes)
        held_out = [*chain.from_iterable(images[: settings.held_out])]
        training = [*chain.from_iterable(images[settings.held_out :])]
        progress = pretrain(
            *(training, held_out, settings.training, processor, reached, run.save, sets), started
        )
        counts = {each.name: count_particles(known) for each, known in zip(labelled, sets)}
        model = calibrate_general_model(progress, settings, held_out, processor, counts, started)
        run.finish(model)
    return model
