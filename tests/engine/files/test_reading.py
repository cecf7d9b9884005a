# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading part of a file, from disks good and bad."""

import errno
import os
import threading

import pytest

from scipion_pupick.engine.files import reading
from scipion_pupick.engine.files.reading import read_part


@pytest.mark.parametrize(
    ("start", "count", "expected"),
    [(0, 4, b"0123"), (2, 3, b"234"), (8, 9, b"89"), (10, 1, b""), (99, 1, b""), (0, 0, b"")],
)
@pytest.mark.parametrize("piece", [1, 3, 100])
def test_the_part_comes_out(start, count, expected, piece, tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "_PIECE", piece)
    (tmp_path / "file").write_bytes(b"0123456789")
    assert read_part(tmp_path / "file", start, count) == expected


def test_no_thread_is_left(tmp_path):
    """Scipion waits at the end of a run for all threads of its process."""
    path = tmp_path / "a.bin"
    path.write_bytes(bytes(9))
    before = set(threading.enumerate())
    read_part(path, 0, 9)
    for thread in set(threading.enumerate()) - before:
        thread.join(timeout=10)
        assert not thread.is_alive()


def test_a_file_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_part(tmp_path / "file", 0, 1)


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="not a file"):
        read_part(tmp_path / "pipe", 0, 1)


@pytest.mark.parametrize("error", [OSError(errno.EIO, "bad sector"), MemoryError("full")])
def test_what_goes_wrong_is_raised(error, tmp_path, monkeypatch):
    def fail(*arguments):
        raise error

    (tmp_path / "file").write_bytes(b"0")
    monkeypatch.setattr(reading.os, "readv", fail)
    with pytest.raises(type(error), match=r"bad sector|full"):
        read_part(tmp_path / "file", 0, 1)


def test_a_disk_that_does_not_answer_is_given_up(tmp_path, monkeypatch):
    answer = threading.Event()
    (tmp_path / "file").write_bytes(b"0")
    monkeypatch.setattr(reading.os, "readv", lambda *arguments: answer.wait(60) and 0)
    monkeypatch.setattr(reading, "PATIENCE", 2)
    try:
        with pytest.raises(TimeoutError, match="no answer for 2 s"):
            read_part(tmp_path / "file", 0, 1)
    finally:
        answer.set()
