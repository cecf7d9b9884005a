# SPDX-License-Identifier: GPL-3.0-or-later
"""What lies in a folder beside micrographs: lists, links that lead nowhere, other images."""

import os
from pathlib import Path

import pytest

from scipion_pupick.engine.errors import MicrographError, UsageError
from scipion_pupick.engine.micrographs import find_micrographs, read_image
from scipion_pupick.engine.micrographs.exposures import other_images


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def touch(*paths):
    for path in map(Path, paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def names(*sources):
    return [micrograph.name for micrograph in find_micrographs(sources)]


@pytest.mark.parametrize("source", ["mics", "mics/*.mrc"])
def test_a_link_that_leads_nowhere_is_listed_and_fails_when_it_is_read(source):
    touch("mics/a.mrc", "mics/ignored.txt", "mics/folder.mrc/b.mrc")
    os.symlink("/nonexistent/gone.mrc", "mics/gone.mrc")
    os.symlink("loop.mrc", "mics/loop.mrc")
    os.symlink("folder.mrc", "mics/link_to_folder.mrc")
    assert names(source) == ["mics/a.mrc", "mics/gone.mrc", "mics/loop.mrc"]
    for micrograph in find_micrographs([source])[1:]:
        with pytest.raises(MicrographError, match=micrograph.name):
            read_image(micrograph.path)


def test_a_link_that_leads_nowhere_may_be_given_itself():
    os.symlink("/nonexistent/gone.mrc", "gone.mrc")
    assert names("gone.mrc") == ["gone.mrc"]


@pytest.mark.parametrize(
    "text",
    [
        "mics/a.mrc\nmics/b c.mrc\n",
        "\ufeffmics/a.mrc\r\n\r\n# left out: mics/x.mrc\r\n  mics/b c.mrc  ",
        "image_name\tpath\na\tmics/a.mrc\nb\tmics/b c.mrc\n",
        "micrograph\tfile\tpixel_size\nmics/a.mrc\tmics/a.mrc\t\nb\tmics/b c.mrc\t1.5\n",
    ],
)
@pytest.mark.parametrize("file", ["list.txt", "list", "lists/deep.lst"])
def test_a_text_file_is_a_list(text, file):
    touch("mics/a.mrc", "mics/b c.mrc", file)
    Path(file).write_text(text, encoding="utf-8")
    assert names(file) == ["mics/a.mrc", "mics/b c.mrc"]


def test_a_list_in_the_folder_of_its_files():
    touch("mics/a.mrc")
    Path("mics/list.txt").write_text("a.mrc\nmissing.mrc\n")
    found = find_micrographs(["mics/list.txt"])
    assert [m.name for m in found] == ["a.mrc", "missing.mrc"]
    assert found[0].path.is_file()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("x.mrc\n", "none of its 1 micrographs exists, such as 'x.mrc'"),
        ("# nothing\n", "names no micrograph"),
        ("image_name\tpath\n", "names no micrograph"),
        ("a.mrc\n" * 1000 + "\0", "it has zero bytes"),
        ("Dear all,\nhere are the data.\n", "a list with the path of a micrograph in each line"),
        ("é\n".encode("latin-1") + b"x.mrc\n", "not a text file in UTF-8"),
    ],
)
def test_a_text_that_is_no_list_is_refused(text, reason):
    Path("list.txt").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UsageError, match=reason):
        find_micrographs(["list.txt"])


def test_a_damaged_image_is_no_list():
    Path("a.mrc").write_text("a.mrc\n")
    assert names("a.mrc") == ["a.mrc"]
    Path("image").write_bytes(bytes(100))
    assert names("image") == ["image"]


@pytest.mark.parametrize("source", ["Movies", "Movies/*.mrc"])
def test_of_relions_images_of_an_exposure_the_micrograph_is_taken(source, caplog):
    touch(*(f"Movies/{name}.mrc" for name in ("a", "a_noDW", "a_PS", "b", "c_noDW", "c_PS", "ps")))
    assert names(source) == ["Movies/a.mrc", "Movies/b.mrc", "Movies/c_noDW.mrc", "Movies/ps.mrc"]
    assert "3 other images of the same exposures, such as Movies/a_PS.mrc" in caplog.text


def test_of_motioncors_sums_the_dose_weighted_is_taken():
    paths = ["f/a.mrc", "f/a_DW.mrc", "f/a_DWS.mrc", "g/a.mrc", "f/b_EVN.mrc", "f/b_ODD.mrc"]
    assert other_images(paths) == {"f/a.mrc", "f/a_DWS.mrc"}


def test_files_given_one_by_one_are_taken_with_a_warning(caplog):
    touch("a.mrc", "a_PS.mrc")
    assert names("a.mrc", "a_PS.mrc") == ["a.mrc", "a_PS.mrc"]
    assert "1 of the files, such as a_PS.mrc" in caplog.text


def test_a_list_may_name_other_images(caplog):
    touch("a.mrc", "a_PS.mrc")
    Path("list.txt").write_text("a.mrc\na_PS.mrc\n")
    assert names("list.txt") == ["a.mrc", "a_PS.mrc"]
    assert not caplog.records
