# SPDX-License-Identifier: GPL-3.0-or-later
"""Resampling by cropping in Fourier space."""

from __future__ import annotations

from functools import partial
from typing import Callable, Optional

import numpy as np

from ..errors import MicrographError
from ..micrographs import Shape
from .pocketfft import fft_columns, ifft_columns, irfft, rfft

ROWS_PER_TRANSFORM = 256

Mend = Callable[[np.ndarray, int], np.ndarray]
# arguments and result as `downsample` has them
Resample = Callable[..., np.ndarray]


def downsample(
    image: np.ndarray,
    working_shape: Shape,
    threads: Optional[int] = 1,
    mend: Optional[Mend] = None,
) -> np.ndarray:
    """Resample an image to another shape in Fourier space, keeping grey values.

    Frequencies below both Nyquist limits are kept exactly and all others dropped, so the result
    is the band-limited image sampled on the coarser grid (or, where the shape grows, on a finer
    one). Rows are transformed first and only the columns that survive are transformed further.

    Args:
        image: (ny, nx), any real dtype; a memory map is read once, block by block.
        working_shape: (my, mx) of the result, px.
        threads: for the transforms.
        mend: what happens to rows first, given as (rows, nx) float32 with the first one's number.

    Returns:
        (my, mx) float32.

    Raises:
        MicrographError: the image holds NaN or infinite values.
    """
    spectrum = _column_spectra(image, working_shape[1], partial(rfft, threads=threads), mend)
    rows = crop_rows(fft_columns(spectrum, threads), working_shape[0])
    # grey values near the end of float32 turn into NaN, which normalising refuses
    with np.errstate(invalid="ignore"):
        rows *= (working_shape[0] * working_shape[1]) / (image.shape[0] * image.shape[1])
    result = irfft(ifft_columns(rows, threads), working_shape[1], threads)
    return np.ascontiguousarray(result, dtype=np.float32)


def kept_frequencies(size: int, working_size: int) -> int:
    """Number of non-negative frequencies strictly below both Nyquist limits."""
    return (min(size, working_size) + 1) // 2


def require_finite(image: np.ndarray) -> None:
    """Refuse an image with pixels that are not finite in single precision.

    Raises:
        MicrographError: it has some; says how many.
    """
    count = int(np.count_nonzero(~np.isfinite(_single(image))))
    if count:
        raise MicrographError(
            f"{count} of {image.size} pixels are NaN or infinite, or too large for single "
            "precision: repair or leave out this micrograph"
        )


def finite_rows(image: np.ndarray, start: int, stop: int) -> np.ndarray:
    """Return some rows of an image as float32, and refuse the image if they are not finite.

    Raises:
        MicrographError: they are not; says how many pixels of the image.
    """
    rows = _single(image[start:stop])
    if not np.isfinite(rows).all():
        require_finite(image)
    return rows


def _single(values: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        return np.asarray(values, dtype=np.float32)


def _column_spectra(
    image: np.ndarray,
    working_width: int,
    rfft: Callable[..., np.ndarray],
    mend: Optional[Mend],
) -> np.ndarray:
    """Row transforms of the image, kept columns only: (ny, working_width // 2 + 1) complex64."""
    height, width = image.shape
    kept = kept_frequencies(width, working_width)
    spectrum = np.zeros((height, working_width // 2 + 1), np.complex64)
    for start in range(0, height, ROWS_PER_TRANSFORM):
        block = finite_rows(image, start, start + ROWS_PER_TRANSFORM)
        if mend is not None:
            block = mend(block, start)
        spectrum[start : start + ROWS_PER_TRANSFORM, :kept] = rfft(block)[:, :kept]
    return spectrum


def crop_rows(spectrum: np.ndarray, working_height: int) -> np.ndarray:
    """Keep the row frequencies of the smaller grid: (working_height, columns) complex64."""
    kept = kept_frequencies(spectrum.shape[0], working_height)
    cropped = np.zeros((working_height, spectrum.shape[1]), np.complex64)
    cropped[:kept] = spectrum[:kept]
    if kept > 1:
        cropped[1 - kept :] = spectrum[1 - kept :]
    return cropped
