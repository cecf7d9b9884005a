# SPDX-License-Identifier: GPL-3.0-or-later
"""What the folder of picks says of the threshold that was applied to the peaks of a run."""

from __future__ import annotations

from typing import Any, Dict, Iterable, Mapping

from ..files.json_files import read_json, write_json
from ..picking.cut import Contamination
from .layout import THRESHOLD_RECORD
from .lists import write_micrographs
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


def write_contamination(run: PickRun, contamination: Mapping[str, Contamination]) -> None:
    """Write how much of each micrograph of a run is usable, and which picks that has cost."""
    write_micrographs(run.micrographs, run.folder, contamination=contamination)


def forget_other_coordinates(output: PickRun, names: Iterable[str], of: Iterable[str]) -> None:
    """Remove the picks that an earlier threshold has left of micrographs other than these.

    Args:
        output: folder of the picks.
        names: of the micrographs to keep.
        of: names of all micrographs whose picks may lie here.
    """
    if not (output.folder / THRESHOLD_RECORD).is_file() or holds_pick_run(output.folder):
        return
    for name in {*of} - {*names}:
        output.forget_coordinates(name)
