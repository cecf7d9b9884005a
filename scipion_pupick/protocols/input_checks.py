# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks of what the forms are given, and the sentences that say what is wrong with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, List, Mapping, Optional

import numpy as np
from pwem.objects import EMSet, SetOfMicrographs

from ..assignment import left_out_text
from ..convert import count_coordinates, read_micrographs
from ..engine import Micrograph, MicrographError, WorkingScale, image_shape
from ..engine.micrographs.pixel_sizes import read_pixel_sizes, same_pixel_size
from ..namesakes import namesakes, namesakes_text
from ..particles import micrographs_of

# of a set, spread over it: headers are read while a form is open
HEADERS_READ = 25


def lacks_input(protocol: Any) -> bool:
    """Whether an input is missing that is needed: Scipion says so by itself."""
    # what another version of a form had is no parameter of this one
    pointers = [(n, p) for n, p in protocol.iterInputPointers() if protocol.getParam(n) is not None]
    return any(
        pointer.get() is None
        and protocol.evalParamCondition(name)
        and not protocol.getParam(name).allowsNull
        for name, pointer in pointers
    )


def input_ids(*pointers: Any) -> List[Optional[str]]:
    """Return the ids of what the form points to, so that a step is done again for other input."""
    return [pointer.getUniqueId() if pointer.hasValue() else None for pointer in pointers]


def empty_errors(*sets: Any) -> List[str]:
    """Say which of the input sets hold nothing, and never will."""
    return [
        f"The set {items.getObjLabel() or type(items).__name__} is empty."
        for items in sets
        if items is not None and items.getSize() == 0 and items.isStreamClosed()
    ]


def open_errors(*sets: Any) -> List[str]:
    """Say which of the input sets are still growing, for protocols that need them whole."""
    return [
        f"The set {items.getObjLabel() or type(items).__name__} is still being added to: "
        "schedule this protocol, so that it starts when the set is complete."
        for items in sets
        if items is not None and items.isStreamOpen()
    ]


def pixel_size_warnings(micrographs: SetOfMicrographs) -> List[str]:
    """Say that the headers of some micrographs contradict the pixel size of their set."""
    pixel_size = micrographs.getSamplingRate()
    present = read_micrographs(micrographs)
    chosen = np.linspace(0, len(present) - 1, min(len(present), HEADERS_READ)).astype(int)
    names = [present[i].getFileName() for i in chosen.tolist()]
    read = [Micrograph(Path(name), name, pixel_size) for name in names]
    text = read_pixel_sizes(read).contradiction()
    return [f"{text} It is set where the micrographs are imported."] if text else []


def diameter_errors(diameter: Optional[float], micrographs: SetOfMicrographs) -> List[str]:
    """Say why a diameter (Å) does not fit the first of the micrographs."""
    if diameter is None:
        return ["Give the diameter of the particle."]
    if not diameter > 0:
        return [f"The particle diameter is {diameter:g} Å: give a positive number."]
    first = micrographs.getFirstItem() if micrographs.getSize() else None
    if first is None:
        return []
    try:
        shape = image_shape(first.getFileName())
    except MicrographError:
        # that one is counted when it is worked on; the others may be all right
        return []
    try:
        WorkingScale(diameter).shape(shape, micrographs.getSamplingRate())
    except MicrographError as error:
        return [f"The diameter does not fit the micrographs: {error}."]
    return []


def coordinates_errors(coordinates: EMSet, micrographs: SetOfMicrographs, what: str) -> List[str]:
    """Say why coordinates cannot be those of particles in the micrographs."""
    ids_of_set = micrographs_of(coordinates)
    if ids_of_set is not None:
        theirs, ours = ids_of_set.getSamplingRate(), micrographs.getSamplingRate()
        if theirs and ours and not same_pixel_size(theirs, ours):
            return [
                f"The {what} were made on micrographs of {theirs:g} Å/px, the input micrographs "
                f"have {ours:g} Å/px: give the micrographs that they were made on."
            ]
    if coordinates.isStreamOpen() or micrographs.isStreamOpen() or not coordinates.getSize():
        return []
    counts = count_coordinates(coordinates, micrographs)
    if counts.unclear:
        return [
            f"Several input micrographs are called {counts.unclear[0]}, and the {what} do not tell "
            "which of them is meant, since they were made on another set: give the micrographs "
            f"that the {what} were made on, or pick after joining the sets of micrographs."
        ]
    if not counts.assigned:
        return [
            f"The {what} are of other micrographs (such as {next(iter(counts.left_out))}) than the "
            "input micrographs: give those that they were made on."
        ]
    return []


def coordinates_warnings(coordinates: Any, micrographs: Any, what: str) -> List[str]:
    """Say which coordinates are left out or may lie in other micrographs, of complete sets.

    Args:
        coordinates: pointer to them.
        micrographs: pointer to those that they are looked for in.
        what: the coordinates are, such as 'picks'.
    """
    items, present = coordinates.get(), micrographs.get()
    if items.isStreamOpen() or present.isStreamOpen():
        return []
    counts = count_coordinates(items, present)
    shared = namesakes_text(namesakes(coordinates, micrographs), what)
    return [text for text in (left_out_text(counts.left_out, counts.total, what), shared) if text]


def failure_lines(failures: Mapping[Any, str], total: int, shown: int = 5) -> List[str]:
    """Say in a summary which micrographs could not be used."""
    if not failures:
        return []
    reasons = list(failures.values())
    lines = [f"*{len(reasons)} of {total} micrographs could not be used*:"]
    lines += [f"  {reason}" for reason in reasons[:shown]]
    return lines + ([f"  and {len(reasons) - shown} more"] if len(reasons) > shown else [])
