# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of picks, word for word as RELION, Topaz, EMAN and crYOLO write them, and broken ones."""

import logging
import re

import numpy as np
import pytest

from scipion_pupick.engine.coordinates import (
    Coordinates,
    detect_format,
    read_picks,
    write_picks,
    write_picks_folder,
)
from scipion_pupick.engine.errors import UsageError
from scipion_pupick.engine.settings import PicksSettings


def as_relion(text):
    """RELION ends its lines with a blank, and its tables with a line of one blank."""
    return re.sub(r"(?m)(?<=\S)$", " ", text) + " \n"


RELION_AUTOPICK = as_relion("""
# version 30001

data_

loop_
_rlnCoordinateX #1
_rlnCoordinateY #2
_rlnAutopickFigureOfMerit #3
_rlnClassNumber #4
_rlnAnglePsi #5
_rlnParticleSelectionType #6
 1027.000000    46.000000     7.425266            0     0.000000            2
  200.900000   411.250000    -1.500000            0     0.000000            2
""")

RELION_31_MANUALPICK = as_relion("""
# version 30001

data_

loop_
_rlnCoordinateX #1
_rlnCoordinateY #2
_rlnClassNumber #3
_rlnAnglePsi #4
_rlnAutopickFigureOfMerit #5
  296.000000   298.000000            2   -999.00000   -999.00000
""")

RELION_PARTICLES = as_relion("""
# version 30001

data_optics

loop_
_rlnOpticsGroupName #1
_rlnOpticsGroup #2
_rlnMicrographOriginalPixelSize #3
_rlnVoltage #4
_rlnImagePixelSize #5
opticsGroup1            1     0.500000   300.000000     4.000000
opticsGroup2            2     0.800000   300.000000     4.000000


# version 30001

data_particles

loop_
_rlnCoordinateX #1
_rlnCoordinateY #2
_rlnImageName #3
_rlnMicrographName #4
_rlnOpticsGroup #5
_rlnOriginXAngst #6
_rlnOriginYAngst #7
 100.000000 200.000000 000001@Extract/job004/a.mrcs MotionCorr/job002/a.mrc 1 2.000000 -3.000000
 300.000000 400.000000 000001@Extract/job004/b.mrcs MotionCorr/job002/b.mrc 2 2.000000 -3.000000
 500.000000 600.000000 000002@Extract/job004/a.mrcs MotionCorr/job002/a.mrc 1 0.000000 0.000000
""")

RELION_30_PARTICLES = """
data_

loop_
_rlnMicrographName #1
_rlnCoordinateX #2
_rlnCoordinateY #3
_rlnOriginX #4
_rlnOriginY #5
_rlnAutopickFigureOfMerit #6
0001 10.5 20 1.5 -2 0.25
0001 30 40 0 0 0.5
0002 50 60 0 0 0.75
"""

CBOX = """
data_global

_cbox_format_version 1.0

data_cryolo

loop_
_CoordinateX #1
_CoordinateY #2
_CoordinateZ #3
_Width #4
_Height #5
_Depth #6
_EstWidth #7
_EstHeight #8
_Confidence #9
_NumBoxes #10
_Angle #11
25.5 17.25 <NA> 64.0 32.0 <NA> 63.1 63.2 0.3414826374635792 1.0 <NA>
125.0 117.0 <NA> 64.0 32.0 <NA> 63.1 63.2 <NA> 1.0 <NA>

data_cryolo_include

loop_
_slice_index #1
"""

TOPAZ_TABLE = (
    "image_name\tx_coord\ty_coord\tscore\nm 1\t10\t20\t3.5\n007\t11\t21\t-6\nm 1\t12\t22\t0\n"
)


STAR_HEAD = "data_\n\nloop_\n_rlnMicrographName #1\n_rlnCoordinateX #2\n_rlnCoordinateY #3\n"


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def rows(coordinates):
    return np.stack([coordinates.x, coordinates.y, coordinates.score], axis=1)


# ---------------------------------------------------------------- RELION


def test_autopick_file_is_named_after_its_file_and_keeps_decimals(tmp_path):
    path = write(tmp_path / "mic_001_autopick.star", RELION_AUTOPICK)
    picks = read_picks(path)
    assert list(picks) == ["mic_001"]
    np.testing.assert_allclose(
        rows(picks["mic_001"]), [[1027, 46, 7.425266], [200.9, 411.25, -1.5]], atol=1e-9
    )


def test_manual_pick_has_no_score(tmp_path):
    path = write(tmp_path / "mic_001_manualpick.star", RELION_31_MANUALPICK)
    coordinates = read_picks(path)["mic_001"]
    np.testing.assert_equal(rows(coordinates), [[296, 298, np.nan]])
    assert not coordinates.has_scores


