# SPDX-License-Identifier: GPL-3.0-or-later
"""Picking and training in Scipion while micrographs come in, and after a run was killed."""

import json
import os
import re
import shutil
import sqlite3
from pathlib import Path

import pytest
from helpers.processes import wait_until
from helpers.scipion_project import (
    WARNINGS_OF_SCIPION,
    Project,
    ProtImportMicrographs,
    PUPickProtImportModel,
    PUPickProtPick,
    PUPickProtPreprocess,
    PUPickProtThreshold,
    PUPickProtTrain,
    expected,
    import_of,
    log_of,
    picked,
    read_set,
    wait_for,
)
from helpers.simulated import PIXEL_SIZE, shared_model, simulate_set

from scipion_pupick import engine
from scipion_pupick.constants import START_SCRATCH, THRESHOLD_VALUE
from scipion_pupick.engine.settings import MICROGRAPHS_FITTED
from scipion_pupick.viewers.form import report_of

psutil = pytest.importorskip("psutil")

pytestmark = [pytest.mark.slow, WARNINGS_OF_SCIPION]

STREAMING = {"dataStreaming": True, "fileTimeout": "1", "timeout": "300"}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A trained model, and six micrographs of which one is cut short."""
    model = shared_model(tmp_path_factory) / "model.safetensors"
    folder = tmp_path_factory.mktemp("micrographs")
    simulate_set(folder, range(10, 16))
    cut = folder / "m12.mrc"
    cut.write_bytes(cut.read_bytes()[:100_000])
    return model, sorted(folder.glob("*.mrc"))


@pytest.fixture
def project(request):
    return Project(request.node.name)


def import_model(project, model):
    return project.run(PUPickProtImportModel, modelFile=str(model)), "outputModel"


def assert_report_is_of_the_output(pick):
    """The files of the engine's last call are those of all micrographs and of the output's cut."""
    folder = pick.getPath("extra", "pupick")
    with open(os.path.join(folder, "pick.json"), encoding="utf-8") as file:
        summary = json.load(file)
    size = pick.outputCoordinates.getSize()
    listed = engine.read_picks(os.path.join(folder, "picks.star"))
    assert summary["picks"] == size == sum(map(len, listed.values()))
    assert (summary["micrographs"], summary["failed"], summary["reused"]) == (5, 1, 5)
    text = report_of(pick).read_text(encoding="utf-8")
    tables = json.loads(re.search(r'id="data">(.*?)</script>', text, re.S)[1])["tables"]
    assert tables["counts"][tables["own"]] == size
    assert "m12.mrc" in text


def is_at_work(process):
    """Whether a process runs; one that has ended stays in the list until somebody notices."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def kill(project, protocol):
    """Kill a protocol, as the system does for want of memory; nothing may outlive it."""
    parent = psutil.Process(project.refreshed(protocol).getPid())
    children = parent.children(recursive=True)
    parent.kill()
    assert children
    assert wait_until(lambda: not any(map(is_at_work, [parent, *children])), 60)
    protocol.setAborted()
    project.project._storeProtocol(protocol)


def set_file(project, protocol, name):
    return project.path / protocol.getPath(name)


def rows_of(path):
    try:
        return read_set(path)[1]
    except sqlite3.OperationalError:
        # there is no file yet, or no table in it
        return []


def start_live_import(project, first, folder):
    """A growing folder with one micrograph, and the protocol that imports what comes into it."""
    incoming = folder / "incoming"
    incoming.mkdir()
    shutil.copy(first, incoming)
    live = project.start(
        project.make(
            ProtImportMicrographs,
            **import_of(incoming / "*.mrc", PIXEL_SIZE, **STREAMING),
        )
    )
    wait_for(lambda: hasattr(project.refreshed(live), "outputMicrographs"), live)
    project.project._updateProtocol(live)
    return incoming, live


