# SPDX-License-Identifier: GPL-3.0-or-later
"""What must hold for any picks and any file: slow references, and files that are nonsense."""

import collections
import csv
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from scipion_pupick.engine.coordinates import (
    FORMATS,
    Coordinates,
    detect_format,
    read_picks,
    write_picks,
)
from scipion_pupick.engine.coordinates.file_names import file_of_micrograph, micrograph_of_file
from scipion_pupick.engine.coordinates.table import flatten_picks, group_picks, join_coordinates
from scipion_pupick.engine.errors import UsageError
from scipion_pupick.engine.micrographs.relion_pixel_sizes import PIXEL_SIZES

EXTENSION = {"star": ".star", "topaz": ".txt", "box": ".box", "cbox": ".cbox", "csv": ".csv"}
EXTENSION.update({"eman2": ".json", "cs": ".cs", "cs-from-last-row": ".cs"})

# pieces of which true files are made, so that nonsense gets past the first look
pieces = st.sampled_from(
    [
        *("data_", "data_optics", "data_particles", "data_cryolo", "loop_", "\n", "\n", " ", "\t"),
        *("_rlnCoordinateX #1", "_rlnCoordinateY #2", "_rlnMicrographName #3", "_rlnOpticsGroup"),
        *("_rlnOriginXAngst", "_rlnOriginYAngst", "_rlnImagePixelSize", "_rlnImageName"),
        *("_rlnMicrographCoordinates", "_rlnAutopickFigureOfMerit", "_CoordinateX", "_CoordinateY"),
        *(
            "_Width",
            "_Height",
            "_Confidence",
            "image_name\tx_coord\ty_coord",
            "micrograph,x,y,score",
            "X-Coordinate,Y-Coordinate",
            "filename,region_shape_attributes",
            "_rlnCoordinateZ",
            "_rlnTomoName",
            "_CoordinateZ",
        ),
        *("1", "2.5", "-3", "nan", "inf", "<NA>", "a.mrc", "a.mrc,1,2,3", "a\t1\t2", "1 2 3 4"),
        *(
            '"',
            "'",
            "#",
            "# c",
            ",",
            ";",
            "\x00",
            "é",
            "\u2028",
            "1e400",
            "--",
            "_",
            "\r",
            "\ufeff",
        ),
    ]
)
nonsense = st.lists(pieces, max_size=30).map(" ".join) | st.lists(pieces, max_size=30).map("".join)
numbers = st.floats(-1e5, 1e5, allow_nan=False)


# ---------------------------------------------------------------- nonsense


def outcome(read, path, *arguments):
    """Return what is read, or {} and the message of the one error that may come."""
    try:
        return read(path, *arguments), path.name
    except UsageError as error:
        return {}, str(error)


@pytest.mark.parametrize("format", FORMATS)
@given(nonsense)
@example("data_\nloop_\n_rlnCoordinateX\n_rlnCoordinateY\n# nothing\n")
@example("data_\nloop_\n_rlnCoordinateX #1\n_rlnCoordinateY #2\n\x00 1\n")
@example("data_a\n_rlnCoordinateX 1 # x\n_rlnCoordinateY 2\n")
@example("data_a\n_rlnCoordinateX\n_rlnCoordinateY 2\n")
@example("data_a\nloop_\n")
@example('data_a\nloop_\n_rlnCoordinateX\n_rlnCoordinateY\n"1 2\n')
def test_any_text_gives_picks_or_a_clear_error(tmp_path_factory, format, text):
    path = tmp_path_factory.mktemp("n") / f"m{EXTENSION[format]}"
    path.write_bytes(text.encode("utf-8"))
    picks, message = outcome(read_picks, path, format)
    assert path.name in message
    for coordinates in picks.values():
        assert np.isfinite(coordinates.x).all()
        assert np.isfinite(coordinates.y).all()