@pytest.mark.parametrize(
    "suffix", ["", "_manualpick", "_autopick", "_topazpicks", "_pupick"], ids=lambda s: s or "none"
)
def test_suffix_is_dropped_from_the_name(tmp_path, suffix):
    path = write(tmp_path / f"FoilHole_1.2_autopick_x{suffix}.star", RELION_AUTOPICK)
    assert list(read_picks(path)) == ["FoilHole_1.2_autopick_x"]


def test_origins_in_angstrom_use_the_pixel_size_of_their_optics_group(tmp_path, caplog):
    path = write(tmp_path / "run_data.star", RELION_PARTICLES)
    with caplog.at_level(logging.WARNING):
        picks = read_picks(path)
    assert list(picks) == ["MotionCorr/job002/a.mrc", "MotionCorr/job002/b.mrc"]
    a, b = picks.values()
    # 2 Å and -3 Å at 0.5 Å/px are 4 and -6 px; at 0.8 Å/px 2.5 and -3.75 px
    np.testing.assert_allclose([a.x, a.y], [[96, 500], [206, 600]])
    np.testing.assert_allclose([b.x, b.y], [[297.5], [403.75]])
    assert np.isnan(a.score).all()
    assert "rlnMicrographOriginalPixelSize" in caplog.text


def test_given_pixel_size_goes_before_that_of_the_movies(tmp_path, caplog):
    path = write(tmp_path / "run_data.star", RELION_PARTICLES)
    picks = read_picks(path, pixel_size=1.0)
    np.testing.assert_allclose(picks["MotionCorr/job002/b.mrc"].x, [298])
    assert not caplog.records


def test_micrograph_pixel_size_is_preferred_and_certain(tmp_path, caplog):
    text = RELION_PARTICLES.replace("_rlnVoltage", "_rlnMicrographPixelSize")
    text = text.replace("   300.000000     4.0", "   2.000000     4.0")
    picks = read_picks(write(tmp_path / "p.star", text))
    np.testing.assert_allclose(picks["MotionCorr/job002/b.mrc"].x, [299])
    assert not caplog.records


def test_origins_of_zero_need_no_pixel_size(tmp_path):
    text = RELION_PARTICLES.split("# version 30001")[2]
    text = text.replace("2.000000 -3.000000", "0 0")
    picks = read_picks(write(tmp_path / "p.star", text))
    np.testing.assert_allclose(picks["MotionCorr/job002/a.mrc"].x, [100, 500])


def test_old_particles_with_origins_in_pixels_and_names_like_numbers(tmp_path):
    picks = read_picks(write(tmp_path / "old.star", RELION_30_PARTICLES))
    assert list(picks) == ["0001", "0002"]
    np.testing.assert_allclose(rows(picks["0001"]), [[9, 22, 0.25], [30, 40, 0.5]])


@pytest.mark.parametrize("block", ["images", "particles", "", "micrographs_7"])
def test_any_block_name_will_do(tmp_path, block):
    text = RELION_30_PARTICLES.replace("data_", f"data_{block}")
    assert len(read_picks(write(tmp_path / "t.star", text))["0002"]) == 1


def test_relion_5_list_names_the_micrographs(tmp_path, monkeypatch):
    job = tmp_path / "External/job007"
    write(job / "Movies/a_autopick.star", RELION_AUTOPICK)
    write(job / "Movies/b.box", "10\t20\t30\t30\n")
    write(job / "Movies/c_autopick.star", "")
    path = write(
        job / "autopick.star",
        "\n# version 50001\n\ndata_coordinate_files\n\nloop_ \n"
        "_rlnMicrographName #1 \n_rlnMicrographCoordinates #2 \n"
        "MotionCorr/job002/Movies/a.mrc External/job007/Movies/a_autopick.star \n"
        "MotionCorr/job002/Movies/b.mrc External/job007/Movies/b.box \n"
        "MotionCorr/job002/Movies/c.mrc External/job007/Movies/c_autopick.star \n \n",
    )
    expected = {f"MotionCorr/job002/Movies/{n}.mrc": k for n, k in (("a", 2), ("b", 1), ("c", 0))}
    assert {name: len(c) for name, c in read_picks(path).items()} == expected
    monkeypatch.chdir(tmp_path)
    picks = read_picks("External/job007/autopick.star")
    np.testing.assert_allclose(picks["MotionCorr/job002/Movies/b.mrc"].x, [25])


def test_relion_3_list_stands_for_the_files_of_its_folder(tmp_path):
    job = tmp_path / "ManualPick/job003"
    path = write(job / "coords_suffix_manualpick.star", "CtfFind/job002/micrographs_ctf.star\n")
    write(job / "Movies/a_manualpick.star", RELION_31_MANUALPICK)
    write(job / "Movies/b_manualpick.star", "")
    write(job / "Movies/b_autopick.star", RELION_AUTOPICK)
    picks = read_picks(path)
    assert {name: len(c) for name, c in picks.items()} == {"Movies/a": 1, "Movies/b": 0}


