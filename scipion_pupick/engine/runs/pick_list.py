# SPDX-License-Identifier: GPL-3.0-or-later
"""The list of all picks of a run, written piece by piece, with what is in it already copied."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, Callable, Dict, List, Optional, Sequence, Tuple

from ..coordinates import Coordinates
from ..coordinates.relion import PARTICLES_END, particle_rows, particles_head
from ..files.atomic import atomic_write
from .index import Index, Note

_LIST_HEAD = particles_head(with_scores=True).encode()
_COPIED_AT_ONCE = 2**20

PicksOf = Callable[[str], Coordinates]
Places = Dict[str, Tuple[int, Note]]


def write_pick_list(
    path: Path, notes: Sequence[Note], index: Index, picks_of: PicksOf
) -> List[Note]:
    """Write the list of all picks; it is left as it is if it holds these already.

    Args:
        path: of the list.
        notes: of the micrographs, in the order in which they are to be listed.
        index: says what the list holds now.
        picks_of: returns the picks of a micrograph, which are asked for only where the list does
            not hold them.

    Returns:
        The notes, with the sizes that the micrographs take in the list.

    Raises:
        OSError: it cannot be written.
    """
    places = index.places(path, len(_LIST_HEAD))
    listed = [note for _, note in places.values()]
    if places and len(listed) == len(notes) and all(map(_same, listed, notes)):
        return listed
    written: List[Note] = []
    with atomic_write(path) as temporary, temporary.open("wb") as new, _Old(path, places) as old:
        new.write(_LIST_HEAD)
        for note in notes:
            name = note.picked.name
            kept = places.get(name)
            if kept is not None and _same(kept[1], note):
                old.keep(new, kept[0], kept[1].size)
                written.append(kept[1])
                continue
            old.flush(new)
            rows = particle_rows(name, picks_of(name), with_scores=True).encode()
            new.write(rows)
            written.append(replace(note, size=len(rows)))
        old.flush(new)
        new.write(PARTICLES_END.encode())
    return written


def _same(note: Note, other: Note) -> bool:
    """Whether two notes are of the same picks of a micrograph."""
    return (
        note.picked.name == other.picked.name
        and note.picked.fingerprint == other.picked.fingerprint
        and note.criteria == other.criteria
    )


class _Old:
    """The list as it was, from which neighbours are copied in one go."""

    def __init__(self, path: Path, places: Places) -> None:
        self._path = path if places else None
        self._file: Optional[BinaryIO] = None
        self._start = self._stop = 0

    def __enter__(self) -> _Old:
        self._file = self._path.open("rb") if self._path else None
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def keep(self, new: BinaryIO, start: int, size: int) -> None:
        """Take over some bytes, at the latest when `flush` is called."""
        if start != self._stop:
            self.flush(new)
            self._start = start
        self._stop = start + size

    def flush(self, new: BinaryIO) -> None:
        """Copy what is to be taken over."""
        if self._file is not None:
            self._file.seek(self._start)
            left = self._stop - self._start
            while left and (piece := self._file.read(min(_COPIED_AT_ONCE, left))):
                new.write(piece)
                left -= len(piece)
        self._start = self._stop
