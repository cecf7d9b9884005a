# SPDX-License-Identifier: GPL-3.0-or-later
"""The job that suggests picks to correct, and the training on what became of them."""

import numpy as np
import pytest
from helpers.relion_files import (
    make_project,
    read_table,
    write_micrographs_star,
    write_model,
)

from relion_external.errors import JobError
from relion_external.forms import external_options
from relion_external.jobs import run_job
from relion_external.parameters import PICK, SUGGEST, TRAIN, help_text, parse_arguments
from relion_external.training_inputs import read_training_inputs
from scipion_pupick.engine import UsageError, find_micrographs, read_picks

NAMES = ["MotionCorr/job002/Movies/a.mrc", "MotionCorr/job002/Movies/b.mrc"]
MICS = "CtfFind/job003/micrographs_ctf.star"
LISTS = {"3.1": "coords_suffix_autopick.star", "5.0": "autopick.star"}


def suggest(version, *parameters, mics=MICS):
    start = ["--o", "External/job006/", "--in_mics", mics, "--relion_version", version]
    picks = f"External/job005/{LISTS[version]}"
    run_job(parse_arguments(SUGGEST, [*start, "--in_coords", picks, "--j", "1", *parameters]))


@pytest.fixture(params=["3.1", "5.0"])
def picked(request, tmp_path, monkeypatch):
    """A project with a picking job, and the version of RELION."""
    monkeypatch.setattr(
        "relion_external.jobs.write_report", lambda report, mics, path: path.write_bytes(b"%PDF")
    )
    project = make_project(tmp_path, NAMES, request.param)
    write_model(project / "External/job004/model.safetensors")
    monkeypatch.chdir(project)
    start = ["--o", "External/job005/", "--in_mics", MICS, "--model", "External/job004"]
    run_job(parse_arguments(PICK, [*start, "--gpu", "none"]))
    return project, request.param


def inputs_of(*parameters):
    arguments = ["--o", "External/job007/", "--in_mics", MICS, *parameters]
    return read_training_inputs(parse_arguments(TRAIN, arguments), find_micrographs([MICS]))


def test_relion_is_given_few_picks_and_their_micrographs(picked):
    project, version = picked
    suggest(version, "--count", "4")
    job = project / "External/job006"
    listed = f"External/job006/{LISTS[version]}"
    nodes = [row[0] for row in read_table(job / "RELION_OUTPUT_NODES.star")[1]]
    assert nodes == [listed, "External/job006/micrographs.star"]
    every, few = (
        read_picks(project / f"External/{n}/{LISTS[version]}") for n in ("job005", "job006")
    )
    assert 4 <= sum(map(len, few.values())) < sum(map(len, every.values()))
    text = (job / "micrographs.star").read_text()
    assert "rlnMicrographPixelSize" in text
    assert all(name in text for name in NAMES)
    if version == "3.1":
        assert (job / LISTS[version]).read_text() == "External/job006/micrographs.star\n"
        columns, _ = read_table(job / "Movies/a_autopick.star")
        assert "rlnParticleSelectionType" not in columns
    for name, picks in few.items():
        (own,) = (c for other, c in every.items() if other.endswith(name.rpartition("/")[2]))
        apart = np.linalg.norm(picks.xy[:, None] - own.xy[None], axis=2)
        assert apart.min(axis=1).max() < 0.01


def test_what_a_person_has_changed_is_learned_and_stays(picked):
    project, version = picked
    suggest(version, "--count", "4")
    file = project / "External/job006/Movies/a_autopick.star"
    columns, rows = read_table(file)
    lines = file.read_text().splitlines()
    first = next(i for i, line in enumerate(lines) if line.split() == rows[0])
    values = {"rlnCoordinateX": "77", "rlnCoordinateY": "3", "rlnAutopickFigureOfMerit": "-999"}
    lines[first] = " ".join(values.get(name, "0") for name in columns)
    file.write_text("\n".join(lines) + "\n")
    # RELION's window leaves no byte where all were removed
    other = project / "External/job006/Movies/b_autopick.star"
    gone = len(read_table(other)[1])
    other.write_text("")
    found = inputs_of("--corrected", "External/job006")
    removed = np.array(rows[0][:2], float)
    np.testing.assert_allclose(found.negatives[NAMES[0]].xy, [removed], atol=1e-3)
    assert len(found.negatives[NAMES[1]]) == gone > 0
    assert found.picks[NAMES[0]].xy.tolist() == [[77, 3]]
    assert found.start == project / "External/job004/model.safetensors"
    assert found.settings["diameter"] == 180
    done = inputs_of("--corrected", "External/job006", "--done", "changed")
    assert len(done.picks[NAMES[0]]) == len(rows)
    # Continue! does not undo it, also when it is asked for another number
    suggest(version, "--count", "2")
    assert file.read_text() == "\n".join(lines) + "\n"
    assert other.read_text() == ""


def test_what_makes_no_sense_is_named(picked):
    project, version = picked
    with pytest.raises(JobError, match="count is '0': give a whole number above 0"):
        suggest(version, "--count", "0")
    with pytest.raises(JobError, match="the picks are missing"):
        parse_arguments(SUGGEST, ["--o", "External/job006/", "--in_mics", MICS])
    with pytest.raises(JobError, match="no use for particles"):
        suggest(version, "--in_parts", "particles.star")
    write_micrographs_star(project / "one.star", NAMES[:1])
    with pytest.raises(UsageError, match=r"one\.star: does not list MotionCorr/job002/Movies/b"):
        suggest(version, mics="one.star")
    (project / "External/job005/pupick/pick.json").unlink()
    with pytest.raises(UsageError, match="is not of a picking job of pupick"):
        run_job(
            parse_arguments(
                SUGGEST,
                ["--o", "External/job009/", "--in_mics", MICS, "--in_coords"]
                + ["External/job005/autopick.star"],
            )
        )


def test_the_form_is_filled_in_and_the_help_names_the_parameters(picked):
    project, version = picked
    options = external_options(project, SUGGEST)
    assert options["fn_exe"] == "relion_external_pupick_suggest"
    assert options["in_coords"] == f"External/job005/{LISTS[version]}"
    assert options["in_mic"] == MICS
    assert options["param1_label"] == "count"
    assert "count: a whole number above 0" in help_text(SUGGEST)
