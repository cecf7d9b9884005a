# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs in projects of a real RELION 3.1, started by its pipeliner and used by its other jobs."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import mrcfile
import numpy as np
import pytest
from helpers.relion_files import (
    EXAMPLES,
    exit_files,
    read_table,
    write_micrographs_star,
)
from helpers.relion_project import ABORTED, COORDINATES, FAILED, MICS, SUCCEEDED, Project

from scipion_pupick.engine import show_model

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        shutil.which("relion_pipeliner") is None,
        reason="needs RELION 3.1: apt-get install --no-install-recommends relion",
    ),
]

ROOT = Path(__file__).parents[2]
SMALL = {"particles_per_micrograph": 600, "network": "conv3", "epochs": 1, "gpu": "none"}
UNCHECKED = {**SMALL, "check_picks": "off"}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    # a blank in the path of the project is the user's good right
    return Project(tmp_path_factory.mktemp("relion") / "my project")


@pytest.fixture(scope="module")
def trained(project):
    parameters = {"diameter": 180, **SMALL, "steps": 12}
    return project.run_external("relion_external_pupick_train", parameters, in_coords=COORDINATES)


@pytest.fixture(scope="module")
def picked(project, trained):
    """A picking job over three micrographs, continued when there are five."""
    model = {"model": f"External/{trained.name}", "gpu": "none"}
    job = project.run_external("relion_external_pupick_pick", model)
    first = sorted(file.name for file in job.glob("Micrographs/*.star"))
    scores = {file: file.stat().st_mtime_ns for file in job.rglob("*.peaks.safetensors")}
    project.write_micrographs(5)
    project.start(job).wait(120)
    return job, first, scores


@pytest.fixture(scope="module")
def extracted(project, picked):
    return project.run(
        "Extract",
        {
            "star_mics": MICS,
            "coords_suffix": f"External/{picked[0].name}/coords_suffix_autopick.star",
            "extract_size": 48,
            "do_rescale": "Yes",
            "rescale": 24,
            "nr_mpi": 1,
            "bg_diameter": -1,
        },
    )


def test_a_training_job_succeeds(project, trained):
    assert project.status(trained) == SUCCEEDED, (trained / "run.err").read_text()
    assert (trained / "model.safetensors").is_file()
    assert (project.folder / f".Nodes/13/External/{trained.name}/logfile.pdf").exists()
    assert "epoch 1" in (trained / "run.out").read_text()


def test_a_picking_job_gives_coordinates_that_relion_knows(project, picked):
    job, first, _ = picked
    assert project.status(job) == SUCCEEDED, (job / "run.err").read_text()
    assert len(first) == 3
    node = f"External/{job.name}/coords_suffix_autopick.star"
    assert (project.folder / ".Nodes/2" / node).exists()
    assert f"External/{job.name}/ {node}" in (project.folder / "default_pipeline.star").read_text()


def test_relion_reads_how_picks_are_to_be_shown(project, picked):
    form = (project.folder / ".gui_manualpickjob.star").read_text()
    (project.folder / "shown.star").write_text(form.rstrip() + f"\nfn_in {MICS}\n\n")
    assert project.call("--addJobFromStar", "shown.star").wait(30) == 0
    (job,) = project.folder.glob("ManualPick/job*/job.star")
    values = dict(row for row in read_table(job)[1] if len(row) == 2)
    assert values["diameter"] == "180"
    assert values["angpix"] == "7.08"
    assert values["color_label"] == "rlnAutopickFigureOfMerit"
    assert float(values["blue_value"]) < float(values["red_value"])


def test_a_continued_picking_job_picks_the_added_micrographs_only(project, picked):
    job, first, scores = picked
    files = sorted(file.name for file in job.glob("Micrographs/*.star"))
    assert len(files) == 5
    assert set(first) < set(files)
    assert scores
    assert all(file.stat().st_mtime_ns == before for file, before in scores.items())
    assert exit_files(job) == ["RELION_JOB_EXIT_SUCCESS"]


def test_extraction_takes_every_pick(project, picked, extracted):
    assert project.status(extracted) == SUCCEEDED, (extracted / "run.err").read_text()
    rows = read_table(extracted / "particles.star")[1]
    assert sum(".mrcs" in word for row in rows for word in row) == project.count_picks(picked[0])


def test_extracted_boxes_hold_the_particles_in_their_middle(extracted):
    stacks = [mrcfile.read(path) for path in (extracted / "Micrographs").glob("*.mrcs")]
    mean = np.concatenate(stacks).mean(axis=0)
    y, x = np.indices(mean.shape)
    radius = np.hypot(y - 12, x - 12)
    # extraction makes protein white; what is found, even by a poor model, is darker than ice
    assert mean[radius < 4].mean() > mean[radius > 9].mean() + 3 * mean[radius > 9].std()


def test_a_model_is_trained_on_extracted_particles(project, extracted, picked):
    parameters = {"diameter": 180, **UNCHECKED, "steps": 1}
    particles = f"Extract/{extracted.name}/particles.star"
    job = project.run_external("relion_external_pupick_train", parameters, in_part=particles)
    assert project.status(job) == SUCCEEDED, (job / "run.err").read_text()
    training = show_model(job / "model.safetensors")["training"]
    labels = training["labels"] + training["held_out_labels"]
    assert labels == project.count_picks(picked[0])


