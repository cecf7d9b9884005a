# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks that give every region of a working image a score, and the autoencoder's decoder.

All convolutions are unpadded and every network steps `STRIDE` px, so one score depends on exactly
the `field` x `field` px round its position: the score of a patch, of a tile and of a whole
micrograph agree.
"""

from __future__ import annotations

import copy
import math
from typing import Callable, Mapping, Tuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..errors import UsageError
from ..settings import STRIDE, UNITS
from .corners import CORNERS
from .symmetry import make_symmetric

BAND_PIXELS = 2**21
RECONSTRUCTED = 31
_SEES_NONE = -4.0


class Residual(nn.Module):
    """Two 3x3 convolutions and a shortcut round them; the second convolution may step."""

    def __init__(self, channels_in: int, channels_out: int, stride: int = 1) -> None:
        super().__init__()
        self.stride = stride
        self.inner = nn.Sequential(
            nn.Conv2d(channels_in, channels_in, 3, bias=False),
            nn.BatchNorm2d(channels_in),
            nn.ReLU(),
            nn.Conv2d(channels_in, channels_out, 3, stride=stride, bias=False),
            nn.BatchNorm2d(channels_out),
        )
        self.shortcut = (
            nn.Identity()
            if channels_in == channels_out
            else nn.Conv2d(channels_in, channels_out, 1, bias=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (b, c_in, h, w) to (b, c_out, (h - 5) // stride + 1, (w - 5) // stride + 1)."""
        trimmed = x[:, :, 2 : -2 : self.stride, 2 : -2 : self.stride]
        return functional.relu_(self.inner(x) + self.shortcut(trimmed))


class Network(nn.Module):
    """A feature extractor and the linear classifiers on it.

    Attributes:
        field: width of the region that one score depends on, px of the working image, odd.
        latent: number of features, four times the filters of the first layer.
        features: maps images (b, 1, h, w) to (b, latent, (h - field) // 4 + 1, ...).
        classifier: of particles; one score of each place, or four.
        contamination: the classifier of contamination; None where there is none.
    """

    def __init__(self, features: nn.Module, field: int, latent: int, fine: bool = False) -> None:
        """Join features with classifiers.

        Args:
            features: see above.
            field: see above.
            latent: number of features.
            fine: score the four corners of the middle of each region, and contamination.
        """
        super().__init__()
        self.features = features
        self.field = field
        self.latent = latent
        self.classifier = nn.Conv2d(latent, len(CORNERS) if fine else 1, 1)
        self.contamination = nn.Conv2d(latent, 1, 1) if fine else None
        if self.contamination is not None:
            # what has not been taught to see contamination sees none
            nn.init.zeros_(self.contamination.weight)
            self.contamination.bias = nn.Parameter(torch.full((1,), _SEES_NONE))

    @property
    def step(self) -> int:
        """Distance of two scores, px of the working image."""
        return STRIDE if self.classifier.out_channels == 1 else STRIDE // 2

    def scores(self, features: Tensor) -> Tensor:
        """Score features (b, latent, h, w) in float32.

        Returns:
            Log-odds (b, h, w), or (b, 2 h, 2 w) of a fine network.
        """
        scores = self.classifier(features)
        if self.step == STRIDE:
            return scores[:, 0]
        return functional.pixel_shuffle(scores[:, CORNERS], 2)[:, 0]

    def forward(self, images: Tensor) -> Tensor:
        """Score regions.

        Args:
            images: (b, 1, h, w), normalised working images.

        Returns:
            Log-odds (b, 1, (h - field) // 4 + 1, (w - field) // 4 + 1); entry (i, j) belongs to
            the region whose first pixel is (4 i, 4 j). A fine network has twice as many rows and
            columns; entry (i, j) belongs to the place 2 i - 1, 2 j - 1 px from the middle of the
            first region.
        """
        return self.outputs(self.features(images))[:, :1]

    def outputs(self, features: Tensor) -> Tensor:
        """Score features (b, latent, h, w) in float32, for contamination too.

        Returns:
            (b, 1, ...) of `scores`, or (b, 2, ...) of these and the log-odds of contamination, as
            many as there are scores.
        """
        scores = self.scores(features)[:, None]
        if self.contamination is None:
            return scores
        dirty = self.contamination(features)
        return torch.cat([scores, functional.interpolate(dirty, scores.shape[2:])], dim=1)


def conv3(units: int) -> Network:
    """The paper's classifier (Methods 6): three convolutions of 32, 64 and 128 filters."""
    features = nn.Sequential(
        *_convolution(1, units, 7, 2),
        *_convolution(units, 2 * units, 5, 2),
        *_convolution(2 * units, 4 * units, 5, 1),
    )
    return Network(features, field=31, latent=4 * units)


def resnet8(units: int) -> Network:
    """Eight convolutions, as large as Topaz's of that name; field of 2.3 particle diameters."""
    return _symmetric(Network(_resnet8_features(units), field=55, latent=4 * units))


