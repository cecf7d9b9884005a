# SPDX-License-Identifier: GPL-3.0-or-later
"""What is written comes back as it was, and other programs find what they look for."""

import re
import string

import mrcfile
import numpy as np
import pandas as pd
import pytest
import starfile
from hypothesis import given
from hypothesis import strategies as st

from scipion_pupick.engine.coordinates import (
    FORMATS,
    Coordinates,
    convert,
    read_picks,
    write_picks,
    write_picks_folder,
)
from scipion_pupick.engine.errors import UsageError
from scipion_pupick.engine.files.star import star_text
from scipion_pupick.engine.micrographs.cryosparc import Exposure

TABLES = {"star": "p.star", "topaz": "p.txt", "csv": "p.csv"}
SINGLE = {"box": "m.box", "cbox": "m.cbox"}
SCORED = {"star", "topaz", "csv", "cbox", "eman2", "cs", "cs-from-last-row"}

pixels = st.floats(-500, 100_000, allow_nan=False).map(lambda value: float(f"{value:.4f}"))
scores = st.floats(width=32, allow_nan=False, allow_infinity=False) | st.just(float("nan"))
rows = st.lists(st.tuples(pixels, pixels, scores), max_size=6).map(
    lambda picks: Coordinates(*np.array(picks, dtype=np.float64).reshape(-1, 3).T)
)
names = st.text(string.ascii_letters + string.digits + "_-. /é%&@()", min_size=1, max_size=20)
some_picks = st.dictionaries(names, rows, max_size=4)


def without_reserved(picks):
    """Leave out scores and names that RELION and starfile have another meaning for."""
    return {
        name: Coordinates(c.x, c.y, np.where(c.score == -999, 0, c.score))
        for name, c in picks.items()
        if name.lower() not in ("nan", "none")
    }


def assert_same_rows(got, expected, with_scores=True):
    np.testing.assert_allclose(got.x, expected.x, rtol=0, atol=1e-3)
    np.testing.assert_allclose(got.y, expected.y, rtol=0, atol=1e-3)
    wanted = expected.score if with_scores else np.full(len(expected), np.nan)
    np.testing.assert_array_equal(got.score.astype(np.float32), wanted.astype(np.float32))


def exposures_of(picks, shape=(3000, 4000)):
    return {name: Exposure.of_file(name, shape) for name in picks}


def three_micrographs():
    return {
        "/data/day1/mic.mrc": Coordinates([1.25, 2000.9], [3.5, 4], [0.5, -7]),
        "day2/mic.mrc": Coordinates.unscored([10], [20]),
        "day2/none.mrc": Coordinates.empty(),
    }


# ---------------------------------------------------------------- round trips


@pytest.mark.parametrize("format", TABLES)
@given(some_picks)
def test_table_comes_back(tmp_path_factory, format, picks):
    picks = without_reserved(picks)
    path = tmp_path_factory.mktemp("t") / TABLES[format]
    write_picks(picks, path)
    got = read_picks(path)
    assert list(got) == [name for name, coordinates in picks.items() if len(coordinates)]
    for name, coordinates in got.items():
        assert_same_rows(coordinates, picks[name])


@pytest.mark.parametrize("format", SINGLE)
@given(rows, st.floats(1, 2000))
def test_boxes_come_back(tmp_path_factory, format, coordinates, box_size):
    path = tmp_path_factory.mktemp("t") / SINGLE[format]
    write_picks({"any": coordinates}, path, box_size=box_size)
    assert_same_rows(read_picks(path)["m"], coordinates, with_scores=format in SCORED)


@pytest.mark.parametrize("format", FORMATS)
def test_one_file_a_micrograph_comes_back(tmp_path, format):
    picks = three_micrographs()
    files = write_picks_folder(picks, tmp_path, format, "_pupick", 33, exposures_of(picks))
    assert list(files) == list(picks)
    got = read_picks(tmp_path, format)
    if format in ("topaz", "csv", "cs", "cs-from-last-row"):
        assert set(got) == {"/data/day1/mic.mrc", "day2/mic.mrc"}
    else:
        assert set(got) == {"data/day1/mic", "day2/mic", "day2/none"}
    for name, coordinates in got.items():
        original = picks.get(name, picks.get(f"{name}.mrc", picks.get(f"/{name}.mrc")))
        assert_same_rows(coordinates, original, with_scores=format in SCORED)


