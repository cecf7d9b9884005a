# SPDX-License-Identifier: GPL-3.0-or-later
"""Progress on a terminal and in a log."""

import io
import logging
import os
import select
import struct
from types import SimpleNamespace

import pytest

from scipion_pupick.engine.files import progress
from scipion_pupick.engine.files.progress import track

fcntl, pty, termios = (pytest.importorskip(name) for name in ("fcntl", "pty", "termios"))


@pytest.fixture
def log(caplog, monkeypatch):
    """What is logged where standard error is no terminal."""
    monkeypatch.setattr("sys.stderr", io.StringIO())
    caplog.set_level(logging.INFO)
    return caplog


def test_a_log_gets_the_last_line_at_least(log):
    assert list(track(iter("abc"), 3, "micrographs")) == ["a", "b", "c"]
    assert log.messages == ["micrographs: 3 of 3"]


def test_a_log_gets_a_line_every_few_seconds(log, monkeypatch):
    seconds = iter(range(0, 1000, 4))
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: next(seconds)))
    assert len(list(track(range(9), 9, "epochs"))) == 9
    done = [int(message.split()[1]) for message in log.messages]
    assert done[-1] == 9
    assert 3 <= len(done) <= 4


def test_an_item_counts_only_once_it_is_worked_on(log, monkeypatch):
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", -1.0)
    for item in track(range(3), 3, "tiles"):
        assert len(log.messages) == item
    assert log.messages == ["tiles: 1 of 3", "tiles: 2 of 3", "tiles: 3 of 3"]


def test_nothing_to_do_says_nothing(log):
    assert list(track([], 0, "micrographs")) == []
    assert log.messages == []


def test_items_are_taken_one_at_a_time():
    taken = []
    for number in track((taken.append(i) or i for i in range(5)), 5, "micrographs"):
        assert taken == list(range(number + 1))


def test_the_error_of_an_item_is_raised(log):
    def items():
        yield 1
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        list(track(items(), 2, "micrographs"))
    assert log.messages == []


def test_a_terminal_gets_a_bar(caplog, monkeypatch):
    reader, writer = pty.openpty()
    fcntl.ioctl(writer, termios.TIOCSWINSZ, struct.pack("4H", 24, 80, 0, 0))
    caplog.set_level(logging.INFO)
    with os.fdopen(writer, "w") as terminal:
        monkeypatch.setattr("sys.stderr", terminal)
        assert list(track(range(7), 7, "micrographs")) == list(range(7))
        terminal.flush()
        shown = ""
        # what was written may come in several pieces
        while "7/7" not in shown and select.select([reader], [], [], 10)[0]:
            shown += os.read(reader, 10000).decode()
    os.close(reader)
    assert "micrographs" in shown
    assert "7/7" in shown
    assert caplog.messages == []
