# SPDX-License-Identifier: GPL-3.0-or-later
"""Lists that runs of every kind leave: of their micrographs, and of those that failed."""

from __future__ import annotations

from pathlib import Path
from typing import Dict, Mapping, Sequence, Tuple

from ..files.tables import read_table, write_table
from ..micrographs import Micrograph
from .layout import MICROGRAPHS


def write_micrographs(micrographs: Sequence[Micrograph], folder: Path) -> None:
    """Write the list of the micrographs of a run, with their files and pixel sizes (Å/px)."""
    rows = [[m.name, str(m.path.absolute()), m.pixel_size or ""] for m in micrographs]
    write_table(folder / MICROGRAPHS, ["micrograph", "file", "pixel_size"], rows)


def read_micrographs(folder: Path) -> Tuple[Micrograph, ...]:
    """Read the list that `write_micrographs` has written; nothing where there is none."""
    return tuple(
        Micrograph(
            Path(row["file"]),
            row["micrograph"],
            float(row["pixel_size"]) if row["pixel_size"] else None,
        )
        for row in read_table(folder / MICROGRAPHS)
    )


def write_failures(failures: Mapping[str, str], path: Path) -> None:
    """Write the reason for each micrograph that could not be used (TSV)."""
    write_table(path, ["micrograph", "reason"], [list(row) for row in failures.items()])


def read_failures(path: Path) -> Dict[str, str]:
    """Read the list that `write_failures` has written; nothing where there is none."""
    return {row["micrograph"]: row["reason"] for row in read_table(path)}
