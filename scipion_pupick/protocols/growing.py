# SPDX-License-Identifier: GPL-3.0-or-later
"""Protocols of one step that works while its input grows, and fills its output meanwhile."""

from __future__ import annotations

import time
from typing import Any, Iterator

from pwem.objects import EMSet

from ..convert import is_closed

# s between two looks at a growing set
SECONDS_BETWEEN_LOOKS = 3


def rounds(pointer: Any) -> Iterator[bool]:
    """Go on until the set that a form points to is complete.

    Yields:
        Whether it is: then this is the last round.
    """
    closed = False
    while not closed:
        closed = is_closed(pointer)
        yield closed
        if not closed:
            time.sleep(SECONDS_BETWEEN_LOOKS)


def started_anew(protocol: Any, name: str, make: Any) -> EMSet:
    """Return the output of a protocol, empty: the one that it has, or else a new one.

    Args:
        protocol: that the output is of.
        name: of the output.
        make: makes an empty set.
    """
    output = getattr(protocol, name, None)
    if output is None:
        return make()
    output.enableAppend()
    output.clear()
    return output


def publish(protocol: Any, name: str, output: EMSet, closed: bool) -> EMSet:
    """Let others see what an output holds, and return it ready for more."""
    state = EMSet.STREAM_CLOSED if closed else EMSet.STREAM_OPEN
    protocol._updateOutputSet(name, output, state)
    output = getattr(protocol, name)
    if not closed:
        output.enableAppend()
    return output
