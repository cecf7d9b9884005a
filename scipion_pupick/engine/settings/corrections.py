# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings of what corrected picks mean; the metadata of each field say what it means."""

from __future__ import annotations

from dataclasses import dataclass, field

from .constants import DONE
from .setting import Checked, about


@dataclass(frozen=True)
class CorrectionSettings(Checked):
    """What a user may set of corrected picks; the metadata of each field say what it means."""

    done: str = field(
        default="none",
        metadata=about(
            "Micrographs that are done",
            "where you looked at every pick, so that those left are particles",
            choices=DONE,
            more="For corrected picks. Elsewhere only what was removed and added is learned.",
        ),
    )
