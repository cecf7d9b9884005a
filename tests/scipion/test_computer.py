# SPDX-License-Identifier: GPL-3.0-or-later
"""Where Scipion has the engine work: threads, GPUs, a queue, and another interpreter."""

import sqlite3
import sys
from datetime import datetime
from pathlib import Path

import pytest
from helpers.scipion_project import (
    HOME,
    HOSTS,
    WARNINGS_OF_SCIPION,
    Project,
    PUPickProtPick,
    read_set,
)
from helpers.simulated import PIXEL_SIZE, shared_model, simulate_set

from scipion_pupick.constants import MODEL_FILE

pytestmark = [pytest.mark.slow, WARNINGS_OF_SCIPION]

QUEUE = """
NAME = FAKE
MANDATORY = False
SUBMIT_COMMAND = {submit} %_(JOB_SCRIPT)s
CANCEL_COMMAND = kill %_(JOB_ID)s
CHECK_COMMAND = {check} %_(JOB_ID)s
SUBMIT_TEMPLATE = #!/bin/bash
        ## cores %_(JOB_CORES)d
        %_(JOB_COMMAND)s
QUEUES = {{ "default": [["JOB_MEMORY", "4096", "Memory", "In MB"]] }}
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("micrographs")
    simulate_set(folder, range(50, 54))
    project = Project("computer")
    micrographs = project.micrographs(folder / "*.mrc", PIXEL_SIZE)
    model = shared_model(tmp_path_factory) / "model.safetensors"
    return project, {
        "modelFrom": MODEL_FILE,
        "modelFile": str(model),
        "inputMicrographs": (micrographs, "outputMicrographs"),
    }


def step_times(protocol):
    """Begin and end of each step of picking, from Scipion's own record."""
    with sqlite3.connect(protocol.getStepsFile()) as connection:
        columns = dict(connection.execute("select label_property, column_name from Classes"))
        wanted = ", ".join(columns[name] for name in ("initTime", "endTime", "funcName"))
        rows = connection.execute(f"select {wanted} from Objects").fetchall()
    return [
        [datetime.fromisoformat(moment) for moment in row[:2]]
        for row in rows
        if row[2] == "pickMicrographListStep"
    ]


def test_two_batches_are_picked_at_once_on_the_cpu(runs):
    project, parameters = runs
    run = project.run(
        PUPickProtPick, numberOfThreads=3, binThreads=1, streamingBatchSize=2, **parameters
    )
    (start, end), (other_start, other_end) = step_times(run)
    assert max(start, other_start) < min(end, other_end)
    # a folder has one owner
    folders = [line.split("--output ")[1].split()[0] for line in commands(run)]
    assert len(folders) == len(set(folders)) == 3
    _, rows = read_set(run.outputCoordinates.getFileName())
    assert len({row["_micId"] for row in rows}) == 4


def commands(protocol):
    log = (Path.cwd() / protocol.getLogPaths()[0]).read_text()
    return [line for line in log.splitlines() if "-m scipion_pupick.engine pick" in line]


def test_the_switch_chooses_cpu_or_gpu(runs):
    project, parameters = runs
    for command in commands(project.run(PUPickProtPick, useGpu=False, binThreads=2, **parameters)):
        assert "--device cpu --threads 2" in command
        assert "CUDA_VISIBLE_DEVICES" not in command
    # where there is no GPU, the engine takes the CPU
    batch, end = commands(project.run(PUPickProtPick, useGpu=True, gpuList="1", **parameters))
    for command in (batch, end):
        assert "CUDA_VISIBLE_DEVICES=1 " in command
        assert "--device auto" in command
    # the report is written once, at the end
    assert "--no-report" in batch
    assert "--no-report" not in end


def test_a_queue_takes_the_engines_jobs(runs, tmp_path):
    project, parameters = runs
    jobs = tmp_path / "jobs"
    jobs.mkdir()
    submit, check = tmp_path / "submit", tmp_path / "check"
    submit.write_text(
        f"#!/bin/bash\ncp $1 {jobs}/$(basename $1)\nbash $1 > {jobs}/out 2>&1 &\n"
        "echo Submitted batch job $!\n"
    )
    check.write_text('#!/bin/bash\nkill -0 $1 2>/dev/null && echo "$1 RUNNING"\nexit 0\n')
    for script in (submit, check):
        script.chmod(0o755)
    (HOME / "config" / "hosts.conf").write_text(HOSTS + QUEUE.format(submit=submit, check=check))
    try:
        protocol = project.make(PUPickProtPick, binThreads=2, **parameters)
        protocol._useQueue.set(True)
        protocol.setQueueParams(["default", {"JOB_MEMORY": "4096", "QUEUE_FOR_JOBS": "Y"}])
        project.finish(protocol)
        # three batches at once, where the whole protocol is one job
        protocol.setQueueParams(["default", {"QUEUE_FOR_JOBS": "N"}])
        protocol.numberOfThreads.set(4)
        protocol.setHostConfig(project.project.getHostConfig("localhost"))
        whole = protocol.getSubmitDict()
    finally:
        (HOME / "config" / "hosts.conf").write_text(HOSTS)
    scripts = [path.read_text() for path in jobs.glob("*.job")]
    assert any("scipion_pupick.engine pick" in script for script in scripts)
    # what each process takes, and not one for each Scipion thread
    assert all("# cores 2\n" in script for script in scripts)
    assert (whole["JOB_CORES"], whole["JOB_THREADS"], whole["GPU_COUNT"]) == (6, 6, 0)
    _, rows = read_set(protocol.outputCoordinates.getFileName())
    assert len({row["_micId"] for row in rows}) == 4


def test_the_engine_may_run_in_another_interpreter(runs, tmp_path, monkeypatch):
    project, parameters = runs
    other = tmp_path / "python"
    other.write_text(f'#!/bin/bash\necho started >> {tmp_path}/used\nexec {sys.executable} "$@"\n')
    other.chmod(0o755)
    monkeypatch.setenv("PUPICK_PYTHON", str(other))
    run = project.run(PUPickProtPick, streamingBatchSize=1, **parameters)
    # four batches and the end have one process
    assert (tmp_path / "used").read_text() == "started\n"
    assert run.outputCoordinates.getSize() > 0


def test_what_the_engine_complains_of_is_the_protocols_error(runs, tmp_path, monkeypatch):
    project, parameters = runs
    broken = tmp_path / "python"
    broken.write_text("#!/bin/bash\necho 'pupick pick: the disk is full' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("PUPICK_PYTHON", str(broken))
    assert "pupick pick: the disk is full" in project.fail(PUPickProtPick, **parameters)
