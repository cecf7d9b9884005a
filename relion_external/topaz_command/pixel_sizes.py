# SPDX-License-Identifier: GPL-3.0-or-later
"""The pixel size of images as Topaz is given them.

RELION downsamples micrographs into the folder `proc` of the job and leaves the micrographs' own
pixel size in their headers.
"""

from __future__ import annotations

import math
from typing import Optional, Sequence

from scipion_pupick.engine import Micrograph, MicrographError, read_pixel_size

from .relion_job import PROC, RelionJob

# by which RELION chooses how to downsample for Topaz, and the radius to train with
LEAST_DOWNSAMPLING = 4
FIELD_PX = 71
FIELD_DIAMETERS = 2
DIAMETERS_PER_RADIUS = 8
# also stands in headers of programs that do not know it
UNKNOWN_PIXEL_SIZE = 1.0


def trained_pixel_size(
    images: Sequence[Micrograph], job: Optional[RelionJob], radius: float
) -> Optional[float]:
    """Return the pixel size (Å/px) of images to train on; None where it is not known.

    RELION's images have the pixel size of the micrographs, and the factor follows from the
    diameter (Å) in the job's form. The radius (px) that RELION gives shows whether it is right.
    """
    header = header_pixel_size(images)
    if header is None or not are_of_relion(images):
        return header
    diameter = None if job is None else job.diameter
    if diameter is None:
        return None
    field = _rounded(FIELD_DIAMETERS * diameter / header / FIELD_PX)
    pixel_size = header * max(LEAST_DOWNSAMPLING, field)
    is_right = _rounded(diameter / (DIAMETERS_PER_RADIUS * pixel_size)) == radius
    return pixel_size if is_right else None


def picked_pixel_size(images: Sequence[Micrograph], enlargement: float) -> Optional[float]:
    """Return the pixel size (Å/px) of images to pick in; None where it is not known.

    Args:
        images: to pick in.
        enlargement: what coordinates are multiplied by; RELION wants them in px of micrographs.
    """
    header = header_pixel_size(images)
    if header is None or not are_of_relion(images):
        return header
    is_relions = enlargement > 1 and float(enlargement).is_integer()
    return header * enlargement if is_relions else None


def are_of_relion(images: Sequence[Micrograph]) -> bool:
    """Whether images are those that RELION makes for Topaz."""
    return all(image.path.parent.name == PROC for image in images)


def header_pixel_size(images: Sequence[Micrograph]) -> Optional[float]:
    """Return the pixel size (Å/px) in the header of the first image that can be read."""
    for image in images:
        try:
            pixel_size = read_pixel_size(image.path)
        except MicrographError:
            continue
        return None if pixel_size == UNKNOWN_PIXEL_SIZE else pixel_size
    return None


def _rounded(value: float) -> int:
    """Round as RELION does, halves up."""
    return math.floor(value + 0.5)
