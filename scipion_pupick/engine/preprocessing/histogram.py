# SPDX-License-Identifier: GPL-3.0-or-later
"""The grey values of one micrograph as a histogram."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..errors import MicrographError

# Pixels beyond the central 99 % widened by half its width on either side (5 sigma of a Gaussian)
# are dirt, gold or dead pixels: they count for neither the bins nor the fit.
CORE = (0.005, 0.995)
WIDENING = 0.5
BINS = 2048
SAMPLE = 65536
MOST_COUNTED_PIXELS = 2**22
# Nothing physical is larger, and float32 arithmetic has room beyond it.
LARGEST_VALUE = 1e20
# A flat image that went through float32 Fourier transforms still varies by some 1e-6 of its level.
LEAST_RELATIVE_SPREAD = 1e-5

Array = np.ndarray


@dataclass(frozen=True)
class Histogram:
    """The grey values of one micrograph.

    Attributes:
        values: mean grey value of the pixels in each bin, shape (BINS,), float64. The mean, not
            the centre, so that the first moment of the pixels is kept; the centre if empty.
        counts: number of pixels in each bin, shape (BINS,), float64.
    """

    values: Array
    counts: Array


def histogram(image: Array) -> Histogram:
    """Count the grey values of a micrograph in BINS equal bins.

    The bins cover the central 99 % of the pixels, widened by half that width on either side. What
    lies beyond (hot pixels, gold) is left out. The range comes from every n-th pixel if there are
    more than SAMPLE; the counts are over all pixels, or over an even grid of MOST_COUNTED_PIXELS
    where there are more, which bounds the memory.

    Args:
        image: grey values, shape (ny, nx).

    Raises:
        MicrographError: pixels are not finite, or (nearly) all have one value.
    """
    every = max(1, math.ceil(math.sqrt(image.size / MOST_COUNTED_PIXELS)))
    pixels = _finite(image[::every, ::every]).ravel()
    step = max(1, pixels.size // SAMPLE) | 1
    low, high = np.quantile(pixels[::step], CORE, method="nearest").astype(np.float64)
    _require_spread(high - low, max(abs(low), abs(high)))
    start = np.float32(low - WIDENING * (high - low))
    width = np.float32((1 + 2 * WIDENING) * (high - low) / BINS)
    # One spare bin at either end takes the outliers.
    position = (pixels - start) / width
    np.clip(position, -0.5, BINS + 0.5, out=position)
    position += 1
    index = position.astype(np.intp)
    counts = np.bincount(index, minlength=BINS + 2)[1:-1].astype(np.float64)
    sums = np.bincount(index, weights=position, minlength=BINS + 2)[1:-1]
    means = np.divide(sums, counts, out=np.arange(BINS) + 1.5, where=counts > 0)
    return Histogram(float(start) + (means - 1) * float(width), counts)


def _finite(image: Array) -> Array:
    pixels = np.asarray(image, dtype=np.float32)
    if pixels.size == 0:
        raise MicrographError("It has no pixels. Write the file again or leave it out.")
    # Minimum and maximum hand on NaN, and no comparison with NaN is true.
    if not (pixels.min() > -LARGEST_VALUE and pixels.max() < LARGEST_VALUE):
        raise MicrographError(
            f"It has pixels that are NaN, infinite or beyond {LARGEST_VALUE:.0e}. Write the file "
            "again (motion correction, conversion) or leave it out."
        )
    return pixels


def _require_spread(spread: float, level: float) -> None:
    if spread <= LEAST_RELATIVE_SPREAD * level:
        raise MicrographError(
            f"It is blank: its grey values spread by {spread:.3g} round a level of {level:.6g}. "
            "Write the file again or leave it out."
        )
