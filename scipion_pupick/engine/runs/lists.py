# SPDX-License-Identifier: GPL-3.0-or-later
"""Lists that runs of every kind leave: of their micrographs, and of those that failed."""

from __future__ import annotations

from pathlib import Path
from typing import Dict, Mapping, Optional, Sequence, Tuple

from ..errors import PupickError, UsageError
from ..files.tables import read_table, write_table
from ..micrographs import Micrograph
from ..micrographs.mrc import check_pixel_size
from .layout import MICROGRAPHS


def write_micrographs(micrographs: Sequence[Micrograph], folder: Path) -> None:
    """Write the list of the micrographs of a run, with their files and pixel sizes (Å/px)."""
    rows = [[m.name, str(m.path.absolute()), m.pixel_size or ""] for m in micrographs]
    write_table(folder / MICROGRAPHS, ["micrograph", "file", "pixel_size"], rows)


def read_micrographs(folder: Path) -> Tuple[Micrograph, ...]:
    """Read the list that `write_micrographs` has written; nothing where there is none.

    Raises:
        PupickError: the list is damaged.
        OSError: it cannot be read.
    """
    path = folder / MICROGRAPHS
    rows = read_table(path, ["micrograph", "file", "pixel_size"])
    try:
        return tuple(
            Micrograph(Path(row["file"]), row["micrograph"], _pixel_size(row["pixel_size"]))
            for row in rows
        )
    except (ValueError, UsageError) as error:
        raise PupickError(f"{path} is damaged ({error}): delete it and start again.") from error


def _pixel_size(text: str) -> Optional[float]:
    if not text:
        return None
    check_pixel_size(float(text))
    return float(text)


def write_failures(failures: Mapping[str, str], path: Path) -> None:
    """Write the reason for each micrograph that could not be used (TSV)."""
    write_table(path, ["micrograph", "reason"], [list(row) for row in failures.items()])


def read_failures(path: Path) -> Dict[str, str]:
    """Read the list that `write_failures` has written; nothing where there is none.

    Raises:
        PupickError: the list is damaged.
        OSError: it cannot be read.
    """
    return {row["micrograph"]: row["reason"] for row in read_table(path, ["micrograph", "reason"])}
