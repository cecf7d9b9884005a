# SPDX-License-Identifier: GPL-3.0-or-later
"""Files for RELION 3.1, 4.0 and 5.0, against what real RELION of each version writes and reads."""

from pathlib import Path

import numpy as np
import pytest
from helpers.relion_files import JOB_STAR, read_table

from relion_external import versions
from relion_external.kinds import relion_version
from relion_external.outputs import (
    coordinate_files,
    coordinates_text,
    project_path,
    write_coordinates,
    write_list,
    write_nodes,
)
from relion_external.versions import V3, V4, V5, detect_version, project_version
from scipion_pupick.engine import Coordinates, read_picks
from scipion_pupick.engine.errors import UsageError

PICKS = Coordinates([1027.0, 3.25], [46.0, 900.5], [7.425266, -0.5])

GOLDEN_COORDINATES = {
    V3: """
# version 30001

data_

loop_
_rlnCoordinateX #1
_rlnCoordinateY #2
_rlnAutopickFigureOfMerit #3
_rlnClassNumber #4
_rlnAnglePsi #5
 1027.000000    46.000000     7.425266            0     0.000000
    3.250000   900.500000    -0.500000            0     0.000000

""",
    V4: """
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
    3.250000   900.500000    -0.500000            0     0.000000            2

""",
}
GOLDEN_COORDINATES[V5] = GOLDEN_COORDINATES[V4]

GOLDEN_LIST = """
# version 30001

data_coordinate_files

loop_
_rlnMicrographName #1
_rlnMicrographCoordinates #2
MotionCorr/job002/Micrographs/mic_001.mrc External/job001/Micrographs/mic_001_autopick.star

"""

GOLDEN_NODES = {
    V3: """data_output_nodes

loop_
_rlnPipeLineNodeName #1
_rlnPipeLineNodeType #2
External/job001/coords_suffix_autopick.star 2
External/job001/logfile.pdf 13

""",
    V4: """data_output_nodes

loop_
_rlnPipeLineNodeName #1
_rlnPipeLineNodeTypeLabel #2
External/job001/autopick.star MicrographsCoords.star.relion.autopick
External/job001/logfile.pdf LogFile.pdf.relion.autopick

""",
    V5: """data_output_nodes

loop_
_rlnPipeLineNodeName #1
_rlnPipeLineNodeTypeLabel #2
External/job001/autopick.star MicrographCoordsGroup.star.relion.autopick
External/job001/logfile.pdf LogFile.pdf.relion.autopick

""",
}

MIC = "MotionCorr/job002/Micrographs/mic_001.mrc"
FOLDER = Path("External/job001")


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    FOLDER.mkdir(parents=True)
    return tmp_path


@pytest.mark.parametrize("version", versions.VERSIONS)
def test_coordinates_are_as_relion_writes_them(version):
    assert coordinates_text(PICKS, version) == GOLDEN_COORDINATES[version]


@pytest.mark.parametrize("version", versions.VERSIONS)
def test_without_picks_the_head_alone_is_written(version):
    head = GOLDEN_COORDINATES[version].split(" 1027")[0]
    assert coordinates_text(Coordinates.empty(), version) == head + "\n"


@pytest.mark.parametrize("version", versions.VERSIONS)
def test_coordinates_come_back(version, tmp_path):
    random = np.random.default_rng(0)
    picks = Coordinates(*random.uniform(-5, 8000, size=(3, 50)))
    write_coordinates(picks, tmp_path / "mic_autopick.star", version)
    back = read_picks(tmp_path)["mic"]
    for name in ("x", "y", "score"):
        np.testing.assert_allclose(getattr(back, name), getattr(picks, name), atol=5e-7)


@pytest.mark.parametrize("version", [V4, V5])
def test_the_list_of_relion_4_and_5(version, project):
    files = coordinate_files([MIC], FOLDER, version)
    path = write_list(files, "CtfFind/job003/micrographs_ctf.star", FOLDER, version)
    assert path == FOLDER / "autopick.star"
    assert path.read_text(encoding="utf-8") == GOLDEN_LIST


def test_the_list_of_relion_3_is_the_name_of_the_micrographs_file(project):
    path = write_list({}, "CtfFind/job003/micrographs_ctf.star", FOLDER, V3)
    assert path == FOLDER / "coords_suffix_autopick.star"
    assert path.read_text(encoding="utf-8") == "CtfFind/job003/micrographs_ctf.star\n"


def test_names_with_blanks_are_quoted(project):
    files = coordinate_files(["my mics/a b.mrc"], FOLDER, V5)
    path = write_list(files, "mics.star", FOLDER, V5)
    row = path.read_text(encoding="utf-8").splitlines()[-2]
    assert row == '"my mics/a b.mrc" "External/job001/my mics/a b_autopick.star"'
    write_coordinates(PICKS, files["my mics/a b.mrc"], V5)
    assert list(read_picks(path)) == ["my mics/a b.mrc"]


@pytest.mark.parametrize("version", versions.VERSIONS)
def test_nodes_are_in_exactly_the_versions_form(version, project):
    listed = write_list({}, "mics.star", FOLDER, version)
    (FOLDER / "logfile.pdf").touch()
    nodes = [(listed, versions.COORDINATES), (FOLDER / "logfile.pdf", versions.LOGFILE)]
    write_nodes(nodes, FOLDER, version)
    text = (FOLDER / "RELION_OUTPUT_NODES.star").read_text(encoding="utf-8")
    assert text == GOLDEN_NODES[version]


def test_files_that_are_not_there_are_no_nodes(project):
    write_nodes([(FOLDER / "logfile.pdf", versions.LOGFILE)], FOLDER, V5)
    assert read_table(FOLDER / "RELION_OUTPUT_NODES.star")[1] == []