def test_files_that_arrive_one_by_one_and_a_kill(project, data, tmp_path):
    model, paths = data
    source = import_model(project, model)
    incoming, live = start_live_import(project, paths[0], tmp_path)
    pick = project.start(
        project.make(
            PUPickProtPick,
            inputModel=source,
            inputMicrographs=(live, "outputMicrographs"),
            thresholdFrom=THRESHOLD_VALUE,
            threshold=-4.0,
            streamingBatchSize=1,
        )
    )
    coordinates = set_file(project, pick, "coordinates.sqlite")
    for path in paths[1:3]:
        shutil.copy(path, incoming)
    wait_for(lambda: len({row["_micId"] for row in rows_of(coordinates)}) >= 2, pick)
    assert read_set(coordinates)[0]["_streamState"] == "1"
    kill(project, pick)
    for path in paths[3:]:
        shutil.copy(path, incoming)
    wait_for(
        lambda: len(rows_of(set_file(project, live, "micrographs.sqlite"))) == len(paths), live
    )
    set_file(project, live, "extra/STOP_STREAMING.TXT").touch()
    wait_for(lambda: project.refreshed(live).isFinished(), live)
    project.project._updateProtocol(live)
    project.resume(pick)
    found, properties = picked(pick)
    assert found == expected(model, paths, tmp_path / "cli", threshold=-4.0)
    assert properties["_streamState"] == "2"
    assert properties["_boxSize"] == "36"
    summary = "\n".join(pick._summary())
    assert "1 of 6 micrographs could not be used" in summary
    assert "m12.mrc" in summary
    assert_report_is_of_the_output(pick)
    # with another threshold too
    project.resume(pick, threshold=1.0)
    assert picked(pick)[0] == expected(model, paths, tmp_path / "cli", threshold=1.0)
    assert_report_is_of_the_output(pick)


def test_the_general_model_is_fitted_to_the_first_micrographs_of_a_growing_set(
    project, data, tmp_path
):
    _, paths = data
    incoming, live = start_live_import(project, paths[0], tmp_path)
    source = (live, "outputMicrographs")
    pick = project.make(PUPickProtPick, diameter=96.0, inputMicrographs=source)
    said = []
    pick.info = said.append
    for number in range(1, MICROGRAPHS_FITTED + 1):
        shutil.copy(paths[0], incoming / f"n{number:02}.mrc")
    found = pick._waitForMicrographs()
    assert f"micrographs so far: waiting for {MICROGRAPHS_FITTED}" in said[0]
    assert len(found) == MICROGRAPHS_FITTED
    micrographs = set_file(project, live, "micrographs.sqlite")
    wait_for(lambda: len(rows_of(micrographs)) == MICROGRAPHS_FITTED + 1, live)
    # also when there are more by now
    first = [row["_filename"] for row in rows_of(micrographs)][:MICROGRAPHS_FITTED]
    assert [m.getFileName() for m in found] == first
    assert [m.getFileName() for m in pick._waitForMicrographs()] == first
    set_file(project, live, "extra/STOP_STREAMING.TXT").touch()
    wait_for(lambda: project.refreshed(live).isFinished(), live)
    assert len(pick._waitForMicrographs()) == MICROGRAPHS_FITTED + 1