def resnet8_fine(units: int) -> Network:
    """`resnet8` that scores every second pixel, and contamination, from the same features."""
    return _symmetric(Network(_resnet8_features(units), field=55, latent=4 * units, fine=True))


def _resnet8_features(units: int) -> nn.Sequential:
    return nn.Sequential(
        *_stem(units),
        Residual(units, units),
        Residual(units, 2 * units, stride=2),
        Residual(2 * units, 2 * units),
        *_head(2 * units, 4 * units),
    )


def resnet16(units: int) -> Network:
    """Sixteen convolutions; field of 3.6 particle diameters, for particles that need context."""
    features = nn.Sequential(
        *_stem(units),
        Residual(units, units),
        Residual(units, units),
        Residual(units, 2 * units, stride=2),
        *[Residual(2 * units, 2 * units) for _ in range(4)],
        *_head(2 * units, 4 * units, 3),
    )
    return _symmetric(Network(features, field=103, latent=4 * units))


def _symmetric(network: Network) -> Network:
    make_symmetric(network)
    return network


def _convolution(
    channels_in: int, channels_out: int, width: int, stride: int
) -> Tuple[nn.Module, ...]:
    return (
        nn.Conv2d(channels_in, channels_out, width, stride=stride, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.PReLU(),
    )


def _stem(channels: int) -> Tuple[nn.Module, ...]:
    return nn.Conv2d(1, channels, 7, stride=2, bias=False), nn.BatchNorm2d(channels), nn.ReLU()


def _head(channels_in: int, channels_out: int, width: int = 5) -> Tuple[nn.Module, ...]:
    return (
        nn.Conv2d(channels_in, channels_out, width, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(),
    )


ARCHITECTURES: Mapping[str, Callable[[int], Network]] = {
    "conv3": conv3,
    "resnet8": resnet8,
    "resnet16": resnet16,
    "resnet8-fine": resnet8_fine,
}


def make_network(name: str, units: int = UNITS) -> Network:
    """Make a network with random weights.

    Args:
        name: of its architecture.
        units: filters of its first layer, a multiple of 4.

    Raises:
        UsageError: no network of that name.
    """
    if name not in ARCHITECTURES:
        raise UsageError(f"There is no network {name!r}: choose one of {', '.join(ARCHITECTURES)}.")
    return ARCHITECTURES[name](units)


def inverted(network: Network) -> Network:
    """Copy a network so that it scores an image as the network itself scores its negative.

    The first weights are those of a convolution without a bias.
    """
    network = copy.deepcopy(network)
    with torch.no_grad():
        next(network.features.parameters()).neg_()
    return network


class Decoder(nn.Module):
    """The paper's decoder (Methods 6, after DCGAN): a latent vector back to an image."""

    def __init__(self, latent: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *_deconvolution(latent, 128, 1, 0),
            *_deconvolution(128, 64, 2, 1),
            *_deconvolution(64, 32, 2, 1),
            nn.ConvTranspose2d(32, 1, 3, stride=2, padding=1),
        )

    def forward(self, latent: Tensor) -> Tensor:
        """Map (b, latent, 1, 1) to images (b, 1, 31, 31)."""
        return self.layers(latent)


def _deconvolution(
    channels_in: int, channels_out: int, stride: int, padding: int
) -> Tuple[nn.Module, ...]:
    return (
        nn.ConvTranspose2d(
            channels_in, channels_out, 4, stride=stride, padding=padding, bias=False
        ),
        nn.BatchNorm2d(channels_out),
        nn.LeakyReLU(0.2),
    )


def strided_scores(network: Network, images: Tensor) -> Tensor:
    """Score every fourth (or second) pixel of every fourth row of working images.

    Args:
        network: in evaluation mode.
        images: (b, h, w); outside them, the mean grey 0 is assumed.

    Returns:
        (b, ceil(h / 4), ceil(w / 4)) log-odds; entry (i, j) belongs to pixel (4 j, 4 i). Of a fine
        network, twice as many rows and columns; entry (i, j) belongs to pixel (2 j - 1, 2 i - 1).
    """
    return strided_outputs(network, images)[:, 0]


def strided_outputs(network: Network, images: Tensor) -> Tensor:
    """Score working images as `strided_scores` does, for contamination too if the network does.

    Images are scored in bands of rows, which bounds the memory for features.

    Returns:
        (b, 1 or 2, ...), see `Network.outputs`.
    """
    half = network.field // 2
    padded = functional.pad(images[:, None], (half, half, half, half))
    rows = math.ceil(images.shape[1] / STRIDE)
    per_band = max(1, BAND_PIXELS // (padded.shape[3] * STRIDE))
    bands = []
    for first in range(0, rows, per_band):
        last = min(first + per_band, rows) - 1
        band = padded[:, :, first * STRIDE : last * STRIDE + network.field]
        bands.append(network.outputs(network.features(band)))
    return torch.cat(bands, dim=2)
