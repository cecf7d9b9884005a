# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading part of a file into memory, whatever disk it lies on.

Files are not mapped into memory: one that is cut while it is used would kill the process, and an
error of the disk would come at any moment instead of here.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
from pathlib import Path
from typing import List

# seconds without a single piece: a network disk whose server is gone answers never
PATIENCE = 60
_PIECE = 2**24


def read_part(path: Path, start: int, count: int) -> bytearray:
    """Read at most `count` bytes of a file from `start` on; fewer come out where it ends.

    Raises:
        TimeoutError: the disk does not answer.
        OSError: the file cannot be read, or is no ordinary file.
        MemoryError: there is too little memory for it.
    """
    reading = _Reading(path, start, count)
    # ends with the file: who waits for all threads of the process, as Scipion does, waits no longer
    threading.Thread(target=reading.run, daemon=True).start()
    silence, seen = 0, -1
    # counted in turns and not by the clock, so that a process that was halted may go on
    while not reading.ended.wait(1.0):
        silence = silence + 1 if reading.done == seen else 0
        seen = reading.done
        if silence >= PATIENCE:
            raise TimeoutError(errno.ETIMEDOUT, f"no answer for {PATIENCE} s", str(path))
    for error in reading.errors:
        raise error
    return reading.content


class _Reading:
    """What another thread reads, which may wait for ever."""

    def __init__(self, path: Path, start: int, count: int) -> None:
        self.path, self.start, self.count = path, start, count
        self.content = bytearray()
        self.errors: List[Exception] = []
        self.done = 0
        self.ended = threading.Event()

    def run(self) -> None:
        """Read, and note an error."""
        try:
            self._read()
        except (OSError, MemoryError) as error:
            self.errors.append(error)
        finally:
            self.ended.set()

    def _read(self) -> None:
        # a pipe is opened without waiting for somebody who writes into it
        file = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_NONBLOCK", 0))
        try:
            status = os.fstat(file)
            if stat.S_ISDIR(status.st_mode):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(self.path))
            if not stat.S_ISREG(status.st_mode):
                raise OSError(errno.EINVAL, "not a file", str(self.path))
            size = max(0, min(self.count, status.st_size - self.start))
            self.content = bytearray(size)
            os.lseek(file, self.start, os.SEEK_SET)
            with memoryview(self.content) as view:
                while self.done < size:
                    read = os.readv(file, [view[self.done : self.done + _PIECE]])
                    if not read:
                        break
                    self.done += read
            del self.content[self.done :]
        finally:
            os.close(file)
