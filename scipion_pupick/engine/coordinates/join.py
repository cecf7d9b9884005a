# SPDX-License-Identifier: GPL-3.0-or-later
"""Picks of several tables as one."""

from __future__ import annotations

import logging
from typing import Dict, Iterable, List, Tuple

from .rescale import AS_OTHERS, in_pixel_size
from .table import Coordinates, Picks, join_coordinates

log = logging.getLogger(__name__)


def join_picks(parts: Iterable[Picks]) -> Picks:
    """Return the picks of all `parts`; those of the same micrograph one after the other.

    Where these state pixel sizes of different images, they are converted to the first, and the log
    says so. Beside picks whose file states none, a stated one is not relied upon, as it says too.
    """
    of_micrographs: Dict[str, List[Coordinates]] = {}
    for part in parts:
        for name, coordinates in part.items():
            of_micrographs.setdefault(name, []).append(coordinates)
    found: Picks = {}
    changed: Dict[str, Tuple[str, object, object]] = {}
    mixed: Dict[str, float] = {}
    for name, each in of_micrographs.items():
        wanted = next((c.pixel_size for c in each if c.pixel_size is not None), None)
        converted = [in_pixel_size(coordinates, wanted) for coordinates in each]
        for old, new in zip(each, converted):
            if new is not old:
                changed.setdefault(name, (name, old.pixel_size, wanted))
        if any(c.pixel_size is None and len(c) for c in each) and wanted is not None:
            mixed.setdefault(name, wanted)
        found[name] = join_coordinates(converted)
    if mixed:
        name, stated = next(iter(mixed.items()))
        log.warning(
            "Of %d micrographs, such as %s, a file of picks states %.4g Å/px, and another nothing: "
            "all are taken for px of the micrograph itself. If they are not, convert one first.",
            len(mixed),
            name,
            stated,
        )
    if changed:
        log.warning(AS_OTHERS, "picks", len(changed), *next(iter(changed.values())))
    return found
