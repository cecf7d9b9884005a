# SPDX-License-Identifier: GPL-3.0-or-later
"""Picks under the names of the micrographs they belong to."""

from __future__ import annotations

import logging
from typing import Mapping, Sequence

from ..micrographs import Micrograph, match_names
from ..micrographs.name_matching import names_agree
from . import Picks
from .join import join_picks
from .rescale import rescale_to_micrographs

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
    report_other_names(matched, micrographs, what)
    unknown = [name for name in picks if name not in matched]
    if unknown:
        log.warning(
            "The %s of %d other micrographs, such as %s, are left out; those of %d of the %d given "
            "micrographs are taken.",
            what,
            len(unknown),
            unknown[0],
            len({micrograph.name for micrograph in matched.values()}),
            len(micrographs),
        )
    return join_by_micrograph(rescale_to_micrographs(picks, matched, what), matched)


def join_in_micrographs(
    parts: Sequence[Picks], micrographs: Sequence[Micrograph], what: str
) -> Picks:
    """Join picks of several sources, each tied to the micrographs and in px of these by itself.

    Args:
        parts: of each source, under the names of some file; a single one stays as it is.
        micrographs: they may belong to.
        what: the picks are, for the report.

    Raises:
        UsageError: a name fits two micrographs equally well.
    """
    if len(parts) < 2:
        return parts[0] if parts else {}
    return join_picks(assign_to_micrographs(part, micrographs, what) for part in parts)


def report_other_names(
    matched: Mapping[str, Micrograph], micrographs: Sequence[Micrograph], what: str
) -> None:
    """Say where picks have other names than their micrographs, so that a wrong tie is seen."""
    other = [name for name, m in matched.items() if not names_agree(name, m)]
    if other:
        log.info(
            "The %s of %d micrographs are tied by the common part of their names, such as %s to "
            "%s; %d of the %d given micrographs have none.",
            what,
            len(other),
            other[0],
            matched[other[0]].name,
            len(micrographs) - len({micrograph.name for micrograph in matched.values()}),
            len(micrographs),
        )


def join_by_micrograph(picks: Picks, matched: Mapping[str, Micrograph]) -> Picks:
    """Key picks by the names of micrographs; several that match one micrograph add to each other.

    Args:
        picks: under the names of some file.
        matched: micrographs by these names, see `name_matching.match_names`.
    """
    return join_picks({micrograph.name: picks[name]} for name, micrograph in matched.items())
