# SPDX-License-Identifier: GPL-3.0-or-later
"""Real micrographs whose particles are labelled, for training the general model beside others."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import List, Sequence

import numpy as np

from ..coordinates import Picks
from ..coordinates.area import inside_image
from ..coordinates.assign_picks import assign_to_micrographs
from ..errors import UsageError
from ..micrographs import Micrograph, say_pixel_sizes
from ..preprocessing.scale import ANGSTROM, WorkingScale, to_working
from ..preprocessing.working_image import prepare
from ..settings import WORKING_DIAMETER_PX
from .dataset import KnownImage

log = logging.getLogger(__name__)

# users differ in what they call the diameter
_WIDTHS = (0.83, 1.0, 1.2)
# hands are less exact than simulations
_MASKED_DIAMETERS = 0.34
# people leave out what lies near the edges, and some edges are padded
_BORDER_DIAMETERS = 1.25


@dataclass(frozen=True)
class LabelledSet:
    """Micrographs of one particle, nearly all of whose particles are labelled.

    Attributes:
        name: of the set, and whose it is.
        micrographs: of the set.
        particles: by micrograph, px of it.
        diameter: of the particle, Å.
    """

    name: str
    micrographs: Sequence[Micrograph]
    particles: Picks
    diameter: float


def labelled_images(labelled: LabelledSet) -> List[KnownImage]:
    """Prepare the micrographs of a set that have particles, each at three scales.

    Raises:
        UsageError: the particles are of other micrographs, or most lie outside these.
        MicrographError: one cannot be used.
    """
    by_name = assign_to_micrographs(labelled.particles, labelled.micrographs, "labels")
    with_labels = [m for m in labelled.micrographs if len(by_name.get(m.name, ()))]
    if not with_labels:
        raise UsageError(f"{labelled.name}: the labels are of other micrographs.")
    log.info("%s: %d micrographs have labels.", labelled.name, len(with_labels))
    say_pixel_sizes(with_labels)
    images = [
        _known_image(micrograph, by_name[micrograph.name].xy, labelled.diameter, width)
        for micrograph in with_labels
        for width in _WIDTHS
    ]
    given = sum(len(by_name[micrograph.name]) for micrograph in with_labels)
    outside = given - count_particles(images)
    if 2 * outside > given:
        raise UsageError(
            f"{labelled.name}: {outside} of {given} labels lie outside their micrographs: they "
            "seem to be of other micrographs, or of the same ones binned in another way. Give "
            "labels in pixels of these micrographs."
        )
    return images


def count_particles(images: Sequence[KnownImage]) -> int:
    """Count the labelled particles that lie in the micrographs of `labelled_images`."""
    shapes = [(image.pixels.shape[0], image.pixels.shape[1]) for image in images]
    inside = [int(inside_image(image.xy, s).sum()) for image, s in zip(images, shapes)]
    return sum(inside[:: len(_WIDTHS)])


def _known_image(
    micrograph: Micrograph, xy: np.ndarray, diameter: float, width: float
) -> KnownImage:
    diameter_px = width * WORKING_DIAMETER_PX
    working = prepare(micrograph, WorkingScale(diameter, diameter_px, ANGSTROM), "gmm", None)
    return KnownImage(
        pixels=working.image.astype(np.float16),
        xy=to_working(xy, working.shape, working.working_shape),
        diameter_px=diameter_px,
        masked_diameters=_MASKED_DIAMETERS,
        border=round(_BORDER_DIAMETERS * diameter_px),
    )
