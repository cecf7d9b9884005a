# SPDX-License-Identifier: GPL-3.0-or-later
"""The process that RELION starts: it runs the job in another process and says how that ended.

RELION learns the end of a job from one of three empty files in the job's folder and from nothing
else: a job that leaves none stays "Running" for ever. So this process imports only the standard
library, cannot run out of memory or fail to import the engine, and writes exactly one of the files
whatever happens to the engine. Should this process itself be killed, the engine's end of a pipe
closes and the engine writes the file (see `worker`).
"""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import List, Optional, Sequence

from . import forms
from .errors import JobError
from .parameters import BOTH, PICK, PROGRAMS, SUGGEST, TRAIN, help_text, parse_arguments

SUCCESS = "RELION_JOB_EXIT_SUCCESS"
FAILURE = "RELION_JOB_EXIT_FAILURE"
ABORTED = "RELION_JOB_EXIT_ABORTED"
ABORT_NOW = "RELION_JOB_ABORT_NOW"
# becomes one of the first three
READY = ".pupick_exit"
OUTPUT_NODES = "RELION_OUTPUT_NODES.star"

POLL_SECONDS = 0.5
GRACE_SECONDS = 1.0
# with less, libraries fail to load, wait for ever or end with messages of their own; with 1.4 GiB
# one small micrograph is picked
LEAST_MEMORY = 2 * 1024**3

# -c puts the current folder, the user's project, first on the path: its files are no modules.
# The folder that holds this package comes last, for the path may not have it.
_WORKER = (
    "import sys; sys.path[:] = [p for p in [*sys.path, sys.argv[1]] if p]; "
    "from relion_external.worker import main; sys.exit(main(*sys.argv[2:]))"
)
_ROOT = str(Path(__file__).parents[1])


def train() -> int:
    """Run `relion_external_pupick_train`."""
    return run(TRAIN, sys.argv[1:])


def pick() -> int:
    """Run `relion_external_pupick_pick`."""
    return run(PICK, sys.argv[1:])


def train_and_pick() -> int:
    """Run `relion_external_pupick`."""
    return run(BOTH, sys.argv[1:])


def suggest() -> int:
    """Run `relion_external_pupick_suggest`."""
    return run(SUGGEST, sys.argv[1:])


def run(job: str, arguments: Sequence[str]) -> int:
    """Run a job as RELION's External job type calls it.

    Args:
        job: `TRAIN`, `PICK`, `BOTH` or `SUGGEST`.
        arguments: of the command line, without the program's name.

    Returns:
        Exit code: 0 if the job succeeded, else 1.
    """
    asks = {"-h", "--help", "--setup"} & set(arguments)
    if not arguments or asks - {"--setup"}:
        sys.stdout.write(help_text(job))
    if not arguments:
        return 1
    try:
        if asks and _is_a_job(arguments):
            return _refuse_in(output_folder(arguments), job, f"{min(asks)} is for a terminal")
        if asks - {"--setup"}:
            return 0
        if asks:
            forms.setup(arguments)
            return 0
        folder = output_folder(arguments)
        folder.mkdir(parents=True, exist_ok=True)
    except (JobError, OSError) as error:
        return _complain(job, str(error))
    return _run_in(folder, job, arguments)


def _is_a_job(arguments: Sequence[str]) -> bool:
    """Whether RELION has started this, which waits for an exit file then."""
    return any(argument == "--o" or argument.startswith("--o=") for argument in arguments)


def _refuse_in(folder: Path, job: str, text: str) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    _say_how_it_ended(job, folder, FAILURE)
    return _complain(job, text)


def output_folder(arguments: Sequence[str]) -> Path:
    """Find the job's folder, even if other arguments make no sense.

    Raises:
        JobError: there is none.
    """
    for i, argument in enumerate(arguments):
        if argument == "--o" and i + 1 < len(arguments):
            return Path(arguments[i + 1])
        if argument.startswith("--o="):
            return Path(argument[len("--o=") :])
    raise JobError("the job's folder is missing: start it from RELION, or give --o FOLDER")


