# SPDX-License-Identifier: GPL-3.0-or-later
"""From working images to score maps, as fast as the hardware allows."""

from __future__ import annotations

import copy
from typing import Callable, Optional, Tuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ..device import fast_dtype, fast_in_eight_bits
from .architectures import STRIDE, Network, strided_outputs
from .eight_bits import EightBitFeatures, convolves_in_eight_bits

Scorer = Callable[[np.ndarray], np.ndarray]
Judge = Callable[[np.ndarray], Tuple[np.ndarray, Optional[np.ndarray]]]


def make_scorer(network: Network, device: torch.device) -> Scorer:
    """Prepare a network for scoring many micrographs.

    Returns:
        A function from working images (b, h, w) float32 to the log-odds of `strided_scores`.
    """
    judge = make_judge(network, device)
    return lambda images: judge(images)[0]


def make_picking_scorer(network: Network, device: torch.device) -> Scorer:
    """Prepare a network as `make_scorer` does, with the features of `make_picking_judge`."""
    judge = make_picking_judge(network, device)
    return lambda images: judge(images)[0]


def make_judge(network: Network, device: torch.device) -> Judge:
    """Prepare a network for scoring many micrographs, particles and contamination.

    Batch norms are folded into the convolutions, and the features computed in bfloat16 where that
    is fast; the last layer stays in float32, so that scores keep their order.

    Returns:
        A function from working images (b, h, w) float32 to the log-odds of `strided_scores`, and
        those of contamination (b, ceil(h/4), ceil(w/4)); None for a network that knows none.
    """
    dtype = fast_dtype(device)
    fused = _prepared(network, device)
    fused.features = _Converted(fused.features.to(dtype), dtype)
    return _judge_of(fused, device)


def make_picking_judge(network: Network, device: torch.device) -> Judge:
    """Prepare a network as `make_judge` does, with features in eight bits where that is fast.

    What they round moves average precision by less than 0.003. Fits do without: of two scales that
    are as good, they may choose the other one, which moves it more
    (docs/decisions/032-eight-bits.md).

    Networks of version 0.1, which score every fourth pixel, round as they did: what they have begun
    goes on the same.
    """
    if network.step == STRIDE or not fast_in_eight_bits(device) or not convolves_in_eight_bits():
        return make_judge(network, device)
    fused = _prepared(network, device)
    fused.features = EightBitFeatures(fused.features)
    return _judge_of(fused, device)


def _prepared(network: Network, device: torch.device) -> Network:
    fused = fuse(network).to(device)
    if device.type == "cpu" and fused.step < STRIDE:
        _convolve_alike(fused)
    to_channels_last(fused.features)
    return fused


def _judge_of(fused: Network, device: torch.device) -> Judge:
    def judge(images: np.ndarray) -> Tuple[np.ndarray, Optional[np.ndarray]]:
        with torch.inference_mode():
            batch = torch.from_numpy(np.ascontiguousarray(images)).to(device)
            outputs = strided_outputs(fused, batch).cpu().numpy()
        per_side = STRIDE // fused.step
        dirty = outputs[:, 1, ::per_side, ::per_side] if outputs.shape[1] > 1 else None
        return outputs[:, 0], dirty

    return judge


def in_full_batches(judge: Judge, size: int) -> Judge:
    """Have a network see batches of one size, whatever the number of images.

    Libraries choose how to convolve by the size of the batch, and each way rounds otherwise.
    """

    def judge_full(images: np.ndarray) -> Tuple[np.ndarray, Optional[np.ndarray]]:
        count = len(images)
        scores, dirty = judge(np.concatenate([images, *[images[-1:]] * max(0, size - count)]))
        return scores[:count], None if dirty is None else dirty[:count]

    return judge_full


class _Converted(nn.Module):
    """Features that are computed in the fast type, and given on in float32."""

    def __init__(self, features: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.features, self.dtype = features, dtype

    def forward(self, images: Tensor) -> Tensor:
        images = images.to(dtype=self.dtype, memory_format=torch.channels_last)
        return self.features(images).float()


def _convolve_alike(network: nn.Module) -> None:
    """Have points convolved by one library, whatever the number of threads.

    PyTorch leaves them to another where there is a single thread, which rounds otherwise, but not
    where they are dilated, which makes no difference to a point. Networks of version 0.1, which
    score every fourth pixel, round as they did, so that what they have begun goes on the same.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1):
            module.dilation = (2, 2)


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
    for layer in layers:
        if isinstance(layer, nn.ReLU):
            # nothing else reads what a convolution gives
            layer.inplace = True