@pytest.mark.parametrize("format", TABLES)
def test_no_picks_give_a_header_and_no_row(tmp_path, format):
    for picks in ({}, {"a.mrc": Coordinates.empty()}):
        path = tmp_path / TABLES[format]
        write_picks(picks, path)
        assert path.stat().st_size > 0
        assert read_picks(path) == {}


def test_no_boxes(tmp_path):
    for format, name in SINGLE.items():
        write_picks({}, tmp_path / name, box_size=10)
        assert len(read_picks(tmp_path / name, format)["m"]) == 0


# ---------------------------------------------------------------- what stands in the files


def test_star_table_is_what_relion_looks_for(tmp_path):
    write_picks(three_micrographs(), tmp_path / "p.star")
    text = (tmp_path / "p.star").read_text()
    assert text.startswith("\n# version 30001\n\ndata_particles\n\nloop_\n_rlnCoordinateX #1\n")
    table = starfile.read(tmp_path / "p.star")
    assert table["rlnMicrographName"].tolist() == ["/data/day1/mic.mrc"] * 2 + ["day2/mic.mrc"]
    assert table["rlnCoordinateX"].tolist() == [1.25, 2000.9, 10]
    assert table["rlnCoordinateY"].tolist() == [3.5, 4, 20]
    assert table["rlnAutopickFigureOfMerit"].tolist() == [0.5, -7, -999]
    assert table["rlnClassNumber"].tolist() == [0, 0, 0]
    assert table["rlnAnglePsi"].tolist() == [0, 0, 0]


def test_star_files_of_one_set_have_the_same_columns(tmp_path):
    files = write_picks_folder(three_micrographs(), tmp_path, suffix="_autopick")
    columns = [
        "rlnCoordinateX",
        "rlnCoordinateY",
        "rlnAutopickFigureOfMerit",
        "rlnClassNumber",
        "rlnAnglePsi",
    ]
    for file, n in zip(files.values(), (2, 1, 0)):
        assert "\ndata_\n" in file.read_text()
        table = starfile.read(file)
        assert list(table.columns) == columns
        assert len(table) == n


@pytest.mark.parametrize("format", TABLES)
def test_no_column_of_scores_for_hand_picks(tmp_path, format):
    path = tmp_path / TABLES[format]
    write_picks({"a.mrc": Coordinates.unscored([1], [2])}, path)
    assert not re.search(r"score|FigureOfMerit|\bnan\b|-999", path.read_text())
    assert not read_picks(path)["a.mrc"].has_scores


def test_plain_tables_word_for_word(tmp_path):
    picks = {"a b.mrc": Coordinates([1, 2.5], [3, 1e-5], [0.1, np.nan]), "0,1": Coordinates.empty()}
    write_picks(picks, tmp_path / "p.txt")
    write_picks(picks, tmp_path / "p.csv")
    assert (tmp_path / "p.txt").read_text() == (
        "image_name\tx_coord\ty_coord\tscore\na b.mrc\t1\t3\t0.1\na b.mrc\t2.5\t1e-05\t\n"
    )
    assert (tmp_path / "p.csv").read_text() == (
        "micrograph,x,y,score\na b.mrc,1,3,0.1\na b.mrc,2.5,1e-05,\n"
    )


def test_box_word_for_word(tmp_path):
    write_picks({"m": Coordinates([100.5, 7], [20, 8], [1, 2])}, tmp_path / "m.box", box_size=33)
    assert (tmp_path / "m.box").read_text() == "84\t3.5\t33\t33\n-9.5\t-8.5\t33\t33\n"


