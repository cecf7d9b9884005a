# SPDX-License-Identifier: GPL-3.0-or-later
"""Scoring on the workers of a Dask cluster, which see the same disk.

Dask gives the micrographs of a worker that dies to another one.
"""

from __future__ import annotations

import functools
import logging
import queue
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Sequence, Set

from ...device import choose_device, set_threads
from ...errors import MicrographError, PupickError
from ...micrographs import Micrograph
from ..pick_run import PickRun
from ..score_micrographs import MicrographScorer, Scored, ScoringTask
from .executor import Executor
from .messages import (
    error_from_dict,
    error_to_dict,
    micrograph_from_dict,
    micrograph_to_dict,
    scored_from_dict,
    scored_to_dict,
)

log = logging.getLogger(__name__)

# micrographs that a worker is given at once, and may have to do again
PIECE = 8
# network disks may show a file of another computer this much later
SECONDS_UNTIL_VISIBLE = 90.0
_SECONDS_BETWEEN_LINES = 60.0

Piece = List[Micrograph]


def score_piece(
    task: Mapping[str, Any], micrographs: Sequence[Mapping[str, Any]], device: str
) -> Dict[str, Any]:
    """Score some micrographs; a worker of the cluster calls this, one time for each of its threads.

    Args:
        task: as `ScoringTask.to_dict` describes it.
        micrographs: as `micrograph_to_dict` describes them.
        device: to compute on; see `device.choose_device`.

    Returns:
        How it went, as the `messages` describe it.
    """
    set_threads(1)
    try:
        scorer = _scorer(ScoringTask.from_dict(task), device)
        done = [scored_to_dict(s) for s in scorer.score(map(micrograph_from_dict, micrographs))]
    except (PupickError, OSError) as error:
        return {"error": error_to_dict(error)}
    return {"scored": done}


@functools.lru_cache(maxsize=1)
def _scorer(task: ScoringTask, device: str) -> MicrographScorer:
    """Return what scores for a task; the model is loaded once for all pieces."""
    return MicrographScorer.of_task(task, choose_device(device))


class DaskWorkers(Executor):
    """Scores micrographs on the workers of a Dask scheduler."""

    def __init__(self, client: Any, device: str = "auto", cluster: Any = None) -> None:
        """Take a connection to a scheduler, and the cluster to end with it, if there is one."""
        self._client = client
        self._device = device
        self._cluster = cluster

    def describe(self) -> str:
        """Name the scheduler."""
        return f"the workers of {self._client.scheduler.address}"

    def close(self) -> None:
        """Let go of the scheduler, and end the jobs of a cluster that was started for this."""
        with suppress(TimeoutError, OSError):
            self._client.close()
        if self._cluster is not None:
            self._cluster.close()

    def score(self, task: ScoringTask, micrographs: Sequence[Micrograph]) -> Iterator[Scored]:
        """See `Executor.score`."""
        pieces = [
            [replace(m, path=m.path.absolute()) for m in micrographs[start : start + PIECE]]
            for start in range(0, len(micrographs), PIECE)
        ]
        done: queue.SimpleQueue[Any] = queue.SimpleQueue()
        pending = {self._submit(task, piece, done): piece for piece in pieces}
        alone: Set[str] = set()
        try:
            while pending:
                future = self._wait(done)
                piece = pending.pop(future)
                if future.status == "finished":
                    yield from _read(future.result(), task)
                    continue
                _refuse_unless_killed(future)
                again = [m for m in piece if m.name not in alone]
                yield from (_given_up(m) for m in piece if m.name in alone)
                for micrograph in again:
                    log.warning("Workers ended while they picked in %s: again.", micrograph.name)
                    pending[self._submit(task, [micrograph], done)] = [micrograph]
                    alone.add(micrograph.name)
        finally:
            self._client.cancel([*pending])

    def _submit(self, task: ScoringTask, piece: Piece, done: queue.SimpleQueue[Any]) -> Any:
        described = [micrograph_to_dict(micrograph) for micrograph in piece]
        future = self._client.submit(
            score_piece, task.to_dict(), described, self._device, pure=False
        )
        future.add_done_callback(done.put)
        return future

    def _wait(self, done: queue.SimpleQueue[Any]) -> Any:
        """Return the next piece that is done, and say now and then if nobody works."""
        while True:
            try:
                return done.get(timeout=_SECONDS_BETWEEN_LINES)
            except queue.Empty:
                if self._client.status != "running":
                    raise PupickError("The scheduler of the cluster cannot be reached.") from None
                if not self._client.scheduler_info()["workers"]:
                    log.info("Waiting for a worker of the cluster: look at the queue.")


def _read(answer: Mapping[str, Any], task: ScoringTask) -> Iterator[Scored]:
    """Take in what a worker says of a piece.

    Raises:
        PupickError: it cannot do the task at all.
    """
    if "error" in answer:
        raise error_from_dict(answer["error"])
    for scored in map(scored_from_dict, answer["scored"]):
        if scored.error is None:
            _wait_until_visible(PickRun(task.folder).peaks_path(scored.name))
        yield scored


def _wait_until_visible(path: Path) -> None:
    until = time.monotonic() + SECONDS_UNTIL_VISIBLE
    while not path.exists():
        if time.monotonic() > until:
            raise PupickError(
                f"{path} was written by a worker and cannot be seen here: the folder of the run "
                "must lie on a disk that all computers share, under the same name."
            )
        time.sleep(1.0)


def _refuse_unless_killed(future: Any) -> None:
    """Raise what a piece has failed with, unless it is that its workers have ended.

    Raises:
        PupickError: it failed otherwise.
    """
    from distributed import KilledWorker

    error = future.exception() if future.status == "error" else None
    if future.status == "cancelled":
        raise PupickError("The scheduler of the cluster has given up the work: call again.")
    if not isinstance(error, KilledWorker):
        raise PupickError(f"A worker of the cluster failed: {error!r}")


def _given_up(micrograph: Micrograph) -> Scored:
    reason = f"{micrograph.path}: all workers that picked in it have ended"
    return Scored(micrograph.name, error=MicrographError(reason))
