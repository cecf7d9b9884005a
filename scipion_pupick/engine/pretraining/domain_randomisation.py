# SPDX-License-Identifier: GPL-3.0-or-later
"""Random changes that make simulated tiles as different as micrographs from different labs are.

A network that saw only what the simulation makes would know particles by the simulation's noise.
Detectors, motion correction, denoising and contrast stretching change the spectrum and the
histogram of micrographs, so these are changed at random too (domain randomisation, Tobin et al.,
IROS 2017).
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ..settings import Augmentation
from ..training.augmentation import augment_contrast

CONTRAST = Augmentation(scale=0.1, gain=0.3, offset=0.3)

_KNOTS = 6
_GAIN_DEVIATION = 0.35


def augment_tiles(tiles: Tensor, random: np.random.Generator) -> Tensor:
    """Change spectrum, local contrast, histogram, noise, gain and offset of each tile.

    Args:
        tiles: (n, 1, w, w) normalised tiles.
        random: the source of randomness.

    Returns:
        Tiles of the same shape.
    """
    augmented = torch.cat(
        [_augment_values(tile[None], random) for tile in augment_spectrum(tiles, random)]
    )
    return augment_contrast(augmented, CONTRAST, random)


def augment_spectrum(tiles: Tensor, random: np.random.Generator) -> Tensor:
    """Filter each tile with a smooth random gain by frequency, keeping its standard deviation.

    Some are blurred too, with a Gaussian of 0.4 to 1.6 px, and some lose what is wider than about
    30 to 200 px.
    """
    width = tiles.shape[-1]
    frequency = torch.sqrt(
        torch.fft.fftfreq(width)[:, None] ** 2 + torch.fft.rfftfreq(width)[None] ** 2
    )
    log_gain = torch.stack([_random_log_gain(frequency, random) for _ in tiles])
    spectra = torch.fft.rfft2(tiles[:, 0]) * torch.exp(log_gain)
    filtered = torch.fft.irfft2(spectra, s=tiles.shape[-2:])[:, None]
    filtered = filtered - filtered.mean((2, 3), keepdim=True)
    spread = filtered.std((2, 3), keepdim=True).clamp(min=1e-6)
    return filtered * (tiles.std((2, 3), keepdim=True) / spread)


def _random_log_gain(frequency: Tensor, random: np.random.Generator) -> Tensor:
    """Logarithm of a random gain at frequencies in cycles/px."""
    knots = torch.from_numpy(random.normal(0, _GAIN_DEVIATION, _KNOTS).astype(np.float32))
    place = (frequency / 0.5).clamp(max=1) * (_KNOTS - 1)
    below = place.floor().long().clamp(max=_KNOTS - 2)
    share = place - below
    log_gain = knots[below] * (1 - share) + knots[below + 1] * share
    if random.random() < 0.4:
        blur = random.uniform(0.4, 1.6)
        log_gain = log_gain - 2 * math.pi**2 * blur**2 * frequency**2
    if random.random() < 0.3:
        cut = random.uniform(0.005, 0.03)
        passed = 1 - 0.95 * torch.exp(-((frequency / cut) ** 2))
        log_gain = log_gain + torch.log(passed + 1e-3)
    return log_gain


def _augment_values(tile: Tensor, random: np.random.Generator) -> Tensor:
    """Saturate, even out or denoise a tile (1, 1, w, w), or leave it; add noise to some."""
    choice = random.random()
    if choice < 0.2:
        strength = random.uniform(0.15, 0.6)
        tile = torch.tanh(strength * tile) / strength
    elif choice < 0.35:
        tile = even_out(tile, 2 * int(random.integers(12, 40)) + 1)
    elif choice < 0.5:
        tile = denoise(tile, 2 * int(random.integers(1, 4)) + 1, random.uniform(0.3, 1.0))
    if random.random() < 0.25:
        noise = random.standard_normal(tile.shape, dtype=np.float32)
        tile = tile + np.float32(random.uniform(0, 0.6)) * torch.from_numpy(noise)
    return tile


def even_out(tiles: Tensor, width: int) -> Tensor:
    """Divide by the local root mean square over squares of `width` px, as contrast stretching."""
    return tiles / torch.sqrt(_local_mean(tiles**2, width) + 0.3)


def denoise(tiles: Tensor, width: int, noise: float) -> Tensor:
    """Wiener's adaptive filter: smooth over squares of `width` px where variance is that of noise.

    Lim, Two-Dimensional Signal and Image Processing (1990), equation 9.44.

    Args:
        tiles: (n, 1, w, w).
        width: of the squares, px, odd.
        noise: its variance as a share of the mean local variance.
    """
    mean = _local_mean(tiles, width)
    variance = (_local_mean(tiles**2, width) - mean**2).clamp(min=1e-6)
    power = noise * variance.mean((2, 3), keepdim=True)
    return mean + (variance - power).clamp(min=0) / variance * (tiles - mean)


def _local_mean(tiles: Tensor, width: int) -> Tensor:
    half = width // 2
    padded = functional.pad(tiles, (half, half, half, half), mode="reflect")
    return functional.avg_pool2d(functional.avg_pool2d(padded, (width, 1), 1), (1, width), 1)
