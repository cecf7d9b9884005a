# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures of picks over micrographs."""

from __future__ import annotations

from typing import Optional

import numpy as np

from .coordinates import Coordinates
from .errors import PupickError
from .files import PathLike, atomic_write

LARGEST_SIDE = 1600


def draw_picks(
    image: np.ndarray,
    picks: Coordinates,
    diameter: float,
    path: PathLike,
    reference: Optional[Coordinates] = None,
    title: str = "",
) -> None:
    """Draw circles of the particle's diameter round picks, coloured by score.

    Args:
        image: (ny, nx) grey values.
        picks: px of the image.
        diameter: of the particle, px of the image.
        path: the suffix (.png, .svg, .pdf) chooses the format.
        reference: known particles, drawn as white crosses.
        title: above the picture.

    Raises:
        PupickError: matplotlib is not installed.
        OSError: the file cannot be written.
    """
    try:
        from matplotlib.collections import EllipseCollection
        from matplotlib.figure import Figure
    except ImportError as error:
        raise PupickError(
            "Pictures need matplotlib, which is not installed: "
            "pip install 'scipion-em-pupick[plot]'"
        ) from error
    height, width = image.shape
    figure = Figure(figsize=(9.0, 9.0 * height / width), layout="constrained")
    axes = figure.add_subplot(title=title, xlabel="x (px)", ylabel="y (px)")
    step = max(1, max(image.shape) // LARGEST_SIDE)
    low, high = np.percentile(image[::step, ::step], [1, 99])
    extent = (-0.5, width - 0.5, height - 0.5, -0.5)
    axes.imshow(image[::step, ::step], cmap="gray", vmin=low, vmax=high, extent=extent)
    sizes = np.full(len(picks), diameter)
    circles = EllipseCollection(
        sizes,
        sizes,
        np.zeros(len(picks)),
        units="xy",
        offsets=np.column_stack([picks.x, picks.y]),
        offset_transform=axes.transData,
        array=picks.score,
        cmap="cool",
        facecolors="none",
        linewidths=1.5,
    )
    axes.add_collection(circles)
    figure.colorbar(circles, ax=axes, label="score (log-odds)", shrink=0.7)
    if reference is not None:
        axes.plot(reference.x, reference.y, "+", color="white", markersize=5, label="known")
    with atomic_write(path) as temporary:
        figure.savefig(temporary, dpi=110)
