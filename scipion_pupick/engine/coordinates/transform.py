# SPDX-License-Identifier: GPL-3.0-or-later
"""Picks of micrographs that were binned, mirrored or cut in another way than those given."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import List, Sequence, Tuple

import numpy as np

from ..errors import MicrographError
from ..files.text import FloatArray
from ..micrographs import Micrograph, Shape, image_shape
from ..settings import LabelSettings
from .table import Coordinates, Picks


@dataclass(frozen=True)
class PickTransform:
    """From coordinates as a file has them to px of the micrograph, in this order.

    Attributes:
        scale: factor of both coordinates.
        swap: whether x and y change places.
        mirror: in which direction the micrograph is mirrored; a choice of the setting.
        shift: added to x and y, px of the micrograph.
    """

    scale: float = 1.0
    swap: bool = False
    mirror: str = "none"
    shift: Tuple[float, float] = (0.0, 0.0)

    @classmethod
    def of(cls, settings: LabelSettings) -> PickTransform:
        """Return the transform that a user has set."""
        return cls(
            settings.picks_scale,
            settings.picks_swap == "yes",
            settings.picks_mirror,
            (settings.picks_shift_x, settings.picks_shift_y),
        )

    def apply(self, xy: FloatArray, shape: Shape) -> FloatArray:
        """Transform points.

        Args:
            xy: (n, 2) as (x, y).
            shape: (ny, nx) of the micrograph, px; the centre of its first pixel is 0.

        Returns:
            (n, 2), px of the micrograph.
        """
        moved = xy * self.scale
        x, y = (moved[:, 1], moved[:, 0]) if self.swap else (moved[:, 0], moved[:, 1])
        if self.mirror in ("x", "xy"):
            x = shape[1] - 1 - x
        if self.mirror in ("y", "xy"):
            y = shape[0] - 1 - y
        return np.column_stack([x + self.shift[0], y + self.shift[1]])


def moving_settings(settings: LabelSettings) -> List[str]:
    """List the names of those settings that move picks, as they are set."""
    usual, checked = asdict(LabelSettings()), "check_picks"
    changed = [name for name, value in asdict(settings).items() if value != usual[name]]
    return [name for name in changed if name != checked]


def transform_picks(
    picks: Picks, micrographs: Sequence[Micrograph], transform: PickTransform
) -> Picks:
    """Transform the picks of each micrograph; those of one that cannot be read stay.

    Args:
        picks: by the names of the micrographs, as a file has them.
        micrographs: that may have picks.
        transform: of all of them.

    Returns:
        Picks by the same names, px of the micrographs.
    """
    if transform == PickTransform():
        return picks
    moved = dict(picks)
    for micrograph in micrographs:
        # a micrograph that cannot be read is reported when it comes to be prepared
        with suppress(MicrographError):
            if micrograph.name in picks:
                of_one = picks[micrograph.name]
                x, y = transform.apply(of_one.xy, image_shape(micrograph.path)).T
                moved[micrograph.name] = Coordinates(x, y, of_one.score)
    return moved
