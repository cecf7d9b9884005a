# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures of picks over micrographs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Optional, Tuple

import numpy as np

from .coordinates import Coordinates
from .errors import PupickError
from .files import PathLike, atomic_write

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LARGEST_SIDE = 1600


def make_figure(size: Tuple[float, float]) -> Figure:
    """Make an empty figure of a size (width, height) in inches.

    Raises:
        PupickError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise PupickError(
            "Pictures need matplotlib, which is not installed: "
            "pip install 'scipion-em-pupick[plot]'"
        ) from error
    return Figure(figsize=size, layout="constrained")


def draw_picks(
    image: np.ndarray,
    picks: Coordinates,
    diameter: float,
    path: PathLike,
    reference: Optional[Coordinates] = None,
    title: str = "",
) -> None:
    """Draw circles of the particle's diameter round picks, coloured by score, to a file.

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
    height, width = image.shape
    figure = make_figure((9.0, 9.0 * height / width))
    axes = figure.add_subplot(title=title, xlabel="x (px)", ylabel="y (px)")
    plot_picks(axes, image, picks, diameter)
    if reference is not None:
        axes.plot(reference.x, reference.y, "+", color="white", markersize=5, label="known")
    with atomic_write(path) as temporary:
        figure.savefig(temporary, dpi=110)


def plot_picks(
    axes: Axes,
    image: np.ndarray,
    picks: Coordinates,
    diameter: float,
    largest_side: int = LARGEST_SIDE,
) -> None:
    """Show an image with circles round picks, coloured by score if there are any.

    Args:
        axes: to draw on.
        image: (ny, nx) grey values.
        picks: px of the image.
        diameter: of the circles, px of the image.
        largest_side: of what is shown, px; larger images are sampled.
    """
    from matplotlib.collections import EllipseCollection

    height, width = image.shape
    step = -(-max(image.shape) // largest_side)
    shown = np.asarray(image[::step, ::step], np.float32)
    low, high = np.percentile(shown, [1, 99])
    extent = (-0.5, width - 0.5, height - 0.5, -0.5)
    axes.imshow(shown, cmap="gray", vmin=low, vmax=high, extent=extent)
    sizes = np.full(len(picks), diameter)
    circles = EllipseCollection(
        sizes,
        sizes,
        np.zeros(len(picks)),
        units="xy",
        offsets=np.column_stack([picks.x, picks.y]),
        offset_transform=axes.transData,
        facecolors="none",
        linewidths=1.5,
        **_colours(picks),
    )
    axes.add_collection(circles)
    if picks.has_scores:
        axes.figure.colorbar(circles, ax=axes, label="score (log-odds)", shrink=0.7)


def _colours(picks: Coordinates) -> dict[str, object]:
    if picks.has_scores:
        return {"array": picks.score, "cmap": "cool"}
    return {"edgecolors": "gold"}
