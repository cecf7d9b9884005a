# SPDX-License-Identifier: GPL-3.0-or-later
"""The names and pixel sizes of micrographs in RELION's STAR files."""

from __future__ import annotations

from pathlib import Path
from typing import Dict, List, Optional

import numpy as np

from ..errors import UsageError
from ..files.star import StarTable, read_blocks
from ..files.text import FloatArray
from .relion_pixel_sizes import (
    IMAGE_NAME,
    MICROGRAPH_NAME,
    MICROGRAPH_PIXEL_SIZE,
    PIXEL_SIZES,
    detector_pixel_sizes,
    positive,
    stated_values,
)


def read_micrograph_names(path: Path) -> Dict[str, Optional[float]]:
    """Read the names of the micrographs in a STAR file and their pixel sizes.

    The pixel size is in the row or in that of its optics group (RELION 3.1 and later), or is the
    detector's pixel size over the magnification (RELION 3.0). Of a STAR file of particles only
    rlnMicrographPixelSize is used, as the others are those of movies and of rescaled particles.

    Returns:
        The pixel size in Å/px, or None where there is no positive one, for each name.

    Raises:
        UsageError: it cannot be read, or no table of it names micrographs.
    """
    blocks = read_blocks(path)
    table = next((table for table in blocks.values() if MICROGRAPH_NAME in table), None)
    if table is None:
        found = sorted({column for table in blocks.values() for column in table.columns})
        raise UsageError(
            f"{path}: no table has the column {MICROGRAPH_NAME}, so it names no micrographs "
            f"(columns: {', '.join(found) or 'none'})"
        )
    if not len(table):
        raise UsageError(f"{path}: block data_{table.block} has no rows, so no micrographs")
    pixel_sizes: Dict[str, Optional[float]] = {}
    for name, pixel_size in zip(
        table.texts(MICROGRAPH_NAME), _pixel_sizes(table, blocks.get("optics"))
    ):
        pixel_sizes.setdefault(name, pixel_size)
    return pixel_sizes


def _pixel_sizes(table: StarTable, optics: Optional[StarTable]) -> List[Optional[float]]:
    """Return the pixel size of each row, in Å/px."""
    of_particles = IMAGE_NAME in table
    for column in (MICROGRAPH_PIXEL_SIZE,) if of_particles else PIXEL_SIZES:
        stated = stated_values(table, optics, column)
        if stated is not None:
            return _or_none(positive(stated))
    detector = None if of_particles else detector_pixel_sizes(table)
    return [None] * len(table) if detector is None else _or_none(detector)


def _or_none(sizes: FloatArray) -> List[Optional[float]]:
    return [None if np.isnan(size) else size for size in sizes.tolist()]
