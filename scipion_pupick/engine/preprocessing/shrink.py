# SPDX-License-Identifier: GPL-3.0-or-later
"""Smaller images to look at, without SciPy, which takes longer to load than they take to make."""

from __future__ import annotations

from typing import Optional, Sequence

import numpy as np

from ..micrographs import Shape
from .fourier_crop import Mend, crop_rows, finite_rows, kept_frequencies

_ROWS = 256


def shrink(
    image: np.ndarray,
    working_shape: Shape,
    threads: Optional[int] = 1,
    mend: Optional[Mend] = None,
) -> np.ndarray:
    """Resample an image to another shape as `downsample` does, but only well enough to look at.

    Means of blocks make it nearly as small as it shall be, and Fourier cropping does the rest. That
    takes less time on large images, too. The highest frequencies lose up to a third of their
    amplitude and get as much of what lies beyond them, so it is to be smoothed. What lies beyond
    the last whole block is left out: the far edges are moved by less than a pixel of the result.

    Args:
        image: (ny, nx), any real dtype; a memory map is read once, block by block.
        working_shape: (my, mx) of the result, px.
        threads: not used; as `downsample` has it.
        mend: what happens to rows first, given as (rows, nx) float32 with the first one's number.

    Returns:
        (my, mx) float32.

    Raises:
        MicrographError: the image holds NaN or infinite values.
    """
    height, width = working_shape
    sides = [n // m for n, m in zip(image.shape, working_shape)]
    means = _block_means(image, sides, mend)
    kept = kept_frequencies(means.shape[1], width)
    spectrum = np.zeros((means.shape[0], width // 2 + 1), np.complex64)
    spectrum[:, :kept] = np.fft.rfft(means, axis=1)[:, :kept]
    rows = crop_rows(np.fft.fft(spectrum, axis=0), height)
    rows *= height * width / means.size
    return np.fft.irfft(np.fft.ifft(rows, axis=0), n=width, axis=1).astype(np.float32)


def _block_means(image: np.ndarray, sides: Sequence[int], mend: Optional[Mend]) -> np.ndarray:
    """Return the mean of each block of (rows, columns); a block has at least one of each."""
    high, wide = (max(1, side) for side in sides)
    height, width = image.shape[0] // high, image.shape[1] // wide
    means = np.empty((height, width), np.float32)
    step = max(1, _ROWS // high)
    for first in range(0, height, step):
        last = min(first + step, height)
        block = finite_rows(image, first * high, last * high)
        if mend is not None:
            block = mend(block, first * high)
        rows = block.reshape(last - first, high, -1).sum(axis=1)
        # faster than a sum along the last axis, which has only a few entries at a time
        means[first:last] = sum(rows[:, i : width * wide : wide] for i in range(wide))
    means /= high * wide
    return means
