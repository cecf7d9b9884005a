# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings of the picks that are trained on; the metadata of each field say what it means."""

from __future__ import annotations

from dataclasses import dataclass, field

from .constants import ANSWERS, CHECKS, MIRRORS
from .setting import ADVANCED, Checked, about


@dataclass(frozen=True)
class LabelSettings(Checked):
    """How picks become places in their micrographs, and whether they are doubted.

    They are scaled first, then swapped, mirrored and shifted. See the metadata of each field.
    """

    check_picks: str = field(
        default="stop",
        metadata=about(
            "Check of the picks",
            "what happens if the picks cannot be right",
            level=ADVANCED,
            choices=CHECKS,
            more="Before training, the general model looks at a few micrographs with picks, and "
            "whether these would fit better mirrored, swapped, scaled or shifted.",
        ),
    )
    picks_scale: float = field(
        default=1.0,
        metadata=about(
            "Scale of the picks",
            "factor from the picks' coordinates to px of the micrographs",
            level=ADVANCED,
            above=0,
            more="0.25 for picks of micrographs that are four times as large, 4 for picks of "
            "micrographs binned by four. The negatives change like the picks.",
            placeholder="FACTOR",
        ),
    )
    picks_swap: str = field(
        default="no",
        metadata=about(
            "Swap x and y of the picks",
            "whether x and y of the picks are taken for each other",
            level=ADVANCED,
            choices=ANSWERS,
        ),
    )
    picks_mirror: str = field(
        default="none",
        metadata=about(
            "Mirror the picks",
            "in which direction the picks are mirrored",
            level=ADVANCED,
            choices=MIRRORS,
        ),
    )
    picks_shift_x: float = field(
        default=0.0,
        metadata=about(
            "Shift of the picks in x",
            "added to x of each pick",
            unit="px",
            level=ADVANCED,
            more="Half a box, in x and in y, for picks that are corners of boxes. "
            "The picks are scaled and mirrored before.",
        ),
    )
    picks_shift_y: float = field(
        default=0.0,
        metadata=about(
            "Shift of the picks in y",
            "added to y of each pick",
            unit="px",
            level=ADVANCED,
        ),
    )