def test_training_starts_while_picks_come_in_and_goes_on(project, data, tmp_path):
    model, paths = data
    incoming, live = start_live_import(project, paths[0], tmp_path)
    pick = project.start(
        project.make(
            PUPickProtPick,
            inputModel=import_model(project, model),
            inputMicrographs=(live, "outputMicrographs"),
            streamingBatchSize=1,
        )
    )
    wait_for(lambda: hasattr(project.refreshed(pick), "outputCoordinates"), pick)
    project.project._updateProtocol(pick)
    train = project.start(
        project.make(
            PUPickProtTrain,
            inputMicrographs=(live, "outputMicrographs"),
            inputCoordinates=(pick, "outputCoordinates"),
            diameter=96.0,
            particlesPerMicrograph=25,
            startFrom=START_SCRATCH,
            network=0,
            epochs=1,
            autoencoder=0.0,
            moreArguments="--steps 2 --held-out 0 --check-picks off",
            minMicrographs=2,
            minPicks=20,
            keepTraining=True,
            streamingSleepOnWait=1,
            numberOfThreads=1,
        )
    )
    choose = project.start(
        project.make(
            PUPickProtThreshold, inputCoordinates=(pick, "outputCoordinates"), threshold=1.0
        )
    )
    prepare = project.start(
        project.make(
            PUPickProtPreprocess, inputMicrographs=(live, "outputMicrographs"), diameter=96.0
        )
    )
    shutil.copy(paths[1], incoming)
    first = wait_for(lambda: getattr(project.refreshed(train), "outputModel", None), train)
    for protocol, name in ((choose, "outputCoordinates"), (prepare, "outputMicrographs")):
        wait_for(lambda p=protocol, n=name: hasattr(project.refreshed(p), n), protocol)
        assert getattr(project.refreshed(protocol), name).isStreamOpen()
    assert project.refreshed(live).isRunning()
    assert "round_001" in first.getPath()
    for path in paths[3:]:
        shutil.copy(path, incoming)
    wait_for(lambda: len(rows_of(set_file(project, live, "micrographs.sqlite"))) == 5, live)
    set_file(project, live, "extra/STOP_STREAMING.TXT").touch()
    wait_for(lambda: not project.refreshed(train).isActive(), train)
    project.project._updateProtocol(train)
    assert train.isFinished(), log_of(train)
    labels = engine.show_model(project.path / train.outputModel.getPath())["training"]["labels"]
    assert labels == len(rows_of(set_file(project, pick, "coordinates.sqlite")))
    assert labels > engine.show_model(project.path / first.getPath())["training"]["labels"]
    for protocol in (choose, prepare):
        wait_for(lambda p=protocol: not project.refreshed(p).isActive(), protocol)
        project.project._updateProtocol(protocol)
        assert protocol.isFinished(), log_of(protocol)
    assert picked(choose)[0] == expected(model, paths, tmp_path / "cli", threshold=1.0)
    images = rows_of(set_file(project, prepare, "micrographs.sqlite"))
    names = [Path(row["_filename"]).name for row in images]
    assert sorted(names) == [path.name for path in paths if path.name != "m12.mrc"]
    assert prepare.outputMicrographs.isStreamClosed()


def test_training_that_was_killed_goes_on_from_its_checkpoint(project, data, tmp_path):
    model, _ = data
    simulated = simulate_set(tmp_path / "mics", range(3))
    micrographs = project.micrographs(tmp_path / "mics" / "*.mrc", PIXEL_SIZE)
    pick = project.run(
        PUPickProtPick,
        inputModel=import_model(project, model),
        inputMicrographs=(micrographs, "outputMicrographs"),
    )
    train = project.start(
        project.make(
            PUPickProtTrain,
            inputMicrographs=(micrographs, "outputMicrographs"),
            inputCoordinates=(pick, "outputCoordinates"),
            diameter=96.0,
            particlesPerMicrograph=len(simulated[str(tmp_path / "mics" / "m0.mrc")]),
            startFrom=START_SCRATCH,
            network=0,
            epochs=12,
            autoencoder=0.0,
            moreArguments="--steps 5 --held-out 0 --check-picks off",
            numberOfThreads=1,
        )
    )
    log = set_file(project, train, "extra/round_001/training.tsv")
    wait_for(lambda: log.exists() and len(log.read_text().splitlines()) > 2, train)
    kill(project, train)
    before = log.read_text().splitlines()
    assert len(before) < 13
    project.resume(train)
    after = log.read_text().splitlines()
    assert after[: len(before)] == before
    assert len(after) == 13
    said = (project.path / train.getLogPaths()[1]).read_text()
    assert said.count("epoch 1:") == 1
