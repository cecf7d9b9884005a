# SPDX-License-Identifier: GPL-3.0-or-later
"""`pupick suggest`: which picks to look at first."""

import json
import shutil

import numpy as np
import pytest
from helpers.simulated import MODEL, simulate, simulate_set

from scipion_pupick import engine
from scipion_pupick.engine import (
    Coordinates,
    CorrectionSettings,
    PupickError,
    UsageError,
    find_micrographs,
    pick,
    read_corrected_run,
    read_picks,
)
from scipion_pupick.engine.cli.main import main
from scipion_pupick.engine.coordinates.relion import coordinates_text
from scipion_pupick.engine.runs.pick_run import read_pick_run
from scipion_pupick.engine.runs.suggested import read_suggested


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
    assert said.count("(many doubtful picks)") == len(found) == 6


def test_micrographs_with_far_fewer_picks_than_those_round_them_are_named(tmp_path):
    folder = tmp_path / "mics"
    for seed in range(14):
        simulate(folder / f"m{seed:02}.mrc", seed, side=192, particles=1 if seed == 5 else 12)
    micrographs = find_micrographs([str(folder)])
    pick(micrographs, MODEL, tmp_path / "run", device="cpu", threads=1)
    found = engine.suggest(tmp_path / "run", tmp_path / "look").suggestions
    odd = {name: s.reason for name, s in found.items() if "usual" in s.reason}
    assert [name.rpartition("/")[2] for name in odd] == ["m05.mrc"]
    (reason,) = odd.values()
    assert reason == "fewer picks than usual: 1, not 12"
    peaks = dict(read_pick_run(tmp_path / "run").peaks())
    for name, suggestion in found.items():
        chosen = peaks[name].coordinates.select(list(suggestion.which))
        assert np.array_equal(chosen.xy, suggestion.doubtful.xy)


@pytest.fixture
def look(run, tmp_path):
    """A copy of the run, and what is suggested of it, as STAR files."""
    copy = shutil.copytree(run, tmp_path / "run")
    engine.suggest(copy, tmp_path / "look", 12)
    return tmp_path / "look"


def rewrite(path, change):
    """Do to a file of coordinates what a manual picker does: positions are whole pixels there."""
    (before,) = read_picks(path).values()
    after = change(np.rint(before.xy))
    picks = Coordinates(after[:, 0], after[:, 1], np.full(len(after), np.nan))
    path.write_text(coordinates_text(picks, with_scores=True))
    return before.xy


def test_of_what_was_suggested_only_changes_there_are_learned(look):
    first, second, *_ = read_suggested(look).files.items()
    before = rewrite(first[1], lambda xy: np.vstack([xy[1:], [[3.0, 140.0]]]))
    found = read_corrected_run(look)
    assert set(found.corrections) == {first[0]}
    # the run has more picks there: those that were not shown are not taken for removed
    assert len(found.run.cut.choose(dict(found.run.peaks())[first[0]])) > len(before)
    np.testing.assert_allclose(found.negatives[first[0]].xy, before[:1], atol=1e-3)
    assert found.particles[first[0]].xy.tolist() == [[3, 140]]
    found = read_corrected_run(look, settings=CorrectionSettings(done="changed"))
    np.testing.assert_allclose(found.particles[first[0]].xy[1:], before[1:], atol=1e-3)
    # a file from which all were removed, and one that is gone
    second[1].unlink()
    found = read_corrected_run(look, settings=CorrectionSettings(done="all"))
    assert set(found.corrections) == set(read_suggested(look).shown)
    assert len(found.negatives[second[0]]) == len(read_suggested(look).shown[second[0]])


def test_suggested_picks_that_were_corrected_elsewhere(look, tmp_path):
    shown = read_suggested(look).shown
    first, second, *_ = shown
    assert len(shown[first]) > 1
    # a table does not say that the other micrographs have none left
    corrected = {first: shown[first].select(np.arange(len(shown[first])) > 0)}
    found = read_corrected_run(look, corrected, CorrectionSettings(done="changed"))
    assert set(found.corrections) == {first}
    found = read_corrected_run(look, corrected, CorrectionSettings(done="all"))
    assert len(found.negatives[second]) == len(shown[second]) > 0


def test_a_project_that_was_moved_finds_what_was_suggested(look, tmp_path):
    (tmp_path / "moved").mkdir()
    for folder in (look, tmp_path / "run"):
        folder.rename(tmp_path / "moved" / folder.name)
    with pytest.raises(UsageError, match="no pick was removed, added or confirmed"):
        read_corrected_run(tmp_path / "moved" / "look")


def test_one_option_trains_on_what_was_suggested(look, tmp_path, capsys):
    name, file = next(iter(read_suggested(look).files.items()))
    rewrite(file, lambda xy: xy[1:])
    arguments = ["train", "--corrected", str(look), "--done", "changed", "--threads", "1"]
    arguments += ["--epochs", "1", "--steps", "1", "--check-picks", "off"]
    arguments += ["--particles-per-micrograph", "9", "--output", str(tmp_path / "new")]
    assert main(arguments) == 0
    record = json.loads((tmp_path / "new" / "train.json").read_text())
    assert record["negatives"] == 1
    # the model that picked had labels of its own, of other micrographs
    assert record["labels"] == len(read_suggested(look).shown[name]) - 1


def test_what_may_have_been_corrected_is_not_written_over(look, run, caplog):
    kept = {path: path.read_bytes() for path in look.rglob("*") if path.is_file()}
    assert main(["suggest", str(run), "--output", str(look)]) == 2
    assert "may have been corrected: give another folder (--output)" in caplog.text
    assert {path: path.read_bytes() for path in look.rglob("*") if path.is_file()} == kept


@pytest.mark.parametrize(
    "text", ["{", '{"version": 2}', '{"version": 1, "micrographs": {"a": {}}}']
)
def test_a_damaged_record_is_named(look, text):
    (look / "suggestion.json").write_text(text)
    with pytest.raises(PupickError, match=r"suggestion\.json"):
        read_corrected_run(look)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [(["nowhere"], "nowhere is not the folder"), (["--count", "0", "RUN"], "(--count)")],
)
def test_what_makes_no_sense_is_named(run, tmp_path, caplog, arguments, named):
    arguments = [str(run) if word == "RUN" else word for word in arguments]
    assert main(["suggest", *arguments, "--output", str(tmp_path / "look")]) == 2
    assert named in caplog.text