def test_relion_3_list_may_have_any_suffix(tmp_path):
    path = write(tmp_path / "coords_suffix_gautomatch.box", "CtfFind/job002/mics.star\n")
    write(tmp_path / "Movies/a_manualpick_gautomatch.box", "10 20 30 40\n")
    picks = read_picks(path)
    assert list(picks) == ["Movies/a_manualpick"]
    np.testing.assert_allclose(picks["Movies/a_manualpick"].x, [25])


@pytest.mark.parametrize("content", ["", "\n \n"])
def test_file_of_no_bytes_is_an_empty_micrograph(tmp_path, content):
    for name in ("a.box", "b_manualpick.star", "c.cbox"):
        write(tmp_path / name, content)
    picks = read_picks(tmp_path)
    assert {name: len(c) for name, c in picks.items()} == {"a": 0, "b": 0, "c": 0}


def test_list_of_no_bytes_is_no_micrograph(tmp_path):
    assert read_picks(write(tmp_path / "manualpick.star", "")) == {}


def test_header_without_rows(tmp_path):
    header = RELION_AUTOPICK.split(" 1027.0")[0] + " \n"
    assert len(read_picks(write(tmp_path / "a_autopick.star", header))["a"]) == 0
    named = RELION_30_PARTICLES.split("0001")[0]
    assert read_picks(write(tmp_path / "particles.star", named)) == {}
    assert read_picks(write(tmp_path / "t.txt", "image_name\tx_coord\ty_coord\n")) == {}
    assert read_picks(write(tmp_path / "t.csv", "micrograph,x,y,score\n")) == {}


def test_star_of_one_row_without_a_loop(tmp_path):
    text = "data_images\n\n_rlnMicrographName 0042\n_rlnCoordinateX 1.5\n_rlnCoordinateY 2\n"
    picks = read_picks(write(tmp_path / "one.star", text))
    np.testing.assert_equal(rows(picks["0042"]), [[1.5, 2, np.nan]])


def test_names_with_blanks_and_apostrophes(tmp_path):
    text = RELION_30_PARTICLES.split("0001")[0] + (
        '"my data/a 1.mrc" 1 2 0 0 3\nO\'Brien/b.mrc 4 5 0 0 6\n'
    )
    assert list(read_picks(write(tmp_path / "t.star", text))) == [
        "my data/a 1.mrc",
        "O'Brien/b.mrc",
    ]


def test_names_that_begin_like_blocks_and_columns_or_hold_a_hash(tmp_path):
    text = STAR_HEAD + "data_01.mrc 1 2\n_grid.mrc 3 4 # the second\na#1.mrc 5 6\nloop_x.mrc 7 8\n"
    picks = read_picks(write(tmp_path / "t.star", text))
    assert list(picks) == ["data_01.mrc", "_grid.mrc", "a#1.mrc", "loop_x.mrc"]