values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.sampled_from(["a", "1", "manual"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                [
                    "boxes",
                    "boxes_3d",
                    "filename",
                    "regions",
                    "shape_attributes",
                    "region_attributes",
                ]
                + ["name", "cx", "cy", "x", "y", "score", "_via_img_metadata"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
regions = st.fixed_dictionaries({"shape_attributes": values, "region_attributes": values})
images = st.dictionaries(
    st.text(max_size=3),
    st.fixed_dictionaries({"filename": values, "regions": values | st.lists(regions)}),
)


@given(values | images | st.fixed_dictionaries({"boxes": st.lists(st.lists(values))}))
def test_any_json_gives_picks_or_a_clear_error(tmp_path_factory, content):
    folder = tmp_path_factory.mktemp("j")
    for name in ("m_info.json", "m.json"):
        (folder / name).write_text(json.dumps(content), encoding="utf-8")
        picks, message = outcome(read_picks, folder / name)
        assert name in message
        for coordinates in picks.values():
            assert np.isfinite(coordinates.x).all()


@given(st.lists(values.map(json.dumps) | st.sampled_from(["m.png", "{}", "1"]), max_size=6))
def test_any_table_of_the_annotator_gives_picks_or_a_clear_error(tmp_path_factory, fields):
    path = tmp_path_factory.mktemp("v") / "t.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(
            [["filename", "region_shape_attributes", "region_attributes"], fields[:3], fields[3:]]
        )
    picks, message = outcome(read_picks, path)
    assert "t.csv" in message
    assert all(np.isfinite(coordinates.x).all() for coordinates in picks.values())


@given(st.binary(max_size=40))
def test_any_bytes_have_a_format_or_a_clear_error(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("b") / "m.star"
    path.write_bytes(content)
    format, message = outcome(detect_format, path)
    assert path.name in message
    assert format in (*FORMATS, {})


# ---------------------------------------------------------------- formats


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("a.star", "", "star"),
        ("a.star", "# c\n\ndata_\n", "star"),
        ("a.STAR", "data_particles\nloop_\n_rlnCoordinateX\n", "star"),
        ("a.txt", "# version 30001\n\ndata_\nloop_\n_rlnCoordinateX\n", "star"),
        ("a.star", "data_cbox\nloop_\n_CoordinateX #1\n_Width #2\n", "cbox"),
        ("a.cbox", "", "cbox"),
        ("a.box", "data_\n", "box"),
        ("a.BOX", "1 2 3 4", "box"),
        ("a.csv", "x", "csv"),
        ("a.star", "image_name\tx_coord\ty_coord\n", "topaz"),
        ("a.tab", "\nimage_name\tx_coord\ty_coord\ndata_1\t1\t2\n", "topaz"),
        ("a", "image_name\tx_coord\ty_coord\n", "topaz"),
    ],
)
def test_format_by_extension_and_content(tmp_path, name, text, expected):
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert detect_format(tmp_path / name) == expected


@pytest.mark.parametrize(
    ("name", "text"),
    [("a.txt", ""), ("a.txt", "1 2 3\n"), ("a.star", "x data_\n"), ("a.dat", "image_names\t1\n")],
)
def test_format_that_cannot_be_told(tmp_path, name, text):
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=f"{name}: is not a table of picks of a known format"):
        detect_format(tmp_path / name)


# ---------------------------------------------------------------- tables in memory


@given(st.lists(st.tuples(st.sampled_from("abcd"), numbers, numbers, numbers), max_size=40))
def test_grouping_is_what_a_loop_over_the_rows_does(table):
    expected = collections.OrderedDict()
    for name, *row in table:
        expected.setdefault(name, []).append(row)
    x, y, score = np.array([row[1:] for row in table], dtype=float).reshape(-1, 3).T
    picks = group_picks([row[0] for row in table], x, y, score)
    assert list(picks) == list(expected)
    for name, coordinates in picks.items():
        got = np.stack([coordinates.x, coordinates.y, coordinates.score], axis=1)
        assert got.tolist() == expected[name]


@given(st.dictionaries(st.sampled_from("abcd"), st.lists(st.tuples(numbers, numbers, numbers))))
def test_flattening_is_the_inverse_of_grouping(rows_of):
    picks = {
        name: Coordinates(*np.array(rows, dtype=float).reshape(-1, 3).T)
        for name, rows in rows_of.items()
    }
    names, rows = flatten_picks(picks)
    assert names == [name for name, rows in rows_of.items() for _ in rows]
    back = group_picks(names, rows.x, rows.y, rows.score)
    assert list(back) == [name for name in picks if rows_of[name]]
    for name, coordinates in back.items():
        for field in ("x", "y", "score"):
            np.testing.assert_array_equal(getattr(coordinates, field), getattr(picks[name], field))


def test_joining_nothing_is_empty_and_order_is_kept():
    assert len(join_coordinates([])) == 0
    parts = [Coordinates([1], [2], [3]), Coordinates.empty(), Coordinates([0], [5], [6])]
    assert join_coordinates(parts).x.tolist() == [1, 0]


def test_scaling_keeps_scores_and_the_first_pixel_in_place():
    coordinates = Coordinates([0, 3], [1, 2], [7, np.nan])
    scaled = coordinates.scaled(2.5)
    assert (scaled.x.tolist(), scaled.y.tolist()) == ([0, 7.5], [2.5, 5])
    np.testing.assert_array_equal(scaled.score, coordinates.score)
    assert coordinates.x.tolist() == [0, 3]


def test_tables_that_name_the_same_micrograph_add_up(tmp_path):
    a, b = Coordinates([1], [2], [3]), Coordinates([4, 5], [6, 7], [8, 9])
    write_picks({"m": a, "n": a}, tmp_path / "1.csv")
    write_picks({"m": b}, tmp_path / "2.star")
    picks = read_picks([tmp_path / "1.csv", tmp_path / "2.star"])
    assert {name: c.x.tolist() for name, c in picks.items()} == {"m": [1, 4, 5], "n": [1]}


# ---------------------------------------------------------------- names and files

path_parts = st.sampled_from(["..", ".", "", "a", "b.mrc", "c d", "e.f", "~", "\\", "é.tif", "*"])


