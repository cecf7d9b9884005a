# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings of combining the picks of several pickers; the metadata say what each means."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Optional, Tuple

from .constants import RULES, TOLERANCE_DIAMETERS
from .setting import Checked, about


@dataclass(frozen=True)
class CombineSettings(Checked):
    """What a user may set of combining picks; the metadata of each field say what it means."""

    rule: str = field(
        default="union",
        metadata=about("Take", "which particles are taken", choices=RULES),
    )
    vote: Optional[int] = field(
        default=None,
        metadata=about(
            "Votes",
            "number of pickers that have to have found a particle, for the rule vote",
            above=0,
            automatic="more than half of them",
        ),
    )
    within: float = field(
        default=TOLERANCE_DIAMETERS,
        metadata=about(
            "Same particle within",
            "picks that are nearer to each other are of one particle",
            unit="diameters",
            above=0,
        ),
    )

    def votes(self, pickers: int) -> Tuple[int, int]:
        """Return how many of some pickers have to have found a particle: at least and at most."""
        least = {
            "union": 1,
            "intersection": pickers,
            "minus": 1,
            "vote": pickers // 2 + 1 if self.vote is None else self.vote,
        }[self.rule]
        return least, 1 if self.rule == "minus" else pickers
