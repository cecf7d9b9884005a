# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes of the engine that serve one command after the other, for as long as a protocol runs.

Starting the engine takes longer than picking in a few micrographs. When the process of the protocol
ends, by whatever means, the pipes to these close, and they end, too.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import threading
from contextlib import suppress
from typing import Dict, List, Sequence


class EngineProcess:
    """One process, which carries out commands one after the other."""

    def __init__(self, program: str, environment: Dict[str, str]) -> None:
        """Start it.

        Args:
            program: the engine's command line, ready for a shell.
            environment: of the process.
        """
        answers, others_end = os.pipe()
        command = [*shlex.split(program), "session", "--answers", str(others_end)]
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                # Scipion has put its own files there
                stdout=sys.stdout,
                stderr=sys.stderr,
                env=environment,
                pass_fds=(others_end,),
                text=True,
            )
        finally:
            os.close(others_end)
        self._answers = os.fdopen(answers, encoding="utf-8")

    def run(self, arguments: Sequence[str]) -> int:
        """Carry out a command, and return its exit code; that of the process if this has ended."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps([*arguments]) + "\n")
            self._process.stdin.flush()
        answer = self._answers.readline()
        return int(answer) if answer else self._process.wait()

    @property
    def is_alive(self) -> bool:
        """Whether it can take another command."""
        return self._process.poll() is None

    def end(self) -> None:
        """Have it end, and wait for that."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait()
        self._answers.close()


class EngineProcesses:
    """Processes that are ready for the next command, by the GPUs that they see."""

    def __init__(self) -> None:
        self._idle: Dict[str, List[EngineProcess]] = {}
        self._lock = threading.Lock()

    def run(self, program: str, arguments: Sequence[str], environment: Dict[str, str]) -> int:
        """Carry out a command in a process that is idle, or in a new one; return its exit code."""
        gpus = environment.get("CUDA_VISIBLE_DEVICES", "")
        with self._lock:
            idle = self._idle.setdefault(gpus, [])
            process = idle.pop() if idle else None
        if process is None or not process.is_alive:
            process = EngineProcess(program, environment)
        code = process.run(arguments)
        if process.is_alive:
            with self._lock:
                idle.append(process)
        else:
            process.end()
        return code

    def end(self) -> None:
        """Have all idle processes end."""
        with self._lock:
            processes = [process for idle in self._idle.values() for process in idle]
            self._idle.clear()
        for process in processes:
            process.end()