@given(st.lists(path_parts, min_size=1, max_size=7).map("/".join))
def test_no_file_is_ever_outside_the_folder(name):
    folder = Path("/base/folder")
    try:
        file = file_of_micrograph(name, folder, "_pupick.star")
    except UsageError:
        assert not name.strip("/") or name.split("/")[-1] in ("", ".", "..")
    else:
        assert ".." not in file.parts
        normal = os.path.normpath(file)
        assert normal.startswith("/base/folder/")
        assert normal == str(file)
        assert file.name.endswith("_pupick.star")


clean_parts = st.text("abcXYZ019-_ é", min_size=1, max_size=8)


@given(st.lists(clean_parts, min_size=1, max_size=4), st.sampled_from(["", ".mrc", ".TIF", ".1"]))
def test_folder_and_stem_survive_the_file(parts, extension):
    name = "/".join(parts)
    file = file_of_micrograph(name + extension, Path("/f"), "_autopick.box")
    expected = name + extension if extension == ".1" else name
    assert micrograph_of_file(file, Path("/f")) == expected


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("mic.box", "mic"),
        ("mic.mrc.box", "mic.mrc"),
        ("mic_autopick_pupick.star", "mic_autopick"),
        ("_autopick.star", "_autopick"),
        ("mic_pupick", "mic"),
        ("sub/dir/mic_topazpicks.star", "sub/dir/mic"),
        ("mic_pupick_2.star", "mic_pupick_2"),
    ],
)
def test_name_after_the_file(tmp_path, file, expected):
    assert micrograph_of_file(tmp_path / file, tmp_path) == expected


# ---------------------------------------------------------------- origins

particles = st.lists(
    st.tuples(
        st.sampled_from(["m/1.mrc", "m/2.mrc"]),
        *(st.integers(-9999, 9999).map(lambda i: i / 8) for _ in range(4)),
        st.integers(1, 3),
    ),
    min_size=1,
    max_size=12,
)


@pytest.mark.parametrize("column", PIXEL_SIZES)
@given(particles, st.permutations([0.5, 0.8, 1.3]))
@settings(max_examples=25)
def test_refined_centres_row_by_row(tmp_path_factory, column, rows, sizes):
    optics = "".join(f"{group} {size}\n" for group, size in enumerate(sizes, 1))
    body = "".join(" ".join(map(str, row)) + "\n" for row in rows)
    labels = ["MicrographName", "CoordinateX", "CoordinateY", "OriginXAngst", "OriginYAngst"]
    labels.append("OpticsGroup")
    path = tmp_path_factory.mktemp("r") / "run_data.star"
    path.write_text(
        f"data_optics\n\nloop_\n_rlnOpticsGroup #1\n_{column} #2\n{optics}\n"
        "data_particles\n\nloop_\n"
        + "".join(f"_rln{label} #{i}\n" for i, label in enumerate(labels, 1))
        + body,
        encoding="utf-8",
    )
    expected = collections.defaultdict(list)
    for name, x, y, origin_x, origin_y, group in rows:
        size = sizes[group - 1]
        expected[name].append((x - origin_x / size, y - origin_y / size))
    picks = read_picks(path)
    assert picks.keys() == expected.keys()
    for name, coordinates in picks.items():
        got = np.stack([coordinates.x, coordinates.y], axis=1)
        np.testing.assert_allclose(got, expected[name], atol=1e-9)


def test_pixel_size_in_the_particles_own_rows(tmp_path):
    (tmp_path / "p.star").write_text(
        "data_\n\nloop_\n_rlnMicrographName\n_rlnCoordinateX\n_rlnCoordinateY\n"
        "_rlnOriginXAngst\n_rlnOriginYAngst\n_rlnMicrographPixelSize\n"
        "m 10 20 1 2 0.5\nm 10 20 1 2 2\n"
    )
    coordinates = read_picks(tmp_path / "p.star")["m"]
    assert (coordinates.x.tolist(), coordinates.y.tolist()) == ([8, 9.5], [16, 19])


@pytest.mark.parametrize("missing", ["_rlnOpticsGroup #5", "_rlnOpticsGroup #1"])
def test_pixel_sizes_need_the_optics_groups_on_both_sides(tmp_path, missing):
    text = (
        "data_optics\n\nloop_\n_rlnOpticsGroup #1\n_rlnImagePixelSize #2\n1 2\n\n"
        "data_particles\n\nloop_\n_rlnMicrographName #1\n_rlnCoordinateX #2\n_rlnCoordinateY #3\n"
        "_rlnOriginXAngst #4\n_rlnOpticsGroup #5\n_rlnOriginYAngst #6\nm 1 2 3 1 4\n"
    )
    (tmp_path / "p.star").write_text(text.replace(missing, missing.replace("Group", "Gang")))
    block = "particles" if missing.endswith("5") else "optics"
    with pytest.raises(
        UsageError, match=rf"p\.star: block data_{block} needs the .*rlnOpticsGroup"
    ):
        read_picks(tmp_path / "p.star")
    (tmp_path / "p.star").write_text(text)
    assert re.match(r"\[-0\.5\]", str(read_picks(tmp_path / "p.star")["m"].x))
