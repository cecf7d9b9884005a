# SPDX-License-Identifier: GPL-3.0-or-later
"""The four places, one px off its middle along both axes, at which a fine network scores a region.

A symmetric network has one classifier for all of them, turned by quarters: its output of turn k is
the score of the corner that k quarter turns bring the first corner to.
"""

from __future__ import annotations

import numpy as np

# the turn of each corner: row by row, from the top left
CORNERS = (0, 3, 1, 2)


def interleave(scores: np.ndarray) -> np.ndarray:
    """Lay out scores (h, w, 4), by turn, as a map (2 h, 2 w)."""
    height, width, _ = scores.shape
    squares = scores[:, :, CORNERS].reshape(height, width, 2, 2)
    return squares.transpose(0, 2, 1, 3).reshape(2 * height, 2 * width)
