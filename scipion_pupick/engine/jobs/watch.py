# SPDX-License-Identifier: GPL-3.0-or-later
"""Pick micrographs as they come in, until told to stop."""

from __future__ import annotations

import logging
import time
from functools import partial
from pathlib import Path
from typing import Optional, Sequence

import torch

from ..device import use_devices
from ..files.atomic import PathLike
from ..micrographs import Micrograph
from ..micrographs.arrivals import Arrivals
from ..runs.executors import Executor, executor_on
from ..runs.pick_result import PickResult
from ..runs.pick_run import PickRun
from ..runs.rounds import PickIn, Rounds
from ..settings import PickSettings, WatchSettings
from .fit import least_number
from .pick import pick
from .report import try_report

log = logging.getLogger(__name__)

_SECONDS_A_MINUTE = 60.0


def _is_over(until: WatchSettings, last: float) -> bool:
    """Whether to stop, if a micrograph has come last at this time (s)."""
    if until.stop_file is not None and Path(until.stop_file).exists():
        return True
    idle = time.monotonic() - last
    return until.idle is not None and idle >= until.idle * _SECONDS_A_MINUTE


def watch(
    sources: Sequence[str],
    model: PathLike,
    output: PathLike,
    settings: PickSettings = PickSettings(),
    until: WatchSettings = WatchSettings(),
    pixel_size: Optional[float] = None,
    device: str = "auto",
    threads: int = 0,
    workers: int = 0,
    report: bool = True,
    executor: Optional[Executor] = None,
    masks: bool = False,
) -> Optional[PickResult]:
    """Pick micrographs as they come in; the model is loaded once.

    Files that are still being written are waited for. After each round the lists in the folder are
    those of all micrographs so far, also of those moved or deleted since, and the report is renewed
    now and then. The general model is fitted to the first twelve micrographs, or to all if fewer
    come. Ctrl-C and SIGTERM stop the watch, too; what the last round has written stays.

    Args:
        sources: see `find_micrographs`; they may be empty, or not there yet.
        until: when to stop.
        pixel_size: see `find_micrographs`.
        model: see `pick`.
        output: see `pick`.
        settings: see `pick`.
        device: see `pick`.
        threads: see `pick`.
        workers: see `pick`.
        report: write `report.html`.
        executor: see `pick`.
        masks: see `pick`.

    Returns:
        What was found in all micrographs; None if none has come.

    Raises:
        UsageError: the model, a device or the folder cannot be used, since another watch has it.
        KeyboardInterrupt: it was stopped in its first round.
        PupickError: the memory does not suffice.
        OSError: a result cannot be written.
    """
    devices = use_devices(device, threads)
    arrivals = Arrivals(sources, pixel_size, min(until.interval, Arrivals.settled))
    run = PickRun(Path(output))
    rounds = Rounds(run, least_number(model, settings, run))
    own = executor or executor_on(devices, workers, threads)

    def pick_in(micrographs: Sequence[Micrograph]) -> PickResult:
        given = (micrographs, model, output, settings, device, threads)
        return pick(*given, report=False, executor=own, masks=masks)

    try:
        _look_again_and_again(arrivals, rounds, until, pick_in, devices[0] if report else None)
    finally:
        if executor is None:
            own.close()
    return rounds.result


def _look_again_and_again(
    arrivals: Arrivals,
    rounds: Rounds,
    until: WatchSettings,
    pick_in: PickIn,
    reporter: Optional[torch.device],
) -> None:
    """Pick what comes until it is over; the report, if it is wanted, is made on a device."""
    with rounds.owned():
        try:
            _pick_what_comes(arrivals, rounds, until, pick_in, reporter)
        except KeyboardInterrupt:
            log.info("Stopped. The lists are those of the last round; call again to go on.")
            if rounds.has_begun and rounds.result is None:
                raise


def _pick_what_comes(
    arrivals: Arrivals,
    rounds: Rounds,
    until: WatchSettings,
    pick_in: PickIn,
    reporter: Optional[torch.device],
) -> None:
    last, over = time.monotonic(), False
    while not over:
        over = _is_over(until, last)
        # what is broken, or was never written to its end, is listed in the end
        there = arrivals.found() if over else arrivals.whole()
        if rounds.look(there, pick_in, over):
            last = time.monotonic()
        if reporter is not None and rounds.report_is_due(over):
            rounds.write_report(partial(try_report, device=reporter))
        if not over and not rounds.has_more:
            time.sleep(until.interval)
