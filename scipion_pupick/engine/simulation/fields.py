# SPDX-License-Identifier: GPL-3.0-or-later
"""Random fields."""

from __future__ import annotations

import math
from typing import Tuple

import numpy as np
from scipy import fft


def smooth_field(shape: Tuple[int, int], length: float, random: np.random.Generator) -> np.ndarray:
    """Draw a smooth random field: white noise filtered by a Gaussian.

    Args:
        shape: (ny, nx), px; the field is periodic.
        length: standard deviation of the Gaussian, px.
        random: the source of randomness.

    Returns:
        (ny, nx) float32 with a mean of 0 and a standard deviation of 1.
    """
    noise = random.standard_normal(shape, dtype=np.float32)
    ky, kx = fft.fftfreq(shape[0])[:, None], fft.rfftfreq(shape[1])[None, :]
    window = np.exp(-2 * (math.pi * length) ** 2 * (kx * kx + ky * ky)).astype(np.float32)
    field = fft.irfft2(fft.rfft2(noise) * window, s=shape)
    field -= field.mean()
    return field / max(float(field.std()), np.finfo(np.float32).tiny)
