# SPDX-License-Identifier: GPL-3.0-or-later
"""What commands write for programs that call them: failures, and the numbers of a comparison."""

import json
import subprocess
import sys

import pytest
from helpers.programs import call_pupick
from helpers.simulated import simulate

from scipion_pupick.engine import Coordinates, read_picks, write_picks


@pytest.mark.parametrize("command", ["preprocess", "pick"])
def test_failures_are_listed_in_a_file_of_ones_own(command, tmp_path):
    simulate(tmp_path / "good.mrc", 0)
    (tmp_path / "bad.mrc").write_bytes(b"no image")
    more = ["--model", "general"] if command == "pick" else []
    arguments = [command, "--micrographs", tmp_path, "--pixel-size", 4, "--diameter", 96, *more]
    listed = tmp_path / "failures.tsv"
    code, _, _ = call_pupick(*arguments, "--output", tmp_path / "out", "--failures", listed)
    assert code == 1
    head, row = listed.read_text().splitlines()
    assert head == "micrograph\treason"
    assert row.startswith(f"{tmp_path}/bad.mrc\t")


def test_an_evaluation_is_written_as_numbers(tmp_path):
    reference = {"a": Coordinates.unscored([10, 50, 90], [10, 10, 10])}
    picks = {"a": Coordinates([11, 50, 200], [10, 10, 200], [3.0, 2.0, 1.0])}
    for name, found in (("reference", reference), ("picks", picks)):
        write_picks(found, tmp_path / f"{name}.star")
    written = tmp_path / "numbers.json"
    code, _, error = call_pupick(
        *("evaluate", "--picks", tmp_path / "picks.star", "--tolerance", 5),
        *("--reference", tmp_path / "reference.star", "--summary", written),
    )
    assert code == 0, error
    numbers = json.loads(written.read_text())
    assert numbers["picks"] == numbers["reference"] == 3
    assert numbers["hits"] == 2
    assert numbers["precision"] == numbers["recall"] == pytest.approx(2 / 3)
    assert numbers["average_precision"] == pytest.approx(2 / 3)
    assert numbers["localisation_error"] == pytest.approx(0.5)


REFINED = """
data_

loop_
_rlnMicrographName #1
_rlnCoordinateX #2
_rlnCoordinateY #3
_rlnOriginXAngst #4
_rlnOriginYAngst #5
_rlnMicrographOriginalPixelSize #6
a 40 80 20 -30 0.5
a 90 20 -10 40 0.5
"""


def test_refined_particles_are_moved_by_the_pixel_size_given(tmp_path):
    (tmp_path / "refined.star").write_text(REFINED)
    centres = {"a": Coordinates([30, 95], [95, 0], [2.0, 1.0])}  # origins in px of 2 Å
    write_picks(centres, tmp_path / "picks.star")
    refined = tmp_path / "refined.star"
    written = tmp_path / "numbers.json"
    code, _, error = call_pupick(
        *("evaluate", "--picks", tmp_path / "picks.star", "--tolerance", 1),
        *("--reference", refined, "--pixel-size", 2, "--summary", written),
    )
    assert code == 0, error
    assert json.loads(written.read_text())["hits"] == 2
    output = tmp_path / "converted.star"
    code, _, error = call_pupick("convert", refined, "--pixel-size", 2, "--output", output)
    assert code == 0, error
    converted = read_picks(output)["a"]
    assert sorted(zip(converted.x.tolist(), converted.y.tolist())) == [(30, 95), (95, 0)]


def test_the_engine_runs_as_a_module():
    command = [sys.executable, "-m", "scipion_pupick.engine", "--version"]
    assert subprocess.run(command, capture_output=True, text=True, timeout=60).returncode == 0