def check_memory() -> None:
    """Check what the queue or the shell lets a job have (`ulimit -v`, `ulimit -d`).

    Raises:
        JobError: it is too little to load the engine in.
    """
    for limit in (resource.RLIMIT_AS, resource.RLIMIT_DATA):
        allowed = resource.getrlimit(limit)[0]
        if allowed != resource.RLIM_INFINITY and allowed < LEAST_MEMORY:
            raise JobError(
                f"the job may use {allowed / 1024**3:.1f} GiB of memory: "
                f"ask for at least {LEAST_MEMORY // 1024**3} GiB"
            )


def _run_in(folder: Path, job: str, arguments: Sequence[str]) -> int:
    outcome = FAILURE
    signals = _Signals()
    try:
        for name in (SUCCESS, FAILURE, ABORTED, OUTPUT_NODES):
            (folder / name).unlink(missing_ok=True)
        # at the end the disk may have no room for another file, or the quota be used up
        (folder / READY).touch()
        parse_arguments(job, arguments)
        check_memory()
        outcome = _supervise(folder, job, arguments, signals)
    except (JobError, OSError) as error:
        _complain(job, str(error))
    finally:
        (folder / ABORT_NOW).unlink(missing_ok=True)
        _say_how_it_ended(job, folder, outcome)
    return 0 if outcome == SUCCESS else 1


def write_exit_file(folder: Path, name: str) -> None:
    """Tell RELION how the job ended; the files of the job must be complete.

    The file that was made ready at the start takes the name: that needs no room on the disk.
    """
    try:
        os.replace(folder / READY, folder / name)
    except FileNotFoundError:
        (folder / name).touch()


def _say_how_it_ended(job: str, folder: Path, outcome: str) -> None:
    try:
        write_exit_file(folder, outcome)
    except OSError as error:
        _complain(job, f"RELION cannot be told that the job has ended ({outcome}): {error}")


def _complain(job: str, text: str) -> int:
    sys.stderr.write(f"{PROGRAMS[job]}: ERROR: {text}\n")
    return 1


class _Signals:
    """Note signals that ask the job to end, instead of ending at once without an exit file."""

    def __init__(self) -> None:
        self.received: Optional[int] = None
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            # whoever starts jobs in the background, or with nohup, has them outlive these
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._note)

    def _note(self, number: int, frame: Optional[FrameType]) -> None:
        self.received = number


def _supervise(folder: Path, job: str, arguments: Sequence[str], signals: _Signals) -> str:
    """Run the worker until it ends or has to; give the name of the exit file."""
    worker = _start(job, arguments)
    try:
        while True:
            try:
                return _judge(job, worker.wait(POLL_SECONDS))
            except subprocess.TimeoutExpired:
                if (folder / ABORT_NOW).exists():
                    _complain(job, "aborted by the user; Continue goes on from here")
                    return ABORTED
                if signals.received is not None:
                    _complain(job, f"stopped by {signal.Signals(signals.received).name}")
                    return FAILURE
    finally:
        _end(worker)


def _start(job: str, arguments: Sequence[str]) -> subprocess.Popen[bytes]:
    """Start the worker as the leader of a new group, with a pipe that closes when this ends."""
    command: List[str] = [sys.executable, "-c", _WORKER, _ROOT, job, *arguments]
    # threads that spin while they wait cost more than they save where cores are shared
    environment = {"OMP_WAIT_POLICY": "PASSIVE", **os.environ, "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(command, stdin=subprocess.PIPE, env=environment, start_new_session=True)


def _judge(job: str, code: int) -> str:
    if code == 0:
        return SUCCESS
    if code < 0:
        ended = f"the engine was ended by {signal.Signals(-code).name}"
        _complain(job, f"{ended}; the usual reason is too little memory")
    return FAILURE


def _end(worker: subprocess.Popen[bytes]) -> None:
    """Leave no process of the worker's group behind, dead or alive."""
    if worker.poll() is None:
        _signal_group(worker, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            worker.wait(GRACE_SECONDS)
    _signal_group(worker, signal.SIGKILL)
    worker.communicate()


def _signal_group(worker: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(worker.pid, number)
