# SPDX-License-Identifier: GPL-3.0-or-later
"""What a protocol notes of coordinates that are, or may be, of no input micrograph."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import List, Mapping, Sequence

from ..assignment import AssignedPicks, left_out_text
from ..engine import read_json, write_json
from ..namesakes import namesakes_text

NAME = "left_out.json"


@dataclass(frozen=True)
class LeftOutNotes:
    """A note of what was left out of each kind of coordinates.

    Attributes:
        folder: of the note.
    """

    folder: Path

    def write(
        self, assigned: Mapping[str, AssignedPicks], shared: Mapping[str, Sequence[str]]
    ) -> None:
        """Note what was left out, and which names another import shares.

        Args:
            assigned: by what the coordinates are, such as 'picks'.
            shared: names by the same.
        """
        notes = {
            what: {"left_out": dict(each.left_out), "total": each.total, "shared": shared[what]}
            for what, each in assigned.items()
        }
        write_json(self.folder / NAME, notes)

    def lines(self) -> List[str]:
        """Say in a summary what was left out or is unsure; nothing where there is no note."""
        if not (self.folder / NAME).exists():
            return []
        notes = read_json(self.folder / NAME).items()
        texts = [left_out_text(note["left_out"], note["total"], what) for what, note in notes]
        # notes of earlier versions know of no names
        texts += [namesakes_text(note.get("shared", []), what) for what, note in notes]
        return [f"*{text}*" for text in texts if text]
