# SPDX-License-Identifier: GPL-3.0-or-later
"""What was picked, noted line by line, so that a call that adds micrographs reads no others.

A note is believed only as long as the files that it is about have the size and the time that they
had then; whoever changes or removes one of them need not know of the notes, which may be deleted.

The file has a line of JSON for each micrograph that was picked, written when it was. A line with
the status of the list of all picks follows those that are in the list, in its order. Lines that a
kill has cut off, or that make no sense, are passed over.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, Iterable, List, Optional, Tuple

from ..files.atomic import PathLike, append_line, file_status, write_text
from .picked import Criteria, Picked


@dataclass(frozen=True)
class Note:
    """What is noted of one micrograph.

    Attributes:
        picked: what was picked.
        criteria: by which.
        peaks: status of the file of its peaks.
        coordinates: status of the file of its picks.
        size: bytes that its picks take in the list of all; 0 as long as they are not in it.
    """

    picked: Picked
    criteria: Criteria
    peaks: List[int]
    coordinates: List[int]
    size: int = 0

    def to_line(self) -> str:
        """Write the note."""
        return json.dumps(
            [
                self.picked.to_list(),
                self.criteria.to_list(),
                self.peaks,
                self.coordinates,
                self.size,
            ]
        )

    @classmethod
    def from_list(cls, values: Any) -> Note:
        """Read a note; a ValueError or TypeError says that it is none."""
        picked, criteria, peaks, coordinates, size = values
        if type(size) is not int:
            raise TypeError("no note")
        return cls(Picked.from_list(picked), Criteria(*criteria), peaks, coordinates, size)


@dataclass
class Index:
    """The notes of a run.

    Attributes:
        path: of their file.
        notes: by name of the micrograph.
        listed: those of the micrographs in the list of all picks, in its order.
        list_status: of the file with that list.
        lines: by name, of the file, of those in `notes`.
    """

    path: Path
    notes: Dict[str, Note] = field(default_factory=dict)
    listed: List[Note] = field(default_factory=list)
    list_status: List[int] = field(default_factory=list)
    lines: Dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Index:
        """Read the notes; none where there is no file, or none that can be read."""
        index = cls(path)
        try:
            lines = path.read_bytes().split(b"\n")[:-1]
        except OSError:
            return index
        for line in lines:
            index._take(line)
        return index

    def _take(self, line: bytes) -> None:
        try:
            values = json.loads(line)
            if isinstance(values, dict):
                self.listed, self.list_status = [*self.notes.values()], values["list"]
            else:
                note = Note.from_list(values)
                self.notes[note.picked.name] = note
                self.lines[note.picked.name] = line.decode()
        except (ValueError, TypeError, KeyError, RecursionError):
            return

    def believed(
        self,
        name: str,
        fingerprint: str,
        criteria: Criteria,
        peaks: PathLike,
        coordinates: Optional[PathLike],
    ) -> Optional[Note]:
        """Return the note of a micrograph if nothing contradicts it.

        Args:
            name: of the micrograph.
            fingerprint: of its peaks.
            criteria: by which it is picked.
            peaks: file of its peaks.
            coordinates: file of its picks; None where that may have changed.
        """
        note = self.notes.get(name)
        if note is None or note.picked.fingerprint != fingerprint or note.criteria != criteria:
            return None
        if file_status(peaks) != note.peaks:
            return None
        is_same = coordinates is None or file_status(coordinates) == note.coordinates
        return note if is_same else None

    def add(self, note: Note) -> None:
        """Note a micrograph that has just been picked."""
        self.notes[note.picked.name] = note
        self.lines[note.picked.name] = line = note.to_line()
        append_line(self.path, line)

    def places(self, list_of_picks: Path, start: int) -> Dict[str, Tuple[int, Note]]:
        """Where the picks of each micrograph begin in the list of all; nothing if it has changed.

        Args:
            list_of_picks: the file.
            start: where the first ones begin, bytes.
        """
        if not self.list_status or file_status(list_of_picks) != self.list_status:
            return {}
        places = {}
        for note in self.listed:
            places[note.picked.name] = (start, note)
            start += note.size
        return places

    def write(self, listed: Iterable[Note], list_status: List[int]) -> None:
        """Replace all notes by those of the micrographs in the list of all picks."""
        notes = [*listed]
        same = len(notes) == len(self.listed) == len(self.notes) and self.list_status == list_status
        if same and all(new is old for new, old in zip(notes, self.listed)):
            return
        lines = [self._line(note) for note in notes]
        lines.append(json.dumps({"list": list_status}))
        write_text(self.path, "\n".join(lines) + "\n")

    def _line(self, note: Note) -> str:
        """Write a note, unless that was done before."""
        name = note.picked.name
        return self.lines[name] if self.notes.get(name) is note else note.to_line()