def test_large_table_is_read_whole_and_in_order(tmp_path):
    n, per_micrograph = 50_000, 250
    header = "data_\n\nloop_\n_rlnMicrographName #1\n_rlnCoordinateX #2\n_rlnCoordinateY #3\n"
    body = "".join(f"m{i % (n // per_micrograph)}.mrc {i}.5 {n - i}\n" for i in range(n))
    picks = read_picks(write(tmp_path / "large.star", header + body))
    assert list(picks)[:2] == ["m0.mrc", "m1.mrc"]
    assert {len(c) for c in picks.values()} == {per_micrograph}
    np.testing.assert_array_equal(picks["m7.mrc"].x, np.arange(7, n, n // per_micrograph) + 0.5)
    np.testing.assert_array_equal(picks["m7.mrc"].y, n - np.arange(7, n, n // per_micrograph))


# ---------------------------------------------------------------- Topaz, CSV, boxes


@pytest.mark.parametrize("name", ["picks.txt", "picks.tsv", "picks.tab", "picks.star"])
def test_topaz_table_whatever_its_extension(tmp_path, name):
    path = write(tmp_path / name, TOPAZ_TABLE)
    assert detect_format(path) == "topaz"
    picks = read_picks(path)
    assert list(picks) == ["m 1", "007"]
    np.testing.assert_equal(rows(picks["m 1"]), [[10, 20, 3.5], [12, 22, 0]])


def test_topaz_training_table_has_no_scores(tmp_path):
    text = "image_name\tx_coord\ty_coord\r\na\t1.5\t2\r\n\r\n"
    np.testing.assert_equal(
        rows(read_picks(write(tmp_path / "t.txt", text))["a"]), [[1.5, 2, np.nan]]
    )


def test_csv_columns_are_found_by_name(tmp_path):
    text = (
        '\ufeffy, x,score,note,micrograph\n2,1,,"a, b",dir/m.mrc\n4,3,nan,,dir/m.mrc\n6,5,0.5,,n\n'
    )
    picks = read_picks(write(tmp_path / "t.csv", text))
    np.testing.assert_equal(rows(picks["dir/m.mrc"]), [[1, 2, np.nan], [3, 4, np.nan]])
    np.testing.assert_equal(rows(picks["n"]), [[5, 6, 0.5]])


@pytest.mark.parametrize(
    ("header", "warned"),
    [
        ("micrograph,x,y,width,height", True),
        ("micrograph,x_center,y_center,w,h", False),
        ("micrograph,x,y,width,score", False),
    ],
)
def test_who_gives_boxes_is_told_that_x_and_y_are_centres(tmp_path, caplog, header, warned):
    path = tmp_path / "picks.csv"
    path.write_text(f"{header}\nm.mrc,10,20,30,40\n")
    assert read_picks(path)["m.mrc"].xy.tolist() == [[10, 20]]
    assert ("x and y are taken for centres" in caplog.text) == warned


def test_box_gives_centres_and_ignores_the_mark(tmp_path):
    text = "# EMAN\n10\t20\t64\t64\t-3\n\n10.5 20.25 33 31\n-5 1e1 0 0\n"
    coordinates = read_picks(write(tmp_path / "m.box", text))["m"]
    np.testing.assert_equal(
        rows(coordinates), [[42, 52, np.nan], [27, 35.75, np.nan], [-5, 10, np.nan]]
    )


def test_cbox_gives_centres_and_confidence(tmp_path):
    coordinates = read_picks(write(tmp_path / "m.cbox", CBOX))["m"]
    np.testing.assert_allclose(
        rows(coordinates), [[57.5, 33.25, 0.3414826374635792], [157, 133, np.nan]], atol=1e-12
    )


def test_cbox_with_another_block_name_and_without_confidence(tmp_path):
    text = "data_cbox\n\nloop_\n_CoordinateX\n_CoordinateY\n_Width\n_Height\n1 2 4 6\n"
    path = write(tmp_path / "m.star", text)
    assert detect_format(path) == "cbox"
    np.testing.assert_equal(rows(read_picks(path)["m"]), [[3, 5, np.nan]])


def test_cbox_of_old_cryolo_is_plain_text(tmp_path):
    coordinates = read_picks(write(tmp_path / "m.cbox", "1\t2\t10\t20\t0.75\t11\t12\n"))["m"]
    np.testing.assert_equal(rows(coordinates), [[6, 12, 0.75]])


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("t.csv", "image_name,x_coord,y_coord,Score\nm,1,2,3\n"),
        ("t.csv", "Micrograph,X,Y,Confidence\nm,1,2,3\n"),
        ("t.csv", "micrograph;x;y;score\nm;1;2;3\n"),
        ("m.csv", "X-Coordinate,Y-Coordinate,Diameter,Score\n1,2,30,3\n"),
        ("t.txt", "image_name     x_coord     y_coord score\nm     1    2 3\n"),
        ("t.tsv", "micrograph_name\tcenter_x\tcenter_y\tz\tfom\nm\t1\t2\t0\t3\n"),
        ("m.box", "0.5 1.5 1 1 3.00000001\n"),
        ("m_info.json", '{"boxes": [[1, 2, "auto", 3]], "ctf_frame": [512]}'),
        (
            "t.csv",
            "filename,file_size,file_attributes,region_count,region_id,"
            "region_shape_attributes,region_attributes\n"
            'm,-1,"{}",1,0,"{""name"":""point"",""cx"":1,""cy"":2}","{""score"":""3""}"\n',
        ),
        (
            "t.json",
            '{"m-1": {"filename": "m", "size": -1, "regions": [{"shape_attributes": {"name": '
            '"rect", "x": 0, "y": 1, "width": 2, "height": 2}, "region_attributes": '
            '{"score": 3}}]}}',
        ),
    ],
)
def test_one_pick_in_many_forms(tmp_path, name, text):
    np.testing.assert_allclose(rows(read_picks(write(tmp_path / name, text))["m"]), [[1, 2, 3]])


@pytest.mark.parametrize("text", ["1 2\n3.5 4\n", "1,2\n3.5,4\n", "x,y\n1,2\n3.5,4\n"])
def test_two_columns_are_named_after_their_file(tmp_path, text):
    for name in ("m.csv", "m_automatch.txt"):
        if name.endswith(".csv") or "x" not in text:
            picks = read_picks(write(tmp_path / name, text))
            np.testing.assert_equal(rows(picks["m"]), [[1, 2, np.nan], [3.5, 4, np.nan]])


def test_images_of_the_annotator_without_a_region_are_empty_micrographs(tmp_path):
    table = "filename,region_count,region_shape_attributes\nm.png,0,{}\n"
    assert len(read_picks(write(tmp_path / "t.csv", table))["m.png"]) == 0
    project = '{"_via_img_metadata": {"a": {"filename": "m.png", "regions": {}}}}'
    assert len(read_picks(write(tmp_path / "t.json", project))["m.png"]) == 0


def test_a_folder_of_eman2_has_other_json_files(tmp_path):
    write(tmp_path / "info/project.json", '{"global.apix": 1.0}')
    write(tmp_path / "info/m_info.json", '{"boxes": [[1, 2, "manual"]]}')
    assert list(read_picks(tmp_path / "info")) == ["m"]


def test_flat_depths_are_none(tmp_path):
    text = STAR_HEAD + "_rlnCoordinateZ\na 1 2 0\n"
    assert len(read_picks(write(tmp_path / "p.star", text))["a"]) == 1


# ---------------------------------------------------------------- settings


def test_boxes_of_low_confidence_are_said_and_can_be_left_out(tmp_path, caplog):
    path = write(tmp_path / "m.cbox", "0 0 2 2 0.05\n2 2 2 2 0.8\n4 4 2 2 0.3\n")
    assert len(read_picks(path)["m"]) == 3
    assert "1 of the 3 boxes read have a confidence below 0.3" in caplog.text
    caplog.clear()
    assert read_picks(path, settings=PicksSettings(least_score=0.3))["m"].x.tolist() == [3, 5]
    assert not caplog.records


def test_picks_without_a_score_have_no_low_one(tmp_path):
    path = write(tmp_path / "m.csv", "micrograph,x,y,score\nm,1,2,\nm,3,4,1\n")
    assert read_picks(path, settings=PicksSettings(least_score=2))["m"].x.tolist() == [1]


def test_the_pixel_size_of_picks_outlasts_a_choice_among_them(tmp_path):
    text = RELION_PARTICLES.replace("_rlnVoltage", "_rlnMicrographPixelSize")
    path = write(tmp_path / "p.star", text.replace("   300.000000     4.0", "   2.000000     4.0"))
    for settings in (PicksSettings(), PicksSettings(least_score=0.3)):
        picks = read_picks(path, settings=settings)
        assert [found.pixel_size for found in picks.values()] == [2.0, 2.0]
    (some,) = {found.select([0]).pixel_size for found in picks.values()}
    assert some == 2.0


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("d/grid1_m0_v2.mrc", "d/m0.mrc"),
        ("m0_v2", "m0"),
        ("grid1_", "grid1_"),
        ("D:\\grid1_m0.mrc", "D:/m0.mrc"),
        ("other.mrc", "other.mrc"),
    ],
)
def test_parts_of_names_can_be_dropped(tmp_path, name, expected):
    path = write(tmp_path / "t.csv", f"micrograph,x,y\n{name},1,2\n")
    assert list(read_picks(path, settings=PicksSettings(drop_from_names="grid1_, _v2"))) == [
        expected
    ]


