# SPDX-License-Identifier: GPL-3.0-or-later
"""Progress that suits where it is read: a bar on a terminal, plain lines in a job's log."""

from __future__ import annotations

import logging
import sys
import time
from typing import Iterable, Iterator, TypeVar

from tqdm import tqdm

log = logging.getLogger(__name__)

Item = TypeVar("Item")

SECONDS_BETWEEN_LINES = 10.0


def track(items: Iterable[Item], total: int, what: str) -> Iterator[Item]:
    """Pass items on and show how many have passed.

    Args:
        items: to pass on.
        total: how many there will be.
        what: what is being counted, in the plural.
    """
    if sys.stderr.isatty():
        yield from tqdm(items, total=total, desc=what)
        return
    said = time.monotonic()
    for done, item in enumerate(items, 1):
        yield item
        if done == total or time.monotonic() - said > SECONDS_BETWEEN_LINES:
            log.info("%s: %d of %d", what, done, total)
            said = time.monotonic()