def test_classification_succeeds(project, extracted):
    job = project.run(
        "Class2D",
        {
            "fn_img": f"Extract/{extracted.name}/particles.star",
            "nr_classes": 2,
            "nr_iter": 2,
            "particle_diameter": 220,
            "do_ctf_correction": "No",
            "do_combine_thru_disc": "No",
            "psi_sampling": 24,
            "offset_range": 2,
            "nr_threads": 1,
        },
    )
    assert project.status(job) == SUCCEEDED, (job / "run.err").read_text()
    assert mrcfile.read(job / "run_it002_classes.mrcs").shape == (2, 24, 24)


def test_a_job_with_another_threshold_has_fewer_particles(project, trained, picked):
    parameters = {"model": f"External/{trained.name}/", "threshold": 0.5, "gpu": "none"}
    job = project.run_external("relion_external_pupick_pick", parameters)
    assert project.status(job) == SUCCEEDED
    assert 0 < project.count_picks(job) < project.count_picks(picked[0])


def test_a_mistake_in_a_label_fails_the_job(project, trained):
    parameters = {"modle": f"External/{trained.name}", "gpu": "none"}
    job = project.run_external("relion_external_pupick_pick", parameters)
    assert project.status(job) == FAILED
    assert "did you mean model?" in (job / "run.err").read_text()
    assert not (job / "coords_suffix_autopick.star").exists()


def test_an_engine_that_is_not_installed_fails_the_job(project, tmp_path):
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "bare"], check=True)
    script = tmp_path / "relion_external_pupick_pick"
    script.write_text(
        f"#!{tmp_path}/bare/bin/python\nimport sys\nsys.path.insert(0, {str(ROOT)!r})\n"
        "from relion_external.supervisor import pick\nsys.exit(pick())\n"
    )
    script.chmod(0o755)
    (project.folder / "model.safetensors").touch()
    job = project.run_external(str(script), {"model": "model.safetensors"})
    assert project.status(job) == FAILED
    (line,) = (job / "run.err").read_text().splitlines()
    assert "install scipion-em-pupick" in line


def run_endless(project):
    """Start a training that never ends by itself; give its folder and the pipeliner."""
    parameters = {"diameter": 180, **UNCHECKED, "epochs": 100000, "steps": 1}
    job = project.external("relion_external_pupick_train", parameters, in_coords=COORDINATES)
    pipeliner = project.start(job)
    wait_for(lambda: (job / "run.out").exists() and "epoch 1" in (job / "run.out").read_text())
    return job, pipeliner


def wait_for(what) -> None:
    deadline = time.monotonic() + 300
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def processes_of(project, job):
    """Return the ids of the running processes whose command names the job, parents first."""
    pids = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes().decode().split("\0")
            here = os.path.samefile(entry / "cwd", project.folder)
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        if here and f"External/{job.name}/" in command and "relion_pipeliner" not in command[0]:
            pids.append(int(entry.name))
    return sorted(pids)


def test_an_aborted_job_is_aborted(project, trained):
    job, pipeliner = run_endless(project)
    (job / "RELION_JOB_ABORT_NOW").touch()
    pipeliner.wait(30)
    assert project.status(job) == ABORTED
    # RELION goes on at the exit file, the last thing that the supervisor writes before it ends
    wait_for(lambda: processes_of(project, job) == [])


def test_picking_is_aborted_within_two_seconds(project, trained):
    names = [f"Micrographs/{i}_{name}" for i in range(40) for name in project.names]
    for i, name in enumerate(names):
        source = EXAMPLES / "micrographs" / project.names[i % len(project.names)]
        (project.folder / name).symlink_to(source)
    write_micrographs_star(project.folder / "many.star", names)
    parameters = {"model": f"External/{trained.name}", "gpu": "none"}
    job = project.external("relion_external_pupick_pick", parameters, in_mic="many.star")
    pipeliner = project.start(job)
    wait_for(lambda: list(job.rglob("*.peaks.safetensors")))
    (job / "RELION_JOB_ABORT_NOW").touch()
    asked = time.monotonic()
    wait_for(lambda: exit_files(job))
    # RELION's users wait for it: this is a promise, not a benchmark
    assert time.monotonic() - asked < 2
    assert exit_files(job) == ["RELION_JOB_EXIT_ABORTED"]
    wait_for(lambda: processes_of(project, job) == [])
    pipeliner.wait(30)
    assert project.status(job) == ABORTED
    assert not (job / "coords_suffix_autopick.star").exists()
    assert len((job / "run.err").read_text().splitlines()) == 1


@pytest.mark.parametrize("victim", [0, -1], ids=["supervisor", "engine"])
def test_a_killed_job_has_failed(project, trained, victim):
    job, pipeliner = run_endless(project)
    pids = processes_of(project, job)
    assert len(pids) == 2
    os.kill(pids[victim], signal.SIGKILL)
    pipeliner.wait(30)
    assert project.status(job) == FAILED
    wait_for(lambda: processes_of(project, job) == [])
