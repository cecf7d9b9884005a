# SPDX-License-Identifier: GPL-3.0-or-later
"""Single pixels that no specimen can have made, before Fourier cropping spreads them.

Hot and dead pixels of a camera, and hits by X-rays, lie tens of deviations from their neighbours.
What is as far from the rest of the image, but not from its neighbours, is something to be seen.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Optional

import numpy as np

log = logging.getLogger(__name__)

# deviations of the grey values: gold, ice and the best particles stay far below
MOST_DEVIATIONS_OF_A_PIXEL = 50.0
# shares of an image above which outliers are named, and above which those of some rows are left
NAMED_SHARE, MENDED_SHARE = 1e-4, 1e-2
SATURATED_SHARE = 0.01
_SAMPLED_ROWS = 64
_QUARTILES_OF_DEVIATION = 1.349  # between the quartiles of a normal distribution of deviation 1
_REACH = 2  # px to each side, for the median round a pixel


@dataclass(frozen=True)
class Limits:
    """The grey values beyond which a pixel is doubted.

    Attributes:
        low: least value.
        high: largest value.
        most: distance from the pixels round it that is too far.
    """

    low: float
    high: float
    most: float


def find_limits(image: np.ndarray) -> Optional[Limits]:
    """Find how far grey values may lie from the others, by rows spread over the image.

    Args:
        image: (ny, nx), any real dtype.

    Returns:
        None where the rows do not tell: most of their pixels have one value, or some are not
        finite.
    """
    sample = sample_rows(image)
    if not np.isfinite(sample).all():
        return None
    low, middle, high = np.percentile(sample, [25, 50, 75])
    deviation = (high - low) / _QUARTILES_OF_DEVIATION
    if not 0 < deviation < np.inf:
        return None
    most = MOST_DEVIATIONS_OF_A_PIXEL * deviation
    return Limits(float(middle - most), float(middle + most), float(most))


def sample_rows(image: np.ndarray) -> np.ndarray:
    """Return up to 64 rows spread over an image (ny, nx), as float64."""
    step = max(1, image.shape[0] // _SAMPLED_ROWS)
    return _float64(image[step // 2 :: step])


class PixelMender:
    """Replaces pixels of one image that lie too far from all others and from their neighbours.

    Attributes:
        outliers: how many were replaced, or left.
        left: how many of these were left, because their rows hold more than a percent of the
            image's pixels as outliers.
    """

    def __init__(self, image: np.ndarray) -> None:
        self.outliers = self.left = 0
        self._image = image
        self._limits = find_limits(image)

    def __call__(self, block: np.ndarray, start: int) -> np.ndarray:
        """Return some rows of the image without outliers.

        Args:
            block: (rows, nx) float32, finite.
            start: number of the first row.

        Returns:
            The block itself where it has none. An outlier becomes the median of 5 x 5 pixels.
        """
        limits = self._limits
        if limits is None or (limits.low <= block.min() and block.max() <= limits.high):
            return block
        rows, columns = np.nonzero((block < limits.low) | (block > limits.high))
        if len(rows) > MENDED_SHARE * self._image.size:
            self.outliers += len(rows)
            self.left += len(rows)
            return block
        around = _medians_round(self._image, rows + start, columns)
        alone = np.abs(block[rows, columns] - around) > limits.most
        self.outliers += int(alone.sum())
        mended = block.copy()
        mended[rows[alone], columns[alone]] = around[alone]
        return mended


def _medians_round(image: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Return the median of the 5 x 5 pixels round each of n pixels, fewer at the edge: (n,)."""
    reach = np.arange(-_REACH, _REACH + 1)
    y = np.clip(rows[:, None, None] + reach[:, None], 0, image.shape[0] - 1)
    x = np.clip(columns[:, None, None] + reach, 0, image.shape[1] - 1)
    return np.median(_float64(image[y, x]).reshape(len(rows), -1), axis=1)


def _float64(values: np.ndarray) -> np.ndarray:
    """Return numbers as float64; NaN stay NaN, without the warning that NumPy gives of some."""
    with np.errstate(invalid="ignore"):
        return np.asarray(values, np.float64)


def saturated_share(image: np.ndarray) -> float:
    """Return the share of pixels that have the largest value of the image's integers; else 0."""
    if image.dtype.kind not in "iu":
        return 0.0
    return float((sample_rows(image) >= np.iinfo(image.dtype).max).mean())


def warn_of_bad_pixels(path: object, image: np.ndarray, outliers: int, left: int) -> None:
    """Name outliers and saturated pixels in the log, if there are many.

    Args:
        path: of the micrograph.
        image: (ny, nx), as read.
        outliers: pixels that are too far from the others.
        left: how many of these were left as they are.
    """
    share = outliers / image.size
    if share > MENDED_SHARE:
        log.warning(
            "%s: %.1f %% of its pixels lie far from all others: check the gain and the defects of "
            "the camera. %s",
            path,
            100 * share,
            _what_became_of(outliers, left),
        )
    elif share > NAMED_SHARE:
        log.warning(
            "%s: %d pixels lie far from all others and were replaced by what is round them: check "
            "the gain and the defects of the camera.",
            path,
            outliers,
        )
    saturated = saturated_share(image)
    if saturated > SATURATED_SHARE:
        log.warning(
            "%s: about %.0f %% of its pixels are saturated: they have the largest value of %s.",
            path,
            100 * saturated,
            image.dtype.name,
        )


def _what_became_of(outliers: int, left: int) -> str:
    if left == outliers:
        return "They are left as they are."
    if not left:
        return "They were replaced by what is round them."
    return f"{left} of these {outliers} are left as they are, the others were replaced."
