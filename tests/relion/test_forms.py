# SPDX-License-Identifier: GPL-3.0-or-later
"""Forms of RELION's window, filled in by `--setup` and by picking jobs."""

import os

import pytest
from helpers.relion_files import read_table, run_program

from relion_external.errors import JobError
from relion_external.forms import (
    PicksView,
    external_options,
    form_text,
    setup,
    write_manualpick_form,
)
from relion_external.parameters import PICK, SUGGEST, parameters_of

PIPELINE = "# version 30001\ndata_pipeline_processes\nloop_\n_rlnPipeLineProcessType #1\n"


@pytest.fixture
def project(tmp_path, monkeypatch):
    for name, age in (
        ("CtfFind/job003/micrographs_ctf.star", 300),
        ("CtfFind/job007/micrographs_ctf.star", 200),
        ("MotionCorr/job002/corrected_micrographs.star", 100),
        ("ManualPick/job004/coords_suffix_manualpick.star", 90),
        ("AutoPick/job005/coords_suffix_autopick.star", 80),
        ("External/job006/model.safetensors", 70),
        ("External/job008/model.safetensors", 60),
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True)
        path.touch()
        os.utime(path, (2e9 - age, 2e9 - age))
    (tmp_path / "default_pipeline.star").write_text(PIPELINE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def options_of(path):
    return dict((row[0], row[1].strip('"')) for row in read_table(path)[1] if len(row) == 2)


def test_a_form_for_picking_names_the_latest_micrographs_and_model(project):
    setup(["--setup", "pick"])
    options = options_of(project / ".gui_externaljob.star")
    assert options["fn_exe"] == "relion_external_pupick_pick"
    assert options["in_mic"] == "CtfFind/job007/micrographs_ctf.star"
    assert options["in_coords"] == ""
    assert (options["param1_label"], options["param1_value"]) == ("model", "External/job008")
    # the general model needs it where there is no model yet
    assert (options["param2_label"], options["param2_value"]) == ("diameter", "")


def test_a_form_for_training_names_hand_picks_not_earlier_automatic_ones(project):
    options = external_options(project, "train")
    assert options["in_coords"] == "ManualPick/job004/coords_suffix_manualpick.star"
    assert (options["param1_label"], options["param1_value"]) == ("diameter", "")


def test_the_few_micrographs_of_a_suggestion_are_not_taken_for_all(project):
    suggested = project / "External/job010"
    suggested.mkdir()
    (suggested / "job.star").write_text('fn_exe "relion_external_pupick_suggest"\n')
    for name in ("micrographs.star", "coords_suffix_autopick.star"):
        (suggested / name).touch()
    (project / "External/job006/coords_suffix_autopick.star").touch()
    assert external_options(project, SUGGEST)["in_coords"].startswith("External/job006")
    for job in ("CtfFind/job003", "CtfFind/job007"):
        (project / job / "micrographs_ctf.star").unlink()
    (project / "MotionCorr/job002/corrected_micrographs.star").unlink()
    assert external_options(project, PICK)["in_mic"] == ""


def test_what_is_not_there_stays_empty(tmp_path):
    options = external_options(tmp_path, "both")
    assert (options["in_mic"], options["in_coords"]) == ("", "")
    assert external_options(tmp_path, "pick")["param1_value"] == ""


@pytest.mark.parametrize("job", ["train", "pick", "both", "suggest"])
def test_forms_have_labels_that_the_jobs_know(tmp_path, job):
    options = external_options(tmp_path, job)
    labels = {value for name, value in options.items() if name.endswith("_label")}
    assert labels
    assert labels <= set(parameters_of(job))


@pytest.mark.parametrize(
    ("version", "lines"),
    [
        ("3.1", ["# version 30001", "_rlnJobType 99"]),
        ("4.0", ["# version 30001", "_rlnJobTypeLabel relion.external", "_rlnJobIsTomo 0"]),
        ("5.0", ["# version 50001", "_rlnJobTypeLabel relion.external", "_rlnJobIsTomo 0"]),
    ],
)
def test_forms_are_those_of_the_version(project, version, lines):
    setup(["--setup", "both", "--relion_version", version])
    text = (project / ".gui_externaljob.star").read_text().splitlines()
    assert set(lines) <= set(text)


def test_the_version_is_found_in_the_project(project):
    setup(["--setup", "train"])
    assert "_rlnJobType 99" in (project / ".gui_externaljob.star").read_text()


def test_a_new_project_needs_the_version(project):
    (project / "default_pipeline.star").write_text("")
    with pytest.raises(JobError, match="--relion_version"):
        setup(["--setup", "train"])


def test_outside_a_project_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(JobError, match="no RELION project"):
        setup(["--setup", "train"])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["--setup"],
        ["--setup", "tran"],
        ["--setup", "train", "--o", "x"],
        ["--setup", "train", "--relion_version", "9"],
    ],
)
def test_other_arguments_are_explained(project, arguments):
    with pytest.raises(JobError, match="give --setup train"):
        setup(arguments)