# ---------------------------------------------------------------- which files


def test_folder_patterns_and_files_in_one_list(tmp_path):
    write(tmp_path / "f/x/a_pupick.box", "0 0 2 2\n")
    write(tmp_path / "f/y/a.box", "2 2 2 2\n")
    write(tmp_path / "f/job.star", "data_job\n\n_rlnJobType 99\n")
    write(tmp_path / "f/.a.box", "half written")
    write(tmp_path / "f/run.out", "no picks")
    write(tmp_path / "g/1/b.box", "4 4 2 2\n")
    write(tmp_path / "g/2/b.box", "6 6 2 2\n")
    write(tmp_path / "t.csv", "micrograph,x,y\nx/a,9,9\nc,8,8\n")
    picks = read_picks([tmp_path / "f", f"{tmp_path}/g/*/*.box", tmp_path / "t.csv"])
    assert {name: c.x.tolist() for name, c in picks.items()} == {
        "x/a": [1, 9],
        "y/a": [3],
        "g/1/b": [5],
        "g/2/b": [7],
        "c": [8],
    }


def test_folder_with_a_format_takes_only_its_extensions(tmp_path):
    write(tmp_path / "a.box", "0 0 2 2\n")
    write(tmp_path / "a.cbox", CBOX)
    assert len(read_picks(tmp_path, "cbox")["a"]) == 2
    with pytest.raises(UsageError, match=r"a\.box and .*a\.cbox are both of micrograph a"):
        read_picks(tmp_path)


def test_relative_paths_with_folders_above(tmp_path, monkeypatch):
    write(tmp_path / "x/a.box", "0 0 2 2\n")
    write(tmp_path / "y/b.box", "2 2 2 2\n")
    monkeypatch.chdir(tmp_path / "y")
    assert list(read_picks("b.box")) == ["b"]
    assert list(read_picks(["../x/a.box", "b.box"])) == ["x/a", "y/b"]
    assert list(read_picks("../x")) == ["a"]
    assert list(read_picks(["../?/*.box"])) == ["x/a", "y/b"]


@pytest.mark.parametrize("name", ["t.txt", "t.csv"])
def test_table_with_micrographs_in_a_folder_named_like_a_star_block(tmp_path, name):
    head = "image_name\tx_coord\ty_coord\n" if name == "t.txt" else "micrograph,x,y\n"
    row = "data_1/a\t1\t2\n" if name == "t.txt" else "data_1/a,1,2\n"
    assert list(read_picks(write(tmp_path / name, head + row))) == ["data_1/a"]


