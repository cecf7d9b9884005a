# SPDX-License-Identifier: GPL-3.0-or-later
"""Labelled particles and places that are none, from picks to pixels of a working image."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Optional, Sequence, Set

import numpy as np
from scipy.spatial import cKDTree

from ..coordinates import Coordinates, Picks
from ..coordinates.area import inside_image
from ..coordinates.assign_picks import assign_to_micrographs
from ..coordinates.transform import PickTransform, transform_picks
from ..errors import UsageError
from ..micrographs import Micrograph
from ..preprocessing.scale import to_working
from ..preprocessing.working_image import WorkingImage
from ..settings import TOLERANCE_DIAMETERS, OptimizerSettings
from .regions import TrainingImage, label_map

log = logging.getLogger(__name__)

_SAME_PARTICLE = 0.4  # particle radii between picks by hand and the particles extracted from them


@dataclass(frozen=True)
class Labels:
    """Labelled places by micrograph name, px of the micrographs.

    Attributes:
        positive: particles; those that are given twice, by hand and as extracted particles, say,
            count once.
        negative: places that are no particle.
    """

    positive: Picks
    negative: Picks

    @property
    def names(self) -> Set[str]:
        """Names of the micrographs that hold any."""
        return {*self.positive, *self.negative}

    def transformed(self, transform: PickTransform, micrographs: Sequence[Micrograph]) -> Labels:
        """Return the labels, transformed into px of their micrographs."""
        return Labels(
            transform_picks(self.positive, micrographs, transform),
            transform_picks(self.negative, micrographs, transform),
        )


def assign_labels(
    picks: Picks, negatives: Optional[Picks], micrographs: Sequence[Micrograph]
) -> Labels:
    """Key picks and negatives by the names of their micrographs.

    Args:
        picks: particles under the names of some file, px.
        negatives: places that are no particle, in the same form.
        micrographs: they may belong to.

    Raises:
        UsageError: no pick is in any of the micrographs.
    """
    labels = Labels(
        _not_empty(assign_to_micrographs(picks, micrographs, "picks")),
        _not_empty(assign_to_micrographs(negatives or {}, micrographs, "negatives")),
    )
    if not labels.positive:
        raise _no_label_error(picks, micrographs)
    return labels


def _not_empty(picks: Picks) -> Picks:
    return {name: coordinates for name, coordinates in picks.items() if len(coordinates)}


def _no_label_error(picks: Picks, micrographs: Sequence[Micrograph]) -> UsageError:
    if not any(len(coordinates) for coordinates in picks.values()):
        text = "The picks hold no particle: pick at least one, better 10 to 100, by hand."
        return UsageError(text, setting="picks")
    return UsageError(
        f"The picks are of other micrographs (such as {next(iter(picks))}) than those given "
        f"(such as {micrographs[0].name}): check both.",
        setting=("picks", "micrographs"),
    )


def label_image(
    working: WorkingImage, labels: Labels, settings: OptimizerSettings
) -> TrainingImage:
    """Label the pixels of a normalised working image.

    Negatives so near to a labelled particle that a pick there would be right are left out.

    Args:
        working: the image.
        labels: of all micrographs.
        settings: radii of particles and of what counts as their centre, px of the working image.
    """
    name, particle_radius = working.micrograph.name, settings.diameter_px / 2
    positive = _working_xy(labels.positive.get(name), working, "picks")
    positive = _distinct(positive, _SAME_PARTICLE * particle_radius, name)
    negative = _working_xy(labels.negative.get(name), working, "negatives")
    negative = _apart_from(positive, negative, TOLERANCE_DIAMETERS * settings.diameter_px)
    radii = settings.training_radius, particle_radius
    pixels = label_map(working.working_shape, positive, *radii)
    return TrainingImage(working.image, pixels, positive, negative)


def _distinct(xy: np.ndarray, least: float, name: str) -> np.ndarray:
    """Leave out points (n, 2) that are nearer than `least` to one before them that is kept."""
    kept = np.ones(len(xy), bool)
    for first, second in sorted(cKDTree(xy).query_pairs(least)) if len(xy) else ():
        kept[second] &= not kept[first]
    doubles = np.flatnonzero(~kept)
    if len(doubles):
        log.warning(
            "%s: %d of %d picks are of particles that are picked already, and do not count.",
            name,
            len(doubles),
            len(xy),
        )
    return np.delete(xy, doubles, axis=0)


def _apart_from(positive: np.ndarray, negative: np.ndarray, least: float) -> np.ndarray:
    """Leave out negatives (n, 2) that are nearer than `least` to a particle."""
    if not len(positive) or not len(negative):
        return negative
    return negative[cKDTree(positive).query(negative)[0] >= least]


def refuse_contradictions(images: Sequence[TrainingImage], given: int) -> None:
    """Refuse negatives most of which are picked particles; say how many others are left out.

    Where particles were picked twice, or sorted into classes, a few are both.

    Args:
        images: labelled by `label_image`.
        given: number of negatives in their micrographs.

    Raises:
        UsageError: more than half are.
    """
    left_out = given - sum(len(image.negative) for image in images)
    if left_out > given / 2:
        raise UsageError(
            f"{left_out} of {given} negatives lie on picked particles or outside their "
            "micrographs: give as picks only what holds a particle, and as negatives only what "
            "does not.",
            setting=("picks", "negatives"),
        )
    if left_out:
        log.info(
            "%d of %d negatives are left out: they lie on picked particles or outside their "
            "micrographs.",
            left_out,
            given,
        )


def _working_xy(coordinates: Optional[Coordinates], working: WorkingImage, what: str) -> np.ndarray:
    """Points (n, 2) in px of the working image; those outside the micrograph are left out."""
    if coordinates is None:
        return np.empty((0, 2))
    xy = coordinates.xy
    inside = inside_image(xy, working.shape)
    if not inside.all():
        log.warning(
            "%s: %d of %d %s lie outside the image of %d x %d px and are left out.",
            working.micrograph.name,
            np.count_nonzero(~inside),
            len(xy),
            what,
            working.shape[1],
            working.shape[0],
        )
    return to_working(xy[inside], working.shape, working.working_shape)
