# SPDX-License-Identifier: GPL-3.0-or-later
"""Picks over micrographs, one micrograph at a time."""

from __future__ import annotations

from typing import Mapping, Optional, Sequence, Tuple, Union

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backend_bases import Event, KeyEvent
from matplotlib.collections import Collection
from matplotlib.figure import Figure, SubFigure

from ..engine import (
    Coordinates,
    Micrograph,
    MicrographError,
    downsample,
    read_image,
    require_pixel_size,
)
from ..engine.reporting.plots import plot_picks

LARGEST_SIDE = 1024
LINE_WIDTH = 1.5


class PicksFigure:
    """Picks over micrographs, one at a time, coloured by score.

    The keys Page Up and Page Down go to the micrograph before and after. It has to be kept for as
    long as its figure is shown.

    Attributes:
        index: of the micrograph that is shown.
        threshold: picks with a lower score are hidden, log-odds.
    """

    def __init__(
        self,
        figure: Union[Figure, SubFigure],
        micrographs: Sequence[Micrograph],
        picks: Mapping[str, Coordinates],
        diameter: float,
        threshold: float = -np.inf,
        reference: Optional[Mapping[str, Coordinates]] = None,
    ) -> None:
        """Draw on an empty figure.

        Args:
            figure: or a part of one, which is cleared for each micrograph.
            micrographs: in the order in which they are shown; at least one.
            picks: by name of the micrograph, px of the micrographs.
            diameter: of the circles, Å.
            threshold: picks with a lower score are hidden, log-odds.
            reference: known particles in the same form, drawn as crosses.
        """
        self.index = 0
        self.threshold = threshold
        self._figure = figure
        self._micrographs = micrographs
        self._picks = picks
        self._diameter = diameter
        self._reference = reference or {}
        self._limits = _score_limits(picks, threshold)
        figure.canvas.mpl_connect("key_press_event", self._follow_keys)
        self._draw()

    def step(self, number: int) -> None:
        """Go `number` micrographs on, from the last to the first."""
        self.index = (self.index + number) % len(self._micrographs)
        self._draw()
        self._figure.canvas.draw_idle()

    def select(self, threshold: float) -> None:
        """Hide the picks with a lower score than this."""
        self.threshold = threshold
        self._hide()
        self._figure.canvas.draw_idle()

    @property
    def visible(self) -> np.ndarray:
        """Which picks of the micrograph are shown, (n,)."""
        # a pick without a score is not below any threshold
        return ~(self._current.score < self.threshold)

    @property
    def _current(self) -> Coordinates:
        return self._picks.get(self._micrographs[self.index].name, Coordinates.empty())

    @property
    def _known(self) -> Coordinates:
        return self._reference.get(self._micrographs[self.index].name, Coordinates.empty())

    def _draw(self) -> None:
        micrograph, picks = self._micrographs[self.index], self._current
        self._figure.clear()
        self._axes = self._figure.add_subplot()
        particles = self._known if self._reference else None
        self._circles = _draw_micrograph(self._axes, micrograph, picks, self._diameter, particles)
        self._axes.set(xticks=[], yticks=[])
        if self._circles is not None and picks.has_scores:
            self._circles.set_clim(*self._limits)
        self._hide()

    def _hide(self) -> None:
        visible = self.visible
        self._axes.set_title(self._describe(int(np.count_nonzero(visible))), fontsize="medium")
        if self._circles is not None and len(visible):
            self._circles.set_linewidth(np.where(visible, LINE_WIDTH, 0.0).tolist())

    def _describe(self, number: int) -> str:
        name = self._micrographs[self.index].path.name
        scored = f" of score {self.threshold:.2f} or more" if np.isfinite(self.threshold) else ""
        particles = f", {len(self._known):,} known (crosses)" if self._reference else ""
        return (
            f"Micrograph {self.index + 1} of {len(self._micrographs)}: {name}\n"
            f"{number:,} picks{scored}, circles of {self._diameter:.0f} Å{particles}"
        )

    def _follow_keys(self, event: Event) -> None:
        if isinstance(event, KeyEvent) and event.key in ("pageup", "pagedown"):
            self.step(1 if event.key == "pagedown" else -1)


def read_shown(micrograph: Micrograph) -> Tuple[np.ndarray, float]:
    """Read a micrograph as it is shown on a screen.

    Returns:
        (ny, nx) image, Fourier cropped to at most 1024 px a side, and how large its pixels are in
        px of the micrograph.

    Raises:
        MicrographError: the micrograph cannot be read.
    """
    image = read_image(micrograph.path)
    binning = max(1.0, max(image.shape) / LARGEST_SIDE)
    if binning == 1.0:
        return image, binning
    return downsample(
        image, (round(image.shape[0] / binning), round(image.shape[1] / binning))
    ), binning


def _draw_micrograph(
    axes: Axes,
    micrograph: Micrograph,
    picks: Coordinates,
    diameter: float,
    reference: Optional[Coordinates],
) -> Optional[Collection]:
    """Draw a micrograph with circles, and give these; or say why it cannot be read."""
    try:
        image, binning = read_shown(micrograph)
        diameter_px = diameter / require_pixel_size(micrograph) / binning
    except MicrographError as error:
        axes.text(0.5, 0.5, str(error), ha="center", va="center", wrap=True, color="0.4")
        return None
    particles = None if reference is None else reference.scaled(1 / binning)
    plot_picks(axes, image, picks.scaled(1 / binning), diameter_px, particles)
    return axes.collections[-1]


def _score_limits(picks: Mapping[str, Coordinates], threshold: float) -> Tuple[float, float]:
    """Scores at the ends of the colours, the same for all micrographs."""
    every = np.concatenate([*(each.score for each in picks.values()), np.empty(0)])
    picked = every[every >= threshold]
    if len(picked) == 0:
        return 0.0, 1.0
    low, high = np.percentile(picked, [1, 99])
    return float(low), float(max(high, low + 0.1))
