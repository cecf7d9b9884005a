# SPDX-License-Identifier: GPL-3.0-or-later
"""Micrographs whose files are gone since they were picked: moved, archived, on another disk."""

from __future__ import annotations

import logging
from typing import Any, Dict, Mapping, Sequence

from ..errors import PupickError
from ..files.atomic import file_status
from ..files.json_files import json_values
from ..micrographs import Micrograph
from .pick_run import FINGERPRINTS, PickRun

log = logging.getLogger(__name__)


def fingerprints_of_gone(
    run: PickRun, micrographs: Sequence[Micrograph], record: Mapping[str, Any]
) -> Dict[str, str]:
    """Return the fingerprints of peaks that are kept though their micrograph's file is gone.

    Args:
        run: that they were picked in.
        micrographs: as they are wanted now.
        record: what a run has to say of itself for its peaks to be those wanted.
    """
    gone = [micrograph for micrograph in micrographs if not file_status(micrograph.path)]
    try:
        if not gone or {name: run.record.get(name) for name in record} != json_values(record):
            return {}
        listed = {m.name: m.pixel_size for m in run.micrographs}
        noted = run.record.get(FINGERPRINTS, {})
    except (PupickError, OSError):
        return {}
    found: Dict[str, str] = {}
    for micrograph in gone:
        name = micrograph.name
        peaks = run.kept_peaks(name) if listed.get(name) == micrograph.pixel_size else None
        if peaks is not None and name in noted and peaks.fingerprint.startswith(noted[name]):
            found[name] = peaks.fingerprint
    if found:
        log.warning(
            "The files of %d micrographs, such as %s, are gone: what was picked in them is kept.",
            len(found),
            next(iter(found)),
        )
    return found
