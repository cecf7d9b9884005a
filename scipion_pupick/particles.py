# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the particles of Scipion's sets lie in their micrographs: coordinates, particles, classes.

Extracted particles keep their coordinate in px of their own image, which may be binned; aligned
ones know how far they lie from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Iterator, Optional, Tuple

import numpy as np
from pwem.constants import ALIGN_NONE, ALIGN_PROJ
from pwem.objects import (
    Coordinate,
    EMSet,
    Particle,
    SetOfClasses2D,
    SetOfCoordinates,
    SetOfMicrographs,
    SetOfParticles,
)

from .assignment import Key
from .constants import SCORE
from .engine.coordinates.relion import NO_SCORE


@dataclass(frozen=True)
class PlacedItem:
    """A coordinate, or a particle at its coordinate.

    Attributes:
        key: id and name of the micrograph.
        xy: centre, px of the micrograph.
        score: of the coordinate; NaN if it has none.
        item_id: of the coordinate or particle in its set.
        class_id: of the particle's class; None where there are no classes.
    """

    key: Key
    xy: Tuple[float, float]
    score: float
    item_id: int
    class_id: Optional[int] = None


def placed_items(items: EMSet, pixel_size: float) -> Iterator[PlacedItem]:
    """Return where the items of a set lie; particles without a coordinate are left out.

    Scipion may hand out one object for all items of a set, so that nothing of it may be kept.

    Args:
        items: coordinates, particles, or classes of particles.
        pixel_size: of the micrographs, Å/px.
    """
    if isinstance(items, SetOfClasses2D):
        for one_class in items.iterItems():
            number = int(one_class.getObjId())
            yield from _of_particles(one_class, one_class, pixel_size, number)
    elif isinstance(items, SetOfParticles):
        yield from _of_particles(items, items, pixel_size, None)
    else:
        for coordinate in items:
            # Scipion gives the same object again and again, with other values
            place, score = coordinate.getPosition(), score_of(coordinate)
            yield PlacedItem(_key(coordinate), place, score, int(coordinate.getObjId()))


def _of_particles(
    particles: Any, aligned: Any, pixel_size: float, class_id: Optional[int]
) -> Iterator[PlacedItem]:
    scale = particles.getSamplingRate() / pixel_size
    for particle in particles:
        coordinate = particle.getCoordinate()
        if coordinate is not None:
            moved = np.array(coordinate.getPosition()) - _shift(particle, aligned.getAlignment())
            x, y = (scale * moved).tolist()
            number = class_id if particle.getClassId() is None else int(particle.getClassId())
            score = score_of(coordinate)
            yield PlacedItem(
                _key(coordinate), (x, y), score, int(particle.getObjId()), number or None
            )


def _shift(particle: Particle, alignment: str) -> np.ndarray:
    """Return how far (x, y) a particle's centre lies before its coordinate, px of its image."""
    transform = particle.getTransform()
    if transform is None or alignment == ALIGN_NONE:
        return np.zeros(2)
    matrix = np.array(transform.getMatrix(), float)
    if alignment == ALIGN_PROJ:
        return np.asarray(-np.linalg.inv(matrix)[:2, 3])
    # a particle that was mirrored has its first row turned round
    if np.linalg.det(matrix[:2, :2]) < 0:
        matrix[0, :2] *= -1
    return np.asarray(matrix[:2, 3])


def score_of(coordinate: Coordinate) -> float:
    """Return the score of a coordinate; NaN if it has none."""
    score = getattr(coordinate, SCORE, None)
    value = None if score is None else score.get()
    return float("nan") if value in (None, NO_SCORE) else float(value)


def _key(coordinate: Coordinate) -> Key:
    return int(coordinate.getMicId()), str(coordinate.getMicName())


def coordinates_of(items: EMSet) -> Optional[SetOfCoordinates]:
    """Return the coordinates that the items of a set have, or were extracted at, where known."""
    if isinstance(items, SetOfClasses2D):
        items = items.getImages()
    if isinstance(items, SetOfParticles):
        return items.getCoordinates() if items.hasCoordinates() else None
    return items


def micrographs_of(items: EMSet) -> Optional[SetOfMicrographs]:
    """Return the micrographs that the items of a set were picked on, where they know these."""
    coordinates = coordinates_of(items)
    return None if coordinates is None else coordinates.getMicrographs()