def test_file_whose_name_looks_like_a_pattern(tmp_path):
    assert list(read_picks(write(tmp_path / "a[1].box", "0 0 2 2\n"))) == ["a[1]"]


# ---------------------------------------------------------------- bad input

LIST_HEAD = "data_coordinate_files\n\nloop_\n_rlnMicrographName\n_rlnMicrographCoordinates\n"

BAD_FILES = {
    "no number in STAR": (
        "t.star",
        STAR_HEAD + "a 1 2\n\n# note\na abc 2\n",
        r"t\.star, line 10: rlnCoordinateX is 'abc'",
    ),
    "NaN in STAR": ("t.star", STAR_HEAD + "a 1 nan\n", r"line 7: rlnCoordinateY is 'nan'"),
    "infinite in STAR": (
        "t.star",
        STAR_HEAD + "a 1 2\na 1 inf\n",
        r"line 8: rlnCoordinateY is 'inf'",
    ),
    "short row in STAR": (
        "t.star",
        STAR_HEAD + "a 1 2\na 1\n",
        "line 8: the row has 2 values where",
    ),
    "long row in STAR": (
        "t.star",
        STAR_HEAD + "a 1 2\na b 1 2\n",
        r"t\.star, line 8: the row has 4 values where .* 3 columns; put a name with blanks in quot",
    ),
    "all rows short": ("t.star", STAR_HEAD + "a 1\nb 2\n", r"t\.star, line 7: the row has 2 val"),
    "no name": ("t.star", STAR_HEAD + "a 1 2\nNaN 1 2\n", r"line 8: rlnMicrographName is missing"),
    "quote left open twice": (
        "t.star",
        STAR_HEAD + "'a 1 2\nb' 1 2\nc 1 2\n",
        r"t\.star, line 7: a quotation mark \('a\) is never closed",
    ),
    "short row that begins like a block": (
        "t.star",
        STAR_HEAD + "data_x.mrc 1\n",
        r"line 7: 'data_x\.mrc 1' is neither a block nor a whole row",
    ),
    "short row that begins like a column": (
        "t.star",
        STAR_HEAD + "_x.mrc 1\n",
        r"line 7: '_x\.mrc 1' is neither the name of a column nor a row of 3 values",
    ),
    "a block twice": (
        "t.star",
        STAR_HEAD + "a 1 2\n" + STAR_HEAD + "b 1 2\n",
        r"t\.star, line 8: block data_ stands there for a second time \(first in line 1\): give",
    ),
    "a second table in a block": ("t.star", STAR_HEAD + "loop_\n_a\n1\n", "has a second table"),
    "text in a block": ("t.star", "data_a\nhello\n", "line 2: 'hello' is neither a block"),
    "text before a block": (
        "t.star",
        "hello\n" + STAR_HEAD,
        "line 1: .* does not begin with data_",
    ),
    "column without its value": ("t.star", "data_a\n_x\n", "line 2: '_x' is neither"),
    "score that is text": (
        "t.star",
        STAR_HEAD + "_rlnAutopickFigureOfMerit\na 1 2 high\n",
        r"line 8: rlnAutopickFigureOfMerit is 'high'",
    ),
    "no coordinates": (
        "mics.star",
        "data_micrographs\n\nloop_\n_rlnMicrographName #1\na\n",
        r"picks need .*rlnCoordinateX and rlnCoordinateY.*data_micrographs \(rlnMicrographName\)",
    ),
    "a column twice": (
        "t.star",
        STAR_HEAD + "_rlnCoordinateX\na 1 2 3\n",
        "line 7: column rlnCoordinateX of .* second",
    ),
    "particles without micrographs": (
        "p.star",
        "data_particles\n\nloop_\n_rlnCoordinateX #1\n_rlnCoordinateY #2\n1 2\n",
        r"p\.star: block data_particles needs the columns rlnMicrographName",
    ),
    "optics group unknown": (
        "p.star",
        RELION_PARTICLES.replace("opticsGroup2            2", "opticsGroup2 3"),
        r"p\.star, line 29: optics group 2 is not in data_optics",
    ),
    "no optics": (
        "p.star",
        RELION_PARTICLES.split("# version 30001")[2],
        "give the micrograph's pixel size",
    ),
    "pixel size 0": (
        "p.star",
        RELION_PARTICLES.replace("0.800000", "0"),
        "PixelSize must be positive, not 0",
    ),
    "list without its file": (
        "l.star",
        LIST_HEAD + "a.mrc no/a.star\n",
        r"l\.star, line 6: the coordinate file no/a\.star of micrograph a\.mrc is not there",
    ),
    "list that names itself": (
        "l.star",
        LIST_HEAD + "a.mrc l.star\n",
        r"l\.star: is listed in .*l\.star as one micrograph's picks, but is a list itself",
    ),
    "data block without anything": ("t.star", "data_\n", r"the file has data_ \(no column\)"),
    "RELION 3 list alone": ("coords_suffix_x.star", "mics.star\n", r"no file \*_x\.star"),
    "no STAR": ("t.star", "hello\n", r"t\.star: is not a table of picks of a known format"),
    "no table": ("t.txt", "10 20 1\n30 40 1\n", r"t\.txt: is not a table of picks"),
    "image": ("t.png", "x", r"t\.png: is not a table of picks"),
    "Topaz with blanks in names": (
        "t.txt",
        "image_name x_coord y_coord\na b 1\n",
        r"t\.txt, line 2: x_coord is 'b', not a number",
    ),
    "Topaz with depths": (
        "t.txt",
        "image_name\tx_coord\ty_coord\tz_coord\na\t1\t2\t3\n",
        r"t\.txt, line 1: z_coord gives places in a tomogram",
    ),
    "Topaz not a number": (
        "t.txt",
        "image_name\tx_coord\ty_coord\na\t1\t2\n\na\t1,5\t2\n",
        r"t\.txt, line 4: x_coord is '1,5'",
    ),
    "Topaz short row": (
        "t.txt",
        "image_name\tx_coord\ty_coord\na\t1\n",
        r"line 2: has 2 fields where the header \(line 1\) has 3",
    ),
    "CSV without y": (
        "t.csv",
        "micrograph,x\na,1\n",
        r"needs the columns micrograph, x, y .* separated by commas or tabs; .* has micrograph, x",
    ),
    "CSV without a header": (
        "t.csv",
        "1,2,3\n",
        r"t\.csv, line 1: has 3 values and the table no header: name the columns",
    ),
    "VIA with a polygon": (
        "t.csv",
        'filename,region_shape_attributes\na.png,"{""name"":""polygon""}"\n',
        r"t\.csv, line 2: is a polygon; particles have to be points",
    ),
    "VIA broken": ("t.csv", "filename,region_shape_attributes\na,{\n", "line 2: '{' is not JSON"),
    "VIA short row": ("t.csv", "filename,region_shape_attributes\na\n", "line 2: has 1 fields"),
    "JSON broken": ("m_info.json", '{"boxes":\n [1', r"m_info\.json, line 2: is not JSON"),
    "JSON of something else": ("m.json", '{"a": 1}', r"m\.json: this JSON is neither EMAN2's"),
    "EMAN2 box short": ("m_info.json", '{"boxes": [[1]]}', r"m_info\.json, box 1: is \[1\], not"),
    "EMAN2 box text": ("m_info.json", '{"boxes": [[1, "a"]]}', "box 1: y is 'a', not a number"),
    "EMAN2 tomogram": ("m_info.json", '{"boxes": [[1, 2, 3]]}', r"box 1: has a z \(3\)"),
    "EMAN2 volume": ("m_info.json", '{"boxes_3d": [[1, 2, 3]]}', "boxes_3d are of a tomogram"),
    "tomogram of RELION": (
        "p.star",
        "data_particles\n\nloop_\n_rlnTomoName\n_rlnCoordinateX\n_rlnCoordinateY\nTS_1 1 2\n",
        r"p\.star: block data_particles is of tomograms \(rlnTomoName\)",
    ),
    "depths in STAR": (
        "p.star",
        STAR_HEAD + "_rlnCoordinateZ\na 1 2 0\na 1 2 8\n",
        r"p\.star: rlnCoordinateZ gives places in a tomogram or volume",
    ),
    "depths in cbox": (
        "m.cbox",
        CBOX.replace("<NA>", "8", 1),
        "CoordinateZ gives places in a tomo",
    ),
    "CSV empty": ("t.csv", "", r"t\.csv: the table needs .* has nothing"),
    "CSV name empty": (
        "t.csv",
        "micrograph,x,y\n,1,2\n",
        r"line 2: the micrograph's name is empty",
    ),
    "CSV coordinate missing": ("t.csv", "micrograph,x,y\na,1,\n", r"line 2: y is '', not a number"),
    "CSV infinite score": ("t.csv", "micrograph,x,y,score\na,1,2,inf\n", r"line 2: score is 'inf'"),
    "CSV huge field": (
        "t.csv",
        "micrograph,x,y\n" + "a" * 140_000 + ",1,2\n",
        r"t\.csv, line \d: field larger",
    ),
    "box short": ("m.box", "1 2 3 4\n1 2 3\n", r"m\.box, line 2: a box needs 4 numbers"),
    "box text": ("m.box", "1 2 3 4\n\n1 b 3 4\n", r"m\.box, line 3: CoordinateY is 'b'"),
    "box negative": ("m.box", "1 2 -3 4\n", r"m\.box: a box has the side -3"),
    "cbox text": ("m.cbox", CBOX.replace("17.25", "x"), r"m\.cbox, line 20: CoordinateY is 'x'"),
    "cbox without boxes": ("m.cbox", "data_a\n\nloop_\n_b #1\n1\n", r"m\.cbox: no block .* data_a"),
    "old cbox without confidence": ("m.cbox", "1 2 3 4\n", "needs 5 numbers"),
}


