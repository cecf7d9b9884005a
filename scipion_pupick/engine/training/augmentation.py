# SPDX-License-Identifier: GPL-3.0-or-later
"""Random rotations, flips, and changes of size, contrast and clearness."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..settings import Augmentation


def random_transforms(
    number: int, augmentation: Augmentation, random: np.random.Generator
) -> np.ndarray:
    """Random rotations, flips and changes of size: matrices (number, 2, 2) acting on (x, y)."""
    angle = random.uniform(0, 2 * np.pi, number)
    flip = random.choice([-1.0, 1.0], number)
    size = 1 + augmentation.scale * random.uniform(-1, 1, number)
    cosine, sine = np.cos(angle) * size, np.sin(angle) * size
    return np.stack([cosine * flip, -sine, sine * flip, cosine], axis=1).reshape(number, 2, 2)


def make_fainter(
    patches: Tensor, others: Tensor, faintest: float, random: np.random.Generator
) -> Tensor:
    """Give patches less contrast, with as much noise as before.

    Each is mixed with another place of its micrograph, a x + √(1 - a²) y, a uniform up to 1, so
    that the variance of independent noise stays.

    Args:
        patches: (n, h, w) of normalised images.
        others: (n, h, w) of the same images, anywhere.
        faintest: lowest a, 0 to 1.
        random: drawn from.
    """
    kept = random.uniform(faintest, 1, (len(patches), 1, 1))
    mixed = np.sqrt(1 - np.square(kept))
    first, second = (torch.from_numpy(share.astype(np.float32)) for share in (kept, mixed))
    return first * patches + second * others


def augment_contrast(
    tiles: Tensor, augmentation: Augmentation, random: np.random.Generator
) -> Tensor:
    """Change gain and offset of each tile (n, 1, h, w)."""
    change = torch.from_numpy(random.uniform(-1, 1, (2, len(tiles), 1, 1, 1)).astype(np.float32))
    return tiles * (1 + augmentation.gain * change[0]) + augmentation.offset * change[1]
