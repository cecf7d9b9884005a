# SPDX-License-Identifier: GPL-3.0-or-later
"""What is worked out from all scores of a run: once, and again when the run has changed."""

from __future__ import annotations

import threading
import time
from typing import Callable, Generic, List, Optional, TypeVar

from ...runs.pick_run import PickRun

Value = TypeVar("Value")

# a run that is still picking has more scores by then
OLD_SECONDS = 60.0


class OfRun(Generic[Value]):
    """A value that takes seconds; used by several threads, of which one works and others wait."""

    def __init__(self, make: Callable[[PickRun], Value]) -> None:
        """Take the function that works it out."""
        self._make = make
        self._lock = threading.Lock()
        self._run: Optional[PickRun] = None
        self._kept: List[Value] = []
        self._since = 0.0

    def get(self, run: PickRun) -> Value:
        """Return the value; a run that has changed on the disk is another object."""
        with self._lock:
            is_old = not run.finished and time.monotonic() - self._since > OLD_SECONDS
            if run is not self._run or is_old:
                self._kept = [self._make(run)]
                self._run, self._since = run, time.monotonic()
            return self._kept[0]
