# SPDX-License-Identifier: GPL-3.0-or-later
"""`pupick serve` as a program: its address, its lock, how it ends; a kill loses nothing."""

import json
import random
import re
import shlex
import signal
import socket
import stat
import threading
import time
from contextlib import contextmanager
from http.client import HTTPException

import pytest
from helpers.correcting import Client, make_run
from helpers.programs import call_pupick, start_pupick
from helpers.simulated import MODEL, shared_model, simulate, simulate_faint

from scipion_pupick.engine import PickSettings, find_micrographs, pick, read_pick_run
from scipion_pupick.engine.cli.main import make_parser
from scipion_pupick.engine.cli.options import find, given_settings
from scipion_pupick.engine.cli.serve import pick_again
from scipion_pupick.engine.coordinates.corrections import read_corrections
from scipion_pupick.engine.reporting.correcting.edits import marks_of, places

ADDRESS = re.compile(r"http://127\.0\.0\.1:(\d+)/#token=([\w-]+)")


@contextmanager
def serve(run, *options):
    """Start the program; gives it, and a client with the token that it has printed."""
    program = start_pupick("serve", run, "--device", "cpu", "--threads", "1", *options)
    try:
        said = ""
        while "Ctrl-C" not in said:
            said += (line := program.stdout.readline())
            assert line, program.stderr.read()
        port, token = ADDRESS.search(said).groups()
        assert f"ssh -L {port}:127.0.0.1:{port} " in said
        yield program, Client(int(port), token)
    finally:
        program.kill()
        program.communicate()


def added(run):
    path = run / "corrections.json"
    return set(marks_of(read_corrections(path)["a.mrc"])) if path.exists() else set()


def test_what_is_no_run_is_misuse(tmp_path):
    code, _, error = call_pupick("serve", tmp_path)
    assert code == 2
    assert "is not the folder of a picking run" in error
    run = make_run(tmp_path)
    code, _, error = call_pupick("serve", run, "--port", 70000)
    assert code == 2
    assert "There is no port 70000: give one up to 65535 (--port)." in error
    assert not (run / "corrected").exists()
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        code, _, error = call_pupick("serve", run, "--port", port)
    assert code == 2
    assert f"at port {port} (Address already in use): give another (--port)." in error


def test_the_next_step_is_a_command_that_can_be_run(tmp_path):
    run = make_run(tmp_path / "with 'quotes' and spaces")
    model = run / "corrected" / "x" / "model.safetensors"
    program, *arguments = shlex.split(pick_again(run, model))
    options = make_parser().parse_args(arguments)
    assert program == "pupick"
    assert options.micrographs == [str(run / "micrographs.tsv")]
    found = find_micrographs(options.micrographs)
    assert [m.path for m in found] == [m.path for m in read_pick_run(run).micrographs]
    assert options.output == str(run / "corrected" / "x-picked")


def picked_again(folder, model, settings):
    """Pick micrographs of two optics groups, and return how the next step picks them."""
    for name, seed in (("a", 0), ("b", 1)):
        simulate(folder / f"{name}.mrc", seed)
    (folder / "mics.star").write_text(TWO_GROUPS.format(folder=folder))
    micrographs = find_micrographs([str(folder / "mics.star")])
    pick(micrographs, model, folder / "run", settings, "cpu", 1, report=False)
    _, *arguments = shlex.split(pick_again(folder / "run", model))
    return make_parser().parse_args(arguments)


TWO_GROUPS = """
data_optics
loop_
_rlnOpticsGroup
_rlnMicrographPixelSize
1 4.0
2 4.5

data_micrographs
loop_
_rlnMicrographName
_rlnOpticsGroup
{folder}/a.mrc 1
{folder}/b.mrc 2
"""


def test_the_next_step_keeps_the_pixel_sizes_that_were_stated(tmp_path):
    again = picked_again(tmp_path, MODEL, PickSettings())
    assert [m.pixel_size for m in find(again)] == [4.0, 4.5]
    # the rest follows from the new model, as it did from the old one
    assert given_settings(again) == {}


