# SPDX-License-Identifier: GPL-3.0-or-later
"""Picks under the names of the micrographs they belong to."""

from __future__ import annotations

import logging
from typing import Mapping, Sequence

from ..micrographs import Micrograph, match_names
from . import Coordinates, Picks
from .rescale import rescale_to_micrographs
from .table import join_coordinates

log = logging.getLogger(__name__)


def assign_to_micrographs(picks: Picks, micrographs: Sequence[Micrograph], what: str) -> Picks:
    """Key picks by the names of the micrographs; report those of other micrographs.

    Args:
        picks: under the names of some file.
        micrographs: they may belong to.
        what: the picks are, for the report.

    Returns:
        Picks by `Micrograph.name`, for those micrographs that the picks name; px of these, also
        where their file says that they are px of others.

    Raises:
        UsageError: a name fits two micrographs equally well.
    """
    matched = match_names(picks, micrographs)
    unknown = [name for name in picks if name not in matched]
    if unknown:
        log.warning(
            "The %s of %d other micrographs, such as %s, are left out.",
            what,
            len(unknown),
            unknown[0],
        )
    return join_by_micrograph(rescale_to_micrographs(picks, matched, what), matched)


def join_by_micrograph(picks: Picks, matched: Mapping[str, Micrograph]) -> Picks:
    """Key picks by the names of micrographs; several that match one micrograph add to each other.

    Args:
        picks: under the names of some file.
        matched: micrographs by these names, see `micrograph.match_names`.
    """
    found: Picks = {}
    for name, micrograph in matched.items():
        known = found.get(micrograph.name, Coordinates.empty())
        found[micrograph.name] = join_coordinates([known, picks[name]])
    return found
