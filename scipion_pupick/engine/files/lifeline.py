# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines from the process that has started this one, which ends when that is gone."""

from __future__ import annotations

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
