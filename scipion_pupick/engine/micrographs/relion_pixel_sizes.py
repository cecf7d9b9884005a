# SPDX-License-Identifier: GPL-3.0-or-later
"""Pixel sizes in RELION's STAR files: in the row, by its optics group, or by the detector."""

from __future__ import annotations

from typing import Optional

import numpy as np

from ..errors import UsageError
from ..files.star import StarTable
from ..files.text import FloatArray

MICROGRAPH_NAME = "rlnMicrographName"
IMAGE_NAME = "rlnImageName"
GROUP = "rlnOpticsGroup"
# of a micrograph as it lies on disk; the others are of movies and of extracted particles
MICROGRAPH_PIXEL_SIZE = "rlnMicrographPixelSize"
# the first that is there counts
PIXEL_SIZES = (MICROGRAPH_PIXEL_SIZE, "rlnMicrographOriginalPixelSize", "rlnImagePixelSize")
# before 3.1
DETECTOR, MAGNIFICATION = "rlnDetectorPixelSize", "rlnMagnification"

_ANGSTROM_PER_MICRON = 1e4


def stated_values(
    table: StarTable, optics: Optional[StarTable], column: str
) -> Optional[FloatArray]:
    """Return what each row says in a column itself, or else its optics group.

    Args:
        table: of micrographs or particles.
        optics: the file's block data_optics, if it has one.
        column: of numbers.

    Returns:
        (n,) values, NaN where one is missing; None if neither table says it, or nothing tells
        which group a row is of.

    Raises:
        UsageError: a value is no number, or a group is not in `optics`.
    """
    if column in table:
        return table.numbers(column, missing_allowed=True)
    if optics is None or column not in optics or GROUP not in optics or GROUP not in table:
        return None
    values = optics.numbers(column, missing_allowed=True).tolist()
    by_group = dict(zip(map(_group, optics.words(GROUP)), values))
    words = table.words(GROUP)
    # far fewer than rows
    by_word = {word: by_group.get(_group(word)) for word in {*words}}
    unknown = next((row for row, word in enumerate(words) if by_word[word] is None), None)
    if unknown is not None:
        raise UsageError(
            f"{table.place(unknown)}: optics group {words[unknown]} is not in data_optics"
        )
    return np.array([by_word[word] for word in words], dtype=np.float64)


def _group(word: str) -> str:
    """Return the name of an optics group, which programs write as 1 or 1.0."""
    try:
        return repr(float(word))
    except ValueError:
        return word


def detector_pixel_sizes(table: StarTable) -> Optional[FloatArray]:
    """Return the detector's pixel size over the magnification, as RELION has it before 3.1.

    Of particles that is the pixel size of their images, which may be rescaled.

    Returns:
        (n,) Å/px, NaN where it is missing or not positive; None where there are no such columns.

    Raises:
        UsageError: a value is no number.
    """
    if DETECTOR not in table or MAGNIFICATION not in table:
        return None
    microns = positive(table.numbers(DETECTOR, missing_allowed=True))
    return _ANGSTROM_PER_MICRON * microns / positive(table.numbers(MAGNIFICATION, True))


def positive(values: FloatArray) -> FloatArray:
    """Return values (n,) with NaN for those that are missing or not positive."""
    return np.where(np.nan_to_num(values) > 0, values, np.nan)
