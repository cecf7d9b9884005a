# SPDX-License-Identifier: GPL-3.0-or-later
"""Micrographs and particles that a report shows: a few of each, chosen over the whole run."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Collection, Dict, List, Mapping, Optional, Sequence

import numpy as np

from ..coordinates import Coordinates
from ..errors import MicrographError
from ..files.prefetch import prefetch
from ..micrographs import Micrograph, Shape
from ..picking.peaks_file import MicrographPeaks
from ..picking.score_places import ScorePlaces
from ..preprocessing.fourier_crop import Resample
from ..preprocessing.mixture import Mixture
from ..preprocessing.scale import WorkingScale, to_working
from ..preprocessing.shrink import shrink
from ..preprocessing.working_image import WorkingImage, prepare
from ..settings import LEAST_SCORE, STRIDE
from .packing import grey_image, pack, png_address
from .tables import ranks

if TYPE_CHECKING:
    # SciPy, which finds peaks and draws none
    from ..picking.detector import Scorer

MOST_SHOWN = 16
MOST_MAPS = 8
EXTREMES = 2
PIXELS_IN_ALL = 6_000_000
LARGEST_SHOWN_SIDE = 1000
# of a normal distribution with a deviation of 1 px
BLUR = (0.0044, 0.054, 0.2421, 0.399, 0.2421, 0.054, 0.0044)
CUT_SIDE = 40
MOST_CUTS = 800
CUT_SCORE_BINS = 40
PEAK_STEPS_PER_PX = 16
MAP_RANGE = (LEAST_SCORE, 8.0)


def choose_shown(
    counts: Sequence[int], most: int = MOST_SHOWN, wanted: Collection[int] = ()
) -> List[int]:
    """Choose micrographs to show: those wanted, the fullest, the emptiest, and others evenly.

    Args:
        counts: picks of each micrograph.
        most: to choose.
        wanted: indices of some that are shown in any case.

    Returns:
        Rising indices.
    """
    if len(counts) <= most:
        return list(range(len(counts)))
    order = np.argsort(counts, kind="stable")
    extremes = {*order[:EXTREMES].tolist(), *order[-EXTREMES:].tolist()}
    chosen = extremes | {*wanted}
    spread = np.linspace(0, len(counts) - 1, max(0, most - len(chosen))).round().astype(int)
    return sorted(chosen | set(spread.tolist()))


@dataclass(frozen=True)
class View:
    """How micrographs are read and scored for a report.

    Attributes:
        scale: at which particles are shown.
        normalisation: method of `normalise.normalise`; a scorer needs the one of its model.
        mixture: shared mixture of a joint normalisation; None where each micrograph has its own.
        scorer: makes the score maps; None for a report without.
        side: largest side of a shown micrograph, px.
        resample: makes them smaller; a scorer needs `fourier_crop.downsample`.
    """

    scale: WorkingScale
    normalisation: str = "affine"
    mixture: Optional[Mixture] = None
    scorer: Optional[Scorer] = None
    side: int = LARGEST_SHOWN_SIDE
    resample: Resample = shrink

    def prepare(self, micrograph: Micrograph) -> WorkingImage:
        """Read and prepare a micrograph."""
        return prepare(
            micrograph, self.scale, self.normalisation, self.mixture, resample=self.resample
        )


@dataclass(frozen=True)
class Pictures:
    """What was drawn.

    Attributes:
        micrographs: for the report's script.
        gallery: for the report's script.
        failures: reason by name of the micrographs that could not be shown.
    """

    micrographs: List[Dict[str, Any]]
    gallery: Dict[str, Any]
    failures: Dict[str, str]


def draw(
    micrographs: Sequence[Micrograph],
    peaks: Mapping[str, MicrographPeaks],
    reference: Mapping[str, Coordinates],
    view: View,
    grid: np.ndarray,
) -> Pictures:
    """Read micrographs again, and draw them and some of their peaks.

    Args:
        micrographs: to show.
        peaks: by name; for those that were picked.
        reference: known particles by name, px of the micrograph.
        view: how to read and score.
        grid: thresholds (k,), for the ranks of the peaks.
    """
    view = replace(view, side=_side(len(micrographs)))
    map_step = max(1, -(-len(micrographs) // MOST_MAPS))
    shown: List[Dict[str, Any]] = []
    cuts: List[_Cuts] = []
    failures: Dict[str, str] = {}
    for micrograph, working in prefetch(view.prepare, micrographs):
        kept = peaks.get(micrograph.name)
        particles = reference.get(micrograph.name, Coordinates.empty())
        if isinstance(working, MicrographError):
            failures[micrograph.name] = str(working)
            if kept is not None:
                unseen = _describe_unseen(micrograph.name, kept, particles, view, grid)
                shown.append({**unseen, **_describe_contamination(kept, unseen["width"])})
            continue
        picks = Coordinates.empty() if kept is None else kept.coordinates
        smooth = _blur(working.image)
        cuts.append(_cut(working, smooth, picks, len(shown)))
        scorer = view.scorer if len(shown) % map_step == 0 else None
        seen = _describe(working, smooth, picks, particles, replace(view, scorer=scorer), grid)
        shown.append({**seen, **_describe_contamination(kept, seen["width"])})
    return Pictures(shown, _gallery(cuts, grid), failures)


def _blur(image: np.ndarray) -> np.ndarray:
    """Smooth an image (h, w) a little; edges are mirrored."""
    reach = len(BLUR) // 2
    height, width = image.shape
    padded = np.pad(image, reach, mode="symmetric")
    rows = np.zeros((height, padded.shape[1]), np.float32)
    blurred = np.zeros_like(image)
    for i, weight in enumerate(BLUR):
        rows += weight * padded[i : i + height]
    for i, weight in enumerate(BLUR):
        blurred += weight * rows[:, i : i + width]
    return blurred


def _side(number: int) -> int:
    return min(LARGEST_SHOWN_SIDE, int(math.sqrt(PIXELS_IN_ALL / max(number, 1))))


def _describe(
    working: WorkingImage,
    image: np.ndarray,
    picks: Coordinates,
    reference: Coordinates,
    view: View,
    grid: np.ndarray,
) -> Dict[str, Any]:
    """Return a micrograph, whose working image is smoothed to `image`, for the report's script."""
    shape = fit_shape(image.shape, view.side)
    if shape != image.shape:
        image = shrink(image, shape)
    low, high = np.percentile(image, [0.5, 99.5])
    frame = _Frame(working.shape, working.pixel_size, shape)
    result = {
        **frame.describe(working.micrograph.name, picks, reference, grid),
        "image": png_address(grey_image(image, low, high)),
    }
    if view.scorer is not None:
        score_map = view.scorer(working.image[None])[0]
        result["map"] = png_address(grey_image(score_map, *MAP_RANGE))
        places = ScorePlaces.of_map(score_map.shape, working.working_shape)
        shown_px = shape[1] / working.working_shape[1]
        result["mapStep"] = places.step * shown_px
        result["mapFirst"] = (places.first + 0.5) * shown_px
    return result


