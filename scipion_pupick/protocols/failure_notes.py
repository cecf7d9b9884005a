# SPDX-License-Identifier: GPL-3.0-or-later
"""What a protocol notes of micrographs that could not be used, whatever becomes of its process."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Optional

from ..engine import write_text


@dataclass(frozen=True)
class FailureNotes:
    """A note for each micrograph that failed.

    Attributes:
        folder: of the notes.
    """

    folder: Path

    def write(self, micrograph_id: int, reason: Optional[str]) -> None:
        """Note why a micrograph failed; None takes the note away."""
        if reason is None:
            self._path(micrograph_id).unlink(missing_ok=True)
        else:
            write_text(self._path(micrograph_id), reason)

    def has(self, micrograph_id: int) -> bool:
        """Whether a micrograph failed."""
        return self._path(micrograph_id).exists()

    def read(self) -> Dict[int, str]:
        """Return the reason for each micrograph that failed, by its id, in the order of the ids."""
        notes = {int(note.stem[4:]): note for note in sorted(self.folder.glob("mic_*.txt"))}
        return {number: note.read_text(encoding="utf-8") for number, note in notes.items()}

    def _path(self, micrograph_id: int) -> Path:
        return self.folder / f"mic_{micrograph_id:06d}.txt"
