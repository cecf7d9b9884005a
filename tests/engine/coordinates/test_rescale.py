# SPDX-License-Identifier: GPL-3.0-or-later
"""Picks whose STAR file states another pixel size than that of the micrographs given."""

import re
from pathlib import Path

import mrcfile
import numpy as np
import pytest

from scipion_pupick.engine.coordinates import Coordinates, read_picks, write_picks_folder
from scipion_pupick.engine.coordinates.assign_picks import assign_to_micrographs
from scipion_pupick.engine.errors import UsageError
from scipion_pupick.engine.jobs.evaluate import evaluate
from scipion_pupick.engine.micrographs import find_micrographs

OPTICS = "data_optics\n\nloop_\n_rlnOpticsGroup\n_rlnMicrographPixelSize\n1 {}\n2 {}\n\n"
HEAD = "data_particles\n\nloop_\n_rlnMicrographName\n_rlnCoordinateX\n_rlnCoordinateY\n"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in "ab":
        with mrcfile.new(f"{name}.mrc") as file:
            file.set_data(np.zeros((100, 200), np.float32))
            file.voxel_size = 4.0
    return tmp_path


def assign(text, pixel_size=None):
    with open("picks.star", "w") as file:
        file.write(text)
    micrographs = find_micrographs(["a.mrc", "b.mrc"], pixel_size)
    picks = assign_to_micrographs(read_picks("picks.star"), micrographs, "picks")
    return {name: coordinates.xy.tolist() for name, coordinates in picks.items()}


def test_picks_of_unbinned_micrographs_are_converted(caplog):
    text = OPTICS.format(1.0, 4.01) + HEAD + "_rlnOpticsGroup\n"
    found = assign(text + "a.mrc 400 40 1\nb.mrc 40 4 2\na.mrc 80 8 1\n")
    assert found == {"a.mrc": [[100, 10], [20, 2]], "b.mrc": [[40, 4]]}
    (record,) = caplog.records
    assert "The picks of 1 micrographs, such as a.mrc, are of images with 1 Å/px" in caplog.text
    assert "has 4 Å/px. Their coordinates are converted." in record.getMessage()


def test_the_pixel_size_may_stand_in_the_row():
    found = assign(HEAD + "_rlnMicrographPixelSize\na.mrc 10 20 8.0\nb.mrc 10 20 <NA>\n")
    assert found == {"a.mrc": [[20, 40]], "b.mrc": [[10, 20]]}


def test_a_file_of_one_micrograph_may_state_it_too():
    picks = {"a": Coordinates([40.0], [8.0], [1.0], pixel_size=1.0), "b": Coordinates.empty()}
    files = write_picks_folder(picks, "picks", suffix="_autopick")
    columns = [re.findall("^_rln\\w+", file.read_text(), re.MULTILINE) for file in files.values()]
    assert columns[0] == columns[1]
    assert read_picks("picks")["a"].pixel_size == 1.0
    micrographs = find_micrographs(["a.mrc", "b.mrc"])
    found = assign_to_micrographs(read_picks("picks"), micrographs, "picks")
    assert found["a.mrc"].xy.tolist() == [[10, 2]]


@pytest.mark.parametrize(
    ("stated", "given", "x", "reason"),
    [
        (3.8, None, 100, "another calibration"),
        (0.88, 1.1, 100, ""),
        (8.0, None, 150, "they would then lie outside it"),
    ],
)
def test_when_picks_are_not_converted(stated, given, x, reason, caplog):
    found = assign(f"{HEAD}_rlnMicrographPixelSize\na.mrc {x} 20 {stated}\n", given)
    assert (found == {"a.mrc": [[x, 20]]}) == bool(reason)
    assert reason in caplog.text
    assert len(caplog.records) == 1


def test_a_doubtful_header_is_no_reason_to_convert(caplog):
    with mrcfile.open("a.mrc", mode="r+") as file:
        file.voxel_size = 1.0
    assert assign(HEAD + "_rlnMicrographPixelSize\na.mrc 100 20 4.0\n") == {"a.mrc": [[100, 20]]}
    assert "the micrograph's header may be wrong" in caplog.text


