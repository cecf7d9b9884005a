# SPDX-License-Identifier: GPL-3.0-or-later
"""Batches for training: patches round labelled particles, tiles of unlabelled micrograph.

Patches of one receptive field are laid side by side into mosaics of a tile's size, so that one
forward pass serves labelled and unlabelled regions and batch norms see both together: statistics
that differed between the two would give the labels away.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Sequence, Tuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ..networks.architectures import STRIDE
from ..settings import Augmentation, OptimizerSettings
from .augmentation import augment_contrast, make_fainter, random_transforms
from .regions import MASKED, POSITIVE, UNLABELED, TrainingImage

_NOMINAL_TILE = 112
TILES = 8  # and mosaics of a batch, where no number was chosen


@dataclass(frozen=True)
class ScoreGrid:
    """Where the scores of a square tile lie.

    Attributes:
        width: of the tile, px.
        field: width of the region that one score depends on, px.
        step: from one score to the next, px.
    """

    width: int
    field: int
    step: int = STRIDE

    @property
    def positions(self) -> np.ndarray:
        """Places (s,) of the scores along one axis, px from the tile's first pixel."""
        count = ((self.width - self.field) // STRIDE + 1) * STRIDE // self.step
        return np.arange(count) * self.step + self.first

    @property
    def first(self) -> float:
        """Place of the first score along one axis, px from the tile's first pixel."""
        return (self.field - 1) / 2 - (STRIDE - self.step) / 2


@dataclass(frozen=True)
class Geometry:
    """How a network's patches fill a tile.

    Attributes:
        field: width of one region, px.
        step: from one score to the next, px.
        single: whether each tile is one region alone, instead of a mosaic of several.
    """

    field: int
    step: int = STRIDE
    single: bool = False

    @property
    def patch(self) -> int:
        """Width of a patch, px; in a mosaic the field, rounded up to a multiple of the stride."""
        return self.field if self.single else STRIDE * math.ceil(self.field / STRIDE)

    @property
    def per_side(self) -> int:
        """Patches along one side of a tile."""
        return 1 if self.single else max(2, round(_NOMINAL_TILE / self.patch))

    @property
    def tile(self) -> int:
        """Width of a tile, px."""
        return self.patch * self.per_side

    @property
    def cells(self) -> slice:
        """Rows (or columns) of a tile's score map of which each is the first of a patch."""
        step = self.patch // self.step
        return slice(0, step * self.per_side, step)

    @property
    def feature_cells(self) -> slice:
        """Rows (or columns) of a tile's map of features that belong to its patches."""
        return Geometry(self.field, STRIDE, self.single).cells

    @property
    def grid(self) -> ScoreGrid:
        """Where the scores of a tile lie."""
        return ScoreGrid(self.tile, self.field, self.step)


@dataclass(frozen=True)
class Batch:
    """Tiles and what is known of the regions in them.

    Attributes:
        tiles: (p + n + u, 1, tile, tile): of positives, of negatives, then of U.
        positive_tiles: p.
        negative_tiles: n.
        unlabeled: (u, s, s) bool, which scores of the tiles of U belong to U.
    """

    tiles: Tensor
    positive_tiles: int
    negative_tiles: int
    unlabeled: Tensor


def make_geometry(field: int, step: int, settings: OptimizerSettings) -> Geometry:
    """Return how regions of a width, scored every so many px, lie in batches."""
    return Geometry(field, step, single=settings.sampling == "regions")


def sample_batch(
    images: Sequence[TrainingImage],
    geometry: Geometry,
    settings: OptimizerSettings,
    random: np.random.Generator,
) -> Batch:
    """Draw a balanced batch.

    Labelled particles are drawn uniformly over the set, each at a random place within the training
    radius. Of U there are either tiles, uniformly over the places of micrographs, these in
    proportion to their labels, so that P and U are of the same micrographs, and defocus, ice and
    noise do not tell the one from the other; or single regions, uniformly over all micrographs.
    All are turned by a random angle and flipped.

    Args:
        images: together they hold at least one labelled particle.
        geometry: of `make_geometry`, for the network that is trained.
        settings: how to draw, numbers of what is drawn, training radius, random changes.
        random: drawn from; the only source of chance.
    """
    positive = _labelled([image.positive for image in images])
    negative = _labelled([image.negative for image in images])
    number = settings.labelled_regions if geometry.single else settings.mosaics or TILES
    labelled = [
        _labelled_tiles(images, places, number, geometry, settings, random)
        for places in (positive, negative)
        if len(places)
    ]
    if geometry.single:
        of_u, inside = _single_regions(images, geometry, settings, random)
    else:
        drawn = random.integers(len(positive), size=settings.tiles or TILES)
        which = positive[drawn, 0].astype(int)
        of_u, labels = sample_tiles(images, which, geometry.grid, settings.augmentation, random)
        inside = labels == UNLABELED
    tiles = augment_contrast(torch.cat([*labelled, of_u]), settings.augmentation, random)
    return Batch(tiles, number, number if len(negative) else 0, inside)


def _labelled(places: Sequence[np.ndarray]) -> np.ndarray:
    """All labelled places as rows (image index, x, y)."""
    rows = [np.column_stack([np.full(len(xy), i), xy]) for i, xy in enumerate(places)]
    return np.concatenate(rows)


def _labelled_tiles(
    images: Sequence[TrainingImage],
    places: np.ndarray,
    count: int,
    geometry: Geometry,
    settings: OptimizerSettings,
    random: np.random.Generator,
) -> Tensor:
    """Tiles (count, 1, tile, tile) of patches round places drawn with replacement."""
    per_side, patch = geometry.per_side, geometry.patch
    number = count * per_side**2
    drawn = places[random.integers(len(places), size=number)]
    radius = settings.training_radius * np.sqrt(random.random(number))
    angle = random.uniform(0, 2 * np.pi, number)
    centres = drawn[:, 1:] + radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    which, faintest = drawn[:, 0].astype(int), settings.augmentation.faintest
    patches = _patches(images, which, centres, geometry, settings, random)
    if faintest is not None and faintest < 1:
        last = np.array([image.image.shape[::-1] for image in images])[which] - 1
        margin = np.minimum(patch, last / 2)
        anywhere = margin + random.random((number, 2)) * (last - 2 * margin)
        others = _patches(images, which, anywhere, geometry, settings, random)
        patches = make_fainter(patches, others, faintest, random)
    grid = patches.reshape(count, per_side, per_side, patch, patch)
    return grid.permute(0, 1, 3, 2, 4).reshape(count, 1, geometry.tile, geometry.tile)


def _patches(
    images: Sequence[TrainingImage],
    which: np.ndarray,
    centres: np.ndarray,
    geometry: Geometry,
    settings: OptimizerSettings,
    random: np.random.Generator,
) -> Tensor:
    """Patches (n, patch, patch) round centres (n, 2) in the images named, turned and flipped."""
    transforms = random_transforms(len(centres), settings.augmentation, random)
    return _cut(images, which, centres, transforms, _offsets(geometry))


def _offsets(geometry: Geometry) -> np.ndarray:
    """Places (patch,) of the pixels of a patch along one axis, px from its first score."""
    return np.arange(geometry.patch) - geometry.grid.first


def _single_regions(
    images: Sequence[TrainingImage],
    geometry: Geometry,
    settings: OptimizerSettings,
    random: np.random.Generator,
) -> Tuple[Tensor, Tensor]:
    """Regions (n, 1, field, field) drawn uniformly over all images, and (n, 1, 1) which are of U.

    Those within the training radius of a label are not.
    """
    number = settings.unlabeled_scores
    area = np.array([image.image.size for image in images], float)
    which = random.choice(len(images), size=number, p=area / area.sum())
    sizes = np.array([image.image.shape[::-1] for image in images])[which]
    centres = random.random((number, 2)) * (sizes - 1)
    transforms = random_transforms(number, settings.augmentation, random)
    regions = _cut(images, which, centres, transforms, _offsets(geometry))
    labels = np.empty(number, np.uint8)
    for i in np.unique(which):
        labels[which == i] = _labels_at(images[i].labels, centres[which == i])
    return regions[:, None], torch.from_numpy(labels != POSITIVE).reshape(-1, 1, 1)


def sample_tiles(
    images: Sequence[TrainingImage],
    which: np.ndarray,
    grid: ScoreGrid,
    augmentation: Augmentation,
    random: np.random.Generator,
) -> Tuple[Tensor, Tensor]:
    """Draw tiles of images, uniformly over places, turned by a random angle and flipped.

    Args:
        images: at least one.
        which: (count,) index of the image of each tile.
        grid: width of a tile, and where its scores lie.
        augmentation: amounts of the random changes.
        random: drawn from; the only source of chance.

    Returns:
        (count, 1, width, width) tiles, and (count, s, s) labels of `regions.label_map` at the
        places of the scores; those outside the image are MASKED.
    """
    count = len(which)
    sizes = np.array([image.image.shape[::-1] for image in images])[which]
    centres = random.random((count, 2)) * (sizes - 1)
    transforms = random_transforms(count, augmentation, random)
    centre = (grid.width - 1) / 2
    tiles = _cut(images, which, centres, transforms, np.arange(grid.width) - centre)
    points = _points(centres, transforms, grid.positions - centre)
    rows = [_labels_at(images[i].labels, xy) for i, xy in zip(which, points)]
    return tiles[:, None], torch.from_numpy(np.stack(rows))


def _labels_at(labels: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Labels (...) at points (..., 2); MASKED outside the image."""
    x, y = np.moveaxis(np.rint(points).astype(int), -1, 0)
    inside = (x >= 0) & (y >= 0) & (x < labels.shape[1]) & (y < labels.shape[0])
    return np.where(inside, labels[np.where(inside, y, 0), np.where(inside, x, 0)], MASKED)


def _points(centres: np.ndarray, transforms: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Places (n, s, s, 2) in px that a square of offsets (s,) from the centres comes to lie on."""
    dy, dx = np.meshgrid(offsets, offsets, indexing="ij")
    maps = transforms[..., None, None]
    square = centres[..., None, None] + (maps[:, :, 0] * dx + maps[:, :, 1] * dy)
    return np.moveaxis(square, 1, -1)


def _cut(
    images: Sequence[TrainingImage],
    which: np.ndarray,
    centres: np.ndarray,
    transforms: np.ndarray,
    offsets: np.ndarray,
) -> Tensor:
    """Interpolate squares (n, s, s) out of images; beyond the edges lies the mean grey 0."""
    points = _points(centres, transforms, offsets).astype(np.float32)
    squares = torch.empty(points.shape[:-1])
    for i in np.unique(which):
        image = torch.from_numpy(images[i].image).float()
        size = torch.tensor(image.shape[::-1], dtype=torch.float32)
        tiles = np.flatnonzero(which == i)
        grid = 2 * torch.from_numpy(points[tiles]) / (size - 1) - 1
        cut = functional.grid_sample(
            image[None, None],
            grid.reshape(1, -1, len(offsets), 2),
            mode="bicubic",
            padding_mode="zeros",
            align_corners=True,
        )
        squares[tiles] = cut.reshape(len(tiles), len(offsets), len(offsets))
    return squares