def test_cbox_has_the_blocks_and_columns_of_cryolo(tmp_path):
    write_picks({"m": Coordinates([100], [20], [0.75])}, tmp_path / "m.cbox", box_size=32)
    blocks = starfile.read(tmp_path / "m.cbox")
    assert blocks["global"] == {"cbox_format_version": 1.0}
    row = blocks["cryolo"].iloc[0]
    assert list(row.index) == [
        *("CoordinateX", "CoordinateY", "CoordinateZ", "Width", "Height", "Depth"),
        *("EstWidth", "EstHeight", "Confidence", "NumBoxes", "Angle"),
    ]
    assert row[["CoordinateX", "CoordinateY", "Width", "Height"]].tolist() == [84, 4, 32, 32]
    assert row["Confidence"] == 0.75


def test_blocks_are_written_as_the_starfile_package_writes_them():
    random = np.random.default_rng(0)
    columns = {
        "number": np.append(
            random.normal(0, 10.0 ** random.integers(-8, 9, 200)), [0, -0.0, 1e-300]
        ),
        "missing": np.where(np.arange(203) % 7, random.random(203), np.nan),
        "count": random.integers(-5, 1000, 203),
        "name": [f"a b{i}" if i % 3 else f"c{i}" for i in range(203)],
    }
    for blocks in ({"particles": columns}, {"": {"x": np.empty(0)}, "b": columns}):
        frames = {name: pd.DataFrame(dict(block)) for name, block in blocks.items()}
        expected = starfile.to_string(frames, float_format="%.9g", na_rep="<NA>")
        written = star_text(blocks)
        assert written.strip() == expected[expected.index("data_") :].strip()


def test_same_picks_give_the_same_bytes(tmp_path):
    for name in ("a.star", "b.star"):
        write_picks(three_micrographs(), tmp_path / name)
    assert (tmp_path / "a.star").read_bytes() == (tmp_path / "b.star").read_bytes()


def test_written_position_is_the_pixel_of_the_image(tmp_path):
    image = np.zeros((40, 60), dtype=np.float32)
    image[13, 47] = 1
    mrcfile.write(tmp_path / "m.mrc", image)
    for format in FORMATS:
        files = write_picks_folder(
            {"m.mrc": Coordinates([47], [13], [1])},
            tmp_path / format,
            format,
            box_size=10,
            exposures=exposures_of(["m.mrc"], image.shape),
        )
        (got,) = read_picks(files["m.mrc"], format).values()
        with mrcfile.open(tmp_path / "m.mrc") as file:
            assert file.data[int(got.y[0]), int(got.x[0])] == 1


# ---------------------------------------------------------------- where the files go


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.mrc", "a.star"),
        ("a", "a.star"),
        ("x/y/a.TIFF", "x/y/a.star"),
        ("FoilHole_1.2", "FoilHole_1.2.star"),
        ("./x//a.b.mrc", "x/a.b.star"),
        ("/abs/a.eer", "abs/a.star"),
        ("//abs/a.mrc", "abs/a.star"),
        ("../../a.mrc", "a.star"),
        ("x/../../../etc/a.mrc", "etc/a.star"),
        ("/../a.mrc", "a.star"),
    ],
)
def test_folders_are_mirrored_and_never_left(tmp_path, name, expected):
    folder = tmp_path / "in/side"
    files = write_picks_folder({name: Coordinates.empty()}, folder)
    assert files == {name: folder / expected}
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [folder / expected]


@pytest.mark.parametrize("name", ["..", "/", ".", "a/..", "a/", "x/."])
def test_name_without_a_file(tmp_path, name):
    with pytest.raises(UsageError, match="has no file part"):
        write_picks_folder({name: Coordinates.empty()}, tmp_path)


@pytest.mark.parametrize(("a", "b"), [("m.mrc", "m.tif"), ("../m.mrc", "m.mrc"), ("/d/m", "d/m")])
def test_two_micrographs_in_one_file(tmp_path, a, b):
    picks = {a: Coordinates.empty(), b: Coordinates.empty()}
    with pytest.raises(UsageError, match="would both be written") as error:
        write_picks_folder(picks, tmp_path)
    assert a in str(error.value)
    assert b in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_suffix_with_a_folder(tmp_path):
    with pytest.raises(UsageError, match=r"may not have a /: '/\.\./x'"):
        write_picks_folder({"a": Coordinates.empty()}, tmp_path, suffix="/../x")


# ---------------------------------------------------------------- bad arguments


