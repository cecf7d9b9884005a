# SPDX-License-Identifier: GPL-3.0-or-later
"""Finding micrographs in files, folders, patterns and STAR files, and their pixel sizes."""

import gzip
import math
from pathlib import Path

import mrcfile
import numpy as np
import pytest

from scipion_pupick.engine.errors import MicrographError, UsageError
from scipion_pupick.engine.micrographs import (
    Micrograph,
    find_micrographs,
    read_image,
    require_pixel_size,
)


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Return an empty folder, which is the current one."""
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def touch(*paths):
    for path in map(Path, paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def names(*sources):
    return [micrograph.name for micrograph in find_micrographs(sources)]


def write_star(path, text):
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return str(path)


def optics_star(
    optics, rows="Micrographs/a.mrc 1\n", columns="_rlnMicrographName\n_rlnOpticsGroup\n"
):
    """Make a micrographs STAR file as RELION 3.1 and later write it."""
    return (
        "\n# version 30001\n\ndata_optics\n\nloop_ \n"
        + optics
        + "\n \n\n# version 30001\n\ndata_micrographs\n\nloop_ \n"
        + columns
        + rows
        + " \n"
    )


def pixel_sizes(star):
    return {m.name: m.pixel_size for m in find_micrographs([star])}


class TestFilesFoldersAndPatterns:
    def test_files_in_the_given_order(self, project):
        touch("b.mrc", "a.mrc", "c.odd")
        assert names("b.mrc", "./a.mrc", "c.odd") == ["b.mrc", "a.mrc", "c.odd"]
        assert find_micrographs(["b.mrc"]) == [Micrograph(Path("b.mrc"), "b.mrc", None)]

    def test_an_absolute_path_stays_one(self, project):
        touch("a.mrc")
        assert names(str(project / "a.mrc")) == [f"{project}/a.mrc"]

    def test_a_folder_gives_its_images_sorted(self, project):
        wanted = [
            "1.mrc",
            "2.MRC",
            "3.mrcs",
            "4.tif",
            "5.tiff",
            "6.mrc.gz",
            "7.mrcs.bz2",
            "8.v1.mrc",
        ]
        unwanted = ["a.star", "b.mrc.txt", ".hidden.mrc", "c.gz", "mrc", "deeper/d.mrc"]
        touch(*(f"mics/{name}" for name in unwanted + wanted[::-1]))
        Path("mics/folder.mrc").mkdir()
        assert names("mics/") == [f"mics/{name}" for name in wanted]

    def test_a_pattern_gives_its_images_sorted(self, project):
        touch("m/b1.mrc", "m/a1.mrc", "m/a2.mrc", "m/a1.star", "m/n/a1.mrc")
        assert names("m/*1.*") == ["m/a1.mrc", "m/b1.mrc"]
        assert names("m/**/a1.mrc") == ["m/a1.mrc", "m/n/a1.mrc"]

    def test_a_file_whose_name_looks_like_a_pattern(self, project):
        touch("a[1].mrc", "a1.mrc")
        assert names("a[1].mrc") == ["a[1].mrc"]

    def test_each_file_once_in_the_order_of_the_sources(self, project):
        touch("m/a.mrc", "m/b.mrc")
        Path("link.mrc").symlink_to("m/a.mrc")
        assert names("m/b.mrc", "m", "m/*.mrc", "link.mrc", str(project / "m/a.mrc")) == [
            "m/b.mrc",
            "m/a.mrc",
        ]

    def test_each_name_in_a_star_file_is_a_micrograph(self, project):
        touch("m/a.mrc", "m/b.mrc")
        Path("link.mrc").symlink_to("m/a.mrc")
        Path("all.star").write_text("data_\n\nloop_\n_rlnMicrographName\nlink.mrc\nm/a.mrc\n")
        assert names("all.star", "m") == ["link.mrc", "m/a.mrc", "m/b.mrc"]

    def test_equal_file_names_in_two_folders_stay_apart(self, project):
        touch("x/a.mrc", "y/a.mrc")
        assert names("x", "y") == ["x/a.mrc", "y/a.mrc"]

    def test_no_image_is_opened(self, project):
        Path("gone.mrc").write_bytes(b"this is no image")
        (found,) = find_micrographs(["."])
        assert found.pixel_size is None
        with pytest.raises(MicrographError, match=r"gone\.mrc"):
            read_image(found.path)

    def test_thousands_of_files(self, project):
        Path("m").mkdir()
        for number in range(2_000):
            Path(f"m/{number:05d}.mrc").touch()
        found = find_micrographs(["m", "m/*.mrc"])
        assert [m.name for m in found] == [f"m/{number:05d}.mrc" for number in range(2_000)]

    @pytest.mark.parametrize(
        ("source", "reason"),
        [
            ("none.mrc", "none.mrc: no such file or folder"),
            ("none/*.mrc", r"none/\*.mrc: no micrographs fit this pattern"),
            ("other", "other: no micrographs in this folder"),
            ("other/*", r"other/\*: no micrographs fit this pattern"),
            ("none.star", "none.star: no such file or folder"),
        ],
    )
    def test_a_source_without_micrographs_is_named(self, project, source, reason):
        touch("a.mrc", "other/deeper/a.mrc", "other/a.log")
        with pytest.raises(UsageError, match=reason):
            find_micrographs(["a.mrc", source])

    def test_no_source(self):
        with pytest.raises(UsageError, match="no micrographs given"):
            find_micrographs([])


OPTICS = "_rlnOpticsGroupName #1 \n_rlnOpticsGroup #2 \n_rlnMicrographOriginalPixelSize #3 \n"


class TestStarFiles:
    @pytest.fixture(autouse=True)
    def _micrographs(self, project):
        touch("Micrographs/a.mrc", "Micrographs/b.mrc")

    def test_relion_3_1_and_later(self):
        star = write_star(
            "CtfFind/job003/micrographs_ctf.star",
            optics_star(
                OPTICS + "_rlnVoltage #4 \n_rlnMicrographPixelSize #5 \n"
                "opticsGroup1 1 0.885000 300.000000 1.770000 \n"
                "opticsGroup2 2 0.675000 300.000000 1.350000 \n",
                "Micrographs/b.mrc 2\nMicrographs/a.mrc 1\n",
            ),
        )
        assert find_micrographs([star]) == [
            Micrograph(Path("Micrographs/b.mrc"), "Micrographs/b.mrc", 1.35),
            Micrograph(Path("Micrographs/a.mrc"), "Micrographs/a.mrc", 1.77),
        ]

    def test_without_the_micrographs_own_the_original_pixel_size_is_taken(self):
        star = write_star("a.star", optics_star(OPTICS + "g1 1 0.885\n"))
        assert pixel_sizes(star) == {"Micrographs/a.mrc": 0.885}

    def test_the_image_pixel_size_comes_last(self):
        star = write_star("a.star", optics_star("_rlnOpticsGroup\n_rlnImagePixelSize\n1 1.5\n"))
        assert pixel_sizes(star) == {"Micrographs/a.mrc": 1.5}

    def test_a_pixel_size_in_the_row(self):
        star = write_star(
            "a.star",
            "data_\n\nloop_\n_rlnMicrographName\n_rlnMicrographPixelSize\n"
            "Micrographs/a.mrc 1.25\nMicrographs/b.mrc 2.5\n",
        )
        assert pixel_sizes(star) == {"Micrographs/a.mrc": 1.25, "Micrographs/b.mrc": 2.5}

    def test_relion_3_0_detector_over_magnification(self):
        star = write_star(
            "a.star",
            "\ndata_\n\nloop_ \n_rlnMicrographName #1 \n_rlnMagnification #2 \n"
            "_rlnDetectorPixelSize #3 \nMicrographs/a.mrc 10000.000000 3.540000 \n"
            "Micrographs/b.mrc 0.0 3.540000 \n",
        )
        assert pixel_sizes(star) == {
            "Micrographs/a.mrc": pytest.approx(3.54),
            "Micrographs/b.mrc": None,
        }

    @pytest.mark.parametrize("value", ["0.0", "-1.0", "nan"])
    def test_a_senseless_pixel_size_is_none(self, value):
        star = write_star("a.star", optics_star(OPTICS + f"g1 1 {value}\n"))
        assert pixel_sizes(star) == {"Micrographs/a.mrc": None}

    def test_a_group_without_optics_is_named(self):
        star = write_star("a.star", optics_star(OPTICS + "g1 1 1.5\n", "Micrographs/a.mrc 7\n"))
        with pytest.raises(UsageError, match=r"a\.star.*optics group 7 is not in data_optics"):
            find_micrographs([star])

    def test_a_pixel_size_that_is_no_number_is_named(self):
        star = write_star("a.star", optics_star(OPTICS + "g1 1 large\n"))
        with pytest.raises(UsageError, match=r"a\.star.*'large'"):
            find_micrographs([star])

    def test_particles_give_each_micrograph_once_and_no_pixel_size_of_theirs(self):
        star = write_star(
            "particles.star",
            optics_star(
                OPTICS + "_rlnImagePixelSize #4\ng1 1 0.885 7.08\n",
                "1@x.mrcs Micrographs/b.mrc 1\n2@x.mrcs Micrographs/b.mrc 1\n"
                "3@x.mrcs Micrographs/a.mrc 1\n",
                "_rlnImageName\n_rlnMicrographName\n_rlnOpticsGroup\n",
            ),
        )
        assert pixel_sizes(star) == {"Micrographs/b.mrc": None, "Micrographs/a.mrc": None}

    def test_particles_of_relion_3_0_give_no_pixel_size_of_theirs(self):
        star = write_star(
            "particles.star",
            "data_\n\nloop_\n_rlnImageName\n_rlnMicrographName\n_rlnMagnification\n"
            "_rlnDetectorPixelSize\n1@x.mrcs Micrographs/a.mrc 10000 14\n",
        )
        assert pixel_sizes(star) == {"Micrographs/a.mrc": None}

    def test_a_list_of_picks_without_pixel_sizes(self):
        star = write_star(
            "autopick.star",
            "data_coordinate_files\n\nloop_\n_rlnMicrographName\n_rlnMicrographCoordinates\n"
            "Micrographs/a.mrc AutoPick/job001/a_autopick.star\n",
        )
        assert pixel_sizes(star) == {"Micrographs/a.mrc": None}

    def test_the_current_folder_comes_before_the_star_files_own(self, project):
        touch("sub/Micrographs/a.mrc")
        star = write_star("sub/a.star", "data_\n\nloop_\n_rlnMicrographName\nMicrographs/a.mrc\n")
        (found,) = find_micrographs([star])
        assert found.path.resolve() == project / "Micrographs/a.mrc"

    @pytest.mark.parametrize("place", ["a.star", "CtfFind/job003/a.star"])
    def test_from_elsewhere_the_star_files_folder_and_those_above_count(
        self, project, tmp_path, monkeypatch, place
    ):
        star = write_star(
            project / place, "data_\n\nloop_\n_rlnMicrographName\nMicrographs/a.mrc\n"
        )
        monkeypatch.chdir(tmp_path)
        (found,) = find_micrographs([star])
        assert found.path == project / "Micrographs/a.mrc"
        assert found.name == "Micrographs/a.mrc"

    def test_absolute_names(self, project):
        star = write_star(
            "a.star", f"data_\n\nloop_\n_rlnMicrographName\n{project}/Micrographs/a.mrc\n"
        )
        assert find_micrographs([star])[0].path == project / "Micrographs/a.mrc"

    def test_one_missing_micrograph_stays_in_the_list(self):
        star = write_star(
            "a.star", "data_\n\nloop_\n_rlnMicrographName\ngone.mrc\nMicrographs/a.mrc\n"
        )
        gone, _ = find_micrographs([star])
        assert gone.name == "gone.mrc"
        with pytest.raises(MicrographError, match=r"gone\.mrc: no such file"):
            read_image(gone.path)

    def test_all_missing_is_an_error(self):
        star = write_star("a.star", "data_\n\nloop_\n_rlnMicrographName\nx/1.mrc\nx/2.mrc\n")
        with pytest.raises(UsageError, match=r"a\.star: none of its 2 micrographs .*'x/1\.mrc'"):
            find_micrographs([star])

    def test_names_that_look_like_numbers_stay_names(self):
        touch("0001")
        star = write_star("a.star", "data_\n\nloop_\n_rlnMicrographName\n0001\n")
        assert names(star) == ["0001"]

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("data_\n\nloop_\n_rlnMicrographMovieName\na.tif\n", "rlnMicrographMovieName"),
            ("data_\n\nloop_\n_rlnMicrographName\n", "no rows|no table has the column"),
            ("", "no table has the column rlnMicrographName"),
            ("hello\n", "not a STAR file"),
        ],
    )
    def test_a_star_file_without_micrographs_is_named(self, text, reason):
        star = write_star("bad.star", text)
        with pytest.raises(UsageError, match=reason) as caught:
            find_micrographs([star])
        assert "bad.star" in str(caught.value)

    def test_equal_names_of_two_projects_are_told_apart(self, tmp_path, monkeypatch):
        text = "data_\n\nloop_\n_rlnMicrographName\nmics/a.mrc\n"
        stars = [write_star(tmp_path / project / "m.star", text) for project in ("p1", "p2")]
        touch(tmp_path / "p1/mics/a.mrc", tmp_path / "p2/mics/a.mrc")
        first, second = find_micrographs(stars)
        assert (first.name, second.name) == ("mics/a.mrc", f"{tmp_path}/p2/mics/a.mrc")
        assert first.path != second.path


class TestPixelSize:
    def write(self, path, pixel_size):
        with mrcfile.new(path, np.ones((4, 6), "f4")) as file:
            file.voxel_size = pixel_size

    def test_the_given_one_wins_over_star_and_header(self, project):
        self.write("a.mrc", 3.0)
        star = write_star(
            "a.star", "data_\n\nloop_\n_rlnMicrographName\n_rlnMicrographPixelSize\na.mrc 2.0\n"
        )
        (given,) = find_micrographs([star], pixel_size=1.5)
        (from_star,) = find_micrographs([star])
        (from_header,) = find_micrographs(["a.mrc"])
        assert require_pixel_size(given) == 1.5
        assert require_pixel_size(from_star) == 2.0
        assert require_pixel_size(from_header) == 3.0

    def test_a_set_may_have_several(self, project):
        self.write("a.mrc", 1.0)
        self.write("b.mrc", 2.0)
        assert [require_pixel_size(m) for m in find_micrographs(["."])] == [1.0, 2.0]

    def test_from_a_compressed_file(self, project):
        self.write("a.mrc", 1.25)
        Path("b.mrc.gz").write_bytes(gzip.compress(Path("a.mrc").read_bytes()))
        assert require_pixel_size(find_micrographs(["b.mrc.gz"])[0]) == 1.25

    def test_missing_asks_for_the_option(self, project):
        self.write("a.mrc", 0.0)
        with pytest.raises(
            MicrographError, match=r"a\.mrc: .*give the pixel size \(Å/px\)"
        ) as caught:
            require_pixel_size(find_micrographs(["a.mrc"])[0])
        assert caught.value.settings == ("pixel_size",)

    @pytest.mark.parametrize("pixel_size", [0.0, -1.0, math.nan, math.inf])
    def test_senseless_in_the_micrograph(self, pixel_size):
        with pytest.raises(MicrographError, match="give the pixel size"):
            require_pixel_size(Micrograph(Path("a.mrc"), "a.mrc", pixel_size))

    def test_an_unreadable_file_is_named(self):
        with pytest.raises(MicrographError, match=r"gone\.mrc: no such file"):
            require_pixel_size(Micrograph(Path("gone.mrc"), "gone.mrc", None))

    @pytest.mark.parametrize("pixel_size", [0.0, -1.0, math.nan, math.inf])
    def test_senseless_as_argument(self, project, pixel_size):
        touch("a.mrc")
        with pytest.raises(UsageError, match=f"positive number of Å/px, not {pixel_size}"):
            find_micrographs(["a.mrc"], pixel_size=pixel_size)


def exposures(**fields):
    """Two micrographs of cryoSPARC, whose paths begin at the folder of its project."""
    kinds = [
        ("uid", "<u8"),
        ("micrograph_blob/path", "S40"),
        ("micrograph_blob/shape", "<u4", (2,)),
        ("micrograph_blob/psize_A", "<f4"),
    ]
    records = np.zeros(2, kinds)
    records["uid"] = [5, 6]
    records["micrograph_blob/path"] = [b"J2/motioncorrected/a.mrc", b"J2/motioncorrected/b.mrc"]
    records["micrograph_blob/shape"] = (40, 60)
    records["micrograph_blob/psize_A"] = 1.25
    for name, value in fields.items():
        records[f"micrograph_blob/{name}"] = value
    return records


def test_exposures_of_cryosparc_are_micrographs(project):
    touch("P3/J2/motioncorrected/a.mrc", "P3/J2/motioncorrected/b.mrc")
    with open("P3/J2/exposures.cs", "wb") as file:
        np.save(file, exposures())
    a, b = find_micrographs(["P3/J2/exposures.cs"])
    assert (a.name, b.name) == ("J2/motioncorrected/a.mrc", "J2/motioncorrected/b.mrc")
    assert a.path == project / "P3/J2/motioncorrected/a.mrc"
    assert (a.pixel_size, a.pixel_size_from) == (1.25, ".cs file")


def test_exposures_that_make_no_sense_are_refused(project):
    touch("J2/motioncorrected/a.mrc")
    for records, text in (
        (exposures(psize_A=-1), "pixel size"),
        (exposures(path=b"J9/none.mrc"), "folder of the cryoSPARC project"),
        (exposures()[["uid"]], "has no micrograph_blob/path"),
    ):
        with open("bad.cs", "wb") as file:
            np.save(file, records)
        with pytest.raises(UsageError, match=text):
            find_micrographs(["bad.cs"])
