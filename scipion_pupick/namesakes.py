# SPDX-License-Identifier: GPL-3.0-or-later
"""Micrographs that share their names, but come from different imports.

Scipion's coordinates know the id and the name of their micrograph, and a second import may have
both alike. Only the protocols that a set comes from tell the two apart.
"""

from __future__ import annotations

import os
from typing import Any, FrozenSet, List, Sequence

from pwem.objects import EMSet, Micrograph
from pyworkflow.protocol import Protocol

from .convert import read_micrographs
from .particles import coordinates_of


def namesakes(items: Any, micrographs: Any) -> List[str]:
    """Return the names that tie picks to micrographs of another import than their own.

    Args:
        items: pointer to coordinates, particles or classes.
        micrographs: pointer to those that the picks are looked for in.
    """
    ours = {m.getMicName(): m for m in read_micrographs(micrographs.get())}
    origins = _origins(micrographs)
    found = set()
    for made_on in _made_on(items):
        theirs = _origins(made_on)
        if origins & theirs:
            continue
        known = bool(origins and theirs)
        for micrograph in read_micrographs(made_on.get()):
            name = micrograph.getMicName()
            if name in ours and _is_other(micrograph, ours[name], known):
                found.add(str(name))
    return sorted(found)


def namesakes_text(names: Sequence[str], what: str) -> str:
    """Say that picks may be taken for those of other micrographs; empty where no name is shared.

    Args:
        names: of the micrographs.
        what: the picks are, such as 'picks'.
    """
    if not names:
        return ""
    number = "1 file name" if len(names) == 1 else f"{len(names)} file names"
    return (
        f"Some of the {what} were made on micrographs of another import, with which the input "
        f"micrographs share {number} (such as {names[0]}). Only the name ties them, so they may "
        "lie in the wrong micrographs: join the sets of micrographs first and pick on those, or "
        f"give only {what} of the input micrographs."
    )


def _is_other(theirs: Micrograph, ours: Micrograph, of_other_import: bool) -> bool:
    """Whether two micrographs of one name differ; derived ones keep the id of their source."""
    if os.path.realpath(theirs.getFileName()) == os.path.realpath(ours.getFileName()):
        return False
    return of_other_import or theirs.getObjId() != ours.getObjId()


def _made_on(items: Any) -> List[Any]:
    """Return pointers to the micrographs that a set, or those that it was made of, was picked on.

    A joined set names those of the first of its sets alone.
    """
    maker, kind = items.getObjValue(), type(items.get())
    sources = [pointer for pointer in _inputs(maker) if type(pointer.get()) is kind]
    if sources:
        return [made_on for source in sources for made_on in _made_on(source)]
    coordinates = coordinates_of(items.get())
    made_on = None if coordinates is None else coordinates.getMicrographs(asPointer=True)
    return [] if made_on is None or made_on.get() is None else [made_on]


def _origins(pointer: Any) -> FrozenSet[int]:
    """Return the ids of the protocols that a set goes back to, such as imports; none if unknown."""
    waiting, seen, first = [pointer], set(), set()
    while waiting:
        maker = waiting.pop().getObjValue()
        if not isinstance(maker, Protocol) or maker.getObjId() in seen:
            continue
        seen.add(maker.getObjId())
        inputs = _inputs(maker)
        waiting += inputs
        if not inputs:
            first.add(int(maker.getObjId()))
    return frozenset(first)


def _inputs(maker: Any) -> List[Any]:
    """Return pointers to the sets that a protocol was given."""
    if not isinstance(maker, Protocol):
        return []
    return [pointer for _, pointer in maker.iterInputPointers() if isinstance(pointer.get(), EMSet)]