def _describe_contamination(kept: Optional[MicrographPeaks], width: int) -> Dict[str, Any]:
    """Return the contamination of a micrograph that is shown `width` px wide, if it is known."""
    if kept is None or kept.mask is None:
        return {}
    shown_px = width / kept.mask.shape[1]
    return {
        "usable": kept.mask.usable,
        "dirt": png_address(kept.mask.places.astype(np.uint8) * 255),
        "dirtStep": STRIDE * shown_px,
        # a place stands for what is nearer to it than to others
        "dirtCorner": (0.5 - STRIDE / 2) * shown_px,
    }


def _describe_unseen(
    name: str, kept: MicrographPeaks, reference: Coordinates, view: View, grid: np.ndarray
) -> Dict[str, Any]:
    """Return a micrograph whose file cannot be read any more: its picks alone."""
    frame = _Frame(kept.shape, kept.pixel_size, fit_shape(kept.shape, view.side))
    return frame.describe(name, kept.coordinates, reference, grid)


def fit_shape(shape: Sequence[int], side: int) -> Shape:
    """Return the shape (h, w) of a picture of an image (ny, nx), at most `side` px on each side."""
    factor = min(1.0, side / max(shape))
    return max(1, round(shape[0] * factor)), max(1, round(shape[1] * factor))


