# SPDX-License-Identifier: GPL-3.0-or-later
"""The score of every pixel, by shifted passes of the strided network."""

from torch.nn import functional

from scipion_pupick.engine.networks.architectures import STRIDE


def dense_scores(network, image):
    """Score the region centred on each pixel of an image (h, w), mean grey 0 beyond its edges."""
    height, width = image.shape
    half = network.field // 2
    reach = half + STRIDE
    padded = functional.pad(image[None, None], (half, reach, half, reach))
    dense = image.new_empty(height, width)
    for dy in range(STRIDE):
        for dx in range(STRIDE):
            scores = network(padded[:, :, dy:, dx:])[0, 0]
            part = dense[dy::STRIDE, dx::STRIDE]
            part.copy_(scores[: part.shape[0], : part.shape[1]])
    return dense
