# SPDX-License-Identifier: GPL-3.0-or-later
"""Tying the names in picks files to micrographs."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scipion_pupick.engine.errors import UsageError
from scipion_pupick.engine.micrographs import Micrograph, match_names


def micrographs(*paths):
    return [Micrograph(Path(path), path) for path in paths]


def match(names, *paths):
    """Match and give the paths instead of the micrographs."""
    return {name: str(m.path) for name, m in match_names(names, micrographs(*paths)).items()}


class TestOneMicrographPerStem:
    @pytest.mark.parametrize(
        "name",
        [
            "m/a.v1.mrc",
            "./m/a.v1.mrc",
            "m//a.v1.mrc",
            "../m/a.v1.mrc",
            "a.v1.mrc",
            "a.v1",
            "a.v1.tif",
            "a.v1.TIFF",
            "a.v1.mrcs",
            "a.v1.mrc.gz",
            "a.v1.mrc.bz2",
            "other/folder/a.v1.mrc",
            "/data/a.v1",
        ],
    )
    @pytest.mark.parametrize(
        "path", ["m/a.v1.mrc", "/x/m/a.v1.mrc", "m/a.v1.tiff", "m/a.v1.mrc.gz"]
    )
    def test_fits_with_or_without_folders_and_extension(self, name, path):
        assert match([name], path) == {name: path}

    @pytest.mark.parametrize(
        "name",
        ["a", "a.v2.mrc", "a.v1.box", "ba.v1.mrc", "a.v1_x.mrc", "A.v1.mrc", "m", "", "/", "."],
    )
    def test_other_names_are_left_out(self, name):
        assert match([name], "m/a.v1.mrc") == {}

    def test_a_stem_with_an_unknown_extension_keeps_it(self):
        assert match(["a.5"], "a.5.mrc", "a.6.mrc") == {"a.5": "a.5.mrc"}

    def test_a_micrograph_without_extension(self):
        assert match(["a", "b.mrc"], "m/a", "m/b") == {"a": "m/a", "b.mrc": "m/b"}

    def test_names_that_fit_none_do_not_disturb(self):
        assert match(["x", "a", "y"], "a.mrc", "b.mrc") == {"a": "a.mrc"}

    def test_nothing_to_match(self):
        assert match([], "a.mrc") == {}
        assert match(["a.mrc"]) == {}


class TestSameStemInSeveralFolders:
    def test_each_name_finds_its_own_folder(self):
        found = match(
            ["g1/a.mrc", "g2/a", "/far/g3/a.mrc"], "m/g1/a.mrc", "m/g2/a.mrc", "m/g3/a.mrc"
        )
        assert found == {
            "g1/a.mrc": "m/g1/a.mrc",
            "g2/a": "m/g2/a.mrc",
            "/far/g3/a.mrc": "m/g3/a.mrc",
        }

    def test_the_longest_common_tail_wins(self):
        assert match(["q/r/a"], "p/r/a.mrc", "q/r/a.mrc", "r/s/a.mrc") == {"q/r/a": "q/r/a.mrc"}

    def test_an_exact_name_wins_over_longer_paths(self):
        assert match(["a.mrc"], "a.mrc", "x/a.mrc") == {"a.mrc": "a.mrc"}

    def test_an_exact_path_wins_over_the_name(self):
        set_ = [Micrograph(Path("/p1/m/a.mrc"), "m/a.mrc"), Micrograph(Path("/p2/m/a.mrc"), "x")]
        assert match_names(["/p2/m/a.mrc", "m/a.mrc"], set_) == {
            "/p2/m/a.mrc": set_[1],
            "m/a.mrc": set_[0],
        }

    def test_an_absolute_name_finds_a_relative_path(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        assert match([f"{tmp_path}/a.mrc"], "a.mrc", "x/a.mrc") == {f"{tmp_path}/a.mrc": "a.mrc"}

    @pytest.mark.parametrize("name", ["a", "a.mrc", "g3/a.mrc"])
    def test_a_name_that_fits_two_equally_is_an_error_with_both(self, name):
        with pytest.raises(UsageError) as caught:
            match([name], "g1/a.mrc", "g2/a.mrc")
        assert all(repr(text) in str(caught.value) for text in (name, "g1/a.mrc", "g2/a.mrc"))

    def test_the_extension_decides_within_one_folder(self):
        paths = ("m/a.mrc", "m/a.tif")
        assert match(["x/a.tif", "x/a.mrc"], *paths) == {"x/a.tif": "m/a.tif", "x/a.mrc": "m/a.mrc"}
        with pytest.raises(UsageError, match="equally well"):
            match(["a"], *paths)

    def test_the_same_micrograph_twice_is_no_ambiguity(self):
        assert match(["a"], "m/a.mrc", "m/a.mrc") == {"a": "m/a.mrc"}


class TestSeveralNamesForOneMicrograph:
    def test_shorter_ways_to_write_one_path_all_fit(self):
        names = ["a", "a.mrc", "g1/a", "/m/g1/a.mrc"]
        assert match(names, "/m/g1/a.mrc") == dict.fromkeys(names, "/m/g1/a.mrc")

    def test_the_same_stem_of_an_absent_folder_is_left_out(self):
        assert match(["g1/a", "g2/a"], "/m/g1/a.mrc") == {"g1/a": "/m/g1/a.mrc"}
        assert match(["x/g2/a", "x/g1/a"], "/m/g1/a.mrc") == {"x/g1/a": "/m/g1/a.mrc"}

    def test_two_folders_that_fit_equally_are_an_error(self):
        with pytest.raises(UsageError) as caught:
            match(["g1/a", "g2/a"], "/m/a.mrc")
        assert all(repr(text) in str(caught.value) for text in ("g1/a", "g2/a", "/m/a.mrc"))

    def test_one_moved_path_with_two_extensions_is_no_ambiguity(self):
        assert set(match(["g1/a", "g1/a.mrc"], "/m/a.mrc")) == {"g1/a", "g1/a.mrc"}

    def test_a_repeated_name_counts_once(self):
        assert match(["g1/a", "g1/a"], "/m/a.mrc") == {"g1/a": "/m/a.mrc"}


class TestWhatProgramsPutBeforeAndBehind:
    @pytest.mark.parametrize(
        "name",
        [
            "J1/motioncorrected/000001281467243737051_m0_patch_aligned_doseweighted.mrc",
            "J1/imported/000001281467243737051_m0.mrc",
            "MotionCorr/m0_DW.mrc",
            "m0_noDW",
            "denoised/m0_denoised.mrc",
            "m0_autopick",
            "m0_DW_autopick",
            "m0_aligned_mic_extract",
            "average\\m0.mrc",
            "D:\\data\\average\\m0_DW.mrc",
        ],
    )
    def test_is_taken_off_where_nothing_else_fits(self, name):
        assert match([name], "mics/m0.mrc", "mics/m1.mrc") == {name: "mics/m0.mrc"}

    def test_also_of_the_micrographs(self):
        path = "J1/000001281467243737051_m0_patch_aligned_doseweighted.mrc"
        assert match(["m0.mrc", "x/m0_DW.mrc"], path)["m0.mrc"] == path

    def test_as_little_as_possible(self):
        paths = ("x/m0.mrc", "x/m0_DW.mrc")
        names = ["m0_DW_autopick", "m0_autopick", "m0_DW"]
        assert match(names, *paths) == {"m0_DW": paths[1], "m0_autopick": paths[0]}
        assert match(names[:2], *paths) == {names[0]: paths[1], names[1]: paths[0]}

    def test_a_name_that_fits_as_it_is_has_the_micrograph(self):
        assert match(["m0_DW", "m0"], "m0.mrc") == {"m0": "m0.mrc"}

    def test_two_that_fit_equally_well_are_an_error(self):
        with pytest.raises(UsageError, match="equally well"):
            match(["a/m0_DW", "b/m0_denoised"], "m0.mrc")
        with pytest.raises(UsageError, match="equally well"):
            match(["m0_autopick"], "a/m0_DW.mrc", "b/m0_DW.mrc")

    @pytest.mark.parametrize(
        "name", ["xm0", "m0_x", "m0DW", "0001_m0", "_DW", "000001281467243737051_"]
    )
    def test_other_parts_of_names_stay(self, name):
        assert match([name], "m0.mrc") == {}


def parts_of(path):
    *folders, file = [part for part in path.split("/") if part]
    return (*folders, file.replace(".mrc", ""))


def common_tail(first, second):
    return len(os.path.commonprefix([parts_of(first)[::-1], parts_of(second)[::-1]]))


PATHS = st.lists(st.sampled_from("pqr"), min_size=1, max_size=3).map("/".join)


@given(
    names=st.lists(PATHS, max_size=4, unique=True), paths=st.lists(PATHS, max_size=4, unique=True)
)
def test_agrees_with_trying_every_pair(names, paths):
    files = [f"/{path}.mrc" for path in paths]
    best = {}
    ambiguous = False
    for name in names:
        tails = {file: common_tail(name, file) for file in files}
        longest = max(tails.values(), default=0)
        closest = [file for file in files if tails[file] == longest > 0]
        ambiguous |= len(closest) > 1
        if closest:
            best[name] = (closest[0], longest)
    expected = {}
    for file in files:
        rivals = {name: tail for name, (chosen, tail) in best.items() if chosen == file}
        whole = {name for name, tail in rivals.items() if tail == len(parts_of(name))}
        moved = {name for name in rivals.keys() - whole if rivals[name] == max(rivals.values())}
        ambiguous |= len(moved) > 1
        expected.update(dict.fromkeys(whole | moved, file))
    if ambiguous:
        with pytest.raises(UsageError, match="equally well"):
            match(names, *files)
    else:
        assert match(names, *files) == expected


@pytest.mark.parametrize("pattern", ["m/{}.mrc", "m/{}/image.mrc"])
def test_ten_thousand_names_and_micrographs(pattern):
    """Ends in a second; comparing every pair would take minutes."""
    files = [f"/data/{pattern.format(number)}" for number in range(10_000)]
    names = [f"/old/{pattern.format(number)}" for number in range(10_000)]
    assert match(names, *files) == dict(zip(names, files))
