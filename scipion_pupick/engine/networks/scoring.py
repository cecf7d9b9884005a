# SPDX-License-Identifier: GPL-3.0-or-later
"""From working images to score maps, as fast as the hardware allows."""

from __future__ import annotations

import copy
from typing import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ..device import fast_dtype
from .architectures import Network, strided_scores

Scorer = Callable[[np.ndarray], np.ndarray]


def make_scorer(network: Network, device: torch.device) -> Scorer:
    """Prepare a network for scoring many micrographs.

    Batch norms are folded into the convolutions, and the features computed in bfloat16 where that
    is fast; the last layer stays in float32, so that scores keep their order.

    Returns:
        A function from working images (b, h, w) float32 to log-odds (b, ceil(h/4), ceil(w/4)).
    """
    dtype = fast_dtype(device)
    fused = fuse(network).to(device)
    fused.features.to(dtype)
    to_channels_last(fused.features)
    scoring = _MixedPrecision(fused, dtype)

    def score(images: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            batch = torch.from_numpy(np.ascontiguousarray(images)).to(device)
            return strided_scores(scoring, batch).cpu().numpy()

    return score


def in_full_batches(scorer: Scorer, size: int) -> Scorer:
    """Have a scorer see batches of one size, whatever the number of images.

    Libraries choose how to convolve by the size of the batch, and each way rounds otherwise.
    """

    def score(images: np.ndarray) -> np.ndarray:
        missing = max(0, size - len(images))
        return scorer(np.concatenate([images, *[images[-1:]] * missing]))[: len(images)]

    return score


class _MixedPrecision(Network):
    def __init__(self, network: Network, dtype: torch.dtype) -> None:
        super().__init__(network.features, network.field, network.latent)
        self.classifier = network.classifier
        self.dtype = dtype

    def forward(self, images: Tensor) -> Tensor:
        """Score as `Network` does, with features in the fast type and scores in float32."""
        images = images.to(dtype=self.dtype, memory_format=torch.channels_last)
        return self.classifier(self.features(images).float())


def to_channels_last(module: nn.Module) -> None:
    """Lay out convolution weights the way that processors convolve fastest."""
    for parameter in module.parameters():
        if parameter.dim() == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)


def fuse(network: Network) -> Network:
    """Copy a network in evaluation mode with its batch norms folded into the convolutions."""
    fused = copy.deepcopy(network).eval()
    for module in fused.modules():
        if isinstance(module, nn.Sequential):
            _fuse_sequential(module)
    return fused


def _fuse_sequential(layers: nn.Sequential) -> None:
    for i in range(len(layers) - 1):
        convolution, norm = layers[i], layers[i + 1]
        if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            layers[i] = fuse_conv_bn_eval(convolution, norm)
            layers[i + 1] = nn.Identity()
