# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that appear whole or not at all."""

import os
import stat
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from scipion_pupick.engine.errors import UsageError
from scipion_pupick.engine.files.atomic import (
    atomic_write,
    make_folder,
    remove_leftovers,
    write_text,
)

resource = pytest.importorskip("resource")


@contextmanager
def umask(mask):
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


@contextmanager
def no_file_longer_than(size):
    """What a full disk does: writing goes well up to a point, and then fails."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_file_appears_when_the_block_ends(tmp_path):
    path = tmp_path / "picks.star"
    with atomic_write(path) as temporary:
        temporary.write_bytes(b"data")
        assert not path.exists()
        assert temporary.parent == tmp_path
        assert temporary.suffix == ".star"
    assert contents(tmp_path) == {"picks.star": b"data"}


def test_an_old_file_stays_until_the_block_ends(tmp_path):
    path = tmp_path / "picks.star"
    path.write_bytes(b"old")
    with atomic_write(path) as temporary:
        temporary.write_bytes(b"new")
        assert path.read_bytes() == b"old"
    assert contents(tmp_path) == {"picks.star": b"new"}


def test_missing_folders_are_made(tmp_path):
    write_text(tmp_path / "a" / "b" / "c.txt", "text")
    assert contents(tmp_path / "a" / "b") == {"c.txt": b"text"}


@pytest.mark.parametrize("kind", [str, Path])
def test_a_path_may_be_relative_and_a_string(tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)
    write_text(kind("here.txt"), "text")
    assert contents(tmp_path) == {"here.txt": b"text"}


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("old", [{}, {"picks.star": b"old"}])
def test_a_failure_leaves_nothing_behind_and_the_old_file_untouched(tmp_path, error, old):
    for name, content in old.items():
        (tmp_path / name).write_bytes(content)

    def write_half():
        with atomic_write(tmp_path / "picks.star") as temporary:
            temporary.write_bytes(b"half")
            raise error("stopped")

    with pytest.raises(error, match="stopped"):
        write_half()
    assert contents(tmp_path) == old


@pytest.mark.parametrize("old", [{}, {"picks.star": b"old"}])
def test_a_full_disk_leaves_nothing_behind_and_the_old_file_untouched(tmp_path, old):
    for name, content in old.items():
        (tmp_path / name).write_bytes(content)
    with no_file_longer_than(4096), pytest.raises(OSError, match="File too large"):
        write_text(tmp_path / "picks.star", "x" * 100_000)
    assert contents(tmp_path) == old
    write_text(tmp_path / "picks.star", "x" * 100_000)
    assert len(contents(tmp_path)["picks.star"]) == 100_000


def test_a_full_disk_is_told_with_the_name_of_the_file(tmp_path):
    with no_file_longer_than(4096), pytest.raises(OSError, match="picks.star") as caught:
        write_text(tmp_path / "picks.star", "x" * 100_000)
    assert caught.value.filename == str(tmp_path / "picks.star")


def test_another_file_that_fails_keeps_its_name(tmp_path):
    def copy_what_is_missing():
        with atomic_write(tmp_path / "copy") as temporary:
            temporary.write_bytes((tmp_path / "missing").read_bytes())

    with pytest.raises(FileNotFoundError, match="missing") as caught:
        copy_what_is_missing()
    assert str(caught.value.filename) == str(tmp_path / "missing")
    assert contents(tmp_path) == {}


def test_a_killed_process_leaves_the_old_file_untouched(tmp_path):
    path = tmp_path / "picks.star"
    path.write_bytes(b"old")
    code = (
        "import os, signal, sys\n"
        "from scipion_pupick.engine.files.atomic import atomic_write\n"
        "with atomic_write(sys.argv[1]) as temporary:\n"
        "    temporary.write_text('half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, path], check=False)
    assert done.returncode == -9
    assert path.read_bytes() == b"old"


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_permissions_follow_the_umask(tmp_path, mask):
    with umask(mask):
        write_text(tmp_path / "ours", "text")
        (tmp_path / "usual").write_text("text", encoding="utf-8")
        assert os.umask(mask) == mask
    ours, usual = (stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("ours", "usual"))
    assert ours == usual == 0o666 & ~mask


def test_a_folder_in_the_way_is_left_alone(tmp_path):
    (tmp_path / "picks").mkdir()
    with pytest.raises(OSError, match="picks"):
        write_text(tmp_path / "picks", "text")
    assert [path.name for path in tmp_path.iterdir()] == ["picks"]
    assert contents(tmp_path / "picks") == {}


def test_a_file_in_place_of_a_folder_is_an_error(tmp_path):
    (tmp_path / "file").write_text("text", encoding="utf-8")
    with pytest.raises(OSError, match="file"):
        write_text(tmp_path / "file" / "picks.star", "text")


@pytest.mark.parametrize("stem", ["m" * 250, "粒" * 83])
def test_a_name_as_long_as_the_system_allows(stem, tmp_path):
    name = f"{stem}.star"
    write_text(tmp_path / name, "text")
    assert contents(tmp_path) == {name: b"text"}


def test_text_is_written_as_utf8(tmp_path):
    write_text(tmp_path / "text", "5 Å\n")
    assert (tmp_path / "text").read_bytes() == b"5 \xc3\x85\n"


def test_a_folder_is_made_with_its_parents_or_left_as_it_is(tmp_path):
    make_folder(tmp_path / "a" / "b")
    write_text(tmp_path / "a" / "b" / "text", "5")
    make_folder(str(tmp_path / "a" / "b"))
    assert contents(tmp_path / "a" / "b") == {"text": b"5"}


@pytest.mark.parametrize("below", ["", "deeper"])
def test_a_file_in_the_place_of_a_folder_is_refused(tmp_path, below):
    write_text(tmp_path / "taken", "5")
    with pytest.raises(UsageError, match="taken.*a file is in the place of this folder"):
        make_folder(tmp_path / "taken" / below)
    assert contents(tmp_path) == {"taken": b"5"}


def test_a_link_is_followed(tmp_path):
    (tmp_path / "target").write_text("old", encoding="utf-8")
    (tmp_path / "link").symlink_to("target")
    (tmp_path / "second").symlink_to(tmp_path / "link")
    write_text(tmp_path / "second", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_text(encoding="utf-8") == "new"


def test_a_link_to_what_is_not_there_yet_is_followed(tmp_path):
    (tmp_path / "link").symlink_to("folder/target")
    write_text(tmp_path / "link", "new")
    assert (tmp_path / "folder" / "target").read_text(encoding="utf-8") == "new"


def test_a_link_to_itself_is_an_error(tmp_path):
    (tmp_path / "link").symlink_to("link")
    with pytest.raises(OSError, match="link"):
        write_text(tmp_path / "link", "text")
    assert (tmp_path / "link").is_symlink()


def test_a_pipe_is_written_to(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    reader = subprocess.Popen(["cat", tmp_path / "pipe"], stdout=subprocess.PIPE)
    write_text(tmp_path / "pipe", "text")
    assert reader.communicate()[0] == b"text"
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "link"])
def test_standard_output_is_written_to_even_where_it_is_a_file(name, tmp_path):
    code = "import sys; from scipion_pupick.engine import write_text; write_text(sys.argv[1], 'b')"
    (tmp_path / "link").symlink_to("/dev/stdout")
    (tmp_path / "out").write_text("a", encoding="utf-8")
    with (tmp_path / "out").open("ab") as out:
        subprocess.run([sys.executable, "-c", code, tmp_path / name], stdout=out, check=True)
    assert contents(tmp_path)["out"] == b"ab"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "out"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no such device on this system")
def test_a_full_device_is_an_error_that_names_it():
    with pytest.raises(OSError, match="/dev/full") as caught:
        write_text("/dev/full", "text")
    assert caught.value.filename == "/dev/full"


def test_a_file_that_holds_the_text_already_is_left_alone(tmp_path):
    write_text(tmp_path / "text", "5 Å")
    os.utime(tmp_path / "text", (1, 1))
    write_text(tmp_path / "text", "5 Å")
    assert (tmp_path / "text").stat().st_mtime == 1
    write_text(tmp_path / "text", "6 Å")
    assert (tmp_path / "text").stat().st_mtime > 1


def test_a_name_that_is_no_valid_text_is_written_as_its_bytes(tmp_path):
    write_text(tmp_path / "names", os.fsdecode(b"m\xff.mrc"))
    assert contents(tmp_path) == {"names": b"m\xff.mrc"}


def test_only_temporary_files_of_killed_writers_are_removed(tmp_path):
    code = (
        "import os, signal, sys\n"
        "from scipion_pupick.engine.files.atomic import atomic_write\n"
        "with atomic_write(sys.argv[1]) as temporary:\n"
        "    temporary.write_text('half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    others = {".hidden": b"", ".m.0123.star": b"", "m.0123456789abcdef0123456789abcdef.star": b""}
    for name, content in others.items():
        (tmp_path / name).write_bytes(content)
    for name in ("picks.star", "no_extension", "a.b.star", "deeper/m.star"):
        subprocess.run([sys.executable, "-c", code, tmp_path / name], check=False)
    assert len(list(tmp_path.iterdir())) == len(others) + 4
    remove_leftovers(tmp_path)
    assert len(list((tmp_path / "deeper").iterdir())) == 1
    remove_leftovers(tmp_path, recursively=True)
    assert list((tmp_path / "deeper").iterdir()) == []
    (tmp_path / "deeper").rmdir()
    assert contents(tmp_path) == others