def test_origins_are_of_the_image_that_the_file_states_whatever_is_given(folder):
    text = HEAD + "_rlnMicrographPixelSize\n_rlnOriginXAngst\n_rlnOriginYAngst\n"
    path = Path("origins.star")
    path.write_text(text + "a.mrc 400 40 1.0 8 -4\n")
    micrographs = find_micrographs(["a.mrc"])
    for given in (None, 4.0):
        picks = assign_to_micrographs(read_picks(path, pixel_size=given), micrographs, "picks")
        assert {name: c.xy.tolist() for name, c in picks.items()} == {"a.mrc": [[98, 11]]}


def test_the_same_pixel_size_changes_nothing(caplog):
    text = HEAD + "_rlnMicrographPixelSize\na.mrc 100.25 20 4.0\n"
    assert assign(text) == {"a.mrc": [[100.25, 20]]}
    assert not caplog.records


def test_an_optics_group_that_the_file_does_not_have_is_named(folder):
    text = OPTICS.format(1.0, 4.0) + HEAD + "_rlnOpticsGroup\na.mrc 400 40 1\na.mrc 40 4 3\n"
    with pytest.raises(UsageError, match=r"picks\.star, line 17: optics group 3 is not in data_"):
        assign(text)


def test_optics_groups_written_as_decimals_are_the_same(folder):
    text = OPTICS.format(1.0, 4.0) + HEAD + "_rlnOpticsGroup\na.mrc 400 40 1.000000\n"
    assert assign(text) == {"a.mrc": [[100, 10]]}


def write_stated(path, pixel_size, *rows):
    lines = [f"{name} {x} {y} {pixel_size}" for name, x, y in rows]
    path.write_text(HEAD + "_rlnMicrographPixelSize\n" + "\n".join(lines) + "\n")
    return str(path)


def test_tables_of_one_micrograph_are_joined_in_the_pixels_of_the_first(folder, caplog):
    full = write_stated(folder / "1.star", 1.2, ("a.mrc", 400, 200), ("b.mrc", 40, 20))
    binned = write_stated(folder / "2.star", 4.8, ("a.mrc", 10, 20), ("c.mrc", 5, 6))
    calibrated = write_stated(folder / "3.star", 1.25, ("a.mrc", 7, 8))
    found = read_picks([full, binned, calibrated])
    assert {name: c.xy.tolist() for name, c in found.items()} == {
        "a.mrc": [[400, 200], [40, 80], [7, 8]],
        "b.mrc": [[40, 20]],
        "c.mrc": [[5, 6]],
    }
    (record,) = caplog.records
    assert "picks of 1 micrographs, such as a.mrc, are of images with 4.8 Å/px" in caplog.text
    assert "images with 1.2 Å/px. They are converted to these." in record.getMessage()


def test_picks_are_compared_in_the_pixels_of_the_reference(folder, caplog):
    places = [(40.0 * i, 30.0 * i) for i in range(1, 6)]
    reference = write_stated(folder / "true.star", 1.2, *[("m.mrc", x, y) for x, y in places])
    binned = [("m.mrc", x / 4, y / 4) for x, y in places]
    picks = write_stated(folder / "picks.star", 4.8, *binned)
    result = evaluate(read_picks(picks), read_picks(reference), tolerance=2.0)
    assert (result.picks, result.hits) == (5, 5)
    assert "They are converted to these." in caplog.text
    caplog.clear()
    result = evaluate(read_picks(reference), read_picks(reference), tolerance=2.0)
    assert (result.picks, result.hits) == (5, 5)
    assert not caplog.records


def test_a_stated_pixel_size_beside_none_is_said(folder, caplog):
    write_stated(folder / "1.star", 8.0, ("a.mrc", 40, 20))
    (folder / "2.csv").write_text("micrograph,x,y\na.mrc,7,8\nb.mrc,7,8\n")
    found = read_picks(["1.star", "2.csv"])
    assert found["a.mrc"].xy.tolist() == [[40, 20], [7, 8]]
    assert found["a.mrc"].pixel_size is None
    assert "Of 1 micrographs, such as a.mrc, a file of picks states 8 Å/px" in caplog.text
