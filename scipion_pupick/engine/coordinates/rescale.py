# SPDX-License-Identifier: GPL-3.0-or-later
"""Picks whose file states a pixel size, brought to the pixels of the micrographs given.

Picks of unbinned micrographs are px of these, and those of binned ones px of those.
"""

from __future__ import annotations

import logging
from typing import Dict, List, Mapping, Optional, Tuple

from ..errors import MicrographError
from ..micrographs import Micrograph, image_shape, pixel_size_of
from ..micrographs.pixel_sizes import HEADER, PixelSize, same_pixel_size
from .area import inside_image
from .cryosparc import fit_shapes
from .table import Coordinates, Picks

log = logging.getLogger(__name__)

# binning changes a pixel size by more than this, and calibration by less
_CALIBRATED_WITHIN = 0.1

_CONVERTED = (
    "The %s of %d micrographs, such as %s, are of images with %.4g Å/px, by their STAR file; the "
    "micrograph has %.4g Å/px. Their coordinates are converted."
)
AS_OTHERS = (
    "The %s of %d micrographs, such as %s, are of images with %.4g Å/px, by their STAR file; "
    "others of the same micrographs are of images with %.4g Å/px. They are converted to these."
)
_LEFT = (
    "The %s of %d micrographs, such as %s, are of images with %.4g Å/px, by their STAR file; the "
    "micrograph has %.4g Å/px. Their coordinates are not converted, as %s."
)


def rescale_to_micrographs(picks: Picks, matched: Mapping[str, Micrograph], what: str) -> Picks:
    """Convert picks to px of their micrographs where their file states those of another image.

    A difference of up to a tenth is taken for a calibration of the same image. Picks that would
    leave the micrograph stay as they are. Either is said in the log.

    Args:
        picks: under the names of some file.
        matched: micrographs by these names.
        what: the picks are, for the log.

    Returns:
        The picks of `matched`, px of these micrographs where that is known.
    """
    found: Picks = {}
    said: Dict[str, List[Tuple[str, float, float]]] = {}
    listed = fit_shapes({name: picks[name] for name in matched}, matched, what)
    for name, micrograph in matched.items():
        found[name], reason, sizes = _rescale(listed[name], micrograph)
        if sizes:
            said.setdefault(reason, []).append((name, *sizes))
    for reason, cases in said.items():
        name, stated, used = cases[0]
        text, more = (_LEFT, (reason,)) if reason else (_CONVERTED, ())
        log.warning(text, what, len(cases), name, stated, used, *more)
    return found


def rescale_to_pixel_size(picks: Picks, pixel_size: float, what: str) -> Picks:
    """Convert picks to px of so many Å where their file states another pixel size.

    As in `rescale_to_micrographs`, a difference of up to a tenth is taken for a calibration of the
    same image; what is converted is said in the log.

    Args:
        picks: by micrograph name.
        pixel_size: Å/px of the micrographs.
        what: the picks are, for the log.
    """
    return _rescaled(picks, dict.fromkeys(picks, pixel_size), _CONVERTED, what)


def rescale_to_others(picks: Picks, others: Picks, what: str) -> Picks:
    """Convert picks to px of others of the same micrographs where both state a pixel size.

    What is converted, and what not, is as in `rescale_to_pixel_size`.

    Args:
        picks: by micrograph name.
        others: that say which px are wanted, by the same names.
        what: the picks are, for the log.
    """
    wanted = {name: others[name].pixel_size if name in others else None for name in picks}
    return _rescaled(picks, wanted, AS_OTHERS, what)


def _rescaled(
    picks: Picks, pixel_sizes: Mapping[str, Optional[float]], text: str, what: str
) -> Picks:
    found = {name: in_pixel_size(c, pixel_sizes[name]) for name, c in picks.items()}
    changed = [name for name in picks if found[name] is not picks[name]]
    if changed:
        name = changed[0]
        log.warning(text, what, len(changed), name, picks[name].pixel_size, pixel_sizes[name])
    return found


def in_pixel_size(coordinates: Coordinates, pixel_size: Optional[float]) -> Coordinates:
    """Convert picks to px of so many Å where they state those of another image.

    Returns:
        The same object where nothing is converted.
    """
    stated = coordinates.pixel_size
    if stated is None or pixel_size is None or same_image(stated, pixel_size):
        return coordinates
    return coordinates.scaled(stated / pixel_size)


def same_image(first: Optional[float], second: Optional[float]) -> bool:
    """Whether pixel sizes (Å/px) may be of one image; unknown ones may."""
    if first is None or second is None:
        return True
    return abs(first / second - 1) <= _CALIBRATED_WITHIN


def _rescale(
    coordinates: Coordinates, micrograph: Micrograph
) -> Tuple[Coordinates, str, Optional[Tuple[float, float]]]:
    """Return picks, why they are as they were, and both pixel sizes (Å/px) where they differ."""
    stated = coordinates.pixel_size
    used = pixel_size_of(micrograph) if stated is not None else None
    if stated is None or used is None or same_pixel_size(stated, used.value):
        return coordinates, "", None
    converted = coordinates.scaled(stated / used.value)
    reason = _doubt(used, stated) or _way_out(coordinates, converted, micrograph)
    return coordinates if reason else converted, reason, (stated, used.value)


def _doubt(used: PixelSize, stated: float) -> str:
    """Say why the micrograph's pixel size is no reason to convert from the stated one (Å/px)."""
    if same_image(stated, used.value):
        return "so little may be another calibration of the same image"
    if used.source == HEADER and used.doubt:
        return f"the micrograph's header may be wrong ({used.doubt})"
    return ""


def _way_out(coordinates: Coordinates, converted: Coordinates, micrograph: Micrograph) -> str:
    """Say so if fewer picks lie in the micrograph when they are converted."""
    try:
        shape = image_shape(micrograph.path)
    except MicrographError:
        return ""
    inside = inside_image(coordinates.xy, shape).sum()
    if inside_image(converted.xy, shape).sum() >= inside:
        return ""
    return "they would then lie outside it"
