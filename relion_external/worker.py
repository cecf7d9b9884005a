# SPDX-License-Identifier: GPL-3.0-or-later
"""The process that does the work, started by the supervisor in a group of its own."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import NoReturn, Optional

from . import supervisor
from .errors import JobError
from .parameters import PROGRAMS, RELION_ARGUMENTS, Options, parameters_of, parse_arguments

log = logging.getLogger(__name__)

# what the loader of shared libraries says when memory runs out
_NO_MEMORY = "failed to map segment"
# by the engine's names of what is a parameter of another name here
_PARAMETERS = {"picks": "in_coords", "micrographs": "in_mics", "device": "gpu"}


def main(job: str, *arguments: str) -> int:
    """Run a job whose arguments the supervisor has found good.

    Returns:
        Exit code: 0 if the job's files are complete, else 1.
    """
    options = parse_arguments(job, arguments)
    signal.signal(signal.SIGTERM, _leave)
    _end_with_supervisor(Path(options.output))
    log_to_relion(PROGRAMS[job])
    for old, new in options.renamed.items():
        log.warning("the parameter %s is called %s now", old, new)
    try:
        _run(options)
    except (ImportError, MemoryError, SystemError) as error:
        # Python raises SystemError where an extension module forgot that memory can run out
        advice = "give the job more memory"
        if isinstance(error, ImportError) and _NO_MEMORY not in str(error):
            advice = "install scipion-em-pupick there with pip"
        log.error("the engine cannot be used with %s (%s): %s", sys.executable, error, advice)
        return 1
    except JobError as error:
        log.error("%s", error)
        return 1
    return 0


def _run(options: Options) -> None:
    """Load the engine and run the job.

    Raises:
        JobError: the job cannot be done; the text says what to change.
        ImportError: the engine, or a part of it, cannot be loaded.
        MemoryError: while it was being loaded.
    """
    from scipion_pupick.engine import PupickError, memory_errors_explained

    from .jobs import run_job

    try:
        with memory_errors_explained():
            run_job(options)
    except PupickError as error:
        raise JobError(error.worded(lambda name: parameter_of(name, options.job))) from error
    except OSError as error:
        raise JobError(str(error)) from error


def parameter_of(setting: str, job: str) -> str:
    """Return what a job's form calls a setting of the engine; empty if it does not have it."""
    name = _PARAMETERS.get(setting, setting)
    return name if name in (*parameters_of(job), *RELION_ARGUMENTS) else ""


def log_to_relion(program: str) -> None:
    """Write progress to standard output (run.out) and what is wrong to standard error (run.err).

    Warnings stand in both: run.err is read where a job has failed, and run.out where it has not.
    """
    progress = logging.StreamHandler(sys.stdout)
    progress.addFilter(lambda record: record.levelno < logging.WARNING)
    hints = logging.StreamHandler(sys.stdout)
    hints.addFilter(lambda record: record.levelno == logging.WARNING)
    hints.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
    problems = logging.StreamHandler(sys.stderr)
    problems.setLevel(logging.WARNING)
    problems.setFormatter(logging.Formatter(f"{program}: %(levelname)s: %(message)s"))
    logging.basicConfig(
        level=logging.INFO, format="%(message)s", handlers=[progress, hints, problems]
    )


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
