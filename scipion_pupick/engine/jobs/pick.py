# SPDX-License-Identifier: GPL-3.0-or-later
"""Pick particles in micrographs with a trained model."""

from __future__ import annotations

import logging
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Optional, Sequence

from ..device import memory_errors_explained, use_devices
from ..files.atomic import PathLike
from ..micrographs import Micrograph, say_pixel_sizes
from ..runs.executors import Executor, executor_on
from ..runs.pick_job import PickJob
from ..runs.pick_result import PickResult
from ..runs.pick_run import PickRun
from ..settings import PickSettings
from .fit import load_for, model_for

log = logging.getLogger(__name__)


@memory_errors_explained()
def pick(
    micrographs: Sequence[Micrograph],
    model: PathLike,
    output: PathLike,
    settings: PickSettings = PickSettings(),
    device: str = "auto",
    threads: int = 0,
    report: bool = True,
    workers: int = 0,
    executor: Optional[Executor] = None,
    masks: bool = False,
) -> PickResult:
    """Pick particles, and write them as STAR files, which `runs.layout` names.

    All peaks are kept, so that the same call with another threshold or border scores nothing again;
    called again, only micrographs that are new or changed, or all if the model is another, are
    scored. The general model is first fitted.

    Args:
        micrographs: to pick in; they stream through, whatever their number.
        model: path of a model file, or `general`.
        output: folder, made where needed.
        settings: how to pick.
        device: see `device.choose_devices`.
        threads: see `device.set_threads`.
        report: write `report.html` at the end.
        workers: number of processes, over which devices and threads are spread; 0 for one on each
            device.
        executor: has the micrographs scored elsewhere than on the devices; it stays open.
        masks: write where contamination lies as MRC files, if the model knows it.

    Returns:
        The picks and what failed. Micrographs that cannot be used are listed there, not raised.

    Raises:
        UsageError: the model or a device cannot be used, there is no micrograph, or people have
            changed files of picks that would be written over.
        PupickError: the memory does not suffice.
        OSError: a result cannot be written.
    """
    started = time.monotonic()
    devices = use_devices(device, threads)
    scoring = nullcontext(executor) if executor else executor_on(devices, workers, threads).opened()
    sizes = say_pixel_sizes(micrographs)
    run = PickRun(Path(output))
    loaded = load_for(micrographs, model, settings)
    with scoring as chosen, run.owned(micrographs, "pupick pick"):
        path = model_for(micrographs, model, loaded, settings, run, devices[0])
        _warn_of_others(micrographs, run)
        job = PickJob.plan(path, settings, run, chosen, masks, sizes)
        picked = job.pick(micrographs)
        result = job.end(micrographs, picked, started)
        if report and (picked.changed or not run.report.is_file()):
            # takes long to be loaded, and is not always asked for
            from .report import try_report

            try_report(run.folder, devices[0])
    result.doubt_if_few(job.picker.diameter)
    return result


def _warn_of_others(micrographs: Sequence[Micrograph], run: PickRun) -> None:
    """Say that micrographs of an earlier call, which are not in this one, are left out."""
    others = run.picked_before(micrographs)
    if others:
        log.warning(
            "%d micrographs that were picked here before, such as %s, are not given now: the list "
            "of picks and the report leave them out. Give all micrographs in each call; only new "
            "ones are scored.",
            len(others),
            min(others),
        )
