# SPDX-License-Identifier: GPL-3.0-or-later
"""Dialogues round the figures, for the wizards."""

from __future__ import annotations

import tkinter as tk
from typing import Any, Mapping, Optional, Sequence, Tuple

import numpy as np
from matplotlib.backends.backend_tkagg import FigureCanvasTkAgg, NavigationToolbar2Tk
from matplotlib.figure import Figure
from pyworkflow.gui.dialog import RESULT_CANCEL, RESULT_YES, Dialog

from ..engine import Coordinates, Micrograph, MicrographError, require_pixel_size
from .outline_figure import OutlineFigure
from .picks_figure import PicksFigure
from .scored_picks import ScoredPicks
from .threshold_figure import ThresholdFigure


class FigureDialog(Dialog):
    """A dialogue with a figure, a line of controls below it, and "Select" and "Cancel"."""

    def __init__(self, parent: Any, title: str, size: Tuple[float, float]) -> None:
        """Show it, and wait until it is closed.

        Args:
            parent: window of Tk.
            title: of the window.
            size: width and height of the figure, inches.
        """
        self.figure = Figure(figsize=size, layout="constrained")
        buttons = [("Select", RESULT_YES), ("Cancel", RESULT_CANCEL)]
        super().__init__(parent, title, buttons=buttons, default="Select")

    def body(self, frame: tk.Frame) -> None:
        """Fill the dialogue; called by Scipion."""
        frame.rowconfigure(0, weight=1)
        frame.columnconfigure(0, weight=1)
        canvas = FigureCanvasTkAgg(self.figure, master=frame)
        canvas.get_tk_widget().grid(row=0, column=0, sticky="news")
        toolbar = NavigationToolbar2Tk(canvas, frame, pack_toolbar=False)
        toolbar.grid(row=1, column=0, sticky="ew")
        controls = tk.Frame(frame)
        controls.grid(row=2, column=0, sticky="ew")
        self.fill(controls)

    def fill(self, controls: tk.Frame) -> None:
        """Draw the figure, and put widgets below it."""
        raise NotImplementedError


