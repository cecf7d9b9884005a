# SPDX-License-Identifier: GPL-3.0-or-later
"""Which of some micrographs the coordinates of a set belong to.

Scipion's coordinates know the id and the name of their micrograph. Where sets are joined the ids of
micrographs are given anew, but not in the coordinates, so the name decides. Where several
micrographs have one name, as of two folders, the id has to agree as well.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Dict, FrozenSet, Iterable, Mapping, Optional, Set, Tuple

from pwem.objects import Micrograph

from .engine import Picks

Key = Tuple[int, str]


@dataclass(frozen=True)
class Assignment:
    """Tells for each coordinate of a set the micrograph, by the path of its file.

    Attributes:
        by_name: path of each micrograph whose name says enough.
        by_key: path of each of the other micrographs, by its id and name.
        unclear: names of which several micrographs are given, but coordinates were made on others:
            nothing tells whose they are.
    """

    by_name: Dict[str, str]
    by_key: Dict[Key, str]
    unclear: FrozenSet[str]

    @classmethod
    def of(cls, made_on: Iterable[Micrograph], micrographs: Iterable[Micrograph]) -> Assignment:
        """Return the assignment of coordinates that were made on micrographs, to micrographs."""
        paths = {key_of(micrograph): micrograph.getFileName() for micrograph in micrographs}
        theirs = {key_of(micrograph) for micrograph in made_on}
        shared = _shared_names(paths) | _shared_names(theirs)
        by_key = {key: path for key, path in paths.items() if key[1] in shared}
        by_name = {key[1]: path for key, path in paths.items() if key[1] not in shared}
        return cls(by_name, by_key, frozenset(name for _, name in by_key.keys() - theirs))

    def path_of(self, key: Key) -> Optional[str]:
        """Return the file of the micrograph of a coordinate; None for one that is not given."""
        return self.by_key.get(key) or self.by_name.get(key[1])


def key_of(micrograph: Micrograph) -> Key:
    """Return what Scipion knows a micrograph by: its id with its name."""
    return int(micrograph.getObjId()), str(micrograph.getMicName())


def _shared_names(keys: Iterable[Key]) -> Set[str]:
    names = Counter(name for _, name in keys)
    return {name for name, number in names.items() if number > 1}


@dataclass(frozen=True)
class AssignedPicks:
    """Picks by their micrographs, and what belongs to none.

    Attributes:
        picks: by the path of the micrograph, px.
        left_out: number of picks of each micrograph that is not given, by its name.
    """

    picks: Picks
    left_out: Mapping[str, int] = field(default_factory=dict)

    @property
    def number(self) -> int:
        """Number of the picks of micrographs that are given."""
        return sum(map(len, self.picks.values()))

    @property
    def total(self) -> int:
        """Number of all picks."""
        return self.number + sum(self.left_out.values())


def left_out_text(left_out: Mapping[str, int], total: int, what: str) -> str:
    """Say how many of all picks are left out, since they are of micrographs that are not given.

    Args:
        left_out: number by the name of the micrograph.
        total: number of all picks.
        what: they are, such as 'picks'.
    """
    if not left_out:
        return ""
    names = "a micrograph" if len(left_out) == 1 else f"{len(left_out)} micrographs"
    example = next(iter(left_out))
    return (
        f"{sum(left_out.values())} of {total} {what} are left out: they are of {names} that the "
        f"input does not have (such as {example})."
    )
