# SPDX-License-Identifier: GPL-3.0-or-later
"""Features in whole numbers of eight bits, which processors multiply several times faster.

Weights have a scale for each filter, features one for each layer and image: how large they get is
looked up in some windows of the image, in single precision. So scores depend on the image alone,
whatever the batch and the number of threads. Processors without VNNI add two products in 16 bits,
and cut off what does not fit; with real weights next to nothing does not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Tuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from .architectures import Residual

# of the steps of features: what nearly all of them stay below, a byte holds 255
LARGEST = 220
_SHARE_OF_LARGER = 0.0001
_SHARE_OF_LARGER_SIGNED = 0.001
LARGEST_WEIGHT = 127
_ZERO_OF_SIGNED = 128
_SMALLEST_TOP = 1e-3
# px of the working image
WINDOW = 87
_POOLED = 8
_SPREAD_WINDOWS = 6
_GOLDEN = 0.618034
# what a scorer calls; older versions of PyTorch have other arguments, or none
ARGUMENTS = (
    *("qx", "x_scale", "x_zero_point", "qw", "w_scale", "w_zero_point", "qaccum", "bias"),
    *("stride", "padding", "dilation", "groups", "output_scale", "output_zero_point"),
    *("output_dtype", "accum_scale", "accum_zero_point", "binary_attr", "alpha"),
    *("unary_attr", "unary_scalars", "unary_algorithm"),
)


def convolves_in_eight_bits() -> bool:
    """Whether this PyTorch has the convolutions that are called here."""
    operation = getattr(torch.ops.onednn, "qconv2d_pointwise", None)
    if operation is None or "binary" not in operation.overloads():
        return False
    return [a.name for a in operation.binary._schema.arguments] == list(ARGUMENTS)


@dataclass(frozen=True)
class Bytes:
    """Features as whole numbers.

    Attributes:
        values: (1, c, h, w) uint8.
        scale: one step of them.
        zero: the number that stands for 0.
    """

    values: Tensor
    scale: float
    zero: int = 0


class Convolution:
    """A convolution of features in eight bits."""

    def __init__(self, convolution: nn.Conv2d) -> None:
        weight = convolution.weight.detach()
        self.scales = (weight.abs().amax((1, 2, 3)) / LARGEST_WEIGHT).clamp_min(torch.finfo().tiny)
        self.zeros = torch.zeros(len(weight), dtype=torch.int32)
        self.bias = None if convolution.bias is None else convolution.bias.detach()
        # stride, padding and dilation
        self.steps = (convolution.stride, (0, 0), (1, 1))
        whole = (weight / self.scales[:, None, None, None]).round().to(torch.int8)
        self.weight = torch.ops.onednn.qconv_prepack(
            whole, self.scales, 1.0, 0, *self.steps, 1, None
        )

    def __call__(self, x: Bytes) -> Tensor:
        """Return what is positive of the result, in float32."""
        return self._convolve(x, 1.0, 0, torch.float32, "relu")

    def positive(self, x: Bytes, top: float) -> Bytes:
        """Return what is positive of the result, which is about `top` where it is largest."""
        scale = top / LARGEST
        return Bytes(self._convolve(x, scale, 0, torch.uint8, "relu"), scale)

    def signed(self, x: Bytes, top: float) -> Bytes:
        """Return a result of at most `top`, and at least the negative of it."""
        scale = top / (_ZERO_OF_SIGNED - 1)
        values = self._convolve(x, scale, _ZERO_OF_SIGNED, torch.uint8, "none")
        return Bytes(values, scale, _ZERO_OF_SIGNED)

    def added_to(self, x: Bytes, shortcut: Bytes, top: float) -> Bytes:
        """Return what is positive of the sum with a shortcut, whose memory it takes."""
        scale = top / LARGEST
        values = torch.ops.onednn.qconv2d_pointwise.binary(
            *(x.values, x.scale, x.zero, self.weight, self.scales, self.zeros, shortcut.values),
            *(self.bias, *self.steps, 1, scale, 0, torch.uint8, shortcut.scale, shortcut.zero),
            *("sum", 1.0, "relu", [], ""),
        )
        return Bytes(values, scale)

    def _convolve(self, x: Bytes, scale: float, zero: int, dtype: torch.dtype, then: str) -> Tensor:
        result: Tensor = torch.ops.onednn.qconv2d_pointwise(
            *(x.values, x.scale, x.zero, self.weight, self.scales, self.zeros),
            *(self.bias, *self.steps, 1, scale, zero, dtype, then, [], ""),
        )
        return result


class Block:
    """A `Residual` in eight bits."""

    def __init__(self, block: Residual) -> None:
        first, second = [m for m in block.inner if isinstance(m, nn.Conv2d)]
        self.first, self.second = Convolution(first), Convolution(second)
        self.stride = block.stride
        self.shortcut = (
            Convolution(block.shortcut) if isinstance(block.shortcut, nn.Conv2d) else None
        )

    def __call__(self, x: Bytes, inner: float, shortcut: float, out: float) -> Bytes:
        """Map features, with the figures of `tops_of_block`."""
        cut = x.values[:, :, 2 : -2 : self.stride, 2 : -2 : self.stride]
        trimmed = Bytes(cut.contiguous(memory_format=torch.channels_last), x.scale)
        if self.shortcut is not None:
            trimmed = self.shortcut.signed(trimmed, shortcut)
        return self.second.added_to(self.first.positive(x, inner), trimmed, out)


def tops_of_block(block: Residual, x: Tensor) -> Tuple[Tensor, List[float]]:
    """Map features (b, c, h, w) in float32, and return how large those of a `Block` become."""
    shortcut = block.shortcut(x[:, :, 2 : -2 : block.stride, 2 : -2 : block.stride])
    inner = block.inner[:3](x)
    out = functional.relu(block.inner[3:](inner) + shortcut)
    return out, [_top(inner), _top(shortcut, _SHARE_OF_LARGER_SIGNED), _top(out)]


class EightBitFeatures(nn.Module):
    """The features of a network: a convolution of step 2, `Residual` blocks, and a convolution.

    See `networks.architectures.resnet8_fine`.
    """

    def __init__(self, features: nn.Module) -> None:
        """Prepare the weights.

        Args:
            features: of a network whose batch norms are folded into its convolutions, in float32.
        """
        super().__init__()
        layers = list(features.children())
        self.stem, last = (layer for layer in layers if isinstance(layer, nn.Conv2d))
        self.plain_blocks = [layer for layer in layers if isinstance(layer, Residual)]
        self.blocks = [Block(block) for block in self.plain_blocks]
        self.last = Convolution(last)
        # a convolution of four channels of half the width is several times faster
        four = functional.pixel_unshuffle(functional.pad(self.stem.weight, (0, 1, 0, 1)), 2)
        self.stem_weight = four.detach().contiguous(memory_format=torch.channels_last)

    def forward(self, images: Tensor) -> Tensor:
        """Map images (b, 1, h, w) to features in float32."""
        return torch.cat([self._features(image[None]) for image in images])

    def _features(self, image: Tensor) -> Tensor:
        exact = functional.relu(self.stem(windows_of(image)))
        whole = self._whole_stem(image, _top(exact))
        for block, plain in zip(self.blocks, self.plain_blocks):
            exact, tops = tops_of_block(plain, exact)
            whole = block(whole, *tops)
        return self.last(whole)

    def _whole_stem(self, image: Tensor, top: float) -> Bytes:
        height, width = image.shape[2:]
        padded = functional.pad(image, (0, width % 2, 0, height % 2))
        halves = functional.pixel_unshuffle(padded, 2).contiguous(memory_format=torch.channels_last)
        scale = top / LARGEST
        # whole numbers are cut off, not rounded
        bias = torch.full((len(self.stem_weight),), 0.5)
        if self.stem.bias is not None:
            bias += self.stem.bias / scale
        x = functional.conv2d(halves, self.stem_weight / scale, bias)
        return Bytes(x.clamp_(0, 255).to(torch.uint8), scale)


def windows_of(image: Tensor) -> Tensor:
    """Return windows of an image (1, 1, h, w): its brightest and darkest places, and others.

    Returns:
        (n, 1, side, side); or the whole of an image that is not much larger than they are.
    """
    height, width = image.shape[2:]
    if height * width <= (_SPREAD_WINDOWS + 2) * WINDOW**2 or min(height, width) < WINDOW:
        return image
    pooled = functional.avg_pool2d(image, _POOLED)[0, 0]
    spots = [divmod(int(i), pooled.shape[1]) for i in (pooled.argmax(), pooled.argmin())]
    corners = [(_POOLED * y - WINDOW // 2, _POOLED * x - WINDOW // 2) for y, x in spots]
    for n in range(_SPREAD_WINDOWS):
        y, x = (n + 0.5) / _SPREAD_WINDOWS, (0.5 + n * _GOLDEN) % 1
        corners.append((int(y * (height - WINDOW)), int(x * (width - WINDOW))))
    windows = []
    for y, x in corners:
        y, x = min(max(y, 0), height - WINDOW), min(max(x, 0), width - WINDOW)
        windows.append(image[0, :, y : y + WINDOW, x : x + WINDOW])
    return torch.stack(windows).contiguous(memory_format=torch.channels_last)


def _top(values: Tensor, larger: float = _SHARE_OF_LARGER) -> float:
    flat = values.abs().flatten()
    return max(float(flat.topk(1 + int(larger * len(flat))).values[-1]), _SMALLEST_TOP)
