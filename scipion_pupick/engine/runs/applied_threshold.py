# SPDX-License-Identifier: GPL-3.0-or-later
"""What the folder of a run says of a threshold that was applied after picking."""

from __future__ import annotations

from typing import Optional

from ..errors import PupickError
from ..files.json_files import read_json
from .layout import THRESHOLD_RECORD
from .pick_run import PickRun


def applied_threshold(run: PickRun) -> Optional[float]:
    """Return the threshold (log-odds) that was applied last; None if there is none."""
    try:
        return float(read_json(run.folder / THRESHOLD_RECORD)["threshold"])
    except (PupickError, OSError, LookupError, TypeError, ValueError):
        return None


def forget_applied_threshold(run: PickRun) -> None:
    """Remove the record of it, for picking has replaced what it had given."""
    (run.folder / THRESHOLD_RECORD).unlink(missing_ok=True)
