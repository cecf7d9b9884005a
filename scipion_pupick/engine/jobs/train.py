# SPDX-License-Identifier: GPL-3.0-or-later
"""Train a model on micrographs and a few picks."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Mapping, Optional, Sequence

import torch

from ..coordinates import Picks
from ..device import memory_errors_explained, use_device
from ..files.atomic import PathLike
from ..micrographs import Micrograph, say_pixel_sizes
from ..networks.model import Model
from ..preprocessing.scale import ANGSTROM, LengthUnit
from ..runs.train_run import TrainRun
from ..settings import GENERAL, TrainSettings
from ..training.request import TrainRequest, make_request
from ..training.train_job import TrainJob
from .report import try_report


@memory_errors_explained()
def train(
    micrographs: Sequence[Micrograph],
    picks: Picks,
    output: PathLike,
    settings: TrainSettings,
    negatives: Optional[Picks] = None,
    start: Optional[PathLike] = GENERAL,
    overwrite: bool = False,
    device: str = "auto",
    threads: int = 0,
    unit: LengthUnit = ANGSTROM,
) -> Model:
    """Train a model, and write it with its log.

    In the output folder come to lie `model.safetensors`, `training.tsv` (a row for each epoch,
    written while it runs), `train.json`, `report.html`, what that shows (`micrographs.tsv`,
    `labels.csv` and `view.json`) and `checkpoint.safetensors`. Called again with the same
    arguments, a training that was stopped continues, and one that is finished is not repeated.

    Args:
        micrographs: with and without picks.
        picks: labelled particles by micrograph name, px of the micrographs; scores are ignored.
        output: folder, made where needed.
        settings: how to train.
        negatives: places labelled as no particle, in the same form.
        start: path of a model to start from, or `general`; None for random weights. Settings
            that the general model does not fit, as another network, mean random weights too.
        overwrite: forget a training of other data or settings that the folder holds.
        device: see `device.choose_device`.
        threads: see `device.set_threads`.
        unit: of the diameter, and of the pixel sizes of the micrographs; the model says it.

    Returns:
        The model, as written.

    Raises:
        UsageError: the picks fit no micrograph or cannot be right, or something else that was given
            makes no sense.
        PupickError: no labelled micrograph can be used, training failed, or the memory does not
            suffice.
        OSError: a result cannot be written.
    """
    processor = use_device(device, threads)
    sizes = say_pixel_sizes(micrographs if unit == ANGSTROM else [])
    asked = make_request(micrographs, picks, negatives, start, settings, unit)
    run, request = TrainRun.begun(asked, Path(output))
    with run.owned():
        replaces = run.holds_another(overwrite)
        finished = None if replaces else run.finished_model()
        model = finished or _train(request, run, replaces, processor, sizes.record())
        # a call with nothing to do writes nothing
        if finished is None or not run.has_report:
            try_report(output, processor)
    return model


def _train(
    request: TrainRequest,
    run: TrainRun,
    replaces: bool,
    device: torch.device,
    pixel_sizes: Sequence[Mapping[str, Any]],
) -> Model:
    request = run.resumed(request) or request.adapted(device).checked(device)
    data = request.read()
    if replaces:
        run.forget()
    run.begin(request)
    job = TrainJob(request.start, data, device, run.checkpoint, run.estimate, run.write_log)
    model = job.run()
    run.finish(model, pixel_sizes)
    return model