def test_the_program_writes_the_form(project):
    done = run_program("both", ["--setup", "train"], project)
    assert done.returncode == 0
    assert ".gui_externaljob.star is written" in done.stdout
    failed = run_program("both", ["--setup", "nonsense"], project)
    assert failed.returncode == 1
    assert "give --setup train" in failed.stderr


VIEW = PicksView(diameter=182.5, pixel_size=7.08, longest_side=1024, scores=(-1.25, 4.5))
VALUES = """
# version {form}

data_joboptions_values

loop_
_rlnJobOptionVariable #1
_rlnJobOptionValue #2
angpix "7.08"
blue_value "-1.25"
color_label "rlnAutopickFigureOfMerit"
diameter "182.5"
do_color "Yes"
lowpass "21"
micscale "1"
red_value "4.50"
sigma_contrast "3"

"""
GOLDEN_FORMS = {
    "3.1": "\n# version 30001\n\ndata_job\n\n_rlnJobType 3\n_rlnJobIsContinue 0\n"
    + VALUES.format(form=30001),
    "4.0": "\n# version 30001\n\ndata_job\n\n_rlnJobTypeLabel relion.manualpick\n"
    "_rlnJobIsContinue 0\n_rlnJobIsTomo 0\n" + VALUES.format(form=30001),
    "5.0": "\n# version 50001\n\ndata_job\n\n_rlnJobTypeLabel relion.manualpick\n"
    "_rlnJobIsContinue 0\n_rlnJobIsTomo 0\n" + VALUES.format(form=50001),
}


@pytest.mark.parametrize("version", GOLDEN_FORMS)
def test_the_form_of_manual_picking_shows_circles_of_the_particles_size_coloured_by_score(
    project, version
):
    write_manualpick_form(project, VIEW, version)
    assert (project / ".gui_manualpickjob.star").read_text() == GOLDEN_FORMS[version]


@pytest.mark.parametrize(
    ("pixel_size", "diameter", "lowpass"),
    [(1.0, 150.0, 20.0), (1.0, 720.0, 60.0), (9.0, 150.0, 27)],
)
def test_the_low_pass_filter_leaves_what_the_eye_needs_and_the_pixels_hold(
    pixel_size, diameter, lowpass
):
    view = PicksView(diameter, pixel_size, 4096, (0, 1))
    assert float(view.options()["lowpass"]) == lowpass


def test_a_large_micrograph_is_shown_small_enough_for_a_screen():
    view = PicksView(180, 1.0, 5760, (0, 1))
    assert float(view.options()["micscale"]) * 5760 == pytest.approx(1200, rel=0.05)


@pytest.mark.parametrize(
    ("version", "line", "is_said"),
    [
        ("5.0", 'angpix "-1"', True),
        ("4.0", "    angpix         -1", True),
        ("4.0", "    angpix       3.54", False),
        ("5.0", 'angpix "0.885"', False),
        # it takes the pixel size from the micrographs' STAR file
        ("3.1", "    angpix         -1", False),
    ],
)
def test_a_form_of_the_user_stays_and_a_missing_pixel_size_is_said(
    project, caplog, version, line, is_said
):
    caplog.set_level("INFO")
    form = project / ".gui_manualpickjob.star"
    form.write_text(f"data_joboptions_values\n{line}\n")
    write_manualpick_form(project, VIEW, version)
    assert form.read_text() == f"data_joboptions_values\n{line}\n"
    assert ("Pixel size (A) is not set: give it 7.08" in caplog.text) == is_said


def test_values_are_quoted_so_that_empty_ones_are_values():
    assert 'param1_value ""\n' in form_text("external", {"param1_value": ""}, "3.1")
