# SPDX-License-Identifier: GPL-3.0-or-later
"""Scoring in several processes on this computer, one for each GPU or each share of the cores.

A process that is killed, such as by the system for want of memory, costs what it had at hand. Those
micrographs are tried once more, each alone, in a new process.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Deque, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

import torch

from ...device import describe_device
from ...errors import MicrographError, PupickError
from ...micrographs import Micrograph
from ..score_micrographs import Scored, ScoringTask
from .executor import Executor
from .messages import error_from_dict, micrograph_to_dict, scored_from_dict

log = logging.getLogger(__name__)

# beyond what a process needs to be busy, so that it does not wait for this one
IN_RESERVE = 2
_SECONDS_TO_END = 1.0
# -c puts the current folder, the user's, first on the path: its files are no modules
_WORKER = (
    "import sys; sys.path[:] = [p for p in [*sys.path, sys.argv[1]] if p]; "
    f"from {__package__}.worker import main; main(sys.argv[2], int(sys.argv[3]))"
)
_ROOT = str(Path(__file__).parents[__name__.count(".")])

Message = Optional[Mapping[str, Any]]


@dataclass
class _Worker:
    """A process that scores.

    Attributes:
        device: that it computes on.
        process: itself.
        holds: how many micrographs it needs at hand; 0 until it has loaded the model.
        task: that it works on; None between two.
        at_hand: micrographs that it was given and has not answered for, by name.
        alone: whether it was given one that is tried again, and shall have no other meanwhile.
    """

    device: torch.device
    process: subprocess.Popen[str]
    holds: int = 0
    task: Optional[ScoringTask] = None
    at_hand: Dict[str, Micrograph] = field(default_factory=dict)
    alone: bool = False

    def tell(self, **message: Any) -> None:
        """Send a message; a process that has ended will be noticed by its silence."""
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):
            self.process.stdin.write(json.dumps(message) + "\n")
            self.process.stdin.flush()

    def hang_up(self) -> None:
        """Have the process end."""
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):
            self.process.stdin.close()

    def give(self, micrograph: Micrograph) -> None:
        """Have it score a micrograph of its task."""
        self.at_hand[micrograph.name] = micrograph
        self.tell(micrograph=micrograph_to_dict(micrograph))

    def begin(self, task: ScoringTask) -> None:
        """Have it load what a task needs."""
        self.task = task
        self.tell(task=task.to_dict())

    def end_task(self) -> None:
        """Have it finish what it has at hand."""
        self.task = None
        self.tell(end=True)


class Processes(Executor):
    """Scores micrographs in one process for each of some devices."""

    def __init__(self, devices: Sequence[torch.device], threads: int) -> None:
        """Take the devices, of which one may come several times, and the CPU threads of all."""
        self._devices = list(devices)
        self._threads = max(1, threads // len(self._devices))
        self._workers: List[_Worker] = []
        self._messages: queue.SimpleQueue[Tuple[_Worker, Message]] = queue.SimpleQueue()

    def describe(self) -> str:
        """Say how many processes there are, and on what."""
        names = sorted({_name(device) for device in self._devices})
        threads = f"{self._threads} thread{'s' if self._threads > 1 else ''} each"
        return f"{' and '.join(names)} ({len(self._devices)} processes, {threads})"

    def close(self) -> None:
        """End all processes."""
        workers, self._workers = self._workers, []
        for worker in workers:
            worker.hang_up()
        until = time.monotonic() + _SECONDS_TO_END
        for worker in workers:
            try:
                worker.process.wait(max(0.0, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                worker.process.kill()
                worker.process.wait()

    def score(self, task: ScoringTask, micrographs: Sequence[Micrograph]) -> Iterator[Scored]:
        """See `Executor.score`."""
        work = _Work(deque(micrographs), {m.name for m in micrographs})
        try:
            while work.open:
                self._replace_the_dead(len(work.open))
                for worker in self._workers:
                    work.hand_out(worker, task)
                yield from self._take_in(work)
        finally:
            if work.open:
                # broken off: what the processes have at hand is not wanted any more
                self.close()

    def _take_in(self, work: _Work) -> Iterator[Scored]:
        """Wait for the next message of a process, and do what it asks for.

        Raises:
            PupickError: a process cannot go on.
        """
        worker, message = self._messages.get()
        if worker not in self._workers:
            return
        if message is None:
            yield from self._bury(worker, work)
        elif "scored" in message:
            scored = scored_from_dict(message["scored"])
            del worker.at_hand[scored.name]
            work.open.discard(scored.name)
            yield scored
        else:
            _heed(worker, message)

    def _replace_the_dead(self, most: int) -> None:
        """Start the processes that are missing, as far as there is something for them to do."""
        busy = [worker.device for worker in self._workers]
        for device in self._devices:
            if device in busy:
                busy.remove(device)
            elif len(self._workers) < most:
                self._workers.append(self._start(device))

    def _start(self, device: torch.device) -> _Worker:
        command = [sys.executable, "-c", _WORKER, _ROOT, str(device), str(self._threads)]
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
            errors="surrogateescape",
            env={**os.environ, "OMP_NUM_THREADS": str(self._threads)},
        )
        worker = _Worker(device, process)
        threading.Thread(target=self._listen, args=(worker,), daemon=True).start()
        return worker

    def _listen(self, worker: _Worker) -> None:
        """Take in what a process says, until it is silent for ever."""
        assert worker.process.stdout is not None
        with worker.process.stdout as lines:
            for line in lines:
                self._messages.put((worker, json.loads(line)))
        self._messages.put((worker, None))

    def _bury(self, worker: _Worker, work: _Work) -> Iterator[Scored]:
        """Have what a dead process had at hand tried again, unless that was the second time.

        Raises:
            PupickError: it was not killed.
        """
        self._workers.remove(worker)
        worker.hang_up()
        code = worker.process.wait()
        if code >= 0:
            raise PupickError(
                f"The process that picks on {_name(worker.device)} failed: what it said stands "
                "above."
            )
        log.warning(
            "The process that picks on %s was ended by %s; the usual reason is too little memory. "
            "%s",
            _name(worker.device),
            signal.Signals(-code).name,
            _say_tried_again([name for name in worker.at_hand if name not in work.tried]),
        )
        for name, micrograph in worker.at_hand.items():
            if name in work.tried:
                work.open.discard(name)
                reason = f"{micrograph.path}: the process that picked in it was killed twice"
                yield Scored(name, error=MicrographError(reason))
            else:
                work.tried.add(name)
                work.again.append(micrograph)


@dataclass
class _Work:
    """What is left of a task.

    Attributes:
        waiting: micrographs that no process was given yet.
        open: names of those without a result.
        again: micrographs of processes that were killed.
        tried: names of all that have been in `again`.
    """

    waiting: Deque[Micrograph]
    open: set[str]
    again: Deque[Micrograph] = field(default_factory=deque)
    tried: set[str] = field(default_factory=set)

    def hand_out(self, worker: _Worker, task: ScoringTask) -> None:
        """Give a process as much as keeps it busy."""
        if worker.alone and worker.at_hand:
            return
        worker.alone = False
        if self.waiting and worker.task is None:
            worker.begin(task)
        while self.waiting and len(worker.at_hand) < worker.holds + IN_RESERVE:
            worker.give(self.waiting.popleft())
        if self.again and not self.waiting and not worker.at_hand:
            if worker.task is None:
                worker.begin(task)
            worker.alone = True
            worker.give(self.again.popleft())
        if worker.task is not None and not self.waiting:
            worker.end_task()


def _heed(worker: _Worker, message: Mapping[str, Any]) -> None:
    """Take in what a process says apart from results.

    Raises:
        PupickError: it cannot go on.
    """
    if "error" in message:
        raise error_from_dict(message["error"])
    if "log" in message:
        name, level, text = message["log"]
        logging.getLogger(name).log(level, "%s", text)
    worker.holds = message.get("holds", worker.holds)


def _name(device: torch.device) -> str:
    return "the CPU" if device.type == "cpu" else describe_device(device)


def _say_tried_again(names: Sequence[str]) -> str:
    if not names:
        return "Another takes its place."
    return f"What it had at hand is tried again: {', '.join(names[:3])}" + (
        f" and {len(names) - 3} more." if len(names) > 3 else "."
    )
