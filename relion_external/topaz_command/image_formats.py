# SPDX-License-Identifier: GPL-3.0-or-later
"""Writing images as MRC, TIFF or PNG."""

from __future__ import annotations

from pathlib import Path
from typing import Sequence

import numpy as np

from scipion_pupick.engine import UsageError, atomic_write, write_image
from scipion_pupick.engine.reporting.packing import png

# grey values of normalised images that are black and white in a PNG file
BLACK, WHITE = -3.0, 3.0


def check_formats(endings: Sequence[str]) -> None:
    """Make sure that images can be written in these formats.

    Raises:
        UsageError: TIFF is among them, and the library tifffile is not installed.
    """
    if {"tiff", "tif"} & set(endings):
        try:
            import tifffile  # noqa: F401
        except ImportError as error:
            raise UsageError(
                "TIFF files need the library tifffile: pip install 'scipion-em-pupick[tiff]'."
            ) from error


def write_any(path: Path, pixels: np.ndarray, pixel_size: float) -> None:
    """Write a normalised image (ny, nx) in the format of the path's ending.

    MRC and TIFF files hold float32, PNG files 8 bits from -3 (black) to 3 (white).

    Raises:
        OSError: it cannot be written.
    """
    if path.suffix == ".mrc":
        write_image(path, pixels, pixel_size)
        return
    with atomic_write(path) as temporary:
        if path.suffix == ".png":
            grey = np.clip((pixels - BLACK) / (WHITE - BLACK) * 255, 0, 255)
            temporary.write_bytes(png(grey.round().astype(np.uint8)))
        else:
            import tifffile

            tifffile.imwrite(temporary, pixels)
