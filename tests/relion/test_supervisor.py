# SPDX-License-Identifier: GPL-3.0-or-later
"""How jobs end: exactly one exit file, and no process left, whatever happens."""

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
from helpers.relion_files import (
    disc_centres,
    exit_files,
    make_project,
    program,
    run_program,
    write_coordinates,
    write_model,
)

from relion_external.supervisor import output_folder
from relion_external.worker import parameter_of
from scipion_pupick.engine.errors import UsageError

pytestmark = pytest.mark.slow  # each test starts programs

ROOT = Path(__file__).parents[2]
JOB = ["--o", "External/job005/", "--in_mics", "CtfFind/job003/micrographs_ctf.star"]
PICK = [*JOB, "--model", "model.safetensors", "--gpu", "none", "--j", "1"]
ENDLESS = [
    *JOB,
    *("--in_coords", "ManualPick/job004/coords_suffix_manualpick.star", "--diameter", "180"),
    *("--particles_per_micrograph", "6", "--network", "conv3", "--epochs", "100000", "--steps"),
    *("1", "--check_picks", "off", "--gpu", "none", "--j", "1"),
    *("--pipeline_control", "External/job005/"),
]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = make_project(tmp_path_factory.mktemp("project"), ["Micrographs/a.mrc"])
    write_model(folder / "model.safetensors")
    picks = folder / "ManualPick/job004"
    write_coordinates(picks / "Micrographs/a_manualpick.star", disc_centres(0, (192, 256)))
    (picks / "coords_suffix_manualpick.star").write_text("CtfFind/job003/micrographs_ctf.star\n")
    return folder


@pytest.fixture
def job(made):
    """A job's folder that is empty but for job.star."""
    folder = made / "External/job005"
    text = (folder / "job.star").read_text()
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    (folder / "job.star").write_text(text)
    return folder