@pytest.mark.parametrize("format", SINGLE)
@pytest.mark.parametrize("box_size", [None, 0, -3, float("nan"), float("inf")])
def test_boxes_need_their_size(tmp_path, format, box_size):
    picks = {"m": Coordinates([1], [2], [3])}
    with pytest.raises(UsageError, match="box size"):
        write_picks(picks, tmp_path / SINGLE[format], box_size=box_size)
    with pytest.raises(UsageError, match="box size"):
        write_picks_folder(picks, tmp_path, format, box_size=box_size)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("format", SINGLE)
def test_several_micrographs_do_not_go_into_one_file_of_boxes(tmp_path, format):
    with pytest.raises(UsageError, match="holds one micrograph, not 3: write one file a micro"):
        write_picks(three_micrographs(), tmp_path / SINGLE[format], box_size=10)


def test_unknown_formats(tmp_path):
    with pytest.raises(
        UsageError, match=r"p\.dat: the extension tells no format; give one of star"
    ):
        write_picks({}, tmp_path / "p.dat")
    with pytest.raises(UsageError, match="unknown format 'xml'"):
        write_picks({}, tmp_path / "p.star", "xml")
    with pytest.raises(UsageError, match="unknown format 'auto'"):
        write_picks_folder({}, tmp_path, "auto")
    write_picks({}, tmp_path / "p.dat", "csv")
    assert (tmp_path / "p.dat").read_text() == "micrograph,x,y\n"


@pytest.mark.parametrize("name", ["", "a\nb", "a\tb", "a\x85b", "a\u2028b", "a\udc80b"])
@pytest.mark.parametrize("format", TABLES)
def test_names_that_no_table_can_hold(tmp_path, format, name):
    with pytest.raises(UsageError, match="cannot be written"):
        write_picks({name: Coordinates([1], [2], [3])}, tmp_path / TABLES[format])


@pytest.mark.parametrize("name", ['a"b', "'a", "it's a.mrc", "a#1.mrc", "nan", "<NA>"])
def test_names_that_only_star_cannot_hold(tmp_path, name):
    picks = {name: Coordinates([1], [2], [3])}
    with pytest.raises(UsageError, match="cannot be written to a STAR file"):
        write_picks(picks, tmp_path / "p.star")
    for file in ("p.txt", "p.csv"):
        write_picks(picks, tmp_path / file)
        assert list(read_picks(tmp_path / file)) == [name]


@pytest.mark.parametrize("name", ["O'Brien/a.mrc", "data_1/a.mrc", "loop_", "_x", "007", "1e3"])
def test_awkward_names_that_star_holds(tmp_path, name):
    write_picks(
        {name: Coordinates([1], [2], [3]), "b": Coordinates([4], [5], [6])}, tmp_path / "p.star"
    )
    assert {n: c.x.tolist() for n, c in read_picks(tmp_path / "p.star").items()} == {
        name: [1],
        "b": [4],
    }


