# SPDX-License-Identifier: GPL-3.0-or-later
"""Picks as rows of text, which stand in two STAR files: their micrograph's and that of all."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Dict

from ..files.star import Column, check_star_names, loop_rows, quoted
from .relion import NAME, PARTICLES_END, X, Y, coordinates_text, pick_columns
from .table import Coordinates

# stands for a name; no name and no number holds it
_NAME_MARK = "\0"


@dataclass(frozen=True)
class FormattedPicks:
    """One micrograph's picks, formatted once for its own file and for the table of all.

    Attributes:
        rows: of a table, with a mark where the name stands.
        with_scores: whether there is a column of scores.
    """

    rows: str
    with_scores: bool

    @classmethod
    def of(cls, coordinates: Coordinates, with_scores: bool) -> FormattedPicks:
        """Format picks."""
        columns: Dict[str, Column] = {X: coordinates.x, Y: coordinates.y, NAME: _NAME_MARK}
        rows = loop_rows({**columns, **pick_columns(coordinates, with_scores)})
        return cls(rows, with_scores)

    def coordinates_text(self) -> str:
        """Return the text that `coordinates_text` writes."""
        rows = self.rows.replace(f"{_NAME_MARK}\t", "")
        return f"{_head(self.with_scores)}{rows}{PARTICLES_END}"

    def particle_rows(self, name: str) -> str:
        """Return the rows that `particle_rows` writes.

        Raises:
            UsageError: the micrograph's name cannot be written.
        """
        check_star_names([name])
        return self.rows.replace(_NAME_MARK, quoted(name))


@lru_cache(maxsize=2)
def _head(with_scores: bool) -> str:
    """Return what stands above the rows of a file of one micrograph."""
    return coordinates_text(Coordinates.empty(), with_scores)[: -len(PARTICLES_END)]