class Running:
    """A training that never ends by itself, and its worker."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with (folder / "run.out").open("w") as out, (folder / "run.err").open("w") as err:
            self.process = subprocess.Popen(
                [program("train"), *ENDLESS],
                cwd=folder.parents[1],
                env={**os.environ, "OMP_NUM_THREADS": "1"},
                stdout=out,
                stderr=err,
                # whoever runs these tests in the background has the signal ignored
                preexec_fn=partial(signal.signal, signal.SIGINT, signal.default_int_handler),
            )
        try:
            self.wait_for(lambda: "epoch 1" in (folder / "run.out").read_text())
        except AssertionError:
            self.process.terminate()
            self.process.wait(30)
            raise
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        self.worker = int(children.read_text())

    @staticmethod
    def wait_for(what, seconds: float = 60) -> float:
        started = time.monotonic()
        while not what():
            assert time.monotonic() - started < seconds
            time.sleep(0.02)
        return time.monotonic() - started

    def worker_is_gone(self) -> bool:
        stat = Path(f"/proc/{self.worker}/stat")
        return not stat.exists() or stat.read_text().rsplit(")", 1)[1].split()[0] == "Z"

    def end(self) -> int:
        code = self.process.wait(30)
        self.wait_for(self.worker_is_gone, 5)
        return code

    def errors(self) -> str:
        return (self.folder / "run.err").read_text()


@pytest.fixture
def running(job):
    training = Running(job)
    yield training
    for pid in (training.process.pid, training.worker):
        if pid == training.process.pid and training.process.returncode is not None:
            continue
        if not training.worker_is_gone() or pid == training.process.pid:
            os.kill(pid, signal.SIGKILL)
    training.process.wait()


def test_a_job_that_succeeds_and_then_fails(made, job):
    # what lies in the user's project is not imported
    (made / "torch.py").write_text("raise SystemExit('a file of the project was imported')\n")
    try:
        done = run_program("pick", PICK, made)
    finally:
        (made / "torch.py").unlink()
    assert done.returncode == 0, done.stderr
    assert exit_files(job) == ["RELION_JOB_EXIT_SUCCESS"]
    assert done.stderr == ""
    assert "particles in 1 micrographs" in done.stdout
    assert (job / "RELION_OUTPUT_NODES.star").exists()
    failed = run_program("pick", [*PICK, "--diameter", "90000"], made)
    assert failed.returncode == 1
    assert "check the diameter" in failed.stderr
    assert exit_files(job) == ["RELION_JOB_EXIT_FAILURE"]
    assert not (job / "RELION_OUTPUT_NODES.star").exists()


def test_exit_files_of_an_earlier_run_are_removed(made, job):
    (job / "RELION_JOB_EXIT_SUCCESS").touch()
    (job / "RELION_JOB_EXIT_ABORTED").touch()
    assert run_program("pick", [*PICK, "--treshold", "1"], made).returncode == 1
    assert exit_files(job) == ["RELION_JOB_EXIT_FAILURE"]


def test_an_abort_ends_the_job_at_once(running):
    (running.folder / "RELION_JOB_ABORT_NOW").touch()
    seconds = running.wait_for(lambda: exit_files(running.folder))
    assert running.end() == 1
    # RELION's users wait for it: a promise, no benchmark; two seconds where nothing else runs
    assert seconds < 5
    assert exit_files(running.folder) == ["RELION_JOB_EXIT_ABORTED"]
    assert not (running.folder / "RELION_JOB_ABORT_NOW").exists()
    assert not list(running.folder.glob(".*")), "half-written files were left"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_the_job_as_failed(running, number):
    running.process.send_signal(number)
    assert running.end() == 1
    assert exit_files(running.folder) == ["RELION_JOB_EXIT_FAILURE"]
    assert f"stopped by {number.name}" in running.errors()


def test_a_job_in_the_background_outlives_what_its_shell_ignores(job, made):
    shell = f"trap '' INT HUP; exec {program('pick')} {' '.join(PICK)}"
    process = subprocess.Popen(["sh", "-c", shell], cwd=made, stderr=subprocess.DEVNULL)
    while not (job / ".pupick_exit").exists() and process.poll() is None:
        time.sleep(0.05)
    for number in (signal.SIGINT, signal.SIGHUP):
        process.send_signal(number)
    assert process.wait(120) == 0
    assert exit_files(job) == ["RELION_JOB_EXIT_SUCCESS"]


@pytest.mark.parametrize("asked", ["--help", "--setup"])
def test_what_is_for_a_terminal_ends_a_job_as_failed(job, made, asked):
    done = run_program("pick", [*PICK, asked], made)
    assert done.returncode == 1
    assert f"{asked} is for a terminal" in done.stderr
    assert exit_files(job) == ["RELION_JOB_EXIT_FAILURE"]


def test_an_engine_that_is_killed_ends_the_job_as_failed(running):
    os.kill(running.worker, signal.SIGKILL)
    assert running.end() == 1
    assert exit_files(running.folder) == ["RELION_JOB_EXIT_FAILURE"]
    assert "memory" in running.errors()


def test_even_a_killed_supervisor_leaves_an_exit_file_and_no_process(running):
    running.process.kill()
    running.end()
    assert exit_files(running.folder) == ["RELION_JOB_EXIT_FAILURE"]


@pytest.fixture(scope="module")
def bare_python(tmp_path_factory):
    """A Python that has our package's files, but neither NumPy nor PyTorch."""
    folder = tmp_path_factory.mktemp("bare")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    return str(folder / "bin/python")


def test_an_engine_that_is_not_installed_is_named(made, job, bare_python):
    code = "import sys; from relion_external.supervisor import pick; sys.exit(pick())"
    done = run_program(
        "pick", PICK, made, {"PYTHONPATH": str(ROOT)}, executable=[bare_python, "-c", code]
    )
    assert done.returncode == 1
    assert exit_files(job) == ["RELION_JOB_EXIT_FAILURE"]
    assert "the engine cannot be used with" in done.stderr
    assert "No module named" in done.stderr


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        ("MemoryError", "give the job more memory"),
        ("SystemError('error return without exception set')", "give the job more memory"),
        ("ImportError('a.so: failed to map segment from shared object')", "more memory"),
        ("ImportError('a.so: undefined symbol')", "install scipion-em-pupick there with pip"),
    ],
)
def test_an_engine_that_cannot_be_loaded_is_explained(made, job, tmp_path, error, advice):
    (tmp_path / "torch.py").write_text(f"raise {error}\n")
    done = run_program("pick", PICK, made, {"PYTHONPATH": str(tmp_path)})
    assert done.returncode == 1
    assert exit_files(job) == ["RELION_JOB_EXIT_FAILURE"]
    (line,) = done.stderr.splitlines()
    assert line.startswith("relion_external_pupick_pick: ERROR: ")
    assert line.endswith(advice)


