# SPDX-License-Identifier: GPL-3.0-or-later
"""What is said of the pixel sizes of micrographs, and what is doubted."""

import logging

import mrcfile
import numpy as np
import pytest

from scipion_pupick.engine.errors import UsageError
from scipion_pupick.engine.micrographs import (
    find_micrographs,
    pixel_size_of,
    say_pixel_sizes,
)
from scipion_pupick.engine.micrographs.pixel_sizes import same_pixel_size
from scipion_pupick.engine.runs.lists import read_micrographs, write_micrographs


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    caplog.set_level(logging.INFO)
    return tmp_path


def make(name, pixel_size, shape=(8, 8)):
    with mrcfile.new(name) as file:
        file.set_data(np.zeros(shape, np.float32))
        file.voxel_size = pixel_size


def make_star(pixel_size, *names):
    rows = "".join(f"{name} {pixel_size}\n" for name in names)
    with open("mics.star", "w") as file:
        file.write(f"data_\n\nloop_\n_rlnMicrographName\n_rlnMicrographPixelSize\n{rows}")


def said(caplog, sources, pixel_size=None):
    sizes = say_pixel_sizes(find_micrographs(sources, pixel_size))
    return sizes, caplog.text


def warnings(caplog):
    return [record.getMessage() for record in caplog.records if record.levelno > logging.INFO]


def test_the_pixel_size_and_its_source_are_said(caplog):
    make("a.mrc", 1.77)
    sizes, text = said(caplog, ["a.mrc"])
    assert "Pixel size: 1.77 Å/px, from the header." in text
    assert sizes.record() == [{"pixel_size": 1.77, "from": "header", "micrographs": 1}]
    make_star(1.77, "a.mrc")
    assert "Pixel size: 1.77 Å/px, from the STAR file." in said(caplog, ["mics.star"])[1]
    assert "Pixel size: 1.77 Å/px, as given." in said(caplog, ["a.mrc"], 1.77)[1]
    assert not warnings(caplog)


def test_a_header_of_exactly_one_is_doubted_unless_another_is_given(caplog):
    make("a.mrc", 1.0)
    assert "exactly 1 Å/px is also what programs write" in said(caplog, ["a.mrc"])[1]
    caplog.clear()
    assert said(caplog, ["a.mrc"], 0.83)[0].groups() == [(0.83, "given", 1)]
    assert not warnings(caplog)


@pytest.mark.parametrize(
    ("pixel_size", "shape", "doubted"),
    [
        (0.177, (64, 64), True),
        (0.4, (512, 512), True),
        (0.4, (64, 4096), False),
        (0.83, (64, 64), False),
    ],
)
def test_a_cell_in_nm_is_doubted(caplog, pixel_size, shape, doubted):
    make("a.mrc", pixel_size, shape)
    assert ("written in nm" in said(caplog, ["a.mrc"])[1]) == doubted


@pytest.mark.parametrize("given", [None, 2.0])
def test_a_header_that_says_something_else_is_named(caplog, given):
    make("a.mrc", 4.0)
    make_star(2.0, "a.mrc")
    sizes, _ = said(caplog, ["mics.star"], given)
    (warning,) = warnings(caplog)
    assert "The header of 1 micrographs, such as a.mrc, says 4 Å/px; 2 Å/px" in warning
    assert sizes.groups() == [(2.0, "STAR file" if given is None else "given", 1)]


def test_a_star_file_that_says_something_else_than_what_is_given(caplog):
    make("a.mrc", 4.0)
    make_star(2.0, "a.mrc")
    said(caplog, ["mics.star"], 4.0)
    (warning,) = warnings(caplog)
    assert "The STAR file has 2 Å/px for 1 micrographs, such as a.mrc: 4 Å/px as given" in warning


def test_a_micrograph_unlike_the_others_is_named(caplog):
    for name, pixel_size in (("a", 1.77), ("b", 1.77), ("c", 3.54), ("d", 1.7701)):
        make(f"{name}.mrc", pixel_size)
    said(caplog, ["."])
    (warning,) = warnings(caplog)
    assert "1 of 4 micrographs, such as c.mrc with 3.54 Å/px" in warning
    assert "1.77 Å/px from the header (3 micrographs)" in caplog.text


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [(8.0, 8.02, True), (0.885, 0.8933, True), (1.77, 1.79, False), (3.54, 7.08, False)],
)
def test_pixel_sizes_are_the_same_where_rounding_tells_them_apart(first, second, same):
    assert same_pixel_size(first, second) == same
    assert same_pixel_size(second, first) == same


