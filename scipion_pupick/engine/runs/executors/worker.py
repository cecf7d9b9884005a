# SPDX-License-Identifier: GPL-3.0-or-later
"""The process that `Processes` starts: micrographs come in through a pipe, results go out.

Lines that come in are a task, then micrographs, then the end of the task, and so on with the next.
When the pipe closes, this process ends at once, whatever it is at: whoever started it is gone.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
import traceback
from typing import Any, Dict, Iterator, Optional, TextIO

import torch

from ...device import set_threads
from ...errors import UNFORESEEN, PupickError
from ...files.lifeline import lines_of_parent
from ...micrographs import Micrograph
from ..score_micrographs import MicrographScorer, ScoringTask
from .messages import error_to_dict, micrograph_from_dict, scored_to_dict

Message = Dict[str, Any]


class _Answers:
    """Where results go: what this process prints otherwise goes to the log of the parent."""

    def __init__(self) -> None:
        self._pipe: TextIO = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
        self._lock = threading.Lock()
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def send(self, **message: Any) -> None:
        with self._lock:
            self._pipe.write(json.dumps(message) + "\n")
            self._pipe.flush()


class _LogToParent(logging.Handler):
    def __init__(self, answers: _Answers) -> None:
        super().__init__()
        self._answers = answers

    def emit(self, record: logging.LogRecord) -> None:
        """Pass a record on."""
        self._answers.send(log=[record.name, record.levelno, record.getMessage()])


def main(device: str, threads: int) -> None:
    """Score what comes in until the pipe closes.

    Args:
        device: to compute on.
        threads: of the CPU.
    """
    # Ctrl-C goes to all processes of a terminal: the parent decides what to do
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = _Answers()
    logging.basicConfig(level=logging.INFO, handlers=[_LogToParent(answers)])
    set_threads(threads)
    try:
        _serve(map(json.loads, lines_of_parent()), answers, torch.device(device))
    except BrokenPipeError:
        pass
    except (PupickError, OSError) as error:
        answers.send(error=error_to_dict(error))
    except UNFORESEEN:
        traceback.print_exc()
    # Python would wait for the thread that listens
    os._exit(1)


def _serve(messages: Iterator[Message], answers: _Answers, device: torch.device) -> None:
    scorer: Optional[MicrographScorer] = None
    while True:
        task = ScoringTask.from_dict(next(messages)["task"])
        if scorer is None or scorer.task != task:
            scorer = MicrographScorer.of_task(task, device)
        answers.send(holds=scorer.ahead + scorer.batch)
        for scored in scorer.score(_micrographs(messages)):
            answers.send(scored=scored_to_dict(scored))
        answers.send(ended=True)


def _micrographs(messages: Iterator[Message]) -> Iterator[Micrograph]:
    while "micrograph" in (message := next(messages)):
        yield micrograph_from_dict(message["micrograph"])
