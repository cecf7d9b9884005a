# SPDX-License-Identifier: GPL-3.0-or-later
"""Training again: a program of its own, whose lines are shown and which can be stopped."""

from __future__ import annotations

import re
import subprocess
import threading
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Sequence

from ...errors import UsageError
from ...files.atomic import make_folder
from ...runs.layout import CORRECTED, MODEL, TRAINING_OUTPUT

MOST_LINES = 200
_LONGEST_LINE = 400
_READ_BYTES = 64 * 2**10
_PATIENCE_SECONDS = 10.0
_NUMBERED = re.compile(r"training-([0-9]{1,6})")

Command = Callable[[Path], Sequence[str]]


class Training:
    """Trainings on the corrections of a run, one after another, each in a folder of its own."""

    def __init__(self, run: Path, command: Command, next_step: Callable[[Path], str]) -> None:
        """Find the last one.

        Args:
            run: folder of the run.
            command: program and arguments that train into a folder.
            next_step: what to do with a model, for people.
        """
        self._home, self._command, self._next_step = run / CORRECTED, command, next_step
        self._lock = threading.Lock()
        self._process: Optional[subprocess.Popen[bytes]] = None
        self._stopped = False

    def start(self) -> None:
        """Begin a training in a new folder.

        Raises:
            UsageError: one is going on.
            OSError: the folder or the program cannot be used.
        """
        with self._lock:
            if self._is_running():
                raise UsageError("A training is going on already.")
            folder = self._home / f"training-{max(self._numbers(), default=0) + 1}"
            make_folder(folder)
            with (folder / TRAINING_OUTPUT).open("wb") as output:
                self._process = subprocess.Popen(
                    list(self._command(folder)),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    # a Ctrl-C on the terminal is for the server, which stops it in turn
                    start_new_session=True,
                )
            self._stopped = False

    def stop(self) -> None:
        """Stop the training, if one is going on; what it has done is kept."""
        with self._lock:
            process = self._process
            if process is None or process.poll() is not None:
                return
            self._stopped = True
            process.terminate()
        try:
            process.wait(_PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def state(self) -> Dict[str, Any]:
        """Return how the last training is going, for the page's script."""
        with self._lock:
            number = max(self._numbers(), default=0)
            running = self._is_running()
        if not number:
            return {"state": "none", "lines": [], "folder": "", "next": ""}
        folder = self._home / f"training-{number}"
        model = folder / MODEL
        state = "running" if running else self._ended(model.is_file())
        return {
            "state": state,
            "lines": _last_lines(folder / TRAINING_OUTPUT),
            "folder": str(folder.absolute()),
            "next": self._next_step(model) if state == "finished" else "",
        }

    def _ended(self, has_model: bool) -> str:
        if has_model:
            return "finished"
        if self._process is None:
            return "unfinished"
        return "stopped" if self._stopped else "failed"

    def _is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def _numbers(self) -> List[int]:
        found = (_NUMBERED.fullmatch(path.name) for path in self._home.glob("training-*"))
        return [int(match[1]) for match in found if match]


def _last_lines(path: Path) -> List[str]:
    """Return the end of what a program has printed."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _READ_BYTES))
            text = file.read(_READ_BYTES).decode("utf-8", "replace")
    except OSError:
        return []
    return [line[:_LONGEST_LINE] for line in text.splitlines()][-MOST_LINES:]
