# SPDX-License-Identifier: GPL-3.0-or-later
"""The process that does the work, started by the supervisor in a group of its own."""

from __future__ import annotations

import logging
import os
import re
import signal
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import NoReturn, Optional

from . import supervisor
from .parameters import PROGRAMS, parse_arguments

log = logging.getLogger(__name__)


def main(job: str, *arguments: str) -> int:
    """Run a job whose arguments the supervisor has found good.

    Returns:
        Exit code: 0 if the job's files are complete, else 1.
    """
    options = parse_arguments(job, arguments)
    signal.signal(signal.SIGTERM, _leave)
    _end_with_supervisor(Path(options.output))
    log_to_relion(PROGRAMS[job])
    try:
        from scipion_pupick.engine.errors import PupickError

        from .jobs import run_job
    except ImportError as error:
        log.error(
            "the engine cannot be used with %s (%s): install scipion-em-pupick there with pip",
            sys.executable,
            error,
        )
        return 1
    try:
        run_job(options)
    except (PupickError, OSError) as error:
        log.error("%s", form_words(str(error)))
        return 1
    return 0


def form_words(text: str) -> str:
    """Call options of the engine's command line what they are called in the External form."""
    names = {"picks": "in_coords", "micrographs": "in_mics"}
    return re.sub(
        r"(?<![\w-])--([a-z][a-z-]*)",
        lambda option: names.get(option[1], option[1].replace("-", "_")),
        text,
    )


def log_to_relion(program: str) -> None:
    """Write progress to standard output (run.out) and what is wrong to standard error (run.err)."""
    progress = logging.StreamHandler(sys.stdout)
    progress.addFilter(lambda record: record.levelno < logging.WARNING)
    problems = logging.StreamHandler(sys.stderr)
    problems.setLevel(logging.WARNING)
    problems.setFormatter(logging.Formatter(f"{program}: %(levelname)s: %(message)s"))
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[progress, problems])


def _leave(number: int, frame: Optional[FrameType]) -> NoReturn:
    """End with the files that are being written removed."""
    raise SystemExit(128 + number)


def _end_with_supervisor(folder: Path) -> None:
    """Watch the pipe whose other end the supervisor holds: it closes when that is killed."""

    def watch() -> None:
        os.read(sys.stdin.fileno(), 1)
        supervisor.write_exit_file(folder, supervisor.FAILURE)
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()
