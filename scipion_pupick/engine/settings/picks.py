# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings of reading files of picks; the metadata of each field say what it means."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Optional, Tuple

from .setting import Checked, about


@dataclass(frozen=True)
class PicksSettings(Checked):
    """What a user may set of reading picks; the metadata of each field say what it means."""

    least_score: Optional[float] = field(
        default=None,
        metadata=about(
            "Least score of picks",
            "picks whose file gives them a lower score are left out",
            automatic="none are",
            more="crYOLO's .cbox files hold boxes far below its usual threshold of 0.3. Picks "
            "without a score stay, and so do places without a particle.",
            placeholder="SCORE",
        ),
    )
    drop_from_names: Optional[str] = field(
        default=None,
        metadata=about(
            "Drop from names",
            "what files of picks put before or behind the names of micrographs",
            automatic="usual prefixes and suffixes",
            more="Several are separated by commas.",
            placeholder="TEXTS",
        ),
    )

    @property
    def affixes(self) -> Tuple[str, ...]:
        """The texts to drop."""
        texts = (self.drop_from_names or "").split(",")
        return tuple(text.strip() for text in texts if text.strip())

    @property
    def of_negatives(self) -> PicksSettings:
        """The same for places without a particle: a low score speaks for one, not against it."""
        return replace(self, least_score=None)


ALL_PICKS = PicksSettings()
