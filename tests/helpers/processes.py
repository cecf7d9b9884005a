# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes of the system, and waiting for what they do."""

from __future__ import annotations

import time
from pathlib import Path


def children_of(pid):
    """Return the numbers of the processes that a process has started and that are still there."""
    found = []
    for tasks in Path(f"/proc/{pid}/task").glob("*/children"):
        found += [int(number) for number in tasks.read_text().split()]
    return found


def wait_until(condition, seconds):
    """Wait until something holds, at most so many seconds; return whether it does."""
    until = time.monotonic() + seconds
    while not condition() and time.monotonic() < until:
        time.sleep(0.02)
    return condition()