@dataclass(frozen=True)
class _Frame:
    """A micrograph's shape (ny, nx) and pixel size (Å/px), and the shape of what is shown."""

    original: Shape
    pixel_size: float
    shown: Shape

    def describe(
        self, name: str, picks: Coordinates, reference: Coordinates, grid: np.ndarray
    ) -> Dict[str, Any]:
        """Return all but the images for the report's script."""
        return {
            "name": name,
            "width": self.shown[1],
            "height": self.shown[0],
            "pixelSize": self.pixel_size * self.original[1] / self.shown[1],
            "peaks": self._positions(picks),
            "ranks": pack(ranks(picks.score, grid), "uint16"),
            "reference": self._positions(reference),
        }

    def _positions(self, picks: Coordinates) -> Dict[str, Any]:
        """Pack positions in 1/16 px of the shown image, where the first pixel begins at 0."""
        xy = to_working(picks.xy, self.original, self.shown)
        return pack((xy + 0.5) * PEAK_STEPS_PER_PX, "uint16")


@dataclass(frozen=True)
class _Cuts:
    """Cut-outs (n, side, side) of one micrograph, scores (n,), centres (n, 2) and its place."""

    images: np.ndarray
    scores: np.ndarray
    centres: np.ndarray
    micrograph: int


def _cut(working: WorkingImage, image: np.ndarray, picks: Coordinates, micrograph: int) -> _Cuts:
    """Cut out the peaks that have enough round them from the smoothed working image."""
    xy = to_working(picks.xy, working.shape, working.working_shape)
    corner = np.round(xy).astype(int) - CUT_SIDE // 2
    last = np.array(image.shape[::-1]) - CUT_SIDE
    inside = ((corner >= 0) & (corner <= last)).all(axis=1)
    images = [image[y : y + CUT_SIDE, x : x + CUT_SIDE] for x, y in corner[inside]]
    return _Cuts(
        np.array(images, np.float32).reshape(-1, CUT_SIDE, CUT_SIDE),
        picks.score[inside],
        (xy[inside] + 0.5) / image.shape[::-1],
        micrograph,
    )


def _gallery(cuts: Sequence[_Cuts], grid: np.ndarray) -> Dict[str, Any]:
    """Return cut-outs of all scores, best first, in one image of square tiles."""
    empty = np.empty((0, CUT_SIDE, CUT_SIDE), np.float32)
    images = np.concatenate([empty, *(part.images for part in cuts)])
    scores = np.concatenate([np.empty(0), *(part.scores for part in cuts)])
    centres = np.concatenate([np.empty((0, 2)), *(part.centres for part in cuts)])
    sources = np.repeat(
        [part.micrograph for part in cuts],
        [len(part.scores) for part in cuts],
    )
    shown = choose_cuts(scores)
    columns = max(1, math.ceil(math.sqrt(len(shown))))
    sheet = np.zeros((columns, columns, CUT_SIDE, CUT_SIDE), np.float32)
    sheet.reshape(-1, CUT_SIDE, CUT_SIDE)[: len(shown)] = images[shown]
    tiled = sheet.transpose(0, 2, 1, 3).reshape(columns * CUT_SIDE, -1)
    low, high = np.percentile(images[shown], [0.5, 99.5]) if len(shown) else (0.0, 1.0)
    return {
        "side": CUT_SIDE,
        "columns": columns,
        "image": png_address(grey_image(tiled, low, high)),
        "ranks": ranks(scores[shown], grid).tolist(),
        "micrographs": sources[shown].astype(int).tolist(),
        "centres": np.round(centres[shown], 4).tolist(),
    }


def choose_cuts(scores: np.ndarray, most: int = MOST_CUTS) -> np.ndarray:
    """Choose peaks so that each part of the range of scores has its share.

    Args:
        scores: (n,).
        most: to choose.

    Returns:
        Indices, best first.
    """
    order = np.argsort(-scores, kind="stable")
    if len(order) <= most:
        return order
    ranked = scores[order]
    edges = np.linspace(ranked[0], ranked[-1], CUT_SCORE_BINS + 1)
    bounds = np.searchsorted(-ranked, -edges)
    bounds[-1] = len(ranked)
    share = most // CUT_SCORE_BINS
    parts = [_evenly(start, stop, share) for start, stop in zip(bounds[:-1], bounds[1:])]
    return order[np.unique(np.concatenate([np.arange(share), *parts]))]


def _evenly(start: int, stop: int, most: int) -> np.ndarray:
    number = min(most, stop - start)
    return np.linspace(start, stop - 1, number).round().astype(int) if number else np.empty(0, int)
