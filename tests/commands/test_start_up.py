# SPDX-License-Identifier: GPL-3.0-or-later
"""What commands must not load, since it takes longer than what they do."""

import json
import subprocess
import sys

import pytest
from helpers.simulated import shared_model, simulate_faint

HEAVY = {"torch", "pandas", "starfile", "matplotlib", "scipy.stats", "scipy.optimize"}
NO_SCIPY = HEAVY | {"scipy"}
# of picking with a trained model, with a report too
WITH_PYTORCH = (NO_SCIPY - {"torch"}) | {
    *("scipy.spatial", "scipy.interpolate", "scipy.sparse", "scipy.linalg", "sympy"),
    *("scipy.fft", "scipy.ndimage", "scipy.special"),
    *("torch._dynamo", "torch._inductor", "torch.utils.tensorboard", "networkx"),
}
CODE = """
import shlex, sys
from scipion_pupick.engine.cli.main import main
for command in sys.argv[2:]:
    try:
        main(shlex.split(command))
    except SystemExit:
        pass
    print("loaded", *sorted(set(sys.argv[1].split()) & set(sys.modules)))
"""


def loaded(forbidden, *commands):
    """Forbidden modules that are loaded after each of some commands, in one process."""
    done = subprocess.run(
        [sys.executable, "-c", CODE, " ".join(sorted(forbidden)), *commands],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Traceback" not in done.stderr, done.stderr
    said = [line.split()[1:] for line in done.stdout.splitlines() if line.startswith("loaded")]
    return dict(zip(commands, said))


@pytest.fixture(scope="module")
def started(tmp_path_factory):
    """A run of picking by the command, its folder, and the heavy modules that it has loaded."""
    model = shared_model(tmp_path_factory) / "model.safetensors"
    folder = tmp_path_factory.mktemp("start_up")
    simulate_faint(folder / "mics")
    command = (
        f"pick --micrographs {folder / 'mics'} --model {model} --output {folder / 'run'} "
        "--device cpu --threads 1"
    )
    return folder, loaded(WITH_PYTORCH, command)[command]


def test_picking_with_a_trained_model_loads_only_what_it_needs(started):
    folder, modules = started
    assert (folder / "run" / "report.html").is_file()
    assert modules == []


def test_picking_without_a_report_loads_no_scipy(started):
    command = (
        f"pick --micrographs {started[0] / 'mics'} --output {started[0] / 'bare'} --no-report "
        f"--model {json.loads((started[0] / 'run' / 'pick.json').read_text())['model']} "
        "--device cpu --threads 1"
    )
    forbidden = WITH_PYTORCH | {"numpy.f2py"}
    assert loaded(forbidden | {"jinja2"}, command) == {command: []}


def test_commands_that_score_nothing_load_neither_pytorch_nor_scipy(started, tmp_path):
    run, csv = started[0] / "run", tmp_path / "picks.csv"
    commands = (
        "--help",
        f"convert {run / 'picks.star'} --output {csv}",
        f"threshold {run} --threshold -2 --output {tmp_path / 'chosen'}",
        f"evaluate --picks {run} --reference {csv} --tolerance 3",
        f"combine {run / 'picks.star'} {csv} --diameter 96 --pixel-size 4 "
        f"--output {tmp_path / 'combined.star'}",
        f"suggest {run} --output {tmp_path / 'look'}",
    )
    assert loaded(NO_SCIPY | {"jinja2"}, *commands) == dict.fromkeys(commands, [])
    for name in ("chosen/picks.star", "combined.star", "look"):
        assert (tmp_path / name).exists()


def test_a_report_without_score_maps_needs_neither_pytorch_nor_scipy(started, tmp_path):
    run, page = started[0] / "run", tmp_path / "page.html"
    command = f"report {run} --no-score-maps --output {page}"
    assert loaded(NO_SCIPY, command) == {command: []}
    text, with_maps = page.read_text(), (run / "report.html").read_text()
    assert '"mapStep":' in with_maps.partition('type="application/json"')[2]
    assert '"mapStep":' not in text.partition('type="application/json"')[2]
    assert text.count("data:image/png;base64,") < with_maps.count("data:image/png;base64,")