class OutlineDialog(FigureDialog):
    """Asks for the diameter of a particle, or for its box, over micrographs.

    Attributes:
        value: chosen, Å for a diameter and px for a box.
    """

    def __init__(
        self,
        parent: Any,
        micrographs: Sequence[Micrograph],
        picks: Mapping[str, Coordinates],
        diameter: float,
        box: Optional[int] = None,
    ) -> None:
        """Show it, and wait until it is closed.

        Args:
            parent: window of Tk.
            micrographs: to look at; at least one, all of one pixel size.
            picks: hand picks by name of the micrograph, px.
            diameter: of the particle, Å; to begin with, if there is no box.
            box: side of the box to begin with, px; None to ask for the diameter.
        """
        self._micrographs = micrographs
        self._picks = picks
        self._diameter = diameter
        self._is_box = box is not None
        self._index = 0
        self._pixel_size = require_pixel_size(micrographs[0])
        self.value: float = diameter if box is None else box
        super().__init__(parent, "Box size" if self._is_box else "Particle diameter", (7.0, 7.0))

    def fill(self, controls: tk.Frame) -> None:
        """Draw the outlines, and a slider for them."""
        unit = "px" if self._is_box else "Å"
        _place(tk.Label(controls, text=f"{self.title()} ({unit})"), 0)
        self._variable = tk.StringVar(value=f"{self.value:g}")
        entry = tk.Entry(controls, textvariable=self._variable, width=7)
        _place(entry, 1)
        entry.bind("<Return>", lambda event: "break")
        self._scale = self._make_scale(controls)
        self._other = tk.Label(controls, width=11, anchor="w")
        _place(self._other, 3)
        if len(self._micrographs) > 1:
            _place(tk.Button(controls, text="Next micrograph", command=self._step), 4)
        controls.columnconfigure(2, weight=1)
        self._draw()
        self._variable.trace_add("write", lambda *_: self._read())

    def _make_scale(self, controls: tk.Frame) -> tk.Scale:
        most = max(4 * self.value, 4 * self._diameter / (self._pixel_size if self._is_box else 1))
        scale = tk.Scale(
            controls,
            from_=2 if self._is_box else 10,
            to=max(most, 400),
            resolution=2 if self._is_box else 1,
            orient=tk.HORIZONTAL,
            showvalue=False,
            length=300,
        )
        scale.set(self.value)
        scale.configure(command=lambda value: self._variable.set(f"{float(value):g}"))
        _place(scale, 2)
        return scale

    def _read(self) -> None:
        """Take over what the entry says, if it is a size."""
        try:
            value = float(self._variable.get())
        except ValueError:
            return
        if not 0 < value < np.inf:
            return
        self.value = round(value) if self._is_box else value
        if self._outline is not None:
            self._outline.outline(*self._sizes())
        self._describe()

    def _sizes(self) -> Tuple[float, float]:
        """Return the diameter and the side of the box, Å."""
        return (
            (self._diameter, self.value * self._pixel_size) if self._is_box else (self.value, 0.0)
        )

    def _describe(self) -> None:
        pixel_size = self._pixel_size
        factor, unit = (pixel_size, "Å") if self._is_box else (1 / pixel_size, "px")
        self._other.configure(text=f"= {self.value * factor:.1f} {unit}")

    def _step(self) -> None:
        self._index = (self._index + 1) % len(self._micrographs)
        self._draw()

    def _draw(self) -> None:
        micrograph = self._micrographs[self._index]
        self.figure.clear()
        self.figure.suptitle(
            f"{micrograph.path.name}\nclick: move the outline, wheel: zoom", size="medium"
        )
        self._outline: Optional[OutlineFigure] = None
        try:
            picks = self._picks.get(micrograph.name)
            self._outline = OutlineFigure(self.figure, micrograph, *self._sizes(), picks)
        except MicrographError as error:
            self.figure.text(0.5, 0.5, str(error), ha="center", wrap=True)
        self._describe()
        self.figure.canvas.draw_idle()


class ThresholdDialog(FigureDialog):
    """Asks for a threshold in the histogram of scores, and shows the picks that it gives.

    Attributes:
        threshold: chosen, log-odds.
    """

    def __init__(self, parent: Any, scored: ScoredPicks) -> None:
        """Show it, and wait until it is closed.

        Args:
            parent: window of Tk.
            scored: coordinates with scores, and the threshold to begin with.
        """
        self.threshold = scored.threshold
        self._scored = scored
        super().__init__(parent, "Threshold", (12.5, 7.0))

    def fill(self, controls: tk.Frame) -> None:
        """Draw picks and scores, and buttons for them."""
        scored = self._scored
        parts: Any = self.figure.subfigures(1, 2, width_ratios=(11, 9))
        left, right = parts
        self._shown = PicksFigure(
            left, scored.micrographs, scored.picks, scored.diameter, self.threshold
        )
        self._chooser = ThresholdFigure(
            right, scored.scores, self.threshold, scored.uncertainty, self._follow
        )
        actions = (
            ("Previous micrograph", lambda: self._shown.step(-1)),
            ("Next micrograph", lambda: self._shown.step(1)),
            ("Highest estimated F1", self._chooser.select_best),
        )
        for column, (text, action) in enumerate(actions):
            _place(tk.Button(controls, text=text, command=action), column)
        hint = "Click or drag in the histogram to move the threshold."
        _place(tk.Label(controls, text=hint), len(actions))

    def _follow(self, threshold: float) -> None:
        self.threshold = threshold
        self._shown.select(threshold)


def _place(widget: tk.Widget, column: int) -> None:
    widget.grid(row=0, column=column, padx=6, pady=4, sticky="ew")
