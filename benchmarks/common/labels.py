# SPDX-License-Identifier: GPL-3.0-or-later
"""Labels as people make them, drawn from the known particles of a set."""

from __future__ import annotations

from typing import List, Tuple

import mrcfile
import numpy as np

from benchmarks.common.picking_sets import PickingSet
from scipion_pupick.engine import Picks, flatten_picks, group_picks

RANDOM, CLEAREST, FEW_MICROGRAPHS = "random", "clearest", "few micrographs"
CLEAREST_SHARE = 1 / 3
INCOMPLETE_SHARE = 1 / 2


class TooFewParticlesError(ValueError):
    """A set holds fewer particles of a kind than labels were asked for."""


def draw_labels(picking_set: PickingSet, count: int, kind: str, seed: int) -> Picks:
    """`count` of the particles that the set has to train on.

    Args:
        picking_set: the set.
        count: of labels.
        kind: RANDOM: any; CLEAREST: among the third that stands out most from its surroundings;
            FEW_MICROGRAPHS: half of the particles of as few micrographs as it takes.
        seed: of the random choice.

    Raises:
        TooFewParticlesError: of this kind.
    """
    names, particles = flatten_picks(picking_set.train_particles)
    random = np.random.default_rng([seed, count])
    order = random.permutation(len(names))
    if kind == CLEAREST:
        clearness = contrast(picking_set)
        clear = clearness >= np.quantile(clearness, 1 - CLEAREST_SHARE)
        order = order[clear[order]]
    elif kind == FEW_MICROGRAPHS:
        order = assign_to_micrographs(names, order, random)
    if len(order) < count:
        raise TooFewParticlesError(
            f"{picking_set.name} has only {len(order)} labels of the kind {kind!r}"
        )
    taken = np.sort(order[:count])
    return group_picks(
        [names[i] for i in taken], particles.x[taken], particles.y[taken], particles.score[taken]
    )


def assign_to_micrographs(
    names: List[str], order: np.ndarray, random: np.random.Generator
) -> np.ndarray:
    """Half of the particles of one micrograph after the other, these in random order."""
    rows = np.array(names)[order]
    parts: List[np.ndarray] = []
    for name in random.permutation(np.unique(rows)):
        own = order[rows == name]
        parts.append(own[: round(INCOMPLETE_SHARE * len(own))])
    return np.concatenate(parts)


def contrast(picking_set: PickingSet) -> np.ndarray:
    """How far each particle to train on stands out from its surroundings, in deviations.

    The mean grey of its inner disc less that of a ring round it: a matched filter for round
    blobs, which knows nothing of either program.
    """
    radius = picking_set.diameter_px / 2
    values = []
    for path in picking_set.train:
        image = mrcfile.read(path).astype(np.float64)
        image /= image.std()
        for x, y in _positions(picking_set, path.name):
            values.append(_blob(image, x, y, radius))
    found = np.array(values)
    return found * np.sign(found.mean())


def _positions(picking_set: PickingSet, name: str) -> List[Tuple[int, int]]:
    particles = picking_set.particles[name]
    return [(round(x), round(y)) for x, y in zip(particles.x, particles.y)]


def _blob(image: np.ndarray, x: int, y: int, radius: float) -> float:
    reach = round(1.4 * radius)
    rows = np.arange(max(0, y - reach), min(len(image), y + reach + 1))
    columns = np.arange(max(0, x - reach), min(image.shape[1], x + reach + 1))
    distance = np.hypot(rows[:, None] - y, columns - x)
    part = image[np.ix_(rows, columns)]
    ring = (distance > 1.1 * radius) & (distance <= reach)
    return float(part[distance <= 0.8 * radius].mean() - part[ring].mean())