def test_what_cannot_be_read_has_no_pixel_size(caplog):
    make("a.mrc", 0)
    with open("b.mrc", "w") as file:
        file.write("nonsense")
    micrographs = find_micrographs(["a.mrc", "b.mrc", "a.mrc"])
    assert [pixel_size_of(micrograph) for micrograph in micrographs] == [None, None]
    assert say_pixel_sizes(micrographs).groups() == []
    assert not caplog.records


def test_a_run_keeps_pixel_sizes_and_where_they_come_from(folder):
    make("a.mrc", 1.77)
    make("b.mrc", 4.0)
    make("c.mrc", 0.0)
    make_star(2.0, "b.mrc")
    micrographs = find_micrographs(["a.mrc", "mics.star", "c.mrc"])
    write_micrographs(micrographs, folder)
    rows = [line.split("\t")[2:] for line in (folder / "micrographs.tsv").read_text().splitlines()]
    sizes = [["1.77", "header"], ["2.0", "STAR file"], ["", ""]]
    assert [[f"{float(s):.6g}" if s[:1] == "1" else s, f] for s, f in rows[1:]] == sizes
    kept = read_micrographs(folder)
    assert [m.pixel_size for m in kept] == [None, 2.0, None]
    assert [m.pixel_size_from for m in kept] == ["", "STAR file", ""]


def test_the_list_of_a_run_gives_the_pixel_sizes_that_were_stated(folder, caplog):
    for name in "abc":
        make(f"{name}.mrc", 1.77)
    make_star(2.0, "b.mrc", "gone.mrc")
    given = find_micrographs(["c.mrc"], 3.0)
    write_micrographs([*find_micrographs(["a.mrc", "mics.star"]), *given], folder)
    # that it could not be read then does not make its pixel size another
    make("gone.mrc", 1.77)
    found = find_micrographs(["micrographs.tsv"])
    assert [m.path.name for m in found] == ["a.mrc", "b.mrc", "gone.mrc", "c.mrc"]
    assert [m.pixel_size for m in found] == [None, 2.0, 2.0, 3.0]
    assert [m.pixel_size_from for m in found] == ["", "STAR file", "STAR file", "given"]
    say_pixel_sizes(found)
    assert (
        "2 Å/px from the STAR file (2 micrographs), 1.77 Å/px from the header (1 m" in caplog.text
    )
    # what is given counts more, and whoever writes a list of their own states nothing
    (one,) = {m.pixel_size for m in find_micrographs(["micrographs.tsv"], 4.0)}
    assert one == 4.0
    assert "The STAR file has 2 Å/px for 3 micrographs, such as" in caplog.text
    write_micrographs(given, folder)
    find_micrographs(["micrographs.tsv"], 4.0)
    assert "The list has 3 Å/px for 1 micrographs, such as" in caplog.text
    (folder / "own.tsv").write_text("file\tpixel_size\na.mrc\t9\n")
    assert [m.pixel_size for m in find_micrographs(["own.tsv"])] == [None]


@pytest.mark.parametrize("text", ["nine", "-1", "nan"])
def test_a_pixel_size_in_the_list_of_a_run_that_is_none_is_damage(folder, text):
    make("a.mrc", 1.77)
    (folder / "run.tsv").write_text(f"micrograph\tfile\tpixel_size\na\ta.mrc\t{text}\n")
    with pytest.raises(UsageError, match="run.tsv is damaged"):
        find_micrographs(["run.tsv"])


def test_the_list_of_version_01_is_read(folder):
    text = "micrograph\tfile\tpixel_size\na.mrc\t/f/a.mrc\t\nb.mrc\t/f/b.mrc\t1.5\n"
    (folder / "micrographs.tsv").write_text(text)
    assert [m.pixel_size for m in read_micrographs(folder)] == [None, 1.5]
    make("a.mrc", 1.77)
    (folder / "micrographs.tsv").write_text(text.replace("/f/", ""))
    found = find_micrographs(["micrographs.tsv"])
    assert [m.pixel_size for m in found] == [None, 1.5]
