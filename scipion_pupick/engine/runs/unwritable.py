# SPDX-License-Identifier: GPL-3.0-or-later
"""Micrographs whose names no file of picks can have or hold."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Dict, Sequence

from ..coordinates.file_names import path_below, refuse_shared_files
from ..errors import UsageError
from ..files.star import check_star_names
from .layout import PEAKS_SUFFIX

# bytes, on nearly all file systems
LONGEST_NAME = 255


def unwritable_names(names: Sequence[str], folder: Path) -> Dict[str, str]:
    """Return why, by name, the picks of some micrographs cannot be written to a folder.

    Raises:
        UsageError: two micrographs would share a file.
    """
    reasons: Dict[str, str] = {}
    for name in names:
        try:
            check_star_names([name])
            file = os.path.basename(path_below(name)) + PEAKS_SUFFIX
        except UsageError:
            reasons[name] = f"{name!r}: no STAR file can hold this name: rename the micrograph"
            continue
        if len(os.fsencode(file)) > LONGEST_NAME:
            reasons[name] = f"{name!r}: this name is too long: rename the micrograph"
    refuse_shared_files([n for n in names if n not in reasons], folder, PEAKS_SUFFIX)
    return reasons
