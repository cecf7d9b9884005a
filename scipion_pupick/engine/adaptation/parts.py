# SPDX-License-Identifier: GPL-3.0-or-later
"""Square parts of micrographs: what the general model is fitted to.

A fit needs some number of particles, not whole micrographs. What is cut out before it is
downsampled costs less in large micrographs, too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Tuple

from ..micrographs import AnyMicrograph, MicrographInMemory, image_of, require_pixel_size
from ..preprocessing.scale import WorkingScale

# multiples of the golden and of the plastic ratio are spread evenly over a square (R. Kronecker)
_ALONG_Y, _ALONG_X = 0.6180339887, 0.7548776662
MIDDLE = (0.5, 0.5)
# transforms of other lengths may take several times as long
_SIDE_MULTIPLE = 8


@dataclass(frozen=True)
class Part:
    """A part of a micrograph.

    Attributes:
        micrograph: the part, as a micrograph of its own.
        share: of the whole micrograph.
    """

    micrograph: MicrographInMemory
    share: float


def side_of_parts(side: float, usual: int, count: int) -> float:
    """Return the side of parts of `count` micrographs that are as much as `usual` of one side."""
    return side * math.sqrt(usual / max(1, count))


def place_of_part(number: int) -> Tuple[float, float]:
    """Return where to cut a numbered part out: (y, x), each from 0 to 1, the first in the middle.

    Edges of carbon and of holes, often alike in all micrographs, lie in some of the parts.
    """
    return (0.5 + number * _ALONG_Y) % 1.0, (0.5 + number * _ALONG_X) % 1.0


def cut_part(
    micrograph: AnyMicrograph,
    scale: WorkingScale,
    side: float,
    place: Tuple[float, float] = MIDDLE,
) -> Part:
    """Cut a square out of a micrograph, or as much of it as there is.

    Args:
        micrograph: to read.
        scale: working scale.
        side: of the square, px of the working image.
        place: of its corner: (y, x), each from 0 (top, left) to 1 (bottom, right).

    Raises:
        MicrographError: the micrograph cannot be read, or its pixel size is not known.
    """
    pixel_size = require_pixel_size(micrograph)
    image = image_of(micrograph)
    wanted = side * scale.pixel_size / pixel_size
    most = _SIDE_MULTIPLE * math.ceil(wanted / _SIDE_MULTIPLE)
    top, left = (round(max(0, size - most) * at) for size, at in zip(image.shape, place))
    part = image[top : top + most, left : left + most]
    share = part.size / max(1, image.size)
    return Part(MicrographInMemory(part, micrograph.name, pixel_size), share)