@pytest.mark.parametrize(("version", "count"), [(V3, 0), (V4, 1), (V5, 1)])
def test_models_are_nodes_where_the_version_has_a_type_for_them(version, count, project):
    (FOLDER / "model.safetensors").touch()
    write_nodes([(FOLDER / "model.safetensors", versions.MODEL)], FOLDER, version)
    assert len(read_table(FOLDER / "RELION_OUTPUT_NODES.star")[1]) == count


@pytest.mark.parametrize(
    ("name", "file"),
    [
        (MIC, "Micrographs/mic_001_autopick.star"),
        ("MotionCorr/job1234/Movies/a/mic.mrc", "Movies/a/mic_autopick.star"),
        ("Micrographs/mic.x.mrc", "Micrographs/mic.x_autopick.star"),
        ("mic.tif", "mic_autopick.star"),
        ("/data/project/MotionCorr/job002/Movies/mic.mrc", "Movies/mic_autopick.star"),
        ("/data/day1/my mic.mrc", "data/day1/my mic_autopick.star"),
        ("my project/MotionCorr/job002/Movies/mic.mrc", "Movies/mic_autopick.star"),
        ("./Micrographs/mic.mrc", "Micrographs/mic_autopick.star"),
        ("Jobs/jobless/mic.mrc", "Jobs/jobless/mic_autopick.star"),
        ("A/job001/B/job002/mic.mrc", "B/job002/mic_autopick.star"),
    ],
)
@pytest.mark.parametrize("version", versions.VERSIONS)
def test_files_mirror_the_micrographs_folders_without_their_job(version, name, file):
    assert coordinate_files([name], FOLDER, version) == {name: FOLDER / file}


TWINS = ["MotionCorr/job002/Movies/a.mrc", "MotionCorr/job007/Movies/a.mrc"]


@pytest.mark.parametrize("version", [V4, V5])
def test_twins_of_two_jobs_get_files_of_their_own(version):
    files = coordinate_files(TWINS, FOLDER, version)
    assert len(set(files.values())) == 2
    assert all(FOLDER in file.parents for file in files.values())


def test_twins_of_two_jobs_are_refused_for_relion_3():
    with pytest.raises(UsageError, match=r"job002/Movies/a\.mrc and .*job007/Movies/a\.mrc"):
        coordinate_files(TWINS, FOLDER, V3)


def test_one_name_in_two_folders_is_fine_for_all():
    names = ["Movies/day1/a.mrc", "Movies/day2/a.mrc"]
    for version in versions.VERSIONS:
        assert len(set(coordinate_files(names, FOLDER, version).values())) == 2


def test_nothing_is_written_outside_the_jobs_folder():
    name = "../../elsewhere/a.mrc"
    for version in (V4, V5):
        assert FOLDER in coordinate_files([name], FOLDER, version)[name].parents
    with pytest.raises(UsageError, match="outside"):
        coordinate_files([name], FOLDER, V3)


def test_folders_with_blanks_are_refused_for_relion_3_which_cannot_extract_there():
    name = "MotionCorr/job002/day one/a.mrc"
    for version in (V4, V5):
        assert coordinate_files([name], FOLDER, version)[name].parent == FOLDER / "day one"
    with pytest.raises(UsageError, match=r"day one/a\.mrc.*blanks"):
        coordinate_files([name], FOLDER, V3)


def test_a_name_that_no_star_file_can_hold_is_refused_before_any_picking():
    with pytest.raises(UsageError, match="a#b"):
        coordinate_files(["a#b.mrc"], FOLDER, V5)


def test_paths_are_those_of_the_project(project):
    assert project_path(Path("External/job001/")) == FOLDER
    assert project_path(Path("./External//job001")) == FOLDER
    assert project_path(project / "External/job001") == FOLDER
    assert project_path(Path("/elsewhere/job001")) == Path("/elsewhere/job001")


@pytest.mark.parametrize("version", versions.VERSIONS)
def test_the_version_is_told_by_job_star(version, tmp_path):
    (tmp_path / "job.star").write_text(JOB_STAR[version], encoding="utf-8")
    assert detect_version(tmp_path) == version
    assert relion_version(version) == version


def test_quotation_marks_that_break_job_star_do_no_harm(tmp_path):
    text = JOB_STAR[V4] + '\ndata_joboptions_values\nloop_\nother_args "--x "1 2""\n'
    (tmp_path / "job.star").write_bytes(text.encode() + b"\xff\n")
    assert detect_version(tmp_path) == V4


def test_without_job_star_the_latest_version_is_assumed(tmp_path):
    assert detect_version(tmp_path) == V5


PIPELINES = {
    V3: "# version 30001\ndata_pipeline_processes\nloop_\n_rlnPipeLineProcessName #1\n"
    "_rlnPipeLineProcessAlias #2\n_rlnPipeLineProcessType #3\n_rlnPipeLineProcessStatus #4\n",
    V4: "# version 30001\ndata_pipeline_processes\nloop_\n_rlnPipeLineProcessName #1\n"
    "_rlnPipeLineProcessAlias #2\n_rlnPipeLineProcessTypeLabel #3\n",
    V5: "# version 50001\ndata_pipeline_processes\nloop_\n_rlnPipeLineProcessName #1\n"
    "_rlnPipeLineProcessAlias #2\n_rlnPipeLineProcessTypeLabel #3\n",
}


@pytest.mark.parametrize("version", versions.VERSIONS)
def test_the_version_of_a_project_is_told_by_its_pipeline(version, tmp_path):
    (tmp_path / "default_pipeline.star").write_text(PIPELINES[version], encoding="utf-8")
    assert project_version(tmp_path) == version
