# SPDX-License-Identifier: GPL-3.0-or-later
"""One owner of a folder, whatever becomes of the one before."""

import errno
import json
import os
import subprocess
import sys

import pytest

from scipion_pupick.engine.errors import UsageError
from scipion_pupick.engine.files import lock
from scipion_pupick.engine.files.lock import LOCK, only_owner

HOLD = (
    "import sys, time\n"
    "from pathlib import Path\n"
    "from scipion_pupick.engine.files.lock import only_owner\n"
    "with only_owner(Path(sys.argv[1]), 'a test'):\n"
    "    print('held', flush=True)\n"
    "    time.sleep(60)\n"
)


@pytest.fixture
def holder(tmp_path):
    """Another process that owns the folder."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, tmp_path], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"held\n"
    yield process
    process.kill()
    process.communicate()


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(lock, "BEAT_SECONDS", 0.05)
    monkeypatch.setattr(lock, "SILENCE_SECONDS", 0.5)


def no_flock(*arguments):
    raise OSError(errno.EOPNOTSUPP, "not supported")


def own_briefly(folder):
    with only_owner(folder, "another test"):
        pass


def left_by(folder, **changes):
    """The lock that a run on another computer has left."""
    owner = {"host": "far", "pid": 7, "since": "then", "work": "pupick pick", "system": "x"}
    text = json.dumps({**owner, "token": "t", **changes})
    (folder / LOCK).write_text(text, encoding="utf-8")


def test_the_second_is_refused_by_name(tmp_path, holder):
    with pytest.raises(UsageError, match=rf"in use by.*a test \(process {holder.pid} on"):
        own_briefly(tmp_path)
    assert (tmp_path / LOCK).exists()


def test_two_in_one_process_are_refused_too(tmp_path):
    with only_owner(tmp_path, "first"), pytest.raises(UsageError, match="in use by.*first"):
        own_briefly(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_left_after_the_block(tmp_path):
    for error in (None, ValueError, KeyboardInterrupt):
        try:
            with only_owner(tmp_path, "a test"):
                if error is not None:
                    raise error
        except (ValueError, KeyboardInterrupt):
            pass
        assert list(tmp_path.iterdir()) == []


def test_the_lock_of_a_killed_run_is_no_hindrance(tmp_path, holder):
    holder.kill()
    holder.wait()
    assert (tmp_path / LOCK).exists()
    with only_owner(tmp_path, "a test"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_run_on_another_computer_that_is_at_work_is_not_disturbed(tmp_path, impatient):
    code = "import os, sys, time\nwhile True:\n    os.utime(sys.argv[1])\n    time.sleep(0.02)"
    left_by(tmp_path)
    process = subprocess.Popen([sys.executable, "-c", code, tmp_path / LOCK])
    try:
        with pytest.raises(UsageError, match=r"pupick pick \(process 7 on far, since then\)"):
            own_briefly(tmp_path)
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("seconds_ago", [0, 1000])
def test_the_lock_of_a_run_killed_on_another_computer_is_taken_over(
    seconds_ago, tmp_path, impatient
):
    left_by(tmp_path)
    touched = (tmp_path / LOCK).stat().st_mtime - seconds_ago
    os.utime(tmp_path / LOCK, (touched, touched))
    with only_owner(tmp_path, "a test"):
        assert json.loads((tmp_path / LOCK).read_bytes())["work"] == "a test"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", ["", "{", "[]", "[" * 3000, '{"host": 1}', "\0" * 9])
def test_a_damaged_lock_is_no_hindrance(content, tmp_path):
    (tmp_path / LOCK).write_text(content, encoding="utf-8")
    with only_owner(tmp_path, "a test"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_without_flock_the_owner_in_the_file_counts(tmp_path, impatient, monkeypatch):
    monkeypatch.setattr(lock.fcntl, "flock", no_flock)
    with only_owner(tmp_path, "first"), pytest.raises(UsageError, match="in use by.*first"):
        own_briefly(tmp_path)
    assert list(tmp_path.iterdir()) == []
