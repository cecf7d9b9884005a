# SPDX-License-Identifier: GPL-3.0-or-later
"""Picking on the workers of a Dask scheduler; tests/cluster has a real queueing system."""

import sys

import pytest
from helpers.programs import call_pupick
from helpers.simulated import shared_model, simulate_set

from benchmarks.reliability.killed_runs import contents
from scipion_pupick.engine.errors import UsageError
from scipion_pupick.engine.runs.executors.clusters import connect, start_cluster

# of Dask's own sockets and objects
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore:Port 8787"),
]

NO_CLUSTERS = [
    "",
    "[",
    "jobqueue:",
    "jobqueue: {slurm: {}, pbs: {}}",
    "jobqueue: {lfs: {}}",
    "slurm: {cores: 1}",
]


@pytest.mark.slow
def test_workers_of_a_scheduler_give_the_files_of_one_process(tmp_path, tmp_path_factory):
    distributed = pytest.importorskip("distributed")
    model = shared_model(tmp_path_factory) / "model.safetensors"
    simulate_set(tmp_path / "in", range(30, 40))
    broken = tmp_path / "in" / "m33.mrc"
    broken.write_bytes(broken.read_bytes()[:-4])
    command = ("pick", "--micrographs", tmp_path / "in", "--model", model, "--device", "cpu")
    assert call_pupick(*command, "--no-report", "--output", tmp_path / "alone")[0] == 1
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=False, dashboard_address=None
    ) as cluster:
        scheduler = ("--scheduler", cluster.scheduler_address, "--no-report")
        code, output, said = call_pupick(*command, *scheduler, "--output", tmp_path / "many")
    assert code == 1, said
    assert "1 micrographs failed" in output
    one, other = (contents(tmp_path / folder) for folder in ("alone", "many"))
    assert cluster.scheduler_address in other["pick.json"].pop("device")
    del one["pick.json"]["device"]
    assert one == other


@pytest.mark.parametrize("text", NO_CLUSTERS)
def test_a_file_that_describes_no_queueing_system_is_refused(text, tmp_path):
    pytest.importorskip("dask_jobqueue")
    path = tmp_path / "cluster.yaml"
    path.write_text(text)
    with pytest.raises(UsageError, match=r"cluster\.yaml.*(YAML|slurm, pbs)"):
        start_cluster(path)


@pytest.fixture
def no_programs(tmp_path, monkeypatch):
    """A folder that is the whole search path, to put programs into."""
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def test_a_queueing_system_that_is_not_there_is_named(tmp_path, no_programs):
    pytest.importorskip("dask_jobqueue")
    path = tmp_path / "cluster.yaml"
    path.write_text("jobqueue: {lsf: {cores: 1, memory: 1GB}}")
    with pytest.raises(UsageError, match="asks for LSF, but there is no bsub"):
        start_cluster(path)


def test_settings_that_dask_does_not_know_are_named(tmp_path, no_programs):
    pytest.importorskip("dask_jobqueue")
    (no_programs / "sbatch").touch(0o755)
    path = tmp_path / "cluster.yaml"
    path.write_text("jobqueue: {slurm: {cores: 1, memory: 1GB, colour: red}}")
    with pytest.raises(UsageError, match="colour"):
        start_cluster(path)


def test_without_dask_it_is_said_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(UsageError, match=r"pip install 'scipion-em-pupick\[cluster\]'"):
        connect("tcp://127.0.0.1:1")
