# SPDX-License-Identifier: GPL-3.0-or-later
"""Scoring without PyTorch, for a process that scores one micrograph and ends.

PyTorch's import alone takes longer than NumPy takes to score a micrograph. Scores are those of
`scoring.make_judge` in float32; from about five micrographs on, that is faster.
"""

from __future__ import annotations

from typing import Callable, Dict, Mapping, Optional, Tuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ..settings import STRIDE
from .corners import CORNERS, interleave
from .model_file import ModelFile

Array = np.ndarray
Weights = Mapping[str, Array]
Outputs = Tuple[Array, Optional[Array]]

# by network: the steps of its convolutions and residual blocks, which the weights do not tell
STEPS: Mapping[str, Tuple[int, ...]] = {
    "conv3": (2, 2, 1),
    "resnet8": (2, 1, 2, 1, 1),
    "resnet16": (2, 1, 1, 2, 1, 1, 1, 1, 1),
    "resnet8-fine": (2, 1, 2, 1, 1),
}
# few enough for a block's patches to stay in the processor's cache
ROWS_PER_BLOCK = 4
# rows of scores; a working image of 1024 px is one band
SCORES_PER_BAND = 256
BATCH_NORM_EPSILON = 1e-5
MODULES_PER_CONVOLUTION = 3


def make_numpy_judge(file: ModelFile) -> Callable[[Array], Outputs]:
    """Prepare the network of a model file, one of `STEPS`, for scoring.

    Returns:
        A function from working images (b, h, w) float32 to log-odds (b, ceil(h/4), ceil(w/4)), of
        a fine network twice as many rows and columns, and those of contamination (b, ceil(h/4),
        ceil(w/4)), None of a network that knows none. Outside the images, the mean grey 0 is
        assumed.
    """

    def judge(images: Array) -> Outputs:
        scores, dirty = zip(*(_judge_image(file, image) for image in images))
        return np.stack(scores), None if dirty[0] is None else np.stack(dirty)

    return judge


def _judge_image(file: ModelFile, image: Array) -> Outputs:
    """Score an image (h, w) band by band, so that memory does not grow with its height."""
    padded = np.pad(image.astype(np.float32), file.field // 2)
    steps = STEPS[file.network_name]
    reach = (SCORES_PER_BAND - 1) * STRIDE + file.field
    bands = [
        _outputs(file.weights, steps, padded[start : start + reach])
        for start in range(0, len(image), SCORES_PER_BAND * STRIDE)
    ]
    scores, dirty = zip(*bands)
    return np.concatenate(scores), None if dirty[0] is None else np.concatenate(dirty)


def _outputs(weights: Weights, steps: Tuple[int, ...], image: Array) -> Outputs:
    """Score every fourth region of an image (h, w) that lies in it."""
    x = image[:, :, None]
    module = 0
    for step in steps:
        name = f"features.{module}"
        if f"{name}.inner.0.weight" in weights:
            x = _residual(x, weights, name, step)
            module += 1
        else:
            x = _convolve(x, *_folded(weights, name, f"features.{module + 1}"), step)
            x = _rectify(x, weights.get(f"features.{module + 2}.weight"))
            module += MODULES_PER_CONVOLUTION
    scores = _classify(x, weights, "classifier")
    if scores.shape[2] < len(CORNERS):
        return scores[:, :, 0], None
    return interleave(scores), _classify(x, weights, "contamination")[:, :, 0]


def _classify(x: Array, weights: Weights, name: str) -> Array:
    return x @ weights[f"{name}.weight"][:, :, 0, 0].T + weights[f"{name}.bias"]


def _residual(x: Array, weights: Weights, name: str, step: int) -> Array:
    """Apply `architectures.Residual` to x (h, w, c)."""
    inner = f"{name}.inner"
    y = _rectify(_convolve(x, *_folded(weights, f"{inner}.0", f"{inner}.1")))
    y = _convolve(y, *_folded(weights, f"{inner}.3", f"{inner}.4"), step)
    trimmed = x[2:-2:step, 2:-2:step]
    shortcut = weights.get(f"{name}.shortcut.weight")
    y += trimmed if shortcut is None else trimmed @ shortcut[:, :, 0, 0].T
    return _rectify(y)


def _folded(weights: Weights, convolution: str, norm: str) -> Tuple[Array, Array]:
    """Fold a batch norm into its convolution: kernel (c_out, c_in, k, k) and offset (c_out,)."""
    parts: Dict[str, Array] = {
        part: weights[f"{norm}.{part}"]
        for part in ("weight", "bias", "running_mean", "running_var")
    }
    gain = parts["weight"] / np.sqrt(parts["running_var"] + BATCH_NORM_EPSILON)
    kernel = weights[f"{convolution}.weight"] * gain[:, None, None, None]
    return kernel, parts["bias"] - parts["running_mean"] * gain


def _convolve(x: Array, kernel: Array, offset: Array, step: int = 1) -> Array:
    """Correlate x (h, w, c_in) with a kernel (c_out, c_in, k, k), unpadded, and add an offset."""
    channels, _, size, _ = kernel.shape
    matrix = np.ascontiguousarray(kernel.transpose(2, 3, 1, 0).reshape(-1, channels))
    windows = sliding_window_view(x, (size, size), axis=(0, 1))[::step, ::step]
    windows = windows.transpose(0, 1, 3, 4, 2)
    result = np.empty((*windows.shape[:2], channels), np.float32)
    for start in range(0, len(windows), ROWS_PER_BLOCK):
        block = windows[start : start + ROWS_PER_BLOCK]
        patches = block.reshape(-1, len(matrix))
        rows = result[start : start + ROWS_PER_BLOCK].reshape(-1, channels)
        np.matmul(patches, matrix, out=rows)
    result += offset
    return result


def _rectify(x: Array, slope: Optional[Array] = None) -> Array:
    """Set negative values to 0, or to `slope` times themselves."""
    if slope is None:
        return np.maximum(x, 0, out=x)
    return np.where(x < 0, x * slope, x)