@pytest.mark.parametrize(("name", "text", "message"), BAD_FILES.values(), ids=BAD_FILES.keys())
def test_bad_file_is_named_with_what_is_wrong(tmp_path, name, text, message):
    path = write(tmp_path / name, text)
    with pytest.raises(UsageError, match=message) as error:
        read_picks(path)
    assert name in str(error.value)


def test_bad_file_can_be_mended_and_read_again(tmp_path):
    path = write(tmp_path / "t.star", STAR_HEAD + "a 1 2 3\n")
    with pytest.raises(UsageError):
        read_picks(path)
    write(path, STAR_HEAD + "a 1 2\n")
    assert read_picks(path)["a"].x.tolist() == [1]


def test_binary_file(tmp_path):
    path = tmp_path / "a.star"
    path.write_bytes(b"data_\xff\xfe\x00")
    with pytest.raises(UsageError, match=r"a\.star: is not a text file"):
        read_picks(path)


@pytest.mark.parametrize("format", ["auto", "star", "topaz", "box", "cbox", "csv"])
def test_missing_file(tmp_path, format):
    with pytest.raises(UsageError, match=r"none\.star: no such file"):
        read_picks(tmp_path / "none.star", format)


def test_missing_file_has_no_format(tmp_path):
    with pytest.raises(UsageError, match=r"none\.box: no such file"):
        detect_format(tmp_path / "none.box")