def test_failed_writing_leaves_the_old_file(tmp_path):
    path = tmp_path / "p.csv"
    path.write_text("old")
    with pytest.raises(UsageError):
        write_picks({"a\nb": Coordinates([1], [2], [3])}, path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


# ---------------------------------------------------------------- coordinates


def test_coordinates_are_arrays_of_one_length():
    coordinates = Coordinates([1, 2], (3, 4), np.array([5, 6], dtype=np.float32))
    assert {a.dtype for a in (coordinates.x, coordinates.y, coordinates.score)} == {np.dtype(float)}
    assert len(coordinates) == 2
    assert len(Coordinates.empty()) == 0
    assert coordinates.has_scores
    assert not Coordinates.unscored([1], [2]).has_scores
    for x, y, score in ([1], [1, 2], [1]), ([1], [1], []), ([[1]], [[1]], [[1]]), (1, 1, 1):
        with pytest.raises(UsageError, match="one-dimensional and of one length"):
            Coordinates(x, y, score)
    for bad in (np.nan, np.inf):
        with pytest.raises(UsageError, match="must be a finite number"):
            Coordinates([bad], [1], [1])


def test_select_by_mask_and_by_index():
    coordinates = Coordinates([1, 2, 3], [4, 5, 6], [0.1, 0.9, np.nan])
    good = coordinates.select(coordinates.score > 0.5)
    assert (good.x.tolist(), good.y.tolist(), good.score.tolist()) == ([2], [5], [0.9])
    assert coordinates.select([2, 0]).x.tolist() == [3, 1]


# ---------------------------------------------------------------- convert


@pytest.mark.parametrize("to", FORMATS)
@pytest.mark.parametrize("from_", FORMATS)
def test_convert_between_all_formats(tmp_path, monkeypatch, from_, to):
    original = Coordinates([10.25, 2000.9], [0, 4], [0.5, -7])
    monkeypatch.chdir(tmp_path)
    mrcfile.write("m.mrc", np.zeros((100, 3000), dtype=np.int8))
    exposures = exposures_of(["d/m.mrc"])
    write_picks_folder({"d/m.mrc": original}, "in", from_, box_size=10, exposures=exposures)
    convert("in", "out", to, from_, 20, per_micrograph=True, micrographs=["m.mrc"])
    (got,) = read_picks("out", to).values()
    assert_same_rows(got, original, with_scores={from_, to} <= SCORED)


def test_convert_scales_without_an_offset(tmp_path):
    write_picks({"m": Coordinates([10, 0], [20.5, 1], [3, 4])}, tmp_path / "in.txt")
    picks = convert(tmp_path / "in.txt", tmp_path / "out.box", box_size=8, scale=4)
    assert (picks["m"].x.tolist(), picks["m"].y.tolist()) == ([40, 0], [82, 4])
    assert (tmp_path / "out.box").read_text() == "36\t78\t8\t8\n-4\t0\t8\t8\n"
    back = convert(tmp_path / "out.box", tmp_path / "back.csv", scale=0.25)
    assert back["out"].x.tolist() == [10, 0]


def test_convert_never_truncates(tmp_path):
    write_picks({"m": Coordinates([200.9], [0.999], [1])}, tmp_path / "in.star")
    convert(tmp_path / "in.star", tmp_path / "out.txt")
    assert (tmp_path / "out.txt").read_text().splitlines()[1] == "m\t200.9\t0.999\t1"


def test_convert_in_place_and_with_the_format_given(tmp_path):
    path = tmp_path / "picks.dat"
    path.write_text("micrograph,x,y\nm,1,2\n")
    convert(path, path, to="topaz", from_="csv", scale=2)
    assert path.read_text() == "image_name\tx_coord\ty_coord\nm\t2\t4\n"


@pytest.mark.parametrize("scale", [0, -1, float("nan"), float("inf")])
def test_convert_refuses_a_senseless_scale(tmp_path, scale):
    write_picks({"m": Coordinates([1], [2], [3])}, tmp_path / "in.csv")
    with pytest.raises(UsageError, match="scale of coordinates must be a positive number"):
        convert(tmp_path / "in.csv", tmp_path / "out.csv", scale=scale)


def test_convert_writes_star_files_into_a_folder_by_itself(tmp_path):
    write_picks(three_micrographs(), tmp_path / "in.csv")
    convert(tmp_path / "in.csv", tmp_path / "out", per_micrograph=True)
    written = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.star")}
    assert written == {"out/data/day1/mic.star", "out/day2/mic.star"}


@pytest.mark.parametrize("record", ["pick.json", "threshold.json"])
def test_convert_does_not_replace_what_a_run_has_found(tmp_path, record):
    run = tmp_path / "run"
    files = write_picks_folder(three_micrographs(), run / "micrographs")
    write_picks(three_micrographs(), run / "picks.star")
    (run / record).write_text("{}")
    before = {path: path.read_bytes() for path in [*files.values(), run / "picks.star"]}
    with pytest.raises(UsageError, match=r"picks\.star is what a picking run has found"):
        convert(run / "picks.star", run / "picks.star", scale=2)
    with pytest.raises(UsageError, match="micrographs is what a picking run has found"):
        convert(run / "picks.star", run / "micrographs", scale=2, per_micrograph=True)
    assert {path: path.read_bytes() for path in before} == before
    convert(run / "picks.star", run / "unbinned.star", scale=2)
