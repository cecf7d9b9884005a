# SPDX-License-Identifier: GPL-3.0-or-later
"""Picking on a real SLURM: an array of parts, and Dask's workers, of which one is killed."""

import os
import subprocess
import sys

import pytest
from helpers.processes import wait_until
from helpers.programs import call_pupick, start_pupick
from helpers.simulated import shared_model, simulate
from helpers.slurm import can_run, running_slurm

from benchmarks.reliability.killed_runs import contents
from scipion_pupick.engine import read_failures

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not can_run(), reason="needs SLURM's programs, and to be the superuser"),
]

MICROGRAPHS = 24
JOB = """#!/bin/bash
#SBATCH --output={log}
exec {python} -m scipion_pupick.engine {command}
"""
CLUSTER = """\
jobqueue:
  slurm:
    cores: 1
    memory: 2GB
    processes: 1
    walltime: '00:10:00'
    interface: lo
    log-directory: {logs}
    job-directives-skip: ['--mem=']
"""


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    # sockets have short names
    with running_slurm(tmp_path_factory.mktemp("slurm") / "s") as environment:
        yield environment


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """A folder with micrographs, a model, and the run of one process in `alone`."""
    folder = tmp_path_factory.mktemp("alone")
    model = shared_model(tmp_path_factory) / "model.safetensors"
    simulate(folder / "large.mrc", 1, side=768, pixel_size=2.0)
    (folder / "in").mkdir()
    for i in range(MICROGRAPHS):
        os.link(folder / "large.mrc", folder / "in" / f"m{i:02}.mrc")
    (folder / "in" / "m07.mrc").unlink()
    (folder / "in" / "m07.mrc").write_bytes(b"broken")
    arguments = ["pick", "--micrographs", folder / "in", "--model", model, "--device", "cpu"]
    arguments = [*map(str, arguments), "--threads", "1", "--no-report", "--output"]
    code, _, said = call_pupick(*arguments, folder / "alone")
    assert code == 1, said
    return folder, arguments


def results(folder):
    found = contents(folder)
    for record in (value for value in found.values() if isinstance(value, dict)):
        record.pop("device", None)
    return found


def submit(slurm, folder, name, command, *options):
    """Submit a call of pupick, and give its number."""
    script = folder / f"{name}.sh"
    log = folder / f"{name}.%a.log"
    text = " ".join(map(str, command))
    script.write_text(JOB.format(log=log, python=sys.executable, command=text))
    said = subprocess.run(
        ["sbatch", "--parsable", *options, str(script)],
        env=slurm, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return said.stdout.strip()


def queue(slurm):
    said = subprocess.run(["squeue", "--noheader"], env=slurm, capture_output=True, text=True)
    return said.stdout.strip()


def jobs(slurm):
    said = subprocess.run(
        ["squeue", "--noheader", "--array", "--states=RUNNING", "--format=%A"],
        env=slurm, capture_output=True, text=True,
    )  # fmt: skip
    return said.stdout.split()


def scored(folder):
    return len([*(folder / "scores").rglob("m*.safetensors")])


def test_an_array_of_parts_of_which_one_is_killed_gives_the_run_of_one(slurm, alone, tmp_path):
    folder, arguments = alone
    output = tmp_path / "out"
    command = [*arguments, output]
    part = ("--part", "$SLURM_ARRAY_TASK_ID/2")
    array = submit(slurm, tmp_path, "part", [*command, *part], "--array=1-2")
    assert wait_until(lambda: scored(output) > 2, 60), queue(slurm)
    kill = ["scancel", "--full", "--signal=KILL", f"{array}_1"]
    subprocess.run(kill, env=slurm, check=True)
    submit(slurm, tmp_path, "all", command, f"--dependency=afterany:{array}")
    assert wait_until(lambda: not queue(slurm), 120), queue(slurm)
    logs = {path.name: path.read_text() for path in tmp_path.glob("*.log")}
    assert "Part 2 of 2: " in logs["part.2.log"], logs
    assert "Part 1 of 2: " not in logs["part.1.log"], logs
    assert results(output) == results(folder / "alone"), logs


def test_workers_of_dask_of_which_one_is_killed_give_the_run_of_one(slurm, alone, tmp_path):
    pytest.importorskip("dask_jobqueue")
    folder, arguments = alone
    output = tmp_path / "out"
    (tmp_path / "cluster.yaml").write_text(CLUSTER.format(logs=tmp_path / "logs"))
    cluster = ("--cluster", tmp_path / "cluster.yaml", "--workers", "2")
    process = start_pupick(*arguments, output, *cluster, environment=slurm)
    begun = wait_until(lambda: process.poll() is not None or scored(output) > 2, 120)
    assert begun
    first = jobs(slurm)[0]
    subprocess.run(["scancel", "--full", "--signal=KILL", first], env=slurm, check=True)
    _, said = process.communicate(timeout=240)
    assert process.returncode == 1, said
    assert [*read_failures(output / "failed.tsv")] == [(folder / "in" / "m07.mrc").as_posix()]
    assert results(output) == results(folder / "alone"), said
    assert wait_until(lambda: not queue(slurm), 60), queue(slurm)