def test_pattern_that_matches_only_folders(tmp_path):
    (tmp_path / "sub.box").mkdir()
    with pytest.raises(UsageError, match="no file matches it as a pattern"):
        read_picks(f"{tmp_path}/*.box")


def test_folder_without_picks(tmp_path):
    with pytest.raises(UsageError, match="has no file of picks"):
        read_picks(tmp_path)


def test_no_source_and_unknown_format(tmp_path):
    with pytest.raises(UsageError, match="no file of picks was given"):
        read_picks([])
    with pytest.raises(UsageError, match="unknown format 'xml': give auto or one of star, topaz"):
        read_picks(tmp_path, "xml")


@pytest.mark.parametrize("pixel_size", [0, -1.0, float("nan")])
def test_given_pixel_size_must_be_positive(tmp_path, pixel_size):
    path = write(tmp_path / "run_data.star", RELION_PARTICLES)
    with pytest.raises(UsageError, match="the given pixel size must be positive"):
        read_picks(path, pixel_size=pixel_size)


def test_list_that_names_a_table_of_several_micrographs(tmp_path):
    write(tmp_path / "p.star", STAR_HEAD + "a 1 2\nb 3 4\n")
    path = write(tmp_path / "l.star", LIST_HEAD + "a.mrc p.star\n")
    with pytest.raises(UsageError, match=r"p\.star: is listed in .*l\.star .* of 2 micrographs"):
        read_picks(path)
    write(tmp_path / "p.star", STAR_HEAD + "a 1 2\n")
    assert list(read_picks(path)) == ["a.mrc"]
    write(path, LIST_HEAD + "a.mrc p.star\na.mrc p.star\n")
    with pytest.raises(UsageError, match=r"micrograph a\.mrc is listed twice"):
        read_picks(path)


def test_list_may_mix_formats_even_if_it_is_given_as_star(tmp_path):
    write(tmp_path / "a.cbox", CBOX)
    write(tmp_path / "b.txt", TOPAZ_TABLE.replace("007", "m 1"))
    path = write(tmp_path / "l.star", LIST_HEAD + "x/a.mrc a.cbox\nx/b.mrc b.txt\n")
    picks = read_picks(path, "star")
    assert {name: len(c) for name, c in picks.items()} == {"x/a.mrc": 2, "x/b.mrc": 3}
    assert picks["x/b.mrc"].score.tolist() == [3.5, -6, 0]


def write_run(folder, record):
    """As a picking run leaves it: all picks, and those of each micrograph once more."""
    picks = {
        f"mics/{name}.mrc": Coordinates(*np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]))
        for name in "ab"
    }
    write_picks(picks, folder / "picks.star")
    write_picks_folder(picks, folder / "micrographs")
    for name in (record, "failed.tsv", "micrographs.tsv"):
        (folder / name).write_text("micrograph\treason\n")
    return picks


@pytest.mark.parametrize("record", ["pick.json", "threshold.json"])
def test_picks_of_a_run_are_read_once(tmp_path, record):
    run = tmp_path / "project" / "run"
    picks = write_run(run, record)
    for source in (run, tmp_path / "project", tmp_path / "project" / "**" / "*.star"):
        found = read_picks(source)
        assert {name: len(each) for name, each in found.items()} == dict.fromkeys(picks, 2)
    # unless they are asked for
    assert len(read_picks(run / "micrographs" / "**" / "*.star")) == 2
