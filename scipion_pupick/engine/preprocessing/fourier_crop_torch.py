# SPDX-License-Identifier: GPL-3.0-or-later
"""Fourier cropping with PyTorch, where a GPU transforms quicker than the CPU prepares for it."""

from __future__ import annotations

from typing import Optional

import numpy as np
import torch
from torch import Tensor

from ..micrographs import Shape
from .fourier_crop import (
    ROWS_PER_TRANSFORM,
    Mend,
    Resample,
    downsample,
    kept_frequencies,
    require_finite,
)


def downsample_on(device: torch.device) -> Resample:
    """Return what does as `fourier_crop.downsample` does, within rounding, on a device.

    An image for which the memory of the device does not suffice is downsampled on the CPU.
    """

    def resample(
        image: np.ndarray,
        working_shape: Shape,
        threads: Optional[int] = 1,
        mend: Optional[Mend] = None,
    ) -> np.ndarray:
        try:
            return _downsample(image, working_shape, mend, device)
        except torch.cuda.OutOfMemoryError:
            return downsample(image, working_shape, threads, mend)

    return resample


def _downsample(
    image: np.ndarray, working_shape: Shape, mend: Optional[Mend], device: torch.device
) -> np.ndarray:
    height, width = working_shape
    with torch.inference_mode():
        pixels = torch.from_numpy(_mended(image, mend)).to(device)
        if not bool(torch.isfinite(pixels).all()):
            require_finite(image)
        kept = kept_frequencies(image.shape[1], width)
        spectrum = torch.fft.fft(torch.fft.rfft(pixels, dim=1)[:, :kept], dim=0)
        cropped = _crop_rows(spectrum, height, width // 2 + 1)
        cropped *= (height * width) / image.size
        result = torch.fft.irfft(torch.fft.ifft(cropped, dim=0), n=width, dim=1)
        return np.ascontiguousarray(result.cpu().numpy())


def _mended(image: np.ndarray, mend: Optional[Mend]) -> np.ndarray:
    """Return a copy of an image as float32, mended block by block."""
    with np.errstate(over="ignore"):
        pixels = np.array(image, np.float32, order="C")
    if mend is None:
        return pixels
    for start in range(0, len(pixels), ROWS_PER_TRANSFORM):
        block = pixels[start : start + ROWS_PER_TRANSFORM]
        # what is not finite is refused later
        if np.isfinite(block.sum(dtype=np.float64)):
            block[:] = mend(block, start)
    return pixels


def _crop_rows(spectrum: Tensor, height: int, columns: int) -> Tensor:
    """Keep the row frequencies of the smaller grid: (height, columns), zero elsewhere."""
    kept = kept_frequencies(len(spectrum), height)
    cropped = spectrum.new_zeros((height, columns))
    cropped[:kept, : spectrum.shape[1]] = spectrum[:kept]
    if kept > 1:
        cropped[1 - kept :, : spectrum.shape[1]] = spectrum[1 - kept :]
    return cropped
