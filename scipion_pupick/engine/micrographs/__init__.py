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
from .read import image_shape, read_image, read_pixel_size

__all__ = [
    "AnyMicrograph",
    "Micrograph",
    "MicrographInMemory",
    "Shape",
    "find_micrographs",
    "image_of",
    "image_shape",
    "match_names",
    "read_image",
    "read_pixel_size",
    "require_pixel_size",
    "write_image",
]