@pytest.mark.parametrize("limit", ["-v", "-d"])
@pytest.mark.parametrize("kilobytes", [300_000, 2_097_151])
def test_a_job_that_may_use_too_little_memory_is_not_started(made, job, limit, kilobytes):
    limited = ["bash", "-c", f'ulimit {limit} {kilobytes}; exec "$0" "$@"', program("pick")]
    done = run_program("pick", PICK, made, executable=limited)
    assert done.returncode == 1
    assert exit_files(job) == ["RELION_JOB_EXIT_FAILURE"]
    (line,) = done.stderr.splitlines()
    assert f"the job may use {kilobytes / 1024**2:.1f} GiB of memory" in line
    assert "at least 2 GiB" in line
    assert done.stdout == ""


def test_the_supervisor_needs_the_standard_library_only(bare_python):
    code = "import relion_external.supervisor, sys; print(*sys.modules)"
    done = subprocess.run(
        [bare_python, "-c", code], env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    ours = {name for name in done.stdout.split() if name.startswith("scipion_pupick")}
    # the settings are a table and the checks of it, and import nothing beyond this list
    of_settings = {name for name in ours if name.startswith("scipion_pupick.engine.settings")}
    assert ours - of_settings <= {
        "scipion_pupick",
        "scipion_pupick.engine",
        "scipion_pupick.engine.errors",
    }


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (["--model", "External/job004"], "External/job004: there is no such model"),
        (["--in_movies", "movies.star"], "no use for movies"),
        (["--pixel_size", "0.01"], "check the diameter (Å) and the pixel size"),
        (["--threshold", "-9"], "threshold is '-9': give a number of -8 or more"),
        (["--gpu", "97"], "compute on the CPU, or install"),
    ],
)
def test_a_mistake_fails_the_job_with_one_line(made, job, change, text):
    done = run_program("pick", [*PICK, *change], made)
    assert done.returncode == 1
    assert exit_files(job) == ["RELION_JOB_EXIT_FAILURE"]
    assert text in done.stderr
    *warnings, mistake = done.stderr.splitlines()
    assert mistake.startswith("relion_external_pupick_pick: ERROR: ")
    assert all(line.startswith("relion_external_pupick_pick: WARNING: ") for line in warnings)
    # hints are read where a job succeeds, too
    assert all(line.partition(": ")[2] in done.stdout.splitlines() for line in warnings)
    assert bool(warnings) == ("--pixel_size" in change)


def test_without_a_folder_the_program_says_so(made):
    done = run_program("pick", ["--in_mics", "mics.star"], made)
    assert done.returncode == 1
    assert "the job's folder is missing" in done.stderr


def test_help_needs_no_job(made):
    done = run_program("both", ["--help"], made)
    assert done.returncode == 0
    assert "particles_per_micrograph" in done.stdout
    assert run_program("both", [], made).returncode == 1


@pytest.mark.parametrize("arguments", [["--x", "--o", "a/"], ["--o=a/"], ["--x=1", "--o", "a"]])
def test_the_folder_is_found_among_anything(arguments):
    assert output_folder(arguments) == Path("a")


@pytest.mark.parametrize(
    ("text", "settings", "words"),
    [
        ("Pick by hand.", ("picks", "micrographs"), "Pick by hand (in_coords, in_mics)."),
        ("give the pixel size (Å/px)", "pixel_size", "give the pixel size (Å/px) (pixel_size)"),
        ("Compute on the CPU.", "device", "Compute on the CPU (gpu)."),
        ("It is too far.", ("border", "output"), "It is too far."),
        ("my--own/a-b.mrc: -3", (), "my--own/a-b.mrc: -3"),
    ],
)
def test_messages_name_the_parameters_of_the_form(text, settings, words):
    assert UsageError(text, settings).worded(lambda name: parameter_of(name, "train")) == words
