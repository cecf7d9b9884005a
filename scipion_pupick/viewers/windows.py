# SPDX-License-Identifier: GPL-3.0-or-later
"""Windows with figures, through Scipion's plotter."""

from __future__ import annotations

from typing import Any, Callable, Sequence, Tuple

from matplotlib.backend_bases import Event
from matplotlib.figure import Figure, SubFigure
from matplotlib.widgets import Button
from pwem.viewers import EmPlotter

Action = Tuple[str, Callable[[], object]]

BUTTON_HEIGHT = 0.45


class FigureWindow(EmPlotter):
    """A window with one figure that lays itself out."""

    def __init__(self, title: str, size: Tuple[float, float]) -> None:
        """Make an empty figure.

        Args:
            title: of the window.
            size: width and height, inches.
        """
        super().__init__(windowTitle=title, figsize=size)
        # Scipion's own layout would undo that of the figure
        self.tightLayoutOn = False
        self.getFigure().set_layout_engine("constrained")

    def keep(self, *parts: object) -> None:
        """Keep what answers to the mouse, which a figure does not do, until the window closes."""
        self.getCanvas().mpl_connect("close_event", lambda _, kept=parts: None)


def add_buttons(figure: SubFigure, actions: Sequence[Action]) -> Sequence[Button]:
    """Fill a part of a figure with a row of buttons, and give them to be kept."""
    buttons = []
    for axes, (text, action) in zip(figure.subplots(1, len(actions), squeeze=False)[0], actions):
        button = Button(axes, text)
        button.on_clicked(_without_event(action))
        buttons.append(button)
    return buttons


def _without_event(action: Callable[[], object]) -> Callable[[Event], object]:
    return lambda event: action()


def split_off_buttons(figure: Figure) -> Tuple[SubFigure, SubFigure]:
    """Divide a figure into a part for plots and a row for buttons."""
    heights = (figure.get_figheight() - BUTTON_HEIGHT, BUTTON_HEIGHT)
    parts: Any = figure.subfigures(2, 1, height_ratios=heights)
    above, below = parts
    return above, below
