# SPDX-License-Identifier: GPL-3.0-or-later
"""Every block of commands in the documents runs as it stands, in a folder such as they speak of.

Words in capitals, which stand for a user's own files, are filled in, and trainings are shortened.
"""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import mrcfile
import numpy as np
import pytest
from helpers.examples import EXAMPLES, write_corner, write_corner_picks
from helpers.programs import call_pupick
from helpers.relion_files import JOB_STAR

from scipion_pupick.engine.cli.main import make_parser
from scipion_pupick.engine.simulation.phantom import random_phantom

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
DOCUMENTS = ("README.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")))
# documents whose commands follow each other in one folder
FOLDERS = (
    ("README.md",),
    ("docs/quickstart.md", "docs/report.md"),
    ("docs/command_line.md",),
    ("docs/relion.md",),
)
# what only begins so is not run, each for its reason
NOT_RUN = {
    "pip install": "needs a package index",
    "make ": "sets up all that these tests run in",
    "source ": "is for the shell of a user",
    "pupick pretrain": "takes hours",
    "pupick watch": "waits for micrographs, as in tests/commands/test_watch.py",
    "pupick pick --workers": "starts processes, as tests/engine/runs does",
    "relion_pipeliner": "needs a project of RELION that has come as far: tests/relion does so",
    "relion_scheduler": "needs a schedule of RELION: tests/relion makes one",
    "relion_schemer": "is of RELION 4 and 5",
    "scipion3 ": "needs an installation of Scipion: tests/scipion works in one",
    "PUPICK_PYTHON": "is a line of Scipion's configuration",
}
PLACEHOLDERS = (
    ("--model FILE", "--model run/model.safetensors"),
    ("show FILE", "show run/model.safetensors"),
    ("--picks FILE ... --reference", "--picks picked/picks.star --reference"),
    ("--picks FILE ...", "--picks picks.star"),
    ("--reference FILE ...", "--reference expert.star"),
    ("convert SOURCE ...", "convert picks.star"),
    ("SOURCE ...", "mics"),
    ("RUN_FOLDER", "picked"),
    ("--output PATH", "--output new/path.csv"),
    ("--output FOLDER", "--output new/{number}"),
    ("--diameter Å", "--diameter 180"),
    ("SCORE", "-1"),
    ("SHARE", "0.5"),
    ("--per-micrograph N", "--per-micrograph 100"),
    ("PX", "10"),
)
SHORT = ("--epochs", "1", "--steps", "2", "--threads", "1", "--device", "cpu")
BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)


def blocks(document, *languages):
    """Blocks of these languages in a document, in order; "" is a block without a language."""
    text = (ROOT / document).read_text(encoding="utf-8")
    return [block for _, language, block in BLOCK.findall(text) if language in languages]


def commands(document):
    """Commands in a document, each on one line and without its comment."""
    text = "\n".join(blocks(document, "", "bash", "sh")).replace("\\\n", " ")
    lines = [re.sub(r"\s+# .*", "", line).strip() for line in text.splitlines()]
    return [line for line in lines if line]


def is_run(command):
    return not command.startswith(tuple(NOT_RUN))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with what the documents name; a quarter of two micrographs is enough for it."""
    examples = tmp_path / "examples" / EXAMPLES.name
    (examples / "micrographs").mkdir(parents=True)
    for name in ("14_33_35", "15_33_42"):
        write_corner(f"Falcon_2012_06_12-{name}_0.mrc", examples / "micrographs")
    for name in ("picks_100.star", "reference.star"):
        write_corner_picks(name, examples / name)
    shutil.copy(examples / "picks_100.star", tmp_path / "picks.star")
    shutil.copy(examples / "reference.star", tmp_path / "expert.star")
    (tmp_path / "mics").symlink_to(examples / "micrographs")
    phantom = random_phantom(np.random.default_rng(0), 120.0)
    mrcfile.write(tmp_path / "map.mrc", phantom.values, voxel_size=phantom.pixel_size)
    (tmp_path / "External/job001").mkdir(parents=True)
    (tmp_path / "External/job001/job.star").write_text(JOB_STAR["3.1"])
    (tmp_path / "default_pipeline.star").touch()
    (tmp_path / "new").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def filled_in(command, number):
    """The arguments of a command, with what its words in capitals stand for."""
    for placeholder, value in PLACEHOLDERS:
        command = command.replace(placeholder, value.format(number=number))
    return shlex.split(command)


def run(command, number):
    """Run a command, and give its exit code and what it says of an error."""
    program, *arguments = filled_in(command, number)
    if program == "pupick":
        trains = arguments[0] in ("train", "pretrain")
        code, _, error = call_pupick(*arguments, *(SHORT if trains else ()))
        return code, error
    path = Path(sys.executable).with_name(program)
    done = subprocess.run([path, *arguments], capture_output=True, text=True, timeout=60)
    return done.returncode, done.stderr


@pytest.mark.parametrize("documents", FOLDERS, ids=lambda documents: documents[0])
def test_commands_do_what_they_say(documents, folder):
    lines = [line for document in documents for line in commands(document) if is_run(line)]
    assert lines
    for number, line in enumerate(lines):
        code, error = run(line, number)
        assert code == 0, f"{line}\n{error}"


def test_every_command_is_run_or_has_a_reason_why_not():
    followed = {document for group in FOLDERS for document in group}
    for document in DOCUMENTS:
        for command in commands(document):
            assert document in followed or not is_run(command), f"{document}: {command}"
    every = [command for document in DOCUMENTS for command in commands(document)]
    for start in NOT_RUN:
        assert any(command.startswith(start) for command in every), f"no more needed: {start}"


def test_the_options_of_every_command_are_there():
    for document in DOCUMENTS:
        for command in commands(document):
            if command.startswith("pupick "):
                make_parser().parse_args(filled_in(command, 0)[1:])


def python_blocks():
    return [
        pytest.param(block, id=f"{document}-{number}")
        for document in DOCUMENTS
        for number, block in enumerate(blocks(document, "python"))
    ]


@pytest.mark.parametrize("block", python_blocks())
def test_python_runs(block, folder):
    exec(compile(block, "block", "exec"), {})
