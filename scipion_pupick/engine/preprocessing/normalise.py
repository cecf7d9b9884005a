# SPDX-License-Identifier: GPL-3.0-or-later
"""Grey values made comparable between micrographs."""

from __future__ import annotations

from typing import Optional, Tuple

import numpy as np

from ..errors import UsageError
from .histogram import Array, Histogram, _finite, _require_spread, histogram
from .mixture import Mixture, fit_mixture, fit_scale


def normalise(image: Array, method: str = "gmm", mixture: Optional[Mixture] = None) -> Array:
    """Standardise the grey values of one micrograph.

    Args:
        image: working image, shape (ny, nx).
        method: "gmm" gives (x / alpha - mu') / sigma' with the dominant component (mu', sigma')
            of a mixture of two Gaussians; "affine" gives (x - mean) / standard deviation.
        mixture: the mixture shared by the set, for "gmm": then only alpha is fitted. Without it
            the mixture is fitted to this image alone.

    Returns:
        float32 image of the same shape. Outliers are kept as they are, not clipped.

    Raises:
        UsageError: the method is unknown, or is "affine" and comes with a mixture.
        MicrographError: pixels are not finite or have (nearly) one value.
    """
    if method == "affine" and mixture is None:
        mean, deviation = _mean_and_deviation(image)
    elif method == "gmm":
        mean, deviation = _dominant(histogram(image), mixture)
    else:
        raise UsageError(
            f"There is no normalisation {method!r} {'with' if mixture else 'without'} a mixture: "
            "use 'gmm', or 'affine' without a mixture."
        )
    pixels = np.asarray(image, dtype=np.float32)
    return (np.subtract(pixels, mean, dtype=np.float64) / deviation).astype(np.float32)


def _mean_and_deviation(image: Array) -> Tuple[float, float]:
    pixels = _finite(image)
    mean = float(pixels.mean(dtype=np.float64))
    deviation = float(pixels.std(dtype=np.float64))
    _require_spread(deviation, abs(mean))
    return mean, deviation


def _dominant(counted: Histogram, mixture: Optional[Mixture]) -> Tuple[float, float]:
    """Mean and deviation of the dominant component in the grey values of this micrograph."""
    if mixture is None:
        return fit_mixture([counted])[0].dominant
    scale = fit_scale(counted, mixture)
    mean, deviation = mixture.dominant
    return scale * mean, scale * deviation
