# SPDX-License-Identifier: GPL-3.0-or-later
"""Until when to wait for micrographs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Optional

from .setting import Checked, about


@dataclass(frozen=True)
class WatchSettings(Checked):
    """When to stop waiting for micrographs; see the metadata of each field."""

    idle: Optional[float] = field(
        default=None,
        metadata=about(
            "Idle time",
            "picking stops when no micrograph has come for so long",
            unit="min",
            above=0,
            automatic="never",
        ),
    )
    stop_file: Optional[str] = field(
        default=None,
        metadata=about(
            "File that stops",
            "a file whose appearance says that no more micrographs come",
            automatic="none",
            placeholder="FILE",
            more="What is there is picked, and picking stops. The file is not removed.",
        ),
    )
    interval: float = field(
        default=10.0,
        metadata=about("Interval", "time between two looks for micrographs", unit="s", above=0),
    )
