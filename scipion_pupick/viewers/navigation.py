# SPDX-License-Identifier: GPL-3.0-or-later
"""What the toolbar of a figure is doing with the mouse."""

from __future__ import annotations

from matplotlib.backend_bases import FigureCanvasBase


def is_navigating(canvas: FigureCanvasBase) -> bool:
    """Whether the toolbar's zooming or panning takes the clicks now."""
    return bool(getattr(canvas.toolbar, "mode", ""))
