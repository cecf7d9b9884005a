# SPDX-License-Identifier: GPL-3.0-or-later
"""Another threshold for finished picks, against picking again and against sums by hand."""

import json
import shutil

import numpy as np
import pytest
from helpers.programs import call_pupick
from helpers.simulated import shared_model, simulate_faint
from scipy.special import expit

from scipion_pupick.engine import PickSettings, find_micrographs, pick, read_picks, threshold
from scipion_pupick.engine.coordinates.corrections import Correction, write_corrections
from scipion_pupick.engine.errors import PupickError, UsageError
from scipion_pupick.engine.picking.peaks_file import load_peaks
from scipion_pupick.engine.runs.pick_run import PickRun, read_pick_run

FAINT = PickSettings(threshold=-1.0)


@pytest.fixture(scope="module")
def picked(tmp_path_factory):
    """A run on three micrographs and one that is damaged."""
    model = shared_model(tmp_path_factory) / "model.safetensors"
    folder = tmp_path_factory.mktemp("picked")
    simulate_faint(folder / "mics")
    (folder / "mics" / "damaged.mrc").write_bytes(b"no image")
    micrographs = find_micrographs([str(folder / "mics")])
    pick(micrographs, model, folder / "run", FAINT, device="cpu", threads=1)
    return micrographs, model, folder / "run"


def files(folder):
    """Content of the coordinate files by path."""
    paths = [folder / "picks.star", *(folder / "micrographs").rglob("*.star")]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def inner_scores(run):
    """Scores of the peaks that no edge forbids, worked out anew."""
    edge = json.loads((run / "pick.json").read_text())["edge"]
    scores = []
    for micrograph in read_pick_run(run).micrographs:
        kept = load_peaks(PickRun(run).peaks_path(micrograph.name))
        if kept is not None:
            c, margin = kept.coordinates, edge / kept.pixel_size
            low = np.minimum(c.x, c.y)
            high = np.maximum(c.x - kept.shape[1], c.y - kept.shape[0]) + 1
            scores.append(c.score[(low >= margin) & (high <= -margin)])
    return scores


@pytest.mark.parametrize("value", [-5.0, -2.5, -1.0, 50.0])
def test_the_files_are_those_of_picking_with_that_threshold(picked, tmp_path, value):
    micrographs, model, run = picked
    again = shutil.copytree(run, tmp_path / "again")
    result = pick(micrographs, model, again, PickSettings(value), device="cpu", threads=1)
    assert result.reused == 3
    chosen = threshold(run, tmp_path / "chosen", value)
    assert files(tmp_path / "chosen") == files(again)
    assert chosen.count == sum(map(len, result.picks.values()))


def test_the_lowest_threshold_with_the_precision_is_taken(picked, tmp_path):
    scores = np.sort(np.concatenate(inner_scores(picked[2])))[::-1]
    precision = np.cumsum(expit(scores)) / np.arange(1, len(scores) + 1)
    wanted = float(precision.min() + precision.max()) / 2
    result = threshold(picked[2], tmp_path / "chosen", precision=wanted)
    assert precision[result.count - 1] >= wanted
    allowed = np.count_nonzero(precision >= wanted)
    assert allowed - result.count <= np.ceil(len(scores) / 256)


def test_the_number_per_micrograph_holds_on_average(picked, tmp_path):
    result = threshold(picked[2], tmp_path / "chosen", per_micrograph=20)
    assert result.count == 60
    ranked = np.sort(np.concatenate(inner_scores(picked[2])))[::-1]
    assert result.threshold == ranked[59]
    everything = threshold(picked[2], tmp_path / "all", per_micrograph=1e6)
    assert everything.count == len(ranked)


@pytest.mark.parametrize("kind", ["picked", "chosen"])
def test_the_picks_of_a_folder_count_once(picked, tmp_path, kind):
    folder = picked[2]
    if kind == "chosen":
        folder = tmp_path / "chosen"
        threshold(picked[2], folder, -2.0)
    found, listed = read_picks(folder), read_picks(folder / "picks.star")
    assert found.keys() == listed.keys()
    assert sum(map(len, found.values())) == sum(map(len, listed.values())) > 0


def test_the_estimate_is_recorded_beside_the_picks(picked, tmp_path):
    threshold(picked[2], tmp_path / "chosen", 0.0)
    record = json.loads((tmp_path / "chosen" / "threshold.json").read_text())
    scores = np.concatenate(inner_scores(picked[2]))
    above = scores[scores >= 0]
    assert record["picks"] == len(above)
    assert record["precision"] == pytest.approx(expit(above).mean())
    assert record["recall"] == pytest.approx(expit(above).sum() / expit(scores).sum())


def test_the_run_itself_takes_the_threshold(picked, tmp_path):
    run = shutil.copytree(picked[2], tmp_path / "run")
    result = threshold(run, run, per_micrograph=10)
    summary = json.loads((run / "pick.json").read_text())
    assert (summary["picks"], summary["threshold"]) == (30, result.threshold)
    assert summary["failed"] == 1
    assert sum(map(len, read_picks(run / "picks.star").values())) == 30


