# SPDX-License-Identifier: GPL-3.0-or-later
"""Training and picking in a project of CCP-EM's pipeliner, whose files are those of RELION 5."""

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from helpers.relion_files import (
    disc_centres,
    write_coordinates,
    write_micrograph,
    write_micrographs_star,
)

from scipion_pupick.engine import read_picks

pytest.importorskip("pipeliner", reason="needs CCP-EM's pipeliner: pip install '.[ccpem]'")

pytestmark = pytest.mark.slow

NAMES = ["MotionCorr/job002/Movies/a.mrc", "MotionCorr/job002/Movies/b.mrc"]
MICS = "CtfFind/job003/micrographs_ctf.star"
PICKS = "ManualPick/job004/manualpick.star"
SMALL = "--network conv3 --epochs 2 --steps 1 --check_picks off"


def pipeliner(project: Path, *arguments: str) -> str:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["pipeliner", *arguments],
        cwd=project,
        env={**os.environ, "PATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def run(project: Path, job: str, options) -> None:
    rows = "".join(f'{name} "{value}"\n' for name, value in options.items())
    (project / "job.star").write_text(
        f"data_job\n\n_rlnJobTypeLabel {job}\n_rlnJobIsContinue 0\n_rlnJobIsTomo 0\n\n\n"
        "data_joboptions_values\n\nloop_\n_rlnJobOptionVariable #1\n_rlnJobOptionValue #2\n"
        f"{rows}\n"
    )
    pipeliner(project, "--run_job", "job.star")
    folder = max(project.glob("AutoPick/job*"))
    deadline = time.monotonic() + 300
    while not list(folder.glob("PIPELINER_JOB_EXIT_*")):
        assert time.monotonic() < deadline, (folder / "run.err").read_text()
        time.sleep(0.1)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project in which a model was trained and picked with."""
    folder = tmp_path_factory.mktemp("ccpem")
    for i, name in enumerate(NAMES):
        write_micrograph(folder / name, i)
        file = folder / f"ManualPick/job004/Movies/{name[-5]}_manualpick.star"
        write_coordinates(file, disc_centres(i, (192, 256)))
    write_micrographs_star(folder / MICS, NAMES)
    rows = [f"{n} ManualPick/job004/Movies/{n[-5]}_manualpick.star\n" for n in NAMES]
    (folder / PICKS).write_text(
        "data_coordinate_files\n\nloop_\n_rlnMicrographName #1\n_rlnMicrographCoordinates #2\n"
        + "".join(rows)
    )
    pipeliner(folder, "--new_project")
    training = {"in_mics": MICS, "in_coords": PICKS, "diameter": 180, "gpu": "none"}
    more = {"particles_per_micrograph": 6, "other_args": SMALL}
    run(folder, "pupick.autopick.train", {**training, **more})
    model = "AutoPick/job001/model.safetensors"
    picking = {"in_mics": MICS, "model": model, "gpu": "none", "threshold": -8}
    run(folder, "pupick.autopick.pick", picking)
    return folder


def node_types(project: Path):
    rows = [line.split() for line in (project / "default_pipeline.star").read_text().splitlines()]
    return {row[0]: row[1] for row in rows if len(row) == 2 and not row[1].endswith("/")}


def test_both_jobs_are_found_with_their_programs(project):
    listed = pipeliner(project, "--available_jobs", "pupick")
    assert "pupick.autopick.train" in listed
    assert "pupick.autopick.pick" in listed


def test_both_jobs_succeed(project):
    done = sorted(path.parent.name for path in project.rglob("PIPELINER_JOB_EXIT_SUCCESS"))
    assert done == ["job001", "job002"]


def test_outputs_are_nodes_that_jobs_of_relion_5_take(project):
    types = node_types(project)
    coordinates = types["AutoPick/job002/autopick.star"]
    assert coordinates == "MicrographCoordsGroup.star.relion.autopick"
    assert types["AutoPick/job001/model.safetensors"] == "ParamsData.safetensors.pupick.model"
    picks = read_picks(project / "AutoPick/job002/autopick.star")
    assert list(picks) == NAMES
    assert all(len(coordinates) for coordinates in picks.values())


@pytest.mark.filterwarnings("ignore:.*Pillow.*:DeprecationWarning")
def test_results_are_shown(project, monkeypatch):
    from pipeliner.job_factory import read_job

    from relion_external.ccpem import PupickPick, PupickTrain

    monkeypatch.chdir(project)
    train, pick = PupickTrain(), PupickPick()
    train.output_dir, pick.output_dir = "AutoPick/job001/", "AutoPick/job002/"
    (curve,) = train.create_results_display()
    assert curve.xvalues == [[1.0, 2.0]]
    image, histogram = pick.create_results_display()
    picks = read_picks(project / "AutoPick/job002/autopick.star")
    counts = [len(coordinates) for coordinates in picks.values()]
    assert histogram.title == f"{np.sum(counts)} picked particles"
    assert (project / image.image_path).is_file()
    assert read_job("AutoPick/job002/job.star").PROCESS_NAME == "pupick.autopick.pick"


def test_training_needs_coordinates_or_particles():
    from relion_external.ccpem import PupickTrain

    job = PupickTrain()
    job.output_dir = "AutoPick/job001/"
    assert [result.type for result in job.additional_joboption_validation()] == ["error"]
    job.joboptions["in_mics"].value = MICS
    job.joboptions["diameter"].value = 180
    job.joboptions["in_parts"].value = "Extract/job009/particles.star"
    assert job.additional_joboption_validation() == []
    (command,) = job.get_commands()
    assert command.cmd[command.cmd.index("--in_parts") + 1] == "Extract/job009/particles.star"
    assert "--in_coords" not in command.cmd


def test_options_that_are_left_empty_are_not_passed_on():
    from relion_external.ccpem import PupickPick

    job = PupickPick()
    job.output_dir = "AutoPick/job002/"
    job.joboptions["in_mics"].value = MICS
    job.joboptions["model"].value = "model.safetensors"
    (command,) = job.get_commands()
    assert "--threshold" not in command.cmd
    assert command.cmd[0] == "relion_external_pupick_pick"


def test_picking_without_a_model_needs_the_diameter():
    from relion_external.ccpem import PupickPick

    job = PupickPick()
    job.output_dir = "AutoPick/job002/"
    job.joboptions["in_mics"].value = MICS
    assert [result.type for result in job.additional_joboption_validation()] == ["error"]
    job.joboptions["diameter"].value = 180
    assert job.additional_joboption_validation() == []
    (command,) = job.get_commands()
    assert "--model" not in command.cmd
