# SPDX-License-Identifier: GPL-3.0-or-later
"""Lists that runs of every kind leave: of their micrographs, and of those that failed."""

from __future__ import annotations

import os
from pathlib import Path
from types import MappingProxyType
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from ..errors import PupickError
from ..files.tables import read_table, write_table
from ..micrographs import Micrograph, pixel_size_of
from ..micrographs.micrograph import GIVEN
from ..micrographs.pixel_sizes import PixelSize, PixelSizes
from ..micrographs.text_list import PIXEL_SIZE_FROM, RUN_LIST_COLUMNS, stated_pixel_size
from ..picking.cut import Contamination
from .layout import MICROGRAPHS

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
    here = os.getcwd()
    rows = [
        [m.name, os.path.join(here, m.path), *_pixel_size_cells(m, read.get(m.name))]
        for m in micrographs
    ]
    header = [*RUN_LIST_COLUMNS, PIXEL_SIZE_FROM]
    if contamination:
        header += CONTAMINATION_COLUMNS
        for row in rows:
            row += _contamination_cells(contamination.get(row[0]))
    write_table(folder / MICROGRAPHS, header, rows)


def _pixel_size_cells(micrograph: Micrograph, known: Optional[PixelSize]) -> Tuple[Any, str]:
    size = known or pixel_size_of(micrograph)
    if size is not None:
        return size.value, size.source
    # of a file that cannot be read now, what was stated may be needed later
    stated = micrograph.pixel_size
    return ("", "") if stated is None else (stated, micrograph.pixel_size_from or GIVEN)


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
    rows = read_table(path, RUN_LIST_COLUMNS)
    try:
        return tuple(
            Micrograph(Path(row["file"]), row["micrograph"], *stated_pixel_size(row))
            for row in rows
        )
    except ValueError as error:
        raise PupickError(
            f"{path} is damaged ({error}): run again the command that wrote it."
        ) from error


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
