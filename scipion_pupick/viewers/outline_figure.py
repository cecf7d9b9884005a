# SPDX-License-Identifier: GPL-3.0-or-later
"""Outlines of a particle over a micrograph, to choose a diameter and a box by eye."""

from __future__ import annotations

from typing import List, Optional, Tuple, Union

import numpy as np
from matplotlib.backend_bases import Event, MouseEvent
from matplotlib.collections import Collection, PatchCollection
from matplotlib.figure import Figure, SubFigure
from matplotlib.patches import Circle, Patch, Rectangle

from ..engine import Coordinates, Micrograph, require_pixel_size
from ..engine.reporting.plots import plot_picks
from .navigation import is_navigating
from .picks_figure import read_shown

COLOUR = "#f0f921"
DIAMETERS_IN_VIEW = 10.0
ZOOM = 1.25


class OutlineFigure:
    """Circles of a particle's diameter over a micrograph, with its box round them.

    They lie round hand picks where there are any, and round one place that a click chooses. The
    wheel zooms. It has to be kept for as long as its figure is shown.

    Attributes:
        diameter: of the circles, Å.
        box: side of the squares, Å; none where it is 0.
    """

    def __init__(
        self,
        figure: Union[Figure, SubFigure],
        micrograph: Micrograph,
        diameter: float,
        box: float = 0.0,
        picks: Optional[Coordinates] = None,
    ) -> None:
        """Draw on an empty figure.

        Args:
            figure: or a part of one.
            micrograph: behind the outlines.
            diameter: of the circles, Å.
            box: side of squares round them, Å; none where it is 0.
            picks: hand picks, px of the micrograph.

        Raises:
            MicrographError: the micrograph cannot be read.
        """
        image, binning = read_shown(micrograph)
        shown = (picks or Coordinates.empty()).scaled(1 / binning)
        self._pixel_size = require_pixel_size(micrograph) * binning
        self._picked = np.column_stack([shown.x, shown.y])
        self._place = _first_place(self._picked, image.shape)
        self._canvas = figure.canvas
        self._axes = figure.add_subplot()
        plot_picks(self._axes, image, Coordinates.empty(), 1.0)
        self._axes.set(xticks=[], yticks=[])
        self._outlines: Optional[Collection] = None
        self._look(self._place, DIAMETERS_IN_VIEW * max(diameter, 1.0) / self._pixel_size)
        self.outline(diameter, box)
        self._canvas.mpl_connect("button_press_event", self._follow_click)
        self._canvas.mpl_connect("scroll_event", self._follow_wheel)

    def outline(self, diameter: float, box: float = 0.0) -> None:
        """Draw the outlines with another diameter and box, Å."""
        self.diameter, self.box = diameter, box
        if self._outlines is not None:
            self._outlines.remove()
        patches = [
            patch
            for place in [*self._picked, self._place]
            for patch in _outlines(place, diameter / self._pixel_size, box / self._pixel_size)
        ]
        self._outlines = self._axes.add_collection(
            PatchCollection(patches, facecolors="none", edgecolors=COLOUR, linewidths=1.5)
        )
        self._canvas.draw_idle()

    def _look(self, centre: np.ndarray, width: float) -> None:
        (x, y), half = centre, width / 2
        self._axes.set(xlim=(x - half, x + half), ylim=(y + half, y - half))

    def _follow_click(self, event: Event) -> None:
        if not isinstance(event, MouseEvent) or event.inaxes is not self._axes:
            return
        if event.button == 1 and not is_navigating(self._canvas):
            self._place = np.array([event.xdata, event.ydata])
            self.outline(self.diameter, self.box)

    def _follow_wheel(self, event: Event) -> None:
        if isinstance(event, MouseEvent) and event.inaxes is self._axes:
            factor = ZOOM ** -np.sign(event.step)
            pointer = np.array([event.xdata, event.ydata])
            (left, right), (bottom, top) = self._axes.get_xlim(), self._axes.get_ylim()
            centre = np.array([left + right, bottom + top]) / 2
            self._look(pointer + (centre - pointer) * factor, (right - left) * factor)
            self._canvas.draw_idle()


def _first_place(picked: np.ndarray, shape: Tuple[int, ...]) -> np.ndarray:
    """The pick nearest to the middle of an image, or the middle."""
    middle = np.array([shape[1], shape[0]]) / 2
    if len(picked) == 0:
        return middle
    return picked[np.argmin(np.square(picked - middle).sum(axis=1))]


def _outlines(place: np.ndarray, diameter: float, box: float) -> List[Patch]:
    """A circle and, with a box, a square round a place, px."""
    circle = Circle((place[0], place[1]), diameter / 2)
    if not box:
        return [circle]
    return [circle, Rectangle((place[0] - box / 2, place[1] - box / 2), box, box)]
