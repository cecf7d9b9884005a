# SPDX-License-Identifier: GPL-3.0-or-later
"""Micrographs: finding them, reading and writing them, and tying names in picks files to them."""

from .find import find_micrographs
from .micrograph import (
    AnyMicrograph,
    Micrograph,
    MicrographInMemory,
    Shape,
    image_of,
    require_pixel_size,
)
from .mrc import write_image
from .name_matching import match_names
from .pixel_sizes import PixelSizes, pixel_size_of, say_pixel_sizes
from .read import image_shape, read_image, read_pixel_size

__all__ = [
    "AnyMicrograph",
    "Micrograph",
    "MicrographInMemory",
    "PixelSizes",
    "Shape",
    "find_micrographs",
    "image_of",
    "image_shape",
    "match_names",
    "pixel_size_of",
    "read_image",
    "read_pixel_size",
    "require_pixel_size",
    "say_pixel_sizes",
    "write_image",
]
