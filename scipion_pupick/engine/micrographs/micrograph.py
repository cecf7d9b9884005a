# SPDX-License-Identifier: GPL-3.0-or-later
"""One micrograph of a set, and its pixel size."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional, Tuple, Union

import numpy.typing as npt

from ..errors import MicrographError
from .read import read_image, read_pixel_size

Shape = Tuple[int, int]

# where a pixel size that was stated comes from
GIVEN, STAR_FILE, CS_FILE = "given", "STAR file", ".cs file"

# of images in any program, whether pupick reads them or not
IMAGE_EXTENSIONS = (".mrc", ".mrcs", ".map", ".tif", ".tiff", ".png", ".jpg", ".jpeg", ".eer")


@dataclass(frozen=True)
class Micrograph:
    """One micrograph of a set.

    Attributes:
        path: the file.
        name: what the user or the STAR file calls it (posix form), unique in its set.
        pixel_size: Å/px as the user or a list of micrographs gave it. None: nobody did, so that
            the header of the file decides, which `require_pixel_size` reads when it is needed.
        pixel_size_from: who did: `GIVEN`, `STAR_FILE` or `CS_FILE`; empty where that is not known.
    """

    path: Path
    name: str
    pixel_size: Optional[float] = None
    pixel_size_from: str = field(default="", compare=False)


@dataclass(frozen=True, eq=False)
class MicrographInMemory:
    """A micrograph of a set that is an array already.

    Attributes:
        image: (ny, nx) grey values.
        name: for messages, unique in its set.
        pixel_size: Å/px.
    """

    image: npt.NDArray[Any]
    name: str
    pixel_size: float

    @property
    def path(self) -> Path:
        """Its name, where a message names a file."""
        return Path(self.name)


AnyMicrograph = Union[Micrograph, MicrographInMemory]


def image_of(micrograph: AnyMicrograph) -> npt.NDArray[Any]:
    """Return the grey values (ny, nx) of a micrograph, read-only where they are a file's.

    Raises:
        MicrographError: as `read_image`.
    """
    if isinstance(micrograph, MicrographInMemory):
        return micrograph.image
    return read_image(micrograph.path)


def require_pixel_size(micrograph: AnyMicrograph) -> float:
    """Return the pixel size in Å/px: the given one, or else that in the file's header.

    Raises:
        MicrographError: neither is a positive number, or the header cannot be read.
    """
    pixel_size = micrograph.pixel_size
    if pixel_size is None:
        pixel_size = read_pixel_size(micrograph.path)
    return usable_pixel_size(pixel_size, micrograph.name)


def usable_pixel_size(value: Optional[float], name: str) -> float:
    """Return a pixel size in Å/px of the micrograph of a name.

    Raises:
        MicrographError: it is not a positive number.
    """
    if value is None or not (math.isfinite(value) and value > 0):
        raise MicrographError(
            f"{name}: no usable pixel size is known for it: give the pixel size (Å/px)",
            setting="pixel_size",
        )
    return value
