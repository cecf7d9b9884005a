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
from typing import List, Sequence, Union

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
    (content,) = _read_in_thread([path], start, count)
    if isinstance(content, Exception):
        raise content
    return content


def read_starts(paths: Sequence[Path], count: int) -> List[Union[bytearray, OSError, MemoryError]]:
    """Read at most `count` bytes of the start of each of many files, or say what went wrong."""
    found: List[Union[bytearray, OSError, MemoryError]] = []
    while len(found) < len(paths):
        # after a file that the disk does not answer for, another thread goes on
        found += _read_in_thread(paths[len(found) :], 0, count)
    return found


def _read_in_thread(
    paths: Sequence[Path], start: int, count: int
) -> List[Union[bytearray, OSError, MemoryError]]:
    """Read part of files, the last of them the first that the disk does not answer for."""
    reading = _Reading(paths, start, count)
    # ends with the files: who waits for all threads of the process, as Scipion does, waits no
    # longer
    threading.Thread(target=reading.run, daemon=True).start()
    silence, seen = 0, (-1, -1)
    # counted in turns and not by the clock, so that a process that was halted may go on
    while not reading.ended.wait(1.0):
        progress = (len(reading.found), reading.done)
        silence = silence + 1 if progress == seen else 0
        seen = progress
        if silence >= PATIENCE:
            found = reading.found[: len(paths) - 1]
            path = paths[len(found)]
            return [*found, TimeoutError(errno.ETIMEDOUT, f"no answer for {PATIENCE} s", str(path))]
    return reading.found


class _Reading:
    """What another thread reads, which may wait for ever."""

    def __init__(self, paths: Sequence[Path], start: int, count: int) -> None:
        self.paths, self.start, self.count = paths, start, count
        self.found: List[Union[bytearray, OSError, MemoryError]] = []
        # bytes of the file that is being read
        self.done = 0
        self.ended = threading.Event()

    def run(self) -> None:
        """Read, and note errors."""
        try:
            for path in self.paths:
                try:
                    self.found.append(self._read(path))
                except (OSError, MemoryError) as error:
                    self.found.append(error)
        finally:
            self.ended.set()

    def _read(self, path: Path) -> bytearray:
        self.done = 0
        # a pipe is opened without waiting for somebody who writes into it
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_NONBLOCK", 0))
        try:
            status = os.fstat(file)
            if stat.S_ISDIR(status.st_mode):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
            if not stat.S_ISREG(status.st_mode):
                raise OSError(errno.EINVAL, "not a file", str(path))
            size = max(0, min(self.count, status.st_size - self.start))
            content = bytearray(size)
            os.lseek(file, self.start, os.SEEK_SET)
            with memoryview(content) as view:
                while self.done < size:
                    read = os.readv(file, [view[self.done : self.done + _PIECE]])
                    if not read:
                        break
                    self.done += read
            del content[self.done :]
            return content
        finally:
            os.close(file)
