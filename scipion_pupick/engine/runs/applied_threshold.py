# SPDX-License-Identifier: GPL-3.0-or-later
"""What the folder of a run says of a threshold that was applied after picking."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, Mapping, Optional

from ..errors import PupickError
from ..files.json_files import read_json, write_json
from .layout import THRESHOLD_RECORD
from .pick_run import PickRun, holds_pick_run


def write_threshold_record(output: PickRun, record: Mapping[str, Any]) -> None:
    """Write which threshold was applied to the peaks of a run, and what it gives."""
    write_json(output.folder / THRESHOLD_RECORD, record)


def read_threshold_record(output: PickRun) -> Dict[str, Any]:
    """Read what `write_threshold_record` has written.

    Raises:
        PupickError: it is damaged.
        OSError: there is none.
    """
    return read_json(output.folder / THRESHOLD_RECORD)


def applied_threshold(run: PickRun) -> Optional[float]:
    """Return the threshold (log-odds) that was applied last; None if there is none."""
    try:
        return float(read_threshold_record(run)["threshold"])
    except (PupickError, OSError, LookupError, TypeError, ValueError):
        return None


def run_of_threshold(output: PickRun) -> Optional[PickRun]:
    """Return the run whose picks another threshold has put in a folder; None if it is not found."""
    try:
        run = Path(read_threshold_record(output)["run"])
    except (PupickError, OSError, LookupError, TypeError):
        return None
    # the record has it as it was given: from the folder that was worked in
    folders = (base / run for base in (Path(), *output.folder.absolute().parents))
    return next((PickRun(folder) for folder in folders if holds_pick_run(folder)), None)


def forget_applied_threshold(run: PickRun) -> None:
    """Remove the record of it, for picking has replaced what it had given."""
    (run.folder / THRESHOLD_RECORD).unlink(missing_ok=True)
