# SPDX-License-Identifier: GPL-3.0-or-later
"""Calls that add micrographs to a run: the same files as of one call, whatever lies there."""

import json
import math
import shutil

import numpy as np
import pytest
from helpers.simulated import shared_model, simulate_faint
from scipy.spatial import cKDTree
from scipy.special import expit

from scipion_pupick.engine import (
    PickSettings,
    UsageError,
    find_micrographs,
    pick,
    read_picks,
    threshold,
)
from scipion_pupick.engine.picking.peaks_file import load_peaks
from scipion_pupick.engine.runs.pick_run import PickRun
from scipion_pupick.engine.runs.quality import read_quality

FAINT = PickSettings(threshold=-1.0)
INDEX = ".index.jsonl"
# how a run went, and when its files were written
UNLIKE = ("seconds", "reused")


def call(micrographs, model, folder, settings=FAINT):
    return pick(micrographs, model, folder, settings, device="cpu", threads=1, report=False)


@pytest.fixture(scope="module")
def picked(tmp_path_factory):
    model = shared_model(tmp_path_factory) / "model.safetensors"
    folder = tmp_path_factory.mktemp("incremental")
    simulate_faint(folder / "mics")
    micrographs = find_micrographs([str(folder / "mics")])
    call(micrographs, model, folder / "run")
    return micrographs, model, folder / "run"


def contents(folder):
    files = {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    found = {str(path): content for path, content in files.items() if path.name != INDEX}
    record = json.loads(found["pick.json"])
    return {**found, "pick.json": {k: v for k, v in record.items() if k not in UNLIKE}}


def status(folder):
    return {p: (p.stat().st_size, p.stat().st_mtime_ns) for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("first", [[0], [2], [1, 2]])
def test_micrographs_may_be_added_before_and_after_others(picked, tmp_path, first):
    micrographs, model, run = picked
    call([micrographs[i] for i in first], model, tmp_path / "run")
    result = call(micrographs, model, tmp_path / "run")
    assert result.reused == len(first)
    assert contents(tmp_path / "run") == contents(run)
    one_by_one = read_picks(tmp_path / "run")
    assert {name: len(c) for name, c in one_by_one.items()} == {
        name: len(c) for name, c in result.picks.items() if len(c)
    }
    assert result.count == sum(map(len, result.picks.values())) > 0


def test_a_call_with_nothing_to_do_writes_nothing(picked):
    micrographs, model, run = picked
    before = status(run)
    assert call(micrographs, model, run).reused == 3
    assert status(run) == before


def cut_off(path):
    path.write_bytes(path.read_bytes()[:-30])


def nonsense(path):
    path.write_bytes(b'[1]\n{"list": 3}\n\xff\n[["a", 1], [], 2, 3, 4]\nnull\n' + path.read_bytes())


@pytest.mark.parametrize("spoil", [lambda path: path.unlink(), cut_off, nonsense])
def test_notes_may_be_lost_or_damaged(picked, tmp_path, spoil):
    micrographs, model, run = picked
    again = shutil.copytree(run, tmp_path / "run")
    spoil(again / INDEX)
    assert call(micrographs, model, again).reused == 3
    assert contents(again) == contents(run)


@pytest.mark.parametrize("name", ["picks.star", "scores", "quality.tsv"])
def test_files_that_were_changed_are_made_again(picked, tmp_path, name):
    micrographs, model, run = picked
    again = tmp_path / "run"
    call(micrographs, model, again)
    path = again / name
    path = next(p for p in sorted(path.rglob("*")) if p.is_file()) if path.is_dir() else path
    content = path.read_bytes()
    path.write_bytes(content[:-40])
    call(micrographs, model, again)
    assert contents(again) == contents(run)


def remove_best(path):
    """Remove the first pick, which no threshold would take away alone."""
    lines = path.read_text().split("\n")
    rows = [i for i, line in enumerate(lines) if line[:1].isdigit()]
    del lines[rows[0]]
    path.write_text("\n".join(lines))


def test_files_of_picks_that_people_changed_stay(picked, tmp_path, caplog):
    micrographs, model, run = picked
    again = tmp_path / "run"
    call(micrographs, model, again)
    edited, gone, _ = (PickRun(again).coordinates_path(m.name) for m in micrographs)
    remove_best(edited)
    gone.unlink()
    before = edited.read_bytes()
    assert call(micrographs, model, again).reused == 3
    assert "1 files of coordinates, such as" in caplog.text
    assert edited.read_bytes() == before
    own = str(edited.relative_to(again))
    now, expected = contents(again), contents(run)
    assert now.pop(own) == before != expected.pop(own)
    assert now == expected
    for settings in (PickSettings(threshold=0.5), PickSettings(border=0.0)):
        with pytest.raises(UsageError, match=f"{edited}, were changed since they were written"):
            call(micrographs, model, again, settings)
    with pytest.raises(UsageError, match="were changed since"):
        threshold(again, again, 0.5)
    assert edited.read_bytes() == before
    threshold(again, tmp_path / "other", 0.5)
    # who needs them no more deletes them
    edited.unlink()
    call(micrographs, model, again, PickSettings(threshold=0.5))
    threshold(again, again, 1.0)
    threshold(again, again, 0.0)
    remove_best(edited)
    with pytest.raises(UsageError, match="were changed since"):
        threshold(again, again, 1.0)
    edited.unlink()
    call(micrographs, model, again)
    assert contents(again)[own] == contents(run)[own]


def test_another_threshold_chooses_again_from_kept_peaks(picked, tmp_path):
    micrographs, model, run = picked
    again = shutil.copytree(run, tmp_path / "run")
    result = call(micrographs, model, again, PickSettings(threshold=0.5))
    assert result.reused == 3
    call(micrographs, model, tmp_path / "anew", PickSettings(threshold=0.5))
    assert contents(again) == contents(tmp_path / "anew")
    assert call(micrographs, model, again).reused == 3
    assert contents(again) == contents(run)


def test_quality_is_what_the_peaks_say(picked):
    micrographs, model, run = picked
    quality = read_quality(run)
    assert list(quality) == [m.name for m in micrographs]
    folder = PickRun(run)
    for name, row in quality.items():
        kept = load_peaks(folder.peaks_path(name))
        inside = folder.cut.of_all_scores.choose(kept)
        picks = inside.at_least(folder.threshold)
        chances = expit(inside.score)
        near = cKDTree(picks.xy).query(picks.xy, 2)[0][:, 1] < folder.diameter / kept.pixel_size
        right = chances[inside.score >= folder.threshold].sum()
        assert row["picks"] == len(picks) > 0
        assert row["precision"] == pytest.approx(right / len(picks), abs=1e-3)
        assert row["recall"] == pytest.approx(right / chances.sum(), abs=1e-3)
        assert row["crowding"] == pytest.approx(near.mean(), abs=1e-3)
        assert row["score"] == pytest.approx(np.median(picks.score), abs=0.01)
        assert math.isnan(row["contrast"]) or row["contrast"] > 0
    rows = json.loads((run / "quality.json").read_text())["micrographs"]
    assert [row["picks"] for row in rows] == [row["picks"] for row in quality.values()]