def test_what_nobody_has_looked_at_is_not_picked_where_all_is_confirmed(picked, tmp_path, caplog):
    micrographs, model, _ = picked
    run = shutil.copytree(picked[2], tmp_path / "run")
    before = files(run)
    write_corrections(run / "corrections.json", {micrographs[0].name: Correction(done=True)})
    with pytest.raises(UsageError, match="are done at a threshold of -1: lower ones"):
        threshold(run, run, -2.0)
    assert files(run) == before
    assert threshold(run, tmp_path / "lower", -2.0).count > len(before)
    assert "done" not in caplog.text
    threshold(run, run, 0.0)
    pick(micrographs, model, run, PickSettings(-2.0), device="cpu", threads=1)
    assert f"1 micrographs, such as {micrographs[0].name}, are done, but their picks" in caplog.text
    caplog.clear()
    pick(micrographs, model, run, PickSettings(-2.0), device="cpu", threads=1)
    assert "are done" not in caplog.text


def test_a_run_that_was_stopped_gives_what_it_has(picked, tmp_path, caplog):
    run = shutil.copytree(picked[2], tmp_path / "run")
    summary = json.loads((run / "pick.json").read_text())
    for name in ("picks", "micrographs", "failed", "reused", "seconds"):
        del summary[name]
    (run / "pick.json").write_text(json.dumps(summary))
    PickRun(run).peaks_path(read_pick_run(run).micrographs[-1].name).unlink()
    assert not read_pick_run(run).finished
    result = threshold(run, tmp_path / "chosen", per_micrograph=5)
    assert (len(result.picks), result.count) == (2, 10)
    assert "1 micrographs have not been picked yet" in caplog.text


def test_a_micrograph_that_failed_keeps_no_old_picks(picked, tmp_path):
    micrographs, model, run = picked
    assert "damaged" not in " ".join(threshold(run, tmp_path / "chosen", 0.0).picks)
    names = [m.name for m in micrographs]
    assert [m.name for m in read_pick_run(run).micrographs] == names


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({}, "Give one of"),
        ({"threshold": 1.0, "precision": 0.5}, "Give one of"),
        ({"threshold": float("nan")}, "Give one of"),
        ({"threshold": -9.0}, "-8 or more"),
        ({"precision": 90.0}, "between 0 and 1"),
        ({"per_micrograph": 0.0}, "must be positive"),
    ],
)
def test_what_cannot_be_applied_is_refused_before_anything_is_written(
    picked, tmp_path, arguments, text
):
    with pytest.raises(UsageError, match=text):
        threshold(picked[2], tmp_path / "chosen", **arguments)
    assert not (tmp_path / "chosen").exists()


def test_without_any_peak_there_is_nothing_to_choose_by(picked, tmp_path):
    run = shutil.copytree(picked[2], tmp_path / "run")
    shutil.rmtree(run / "scores")
    assert threshold(run, tmp_path / "chosen", 0.0).count == 0
    for choice in ({"precision": 0.5}, {"per_micrograph": 5.0}):
        with pytest.raises(UsageError, match="There is no peak"):
            threshold(run, tmp_path / "chosen", **choice)


def test_a_folder_that_is_no_run_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"is not the folder of a picking run.*pick\.json"):
        threshold(tmp_path, tmp_path / "chosen", 0.0)


@pytest.mark.parametrize("text", ["{", "[]", '{"threshold": null, "diameter": 1, "edge": 1}'])
def test_a_damaged_summary_is_named(picked, tmp_path, text):
    run = shutil.copytree(picked[2], tmp_path / "run")
    (run / "pick.json").write_text(text)
    with pytest.raises(PupickError, match=r"pick\.json is damaged"):
        threshold(run, tmp_path / "chosen", 0.0)


def test_the_command_says_what_it_found(picked, tmp_path):
    arguments = ("threshold", picked[2], "--per-micrograph", 20, "--output", tmp_path / "chosen")
    code, output, error = call_pupick(*arguments)
    assert (code, error) == (0, "")
    assert "60 particles in 3 micrographs" in output
    assert "estimated precision" in output
    code, output, error = call_pupick("threshold", tmp_path, "--threshold", 1, "--output", tmp_path)
    assert code == 2
    assert "is not the folder of a picking run" in error


def test_in_its_own_folder_the_estimate_is_that_of_the_new_picks(picked, tmp_path):
    run = shutil.copytree(picked[2], tmp_path / "run")
    result = threshold(run, run, 2.0)
    summary = json.loads((run / "pick.json").read_text())
    found = np.concatenate([c.score for c in result.picks.values()])
    assert summary["picks"] == len(found)
    estimate = summary["estimate"]
    assert estimate["true_picks"] == pytest.approx(expit(found).sum(), abs=1e-3)
    assert estimate["true_picks"] + estimate["false_picks"] == pytest.approx(len(found), abs=2e-3)
    assert estimate["precision"] == pytest.approx(expit(found).mean(), abs=1e-3)


def test_picks_of_an_earlier_threshold_do_not_stay(picked, tmp_path):
    micrographs, model, run = picked
    fewer = tmp_path / "fewer"
    pick(micrographs[:2], model, fewer, FAINT, device="cpu", threads=1)
    threshold(run, tmp_path / "chosen", -2.0)
    threshold(fewer, tmp_path / "chosen", -2.0)
    threshold(fewer, tmp_path / "fresh", -2.0)
    assert files(tmp_path / "chosen") == files(tmp_path / "fresh")


def test_hand_picks_are_not_written_over(picked, tmp_path):
    (tmp_path / "picks.star").write_text("data_\n")
    with pytest.raises(UsageError, match=r"picks\.star was not written by a picking run"):
        threshold(picked[2], tmp_path, -2.0)
    assert [path.name for path in tmp_path.iterdir()] == ["picks.star"]
