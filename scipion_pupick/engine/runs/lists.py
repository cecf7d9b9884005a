# SPDX-License-Identifier: GPL-3.0-or-later
"""Lists that runs of every kind leave: of their micrographs, and of those that failed."""

from __future__ import annotations

import os
from pathlib import Path
from types import MappingProxyType
from typing import Dict, List, Mapping, Optional, Sequence, Tuple

from ..errors import PupickError, UsageError
from ..files.tables import read_table, write_table
from ..micrographs import Micrograph, pixel_size_of
from ..micrographs.mrc import check_pixel_size
from ..micrographs.pixel_sizes import HEADER, PixelSizes
from ..picking.cut import Contamination
from .layout import MICROGRAPHS

_SOURCE = "pixel_size_from"
# share of the micrograph without contamination, and picks that were dropped because of it
CONTAMINATION_COLUMNS = ("usable", "on_contamination")


def write_micrographs(
    micrographs: Sequence[Micrograph],
    folder: Path,
    known: Optional[PixelSizes] = None,
    contamination: Mapping[str, Contamination] = MappingProxyType({}),
) -> None:
    """Write the list of the micrographs of a run, with their files and pixel sizes (Å/px).

    It says where each pixel size comes from; both are empty where none is known.

    Args:
        micrographs: of the run.
        folder: of the run.
        contamination: by name, for columns of the usable share and of how many picks were dropped;
            they are empty where it is not known, and missing where it is known of none.
        known: pixel sizes that have been read from the headers already.
    """
    read = {} if known is None else known.of
    sizes = [read.get(m.name) or pixel_size_of(m) for m in micrographs]
    here = os.getcwd()
    rows = [
        [m.name, os.path.join(here, m.path), *((size.value, size.source) if size else ("", ""))]
        for m, size in zip(micrographs, sizes)
    ]
    header = ["micrograph", "file", "pixel_size", _SOURCE]
    if contamination:
        header += CONTAMINATION_COLUMNS
        for row in rows:
            row += _contamination_cells(contamination.get(row[0]))
    write_table(folder / MICROGRAPHS, header, rows)


def _contamination_cells(of_micrograph: Optional[Contamination]) -> List[str]:
    if of_micrograph is None:
        return ["", ""]
    return [f"{of_micrograph.usable:.4f}", str(of_micrograph.dropped)]


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
            Micrograph(Path(row["file"]), row["micrograph"], *_stated_pixel_size(row))
            for row in rows
        )
    except (ValueError, UsageError) as error:
        raise PupickError(
            f"{path} is damaged ({error}): run again the command that wrote it."
        ) from error


def _pixel_size(text: str) -> Optional[float]:
    if not text:
        return None
    check_pixel_size(float(text))
    return float(text)


def _stated_pixel_size(row: Mapping[str, str]) -> Tuple[Optional[float], str]:
    """Return the pixel size (Å/px) that was stated, and where; none where the header has it."""
    # version 0.1 wrote no source, and no pixel size that was in a header
    source = row.get(_SOURCE) or ""
    if source == HEADER or not row["pixel_size"]:
        return None, ""
    return _pixel_size(row["pixel_size"]), source


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
