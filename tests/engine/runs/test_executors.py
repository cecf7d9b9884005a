# SPDX-License-Identifier: GPL-3.0-or-later
"""Picking in several processes: the same files, whoever is killed, and nobody left behind."""

import os
import signal
from pathlib import Path

import pytest
import torch
from helpers.processes import children_of, wait_until
from helpers.programs import call_pupick, start_pupick
from helpers.simulated import shared_model, simulate, simulate_set

from benchmarks.reliability.killed_runs import contents
from scipion_pupick.engine import read_failures, read_picks
from scipion_pupick.engine.errors import MicrographError, PupickError, UsageError
from scipion_pupick.engine.micrographs import Micrograph
from scipion_pupick.engine.runs.executors import InProcess, Processes, executor_on
from scipion_pupick.engine.runs.executors.messages import (
    micrograph_from_dict,
    micrograph_to_dict,
    scored_from_dict,
    scored_to_dict,
)
from scipion_pupick.engine.runs.score_micrographs import Scored, ScoringTask
from scipion_pupick.engine.settings import PickSettings

CPU = torch.device("cpu")
# a process that opens a file called deadly is killed, and one that opens a file called perilous, if
# it is the first
KILLING = """
import os, signal, sys

def hook(event, arguments):
    if event != "open" or not isinstance(arguments[0], (str, os.PathLike)):
        return
    name = os.path.basename(os.fspath(arguments[0]))
    if name == "deadly.mrc" or (name == "perilous.mrc" and not os.path.exists({mark!r})):
        if name == "perilous.mrc":
            os.mkdir({mark!r})
        os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(hook)
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return shared_model(tmp_path_factory) / "model.safetensors"


def results(folder):
    """All files of a run, without what says who scored."""
    found = contents(folder)
    for record in (value for value in found.values() if isinstance(value, dict)):
        record.pop("device", None)
    return found


def command(folder, model, output, *more):
    source = ("--micrographs", folder, "--model", model, "--output", output)
    return ("pick", *source, "--device", "cpu", "--no-report", *more)


def test_one_device_needs_no_other_process_and_several_workers_share_the_threads():
    assert isinstance(executor_on([CPU], 0, 4), InProcess)
    assert isinstance(executor_on([CPU], 1, 4), InProcess)
    two = executor_on([CPU], 2, 5)
    assert isinstance(two, Processes)
    assert two.describe() == "the CPU (2 processes, 2 threads each)"
    assert executor_on([CPU], 4, 2).describe() == "the CPU (4 processes, 1 thread each)"
    assert executor_on([CPU, CPU]).describe().startswith("the CPU (2 processes")


@pytest.mark.parametrize("workers", [-1, 1])
def test_fewer_workers_than_devices_are_refused(workers):
    with pytest.raises(UsageError, match="workers were asked for on 2 devices"):
        executor_on([CPU, CPU], workers)


@pytest.mark.parametrize(
    "scored",
    [
        Scored("m", "digest"),
        Scored("naïve/\udcff.mrc", error=MicrographError("blank")),
        Scored("m", error=PupickError("no memory", "device")),
    ],
)
def test_what_a_process_says_of_a_micrograph_comes_back_as_it_was(scored):
    back = scored_from_dict(scored_to_dict(scored))
    assert (back.name, back.fingerprint) == (scored.name, scored.fingerprint)
    assert type(back.error) is type(scored.error)
    assert str(back.error) == str(scored.error)
    assert getattr(back.error, "settings", None) == getattr(scored.error, "settings", None)


def test_tasks_and_micrographs_come_back_as_they_were(tmp_path):
    micrograph = Micrograph(Path("a/b.mrc"), "b", 1.5, "STAR file")
    back = micrograph_from_dict(micrograph_to_dict(micrograph))
    assert (back, back.pixel_size_from) == (micrograph, "STAR file")
    task = ScoringTask(tmp_path / "m", "digest", PickSettings(diameter=9.0), tmp_path / "out", True)
    assert ScoringTask.from_dict(task.to_dict()) == task


@pytest.mark.slow
def test_processes_that_are_killed_lose_and_double_nothing(model, tmp_path, monkeypatch):
    """One micrograph kills whoever opens it, one only the first; one is broken."""
    folder = tmp_path / "in"
    simulate_set(folder, range(30, 36))
    (folder / "m31.mrc").rename(folder / "perilous.mrc")
    broken = folder / "m32.mrc"
    broken.write_bytes(broken.read_bytes()[:-4])
    code, _, said = call_pupick(*command(folder, model, tmp_path / "alone"))
    assert code == 1, said

    simulate(folder / "deadly.mrc", 36)
    (tmp_path / "path").mkdir()
    mark = str(tmp_path / "opened")
    (tmp_path / "path" / "sitecustomize.py").write_text(KILLING.format(mark=mark))
    path = os.pathsep.join(filter(None, [str(tmp_path / "path"), os.environ.get("PYTHONPATH")]))
    monkeypatch.setenv("PYTHONPATH", path)
    before = set(children_of(os.getpid()))
    code, _, said = call_pupick(*command(folder, model, tmp_path / "two", "--workers", 2))
    assert code == 1, said
    assert said.count("was ended by SIGKILL") == 3
    failures = read_failures(tmp_path / "two" / "failed.tsv")
    deadly = (folder / "deadly.mrc").as_posix()
    assert failures.keys() == {broken.as_posix(), deadly}
    assert "was killed twice" in failures[deadly]
    assert set(children_of(os.getpid())) <= before

    # without the deadly one, the run is that of one process, byte for byte
    (folder / "deadly.mrc").unlink()
    monkeypatch.undo()
    call_pupick(*command(folder, model, tmp_path / "two"))
    assert results(tmp_path / "two") == results(tmp_path / "alone")


@pytest.mark.slow
def test_fits_and_picks_of_the_general_model_are_the_same_whoever_computes_them(tmp_path):
    folder = tmp_path / "in"
    simulate_set(folder, range(40, 43))
    runs = {"one": (1, 1), "threads": (2, 1), "processes": (2, 2), "many": (5, 3)}
    for name, (threads, workers) in runs.items():
        more = ("--diameter", 96, "--threads", threads, "--workers", workers)
        code, _, said = call_pupick(*command(folder, "general", tmp_path / name, *more))
        assert code == 0, said
    one = results(tmp_path / "one")
    assert len(read_picks([tmp_path / "one" / "picks.star"])) == 3
    assert "adapted.safetensors" in one
    for name in [*runs][1:]:
        assert results(tmp_path / name) == one, name


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_no_process_outlives_the_command(number, model, tmp_path):
    simulate(tmp_path / "large.mrc", 1, side=768, pixel_size=2.0)
    (tmp_path / "in").mkdir()
    for i in range(60):
        os.link(tmp_path / "large.mrc", tmp_path / "in" / f"m{i:02}.mrc")
    process = start_pupick(*command(tmp_path / "in", model, tmp_path / "out", "--workers", 2))
    scores = tmp_path / "out" / "scores"
    wait_until(lambda: process.poll() is not None or len([*scores.rglob("m*")]) > 2, 60)
    children = children_of(process.pid)
    process.send_signal(number)
    _, said = process.communicate(timeout=10)
    assert process.returncode == (1 if number == signal.SIGINT else -number), said
    assert len(children) == 2
    wait_until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in children), 10)
    assert not any(os.path.exists(f"/proc/{pid}") for pid in children)
