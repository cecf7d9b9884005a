# SPDX-License-Identifier: GPL-3.0-or-later
"""Scipion's picking in streaming, with micrographs known by their ids.

Scipion's own knows them by name, and loses one where two have the same.
"""

from __future__ import annotations

from typing import Any, Dict, List, Sequence, Tuple

from pwem.objects import Micrograph, SetOfMicrographs
from pwem.protocols import ProtParticlePickingAuto


class PickingById(ProtParticlePickingAuto):
    """Picks in batches of micrographs, as they come in.

    Attributes:
        scoring: what the scores depend on: the arguments of each batch's step.
    """

    scoring: List[Any]

    def _loadMics(self, micrographs: SetOfMicrographs) -> Tuple[Dict[int, Micrograph], bool]:
        return self._loadSet(micrographs, SetOfMicrographs, lambda m: m.getObjId())

    def _insertNewMicsSteps(self, micrographs: Sequence[Micrograph]) -> List[int]:
        return self._insertNewMics(
            list(micrographs),
            lambda m: m.getObjId(),
            self._insertPickMicrographStep,
            self._insertPickMicrographListStep,
            *self.scoring,
        )

    def _insertPickMicrographStep(
        self, micrograph: Micrograph, prerequisites: List[int], *arguments: Any
    ) -> int:
        return int(self._insertPickMicrographListStep([micrograph], prerequisites, *arguments))
