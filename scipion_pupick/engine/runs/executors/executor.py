# SPDX-License-Identifier: GPL-3.0-or-later
"""What all executors have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import contextmanager
from typing import Iterator, Sequence

from ...micrographs import Micrograph
from ..score_micrographs import Scored, ScoringTask


class Executor(ABC):
    """Scores micrographs of a run; the results are the same, whoever does it.

    What is loaded, started or connected to for one task serves the next ones, until `close`.
    """

    @abstractmethod
    def score(self, task: ScoringTask, micrographs: Sequence[Micrograph]) -> Iterator[Scored]:
        """Score micrographs into the folder of the task.

        Yields:
            How it went, for each micrograph as soon as it is done, in any order.

        Raises:
            PupickError: the task cannot be carried out at all.
            OSError: a result cannot be written.
        """

    @abstractmethod
    def describe(self) -> str:
        """Name for people what is computed on."""

    def close(self) -> None:  # noqa: B027 - few hold anything that outlasts a task
        """Let go of all that was started."""

    @contextmanager
    def opened(self) -> Iterator[Executor]:
        """Close the executor when the block ends, however that is."""
        try:
            yield self
        finally:
            self.close()
