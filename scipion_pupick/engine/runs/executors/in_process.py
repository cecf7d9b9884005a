# SPDX-License-Identifier: GPL-3.0-or-later
"""Scoring in this very process."""

from __future__ import annotations

from typing import Iterator, Optional, Sequence

import torch

from ...device import describe_device
from ...micrographs import Micrograph
from ..score_micrographs import MicrographScorer, Scored, ScoringTask
from .executor import Executor


class InProcess(Executor):
    """Scores micrographs in this process, on one device."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._scorer: Optional[MicrographScorer] = None

    def describe(self) -> str:
        """Name the device."""
        return describe_device(self._device)

    def score(self, task: ScoringTask, micrographs: Sequence[Micrograph]) -> Iterator[Scored]:
        """See `Executor.score`."""
        if self._scorer is None or self._scorer.task != task:
            self._scorer = MicrographScorer.of_task(task, self._device)
        return self._scorer.score(micrographs)
