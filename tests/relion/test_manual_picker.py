# SPDX-License-Identifier: GPL-3.0-or-later
"""RELION's own manual picker on suggested picks: it shows them, and what it saves is learned."""

import os
import shutil
import subprocess
import time

import numpy as np
import pytest
from helpers.relion_files import make_project, read_table, write_model

from relion_external.jobs import run_job
from relion_external.parameters import PICK, SUGGEST, TRAIN, parse_arguments
from relion_external.training_inputs import read_training_inputs
from scipion_pupick.engine import find_micrographs

NEEDED = ("relion_manualpick", "relion_display", "xdotool", "Xvfb")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not all(map(shutil.which, NEEDED)),
        reason="needs RELION's windows: apt-get install --no-install-recommends relion-gui xdotool",
    ),
]
NAMES = ["Micrographs/a.mrc", "Micrographs/b.mrc"]
MICS = "CtfFind/job003/micrographs_ctf.star"
JOB = "External/job006"
# of the menu of the right button, px below the place that was clicked
SAVE, CLEAR = 12, 74


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project of RELION 3.1 with a picking job, and a job that has suggested picks of it."""
    monkeypatch.setattr(
        "relion_external.jobs.write_report", lambda report, mics, path: path.write_bytes(b"%PDF")
    )
    made = make_project(tmp_path, NAMES)
    write_model(made / "External/job004/model.safetensors")
    monkeypatch.chdir(made)
    picking = ["--o", "External/job005/", "--model", "External/job004", "--gpu", "none"]
    run_job(parse_arguments(PICK, [*picking, "--in_mics", MICS]))
    suggesting = ["--o", f"{JOB}/", "--in_mics", MICS, "--relion_version", "3.1", "--count", "4"]
    coordinates = "External/job005/coords_suffix_autopick.star"
    run_job(parse_arguments(SUGGEST, [*suggesting, "--in_coords", coordinates]))
    return made


@pytest.fixture
def screen():
    """A screen, and the environment of programs that are to use it."""
    command = ["Xvfb", "-displayfd", "1", "-screen", "0", "900x700x24"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    number = server.stdout.readline().strip()
    yield {**os.environ, "DISPLAY": f":{number}"}
    server.terminate()
    server.communicate()


class Mouse:
    """The mouse on a screen, in px of a window."""

    def __init__(self, screen) -> None:
        self.screen = screen

    def call(self, *words) -> str:
        done = subprocess.run(
            ["xdotool", *map(str, words)],
            env=self.screen,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        return done.stdout

    def find(self, name) -> str:
        """Return the window of a name, once it is to be seen."""
        return self.call("search", "--sync", "--onlyvisible", "--name", name).split()[0]

    def click(self, window, x, y, button=1) -> None:
        self.call("mousemove", "--window", window, round(x), round(y))
        # the picker draws in between
        time.sleep(0.5)
        self.call("click", button)
        time.sleep(0.5)

    def choose(self, window, below) -> None:
        """Choose from the menu of the right button."""
        self.click(window, 40, 150, button=3)
        self.click(window, 100, 150 + below)


def wait_for(what) -> None:
    until = time.monotonic() + 60
    while not what():
        assert time.monotonic() < until
        time.sleep(0.1)


def learned(*parameters):
    arguments = ["--o", "External/job007/", "--in_mics", MICS, "--corrected", JOB, *parameters]
    return read_training_inputs(parse_arguments(TRAIN, arguments), find_micrographs([MICS]))


def test_what_is_changed_in_relions_window_is_learned(project, screen):
    file = project / JOB / "Micrographs/a_autopick.star"
    before = np.array(read_table(file)[1], float)[:, :2]
    # as Display calls it
    words = ["relion_manualpick", "--i", f"{JOB}/micrographs.star", "--odir", f"{JOB}/"]
    words += ["--pickname", "autopick", "--particle_diameter", "180", "--scale", "1"]
    picker = subprocess.Popen(
        words, env=screen, cwd=project, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        said = ""
        while "Total number of picked particles" not in said:
            said += (line := picker.stdout.readline())
            assert line, said
        total = len(before) + len(read_table(project / JOB / "Micrographs/b_autopick.star")[1])
        assert f"particles: {total} from 2 selected micrographs" in said
        mouse = Mouse(screen)
        mouse.click(mouse.find("RELION manual-picking GUI"), 369, 40)
        window = mouse.find("Micrographs/a.mrc")
        mouse.click(window, *before[0], button=2)
        mouse.click(window, 60, 60)
        written = file.stat().st_mtime_ns
        mouse.choose(window, SAVE)
        wait_for(lambda: file.stat().st_mtime_ns != written)
        found = learned()
        np.testing.assert_allclose(found.negatives[NAMES[0]].xy, before[:1], atol=1e-3)
        assert found.picks[NAMES[0]].xy.tolist() == [[60, 60]]
        done = learned("--done", "changed")
        assert len(done.picks[NAMES[0]]) == len(before)
        mouse.choose(window, CLEAR)
        mouse.choose(window, SAVE)
        wait_for(lambda: file.stat().st_size == 0)
        assert len(learned().negatives[NAMES[0]]) == len(before)
    finally:
        os.killpg(picker.pid, 15)
        picker.communicate()
