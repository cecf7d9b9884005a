# SPDX-License-Identifier: GPL-3.0-or-later
"""Pick micrographs as they come in, until told to stop."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable, Dict, List, Optional, Sequence

import torch

from ..device import use_devices
from ..errors import PupickError
from ..files.atomic import PathLike, file_status
from ..micrographs import Micrograph
from ..micrographs.arrivals import Arrivals
from ..networks.model_file import read_model_file
from ..runs.executors import Executor, executor_on
from ..runs.pick_result import PickResult
from ..runs.pick_run import PickRun
from ..settings import MICROGRAPHS_FITTED, PickSettings, WatchSettings
from .pick import pick
from .report import try_report

log = logging.getLogger(__name__)

PickIn = Callable[[Sequence[Micrograph]], PickResult]

# at once, so that lists grow while many are waiting
ROUND = 500
# of the time, at most, for reports while micrographs come in
SHARE_FOR_REPORTS = 0.1
_SECONDS_A_MINUTE = 60.0


def _is_over(until: WatchSettings, last: float) -> bool:
    """Whether to stop, if a micrograph has come last at this time (s)."""
    if until.stop_file is not None and Path(until.stop_file).exists():
        return True
    idle = time.monotonic() - last
    return until.idle is not None and idle >= until.idle * _SECONDS_A_MINUTE


@dataclass
class _Rounds:
    """What a watch has done so far.

    Attributes:
        run: that it picks into.
        needed: micrographs that the first round waits for.
        result: of the last round.
        has_more: whether micrographs are waiting for the next round.
    """

    run: PickRun
    needed: int
    result: Optional[PickResult] = None
    has_more: bool = False
    _picked: Dict[str, List[int]] = field(default_factory=dict)
    _stale: bool = False
    _next_report: float = 0.0

    def pick_new(self, there: Sequence[Micrograph], pick_in: PickIn, all_of_them: bool) -> bool:
        """Pick micrographs that are new, as many as suit a round; return whether that was done."""
        status = {m.name: file_status(m.path) for m in there}
        new = [name for name, now in status.items() if self._picked.get(name) != now]
        if not new or (not self._picked and len(there) < self.needed and not all_of_them):
            self.has_more = False
            return False
        listed = {*self._picked, *self._listed_before()}
        fresh = [name for name in new if name not in listed]
        most = len(fresh) if all_of_them else ROUND
        listed.update(fresh[:most])
        self.has_more = len(fresh) > most
        self.result = pick_in([m for m in there if m.name in listed])
        self._picked = {name: now for name, now in status.items() if name in listed}
        self._stale = True
        return True

    def _listed_before(self) -> List[str]:
        """Return the names of micrographs that an earlier call has picked in."""
        if self._picked:
            return []
        try:
            return [micrograph.name for micrograph in self.run.micrographs]
        except PupickError:
            # the list is damaged, and about to be written anew
            return []

    def report_is_due(self, over: bool) -> bool:
        """Whether the report is behind what was picked, and it is time to renew it."""
        return self._stale and (over or time.monotonic() >= self._next_report)

    def write_report(self, device: torch.device) -> None:
        """Renew the report."""
        begun = time.monotonic()
        try_report(self.run.folder, device)
        took = time.monotonic() - begun
        self._stale, self._next_report = False, begun + took / SHARE_FOR_REPORTS


def _least_number(model: PathLike) -> int:
    """Micrographs that the first round needs: the general model is fitted to some."""
    return MICROGRAPHS_FITTED if read_model_file(model).scale.diameter is None else 1


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
    those of all micrographs so far, and the report is renewed now and then. The general model is
    fitted to the first twelve micrographs, or to all if fewer come. Ctrl-C and SIGTERM stop the
    watch, too; what the last round has written stays.

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
        UsageError: the model or a device cannot be used, or the folder is not free.
        PupickError: the memory does not suffice.
        OSError: a result cannot be written.
    """
    devices = use_devices(device, threads)
    arrivals = Arrivals(sources, pixel_size, min(until.interval, Arrivals.settled))
    own = executor or executor_on(devices, workers, threads)
    rounds = _Rounds(PickRun(Path(output)), _least_number(model))

    def pick_in(micrographs: Sequence[Micrograph]) -> PickResult:
        given = (micrographs, model, output, settings, device, threads)
        return pick(*given, report=False, executor=own, masks=masks)

    try:
        _look_again_and_again(arrivals, rounds, until, pick_in, devices[0] if report else None)
    except KeyboardInterrupt:
        log.info("Stopped. The lists are those of the last round; call again to go on.")
    finally:
        if executor is None:
            own.close()
    return rounds.result


def _look_again_and_again(
    arrivals: Arrivals,
    rounds: _Rounds,
    until: WatchSettings,
    pick_in: PickIn,
    reporter: Optional[torch.device],
) -> None:
    """Pick what comes until it is over; the report, if it is wanted, is made on a device."""
    last, over = time.monotonic(), False
    while not over:
        over = _is_over(until, last)
        # what is broken, or was never written to its end, is listed in the end
        there = arrivals.found() if over else arrivals.whole()
        if rounds.pick_new(there, pick_in, over):
            last = time.monotonic()
        if reporter is not None and rounds.report_is_due(over):
            rounds.write_report(reporter)
        if not over and not rounds.has_more:
            time.sleep(until.interval)
