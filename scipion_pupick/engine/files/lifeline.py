# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes that end when the one that has started them is gone."""

from __future__ import annotations

import multiprocessing
import os
import queue
import sys
import threading
from typing import Iterator


def lines_of_parent() -> Iterator[str]:
    """Yield the lines that come in on the standard input, for as long as somebody can send any.

    When it closes, this process ends at once, whatever it is at: whoever started it has no use for
    it, or is gone.
    """
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(lines,), daemon=True).start()
    while True:
        yield lines.get()


def _listen(lines: queue.SimpleQueue[str]) -> None:
    for line in sys.stdin:
        lines.put(line)
    os._exit(1)


def end_with_parent() -> None:
    """Have this process, which `multiprocessing` has started, end at once when its parent is gone.

    A parent that is killed cannot tell its processes, which would wait for work for ever.
    """
    threading.Thread(target=_wait_for_parent, daemon=True).start()


def _wait_for_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
