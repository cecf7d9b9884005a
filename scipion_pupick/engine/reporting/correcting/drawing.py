# SPDX-License-Identifier: GPL-3.0-or-later
"""Micrographs as pictures for the page: as large as screens are, smoothed as people wish."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Tuple

import numpy as np
from scipy.ndimage import gaussian_filter

from ...files.atomic import file_status
from ...micrographs import Micrograph, read_image, require_pixel_size
from ...preprocessing.fourier_crop import downsample
from ...preprocessing.outliers import PixelMender
from ..packing import grey_image, png
from ..pictures import fit_shape

LARGEST_DRAWN_SIDE = 1536
MOST_KEPT = 48
# deviations of the blur, in diameters of the particle
SMOOTHING = (0.0, 0.02, 0.05, 0.1)
_SHARES = (0.5, 99.5)


class Drawings:
    """Pictures of micrographs, the latest of which are kept; used by several threads."""

    def __init__(self) -> None:
        """Begin without any."""
        # one at a time, for each takes the memory of a micrograph or several
        self._lock = threading.Lock()
        self._kept: OrderedDict[Tuple[object, ...], bytes] = OrderedDict()

    def of(self, micrograph: Micrograph, diameter: float, smoothing: int) -> bytes:
        """Return a micrograph as PNG.

        Args:
            micrograph: to read.
            diameter: of the particle, Å.
            smoothing: index into `SMOOTHING`.

        Raises:
            MicrographError: it cannot be read, or holds values that are no numbers.
        """
        key = (str(micrograph.path), *file_status(micrograph.path), diameter, smoothing)
        with self._lock:
            if key not in self._kept:
                self._kept[key] = _draw(micrograph, diameter, SMOOTHING[smoothing])
            self._kept.move_to_end(key)
            while len(self._kept) > MOST_KEPT:
                self._kept.popitem(last=False)
            return self._kept[key]


def _draw(micrograph: Micrograph, diameter: float, blur: float) -> bytes:
    image = read_image(micrograph.path)
    shape = fit_shape(image.shape, LARGEST_DRAWN_SIDE)
    drawn = downsample(image, shape, mend=PixelMender(image))
    pixel_size = require_pixel_size(micrograph) * image.shape[1] / shape[1]
    if blur:
        drawn = gaussian_filter(drawn, blur * diameter / pixel_size)
    low, high = np.percentile(drawn, _SHARES)
    return png(grey_image(drawn, float(low), float(high)))
