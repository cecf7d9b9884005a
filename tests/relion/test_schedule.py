# SPDX-License-Identifier: GPL-3.0-or-later
"""A picking job in a schedule of a real RELION 3.1, which goes round again for new micrographs."""

import os
import shutil
import subprocess
import sys

import pytest
from helpers.relion_files import exit_files, write_model
from helpers.relion_project import MICS, SUCCEEDED, Project

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        shutil.which("relion_scheduler") is None,
        reason="needs RELION 3.1: apt-get install --no-install-recommends relion",
    ),
]

SCHEDULE = """
data_schedule_general

_rlnScheduleName Schedules/pick/
_rlnScheduleCurrentNodeName pick


data_schedule_floats

loop_
_rlnScheduleFloatVariableName #1
_rlnScheduleFloatVariableValue #2
_rlnScheduleFloatVariableResetValue #3
least -3 -3


data_schedule_operators

loop_
_rlnScheduleOperatorName #1
_rlnScheduleOperatorType #2
_rlnScheduleOperatorOutput #3
_rlnScheduleOperatorInput1 #4
_rlnScheduleOperatorInput2 #5
EXIT exit undefined undefined undefined


data_schedule_jobs

loop_
_rlnScheduleJobNameOriginal #1
_rlnScheduleJobName #2
_rlnScheduleJobMode #3
_rlnScheduleJobHasStarted #4
pick pick continue 0


data_schedule_edges

loop_
_rlnScheduleEdgeInputNodeName #1
_rlnScheduleEdgeOutputNodeName #2
_rlnScheduleEdgeIsFork #3
_rlnScheduleEdgeOutputNodeNameIfTrue #4
_rlnScheduleEdgeBooleanVariable #5
pick EXIT 0 undefined undefined

"""

PIPELINE = """
data_pipeline_general

_rlnPipeLineJobCounter 2


data_pipeline_processes

loop_
_rlnPipeLineProcessName #1
_rlnPipeLineProcessAlias #2
_rlnPipeLineProcessType #3
_rlnPipeLineProcessStatus #4
Schedules/pick/pick/ None 99 1

"""


def scheduler(project, *arguments) -> None:
    path = f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}"
    subprocess.run(
        ["relion_scheduler", "--schedule", "pick", *arguments],
        cwd=project.folder,
        env={**os.environ, "PATH": path, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        timeout=100,
        check=True,
    )


@pytest.fixture
def scheduled(tmp_path):
    """A project with a schedule of one picking job, whose threshold is a variable."""
    project = Project(tmp_path)
    write_model(tmp_path / "model/model.safetensors")
    parameters = {"model": "model", "threshold": "$$least", "gpu": "none"}
    job = project.external("relion_external_pupick_pick", parameters)
    folder = tmp_path / "Schedules/pick"
    (folder / "pick").mkdir(parents=True)
    job.joinpath("job.star").rename(folder / "pick/job.star")
    (folder / "schedule.star").write_text(SCHEDULE)
    (folder / "schedule_pipeline.star").write_text(PIPELINE)
    return project


def test_a_schedule_picks_and_goes_round_again_for_new_micrographs(scheduled):
    scheduler(scheduled, "--run")
    job = scheduled.folder / "External/job002"
    assert scheduled.status(job) == SUCCEEDED, (job / "run.err").read_text()
    assert "--threshold -3 " in (job / "note.txt").read_text()
    kept = {path: path.stat().st_mtime_ns for path in job.glob("pupick/scores/**/*.safetensors")}
    assert len(kept) == 3
    scheduled.write_micrographs(5)
    scheduler(scheduled, "--set_current_node", "pick")
    scheduler(scheduled, "--run")
    assert len(list(job.glob("Micrographs/*_autopick.star"))) == 5
    assert all(path.stat().st_mtime_ns == time for path, time in kept.items())
    assert exit_files(job) == ["RELION_JOB_EXIT_SUCCESS"]
    assert (job / "coords_suffix_autopick.star").read_text() == f"{MICS}\n"