def test_the_next_step_keeps_what_a_person_has_set_but_not_the_old_models_threshold(tmp_path):
    settings = {"border": 100 / 3, "min_distance": 0.0, "contamination": 0.25}
    again = picked_again(tmp_path, MODEL, PickSettings(threshold=-1.125, **settings))
    assert given_settings(again) == pytest.approx(settings)
    assert again.threshold is None
    # a version that knew no contamination, and lengths that follow from the diameter
    run = make_run(tmp_path / "older")
    record = json.loads((run / "pick.json").read_text())
    (run / "pick.json").write_text(json.dumps({**record, "edge": 20.0, "separation": 16.0}))
    _, *arguments = shlex.split(pick_again(run, MODEL))
    assert given_settings(make_parser().parse_args(arguments)) == {}


@pytest.mark.slow
def test_a_kill_at_any_moment_loses_no_correction_that_was_answered(tmp_path):
    run, chance = make_run(tmp_path), random.Random(1)
    answered, unanswered, number = set(), [], 0
    for _ in range(2):
        with serve(run) as (program, client):
            # a page sends again what has had no answer
            for row in unanswered:
                status, answer = client.send(0, [row])
                assert (status, answer["refused"]) == (200, {})
                answered.add(tuple(row[1:3]))
            unanswered = []
            killer = threading.Timer(chance.uniform(0.2, 1.0), program.kill)
            killer.start()
            while True:
                number += 1
                row = [f"n{number}", number % 250 * 100, number // 250 * 100, "", "added"]
                try:
                    assert client.send(0, [row])[0] == 200
                    answered.add(tuple(row[1:3]))
                except (OSError, ValueError, HTTPException):
                    # also where the answer was cut off
                    unanswered.append(row)
                    break
            killer.join()
        assert answered <= added(run)
        assert added(run) <= answered | {tuple(row[1:3]) for row in unanswered}
    assert len(answered) > 10


@pytest.mark.slow
def test_a_run_is_corrected_by_one_server_which_ends_with_ctrl_c(tmp_path):
    run = make_run(tmp_path)
    with serve(run) as (program, client):
        page = run / "corrected" / "open.html"
        assert stat.S_IMODE(page.stat().st_mode) == 0o600
        assert client.token in page.read_text()
        code, said, error = call_pupick("serve", run)
        assert code == 2
        assert f"The picks of {run} are being corrected already" in error
        assert f"pupick serve (process {program.pid} on " in error
        assert "--output" not in error
        assert ADDRESS.search(said) is None
        assert client.edit(0, (500, 500, "", "added"))[0] == 200
        # nor under another name of the folder; the first goes on
        (tmp_path / "other").symlink_to(run)
        code, _, error = call_pupick("serve", tmp_path / "other")
        assert code == 2
        assert "are being corrected already" in error
        assert client.get("/run")[0] == 200
        program.send_signal(signal.SIGINT)
        output, error = program.communicate(timeout=30)
        assert program.returncode == 0
        assert f"The corrections lie in {run / 'corrections.json'}" in output
        assert f"pupick convert {run} --corrected --output PATH.star" in output
        assert error == ""
        assert not page.exists()
    assert added(run) == {(500, 500)}


@pytest.mark.slow
def test_training_again_learns_from_the_corrections(tmp_path, tmp_path_factory):
    simulate_faint(tmp_path / "mics")
    micrographs = find_micrographs([str(tmp_path / "mics")])
    model = shared_model(tmp_path_factory) / "model.safetensors"
    run = tmp_path / "run"
    pick(micrographs, model, run, PickSettings(threshold=-1.125), device="cpu", threads=1)
    peaks = read_pick_run(run).peaks_of(micrographs[0]).coordinates
    removed, kept = (places(peaks.select(rows)).tolist() for rows in ([0, 1], range(2, 12)))
    with serve(run) as (_, client):
        edits = [(*place, "", "removed") for place in removed]
        edits += [(*place, "", "confirmed") for place in kept]
        assert client.edit(0, *edits)[1]["refused"] == {}
        assert client.post("/training", {"action": "start"})[1]["state"] == "running"
        while (state := client.get("/training")[1])["state"] == "running":
            if any("2 picks removed, 0 added and 10 confirmed" in line for line in state["lines"]):
                break
            time.sleep(0.2)
        assert state["state"] == "running", state
        stopped = client.post("/training", {"action": "stop"})[1]
        assert stopped["state"] == "stopped"
        assert "stopped; call it again to continue" in stopped["lines"][-1]
