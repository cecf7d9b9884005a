# SPDX-License-Identifier: GPL-3.0-or-later
"""The job of RELION's Auto-picking that has called: what its form says, and where users look."""

from __future__ import annotations

import logging
import os
import re
import signal
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator, Optional

from ..supervisor import ABORT_NOW

PROC = "proc"
JOB = "job.star"
OUTPUT, ERRORS, NOTE = "run.out", "run.err", "note.txt"
BEST_F1 = "with scores from {0:.2f} on, the estimated F1 of the picks is highest"
# it is not fitted to the micrographs here
GENERAL_CHOICE = (
    "the general model picks from a score of {0:.2f} on, chosen on simulated micrographs"
)
POLL_SECONDS = 0.5
GRACE_SECONDS = 1.0
# particles a micrograph, which RELION gives where the form has none
NOT_GIVEN = 200


@dataclass(frozen=True)
class RelionJob:
    """A job of RELION's Auto-picking.

    Attributes:
        folder: of the job.
    """

    folder: Path

    @property
    def diameter(self) -> Optional[float]:
        """Of the particle, Å, as the form has it; None where it does not say."""
        found = re.search(r'(?m)^\s*topaz_particle_diameter\s+"?([\d.]+)', self._text)
        return float(found[1]) if found and float(found[1]) > 0 else None

    @property
    def knows_no_number(self) -> bool:
        """Whether the form does not say how many particles there are: RELION then gives 200."""
        return re.search(r'(?m)^\s*topaz_nr_particles\s+"?-', self._text) is not None

    @property
    def _text(self) -> str:
        return (self.folder / JOB).read_text(encoding="utf-8", errors="replace")

    @property
    def is_to_abort(self) -> bool:
        """Whether the user has asked for the end of the job."""
        return (self.folder / ABORT_NOW).exists()

    def say(self, line: str, *files: str) -> None:
        """Add a line to files of the job, unless it is there: RELION calls for each micrograph.

        Raises:
            OSError: one cannot be written.
        """
        for path in (self.folder / name for name in files):
            said = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
            if line not in said.splitlines():
                with path.open("a", encoding="utf-8") as file:
                    file.write(f"{line}\n")


class SayInJob(logging.Handler):
    """Writes problems to the file that RELION's window shows; it hides what a program says."""

    def __init__(self, job: RelionJob) -> None:
        super().__init__(logging.WARNING)
        self.job = job

    def emit(self, record: logging.LogRecord) -> None:
        """Write a problem; where that fails, it stands in the program's own output."""
        with suppress(OSError):
            self.job.say(self.format(record), ERRORS)


@contextmanager
def said_in_job(job: Optional[RelionJob]) -> Iterator[None]:
    """Let problems that are logged meanwhile stand in the job's run.err, too."""
    if job is None:
        yield
        return
    handler = SayInJob(job)
    handler.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)


@contextmanager
def stopped_by_abort(job: Optional[RelionJob]) -> Iterator[None]:
    """End the process within two seconds after the user has asked RELION to abort the job."""
    if job is None:
        yield
        return
    done = threading.Event()

    def watch() -> None:
        while not done.wait(POLL_SECONDS):
            if job.is_to_abort:
                os.kill(os.getpid(), signal.SIGTERM)
                # in the middle of long arithmetic, Python does not see signals
                if not done.wait(GRACE_SECONDS):
                    os._exit(1)
                return

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        done.set()


def threshold_advice(threshold: float, reason: str = BEST_F1) -> str:
    """Return a line that says which minimum figure of merit to extract particles with."""
    return (
        f"pupick-topaz: {reason.format(threshold)}: in Particle extraction, use the autopick FOM "
        f"threshold, with {threshold:.2f} as the minimum FOM."
    )


def find_job(output: Optional[str]) -> Optional[RelionJob]:
    """Find the job whose result is wanted: JOB/model_training.txt, or JOB/proc/rank00000.txt."""
    if output is None:
        return None
    folder = Path(output).parent
    folder = folder.parent if folder.name == PROC else folder
    return RelionJob(folder) if (folder / JOB).is_file() else None
