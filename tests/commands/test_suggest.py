# SPDX-License-Identifier: GPL-3.0-or-later
"""`pupick suggest`: which picks to look at first."""

import shutil

import numpy as np
import pytest
from helpers.simulated import MODEL, simulate_set

from scipion_pupick.engine import find_micrographs, pick, read_picks
from scipion_pupick.engine.cli.main import main
from scipion_pupick.engine.runs.pick_run import read_pick_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("suggest")
    simulate_set(folder / "mics", range(8), side=144, particles=8)
    micrographs = find_micrographs([str(folder / "mics")])
    pick(micrographs, MODEL, folder / "run", device="cpu", threads=1)
    return folder / "run"


def test_doubtful_picks_of_a_few_micrographs_are_named_and_written(run, tmp_path, capsys):
    assert main(["suggest", str(run), "--count", "12", "--output", str(tmp_path / "look")]) == 0
    found = read_picks(tmp_path / "look")
    picked = read_pick_run(run)
    assert 0 < len(found) <= 6
    said = capsys.readouterr().out
    peaks = dict(picked.peaks())
    for name, coordinates in found.items():
        name = next(full for full in peaks if full.strip("/").startswith(name))
        assert f"{name}: 2 doubtful picks" in said
        every = peaks[name].coordinates
        # all are peaks of the run, and the one with the least certain score is among them
        distance = np.linalg.norm(coordinates.xy[:, None] - every.xy[None], axis=2)
        assert distance.min(axis=1).max() < 0.01
        least_certain = np.argmin(np.abs(every.score - min(0.0, picked.threshold)))
        assert distance[:, least_certain].min() < 0.01
    assert "an odd number of picks" in said


def test_what_is_suggested_can_be_corrected_and_learned(run, tmp_path):
    copy = shutil.copytree(run, tmp_path / "run")
    assert main(["suggest", str(copy), "--output", str(tmp_path / "look"), "--to", "csv"]) == 0
    files = sorted((tmp_path / "look").rglob("*.csv"))
    assert 0 < len(files) <= 6


@pytest.mark.parametrize(
    ("arguments", "named"),
    [(["nowhere"], "nowhere is not the folder"), (["--count", "0", "RUN"], "(--count)")],
)
def test_what_makes_no_sense_is_named(run, tmp_path, caplog, arguments, named):
    arguments = [str(run) if word == "RUN" else word for word in arguments]
    assert main(["suggest", *arguments, "--output", str(tmp_path / "look")]) == 2
    assert named in caplog.text
