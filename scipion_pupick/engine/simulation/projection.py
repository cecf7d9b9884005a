# SPDX-License-Identifier: GPL-3.0-or-later
"""Projections of densities by Fourier slices."""

from __future__ import annotations

import math
from typing import Tuple

import numpy as np
from scipy import fft, ndimage, signal

from .density import Density

_PADDING = 2.0
_POINTS_AT_ONCE = 1 << 20


def project(density: Density, rotations: np.ndarray, pixel_size: float, size: int) -> np.ndarray:
    """Project a density along z after each rotation.

    The Fourier transform of a projection is the central slice across it of that of the density
    (DeRosier and Klug, Nature 217, 130, 1968). Slices are interpolated by cubic splines in a
    transform padded with zeros.

    Args:
        density: to project; details finer than two pixels of the projections are lost.
        rotations: (m, 3, 3) as of `rotations.random_rotations`.
        pixel_size: of the projections, Å/px.
        size: of the projections, px; wider than the particle.

    Returns:
        (m, size, size) float32 integrals of density along z, Å; the centre of the density is at
        the pixel (size // 2, size // 2).
    """
    coefficients, spacing = _transform(density, pixel_size)
    ky = fft.fftfreq(size, pixel_size)[:, None]
    kx = fft.rfftfreq(size, pixel_size)[None, :]
    rows, columns = np.nonzero(kx * kx + ky * ky < (0.5 / pixel_size) ** 2)
    frequencies = np.stack([kx[0, columns], ky[rows, 0]])
    centring = np.exp(-2j * np.pi * (size // 2) * pixel_size * frequencies.sum(axis=0))
    spectra = np.zeros((len(rotations), size, size // 2 + 1), np.complex64)
    batch = max(1, _POINTS_AT_ONCE // len(rows))
    for start in range(0, len(rotations), batch):
        # the first two rows of a rotation are the image's axes in the particle's frame
        axes = rotations[start : start + batch, :2]
        points = np.einsum("mac,ak->cmk", axes, frequencies / spacing)
        spectra[start : start + batch, rows, columns] = _sample(coefficients, points) * centring
    return fft.irfft2(spectra, s=(size, size), overwrite_x=True) / np.float32(pixel_size**2)


def _transform(density: Density, pixel_size: float) -> Tuple[np.ndarray, float]:
    """Transform the padded density, and prepare it for interpolation.

    Returns:
        Spline coefficients (n, n, n) of the transform in Å³, with frequency zero at n // 2 of the
        axes z, y, x; and the spacing of its samples in 1/Å.
    """
    values, fine = _coarsen(density, pixel_size)
    side = len(values)
    padded = 2 * fft.next_fast_len(math.ceil(_PADDING * side / 2))
    before = (padded - side) // 2
    box = np.pad(values * np.float32(fine**3), (before, padded - side - before))
    transform = fft.fftshift(fft.fftn(fft.ifftshift(box), overwrite_x=True))
    return ndimage.spline_filter(transform, output=np.complex64), 1 / (padded * fine)


def _coarsen(density: Density, pixel_size: float) -> Tuple[np.ndarray, float]:
    """Drop what is finer than the projections will show, to keep the transform small.

    Returns:
        A cube with the centre at the middle as before, and its pixel size in Å.
    """
    values, side = density.values, len(density.values)
    kept = 2 * math.ceil(side * density.pixel_size / pixel_size / 2)
    if kept >= side:
        return values, density.pixel_size
    for axis in range(3):
        values = signal.resample(values, kept, axis=axis)
    return values, density.pixel_size * side / kept


def _sample(coefficients: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Interpolate the transform at points (3, ...) of (x, y, z), in samples from frequency zero."""
    where = points[::-1] + len(coefficients) // 2
    return ndimage.map_coordinates(coefficients, where, mode="constant", prefilter=False)
