# SPDX-License-Identifier: GPL-3.0-or-later
"""The names and pixel sizes of micrographs in RELION's STAR files."""

from __future__ import annotations

from pathlib import Path
from typing import Dict, List, Optional

import numpy as np

from ..errors import UsageError
from ..files.star import StarTable, read_blocks

_NAME = "rlnMicrographName"
_GROUP = "rlnOpticsGroup"
_IMAGE = "rlnImageName"
_MICROGRAPH_PIXEL_SIZE = "rlnMicrographPixelSize"
_OTHER_PIXEL_SIZES = ("rlnMicrographOriginalPixelSize", "rlnImagePixelSize")
_DETECTOR = "rlnDetectorPixelSize"
_MAGNIFICATION = "rlnMagnification"
_ANGSTROM_PER_MICRON = 1e4


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
    table = next((table for table in blocks.values() if _NAME in table), None)
    if table is None:
        found = sorted({column for table in blocks.values() for column in table.columns})
        raise UsageError(
            f"{path}: no table has the column {_NAME}, so it names no micrographs "
            f"(columns: {', '.join(found) or 'none'})"
        )
    if not len(table):
        raise UsageError(f"{path}: block data_{table.block} has no rows, so no micrographs")
    pixel_sizes: Dict[str, Optional[float]] = {}
    for name, pixel_size in zip(table.texts(_NAME), _pixel_sizes(table, blocks.get("optics"))):
        pixel_sizes.setdefault(name, pixel_size)
    return pixel_sizes


def _pixel_sizes(table: StarTable, optics: Optional[StarTable]) -> List[Optional[float]]:
    """Return the pixel size of each row, in Å/px."""
    labels = [_MICROGRAPH_PIXEL_SIZE]
    if _IMAGE not in table:
        labels.extend(_OTHER_PIXEL_SIZES)
    for label in labels:
        if label in table:
            return _positive_numbers(table, label)
        if optics is not None and label in optics and _GROUP in optics and _GROUP in table:
            sizes = dict(zip(optics.words(_GROUP), _positive_numbers(optics, label)))
            groups = table.words(_GROUP)
            unknown = next((row for row, group in enumerate(groups) if group not in sizes), None)
            if unknown is not None:
                raise UsageError(
                    f"{table.place(unknown)}: optics group {groups[unknown]} is not in data_optics"
                )
            return [sizes[group] for group in groups]
    if _DETECTOR in table and _MAGNIFICATION in table and _IMAGE not in table:
        detector = _positive_numbers(table, _DETECTOR)
        magnification = _positive_numbers(table, _MAGNIFICATION)
        return [
            microns * _ANGSTROM_PER_MICRON / times if microns and times else None
            for microns, times in zip(detector, magnification)
        ]
    return [None] * len(table)


def _positive_numbers(table: StarTable, label: str) -> List[Optional[float]]:
    """Return a column's numbers, with None for those that are missing or not positive."""
    numbers = table.numbers(label, missing_allowed=True)
    return [float(number) if number > 0 else None for number in np.nan_to_num(numbers)]
