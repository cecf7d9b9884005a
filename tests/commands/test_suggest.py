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
from scipion_pupick.engine.jobs.suggest import SUGGESTED_FORMATS
from scipion_pupick.engine.micrographs.mrc import write_image
from scipion_pupick.engine.picking.peaks_file import MicrographPeaks, save_peaks
from scipion_pupick.engine.runs.lists import write_micrographs
from scipion_pupick.engine.runs.pick_run import PickRun, read_pick_run
from scipion_pupick.engine.runs.suggested import read_suggested
from scipion_pupick.engine.runs.suggestion import suggest_picks


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("suggest")
    simulate_set(folder / "mics", range(8), side=144, particles=8)
    micrographs = find_micrographs([str(folder / "mics")])
    pick(micrographs, MODEL, folder / "run", device="cpu", threads=1)
    return folder / "run"


def test_all_picks_of_an_area_of_a_few_micrographs_are_named_and_written(run, tmp_path, capsys):
    assert main(["suggest", str(run), "--count", "12", "--output", str(tmp_path / "look")]) == 0
    found = read_picks(tmp_path / "look")
    picked, suggested = read_pick_run(run), read_suggested(tmp_path / "look")
    said = capsys.readouterr().out
    peaks = dict(picked.peaks())
    for name, coordinates in found.items():
        name = next(full for full in peaks if full.strip("/").startswith(name))
        area = suggested.areas[name]
        left, top, right, bottom = area.corners
        where = f"x {left} to {right} and y {top} to {bottom} px"
        assert f"{name}: {len(coordinates)} picks in {where} (many doubtful picks)" in said
        every = picked.cut.choose(peaks[name])
        x, y = every.xy.T
        inside = (x >= left) & (x <= right) & (y >= top) & (y <= bottom)
        assert 2 <= len(coordinates) == inside.sum() < len(every)
        distance = np.linalg.norm(coordinates.xy[:, None] - every.xy[inside][None], axis=2)
        assert distance.min(axis=1).max() < 0.01
    assert len(found) == 6


def spread_run(folder, *scores, border=0.0):
    """A run of a micrograph for each grid of scores (rows, columns), with a peak each 100 px."""
    folder.mkdir(exist_ok=True)
    for number, grid in enumerate(scores):
        image = np.zeros((100 * grid.shape[0],) * 2, np.float32)
        write_image(folder / f"m{number}.mrc", image, 1.0)
    micrographs = find_micrographs([str(folder)])
    run = PickRun(folder / "run")
    run.folder.mkdir()
    write_micrographs(micrographs, run.folder)
    found = {}
    for micrograph, grid in zip(micrographs, scores):
        rows, columns = np.indices(grid.shape)
        order = np.argsort(-grid.ravel(), kind="stable")
        places = [100.0 * axis.ravel()[order] + 50 for axis in (columns, rows)]
        side = 100 * grid.shape[0]
        peaks = MicrographPeaks(Coordinates(*places, grid.ravel()[order]), (side, side), 1.0)
        save_peaks(peaks, run.peaks_path(micrograph.name))
        found[micrograph.name] = peaks
    record = {"threshold": 0.0, "diameter": 80, "edge": border, "seconds": 1, "model": str(MODEL)}
    run.write_record(record)
    return found, read_pick_run(run.folder)


def test_the_area_has_the_median_doubt_of_those_with_as_many_picks(tmp_path):
    random = np.random.default_rng(4)
    scores = np.clip(random.normal(2, 2, (11, 11)), 0.01, None)
    peaks, run = spread_run(tmp_path, scores)
    ((name, suggestion),) = suggest_picks(run, peaks, 9).items()
    probability = 1 / (1 + np.exp(-scores))
    doubt = probability * (1 - probability)

    def doubt_of_square(row, column):
        # the nearest nine of a grid lie within 100 px, or at the edges 200 px, and those beside
        inside = np.maximum(*np.abs(np.indices(scores.shape) - [[[row]], [[column]]]))
        reach = next(r for r in range(11) if (inside <= r).sum() >= 9)
        return doubt[inside <= reach].sum()

    doubts = sorted(doubt_of_square(row, column) for row in range(11) for column in range(11))
    columns, rows = np.round((suggestion.picks.xy - 50) / 100).astype(int).T
    assert doubt[rows, columns].sum() == pytest.approx(doubts[len(doubts) // 2])
    assert np.all(np.diff(doubt[rows, columns]) <= 1e-9)
    chosen = peaks[name].coordinates.select(list(suggestion.which))
    assert np.array_equal(chosen.xy, suggestion.picks.xy)


def test_the_border_is_not_shown_and_nothing_there_is_in_doubt(tmp_path):
    sure, doubtful, border = (np.full((12, 12), 5.0) for _ in range(3))
    doubtful[5:8, 5:8], border[:, :2] = 0.3, 0.0
    peaks, run = spread_run(tmp_path, sure, border, doubtful, border=160.0)
    found = suggest_picks(run, peaks, 27)
    assert next(iter(found)) == [*peaks][2]
    every = suggest_picks(run, peaks, 3 * 64)
    for suggestion in every.values():
        assert len(suggestion.picks) == 64
        assert min(suggestion.area.corners) >= 160
        assert max(suggestion.area.corners) <= 1039


def test_where_nothing_is_picked_the_best_peaks_are_shown(tmp_path):
    scores = np.full((12, 12), -6.0)
    scores[0, :3] = -2.0
    peaks, run = spread_run(tmp_path, scores)
    (suggestion,) = suggest_picks(run, peaks, 3).values()
    assert sorted(suggestion.picks.x.tolist()) == [50, 150, 250]
    assert suggestion.picks.y.tolist() == [50, 50, 50]


def test_what_was_suggested_before_areas_were_is_read(look):
    record = json.loads((look / "suggestion.json").read_text())
    for of_one in record["micrographs"].values():
        del of_one["area"]
    (look / "suggestion.json").write_text(json.dumps(record))
    suggested = read_suggested(look)
    name = next(iter(suggested.shown))
    assert suggested.areas == {}
    assert suggested.what(name) == f"{len(suggested.shown[name])} picks (many doubtful picks)"


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
        assert np.array_equal(chosen.xy, suggestion.picks.xy)


@pytest.mark.parametrize("name", SUGGESTED_FORMATS)
def test_every_format_is_read_as_what_was_shown(run, tmp_path, name):
    engine.suggest(run, tmp_path / "look", 12, format=name, box_size=20)
    suggested = read_suggested(tmp_path / "look")
    left = suggested.as_they_are()
    assert len(left) == 6
    for micrograph, shown in suggested.shown.items():
        np.testing.assert_allclose(left[micrograph].xy, shown.xy, atol=0.6)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["--to", "cs"], "give one of star, topaz"), (["--to", "box"], "give the box size")],
)
def test_what_cannot_be_written_is_said(run, tmp_path, caplog, arguments, said):
    output = tmp_path / "look"
    assert main(["suggest", str(run), "--output", str(output), *arguments]) == 2
    assert said in caplog.text


@pytest.mark.parametrize("below", ["", "micrographs", "look"])
def test_nothing_is_written_into_the_run(run, tmp_path, below):
    copy = shutil.copytree(run, tmp_path / "run")
    before = {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()}
    with pytest.raises(UsageError, match="lies in the run"):
        engine.suggest(copy, copy / below, 12)
    assert {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()} == before


def test_other_files_are_not_written_over(run, look, tmp_path):
    suggested = read_suggested(look)
    own, *others = suggested.files.values()
    (look / "suggestion.json").unlink()
    own.write_text("mine")
    before = {file: file.stat().st_mtime_ns for file in suggested.files.values()}
    with pytest.raises(UsageError, match=f"{own} is there already"):
        engine.suggest(tmp_path / "run", look, 12)
    # what a call that was killed has left is no hindrance
    own.unlink()
    engine.suggest(tmp_path / "run", look, 12)
    assert all(file.stat().st_mtime_ns == before[file] for file in others)


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


def test_areas_that_are_done_tell_how_many_particles_a_micrograph_holds(tmp_path):
    peaks, run = spread_run(tmp_path, np.full((12, 12), 5.0), np.full((12, 12), -2.0))
    first, second = peaks
    engine.suggest(run.folder, tmp_path / "look", 60)
    suggested = read_suggested(tmp_path / "look")
    shown = len(suggested.shown[first])
    assert 20 < shown < 144
    left, top = suggested.areas[first].corners[:2]

    def change(xy):
        # five of them are none, and two were missed; what is added outside was not looked for
        return np.vstack([xy[5:], [[left + 1, top + 1], [left + 1, top + 30], [left - 40, top]]])

    rewrite(suggested.files[first], change)
    assert read_corrected_run(tmp_path / "look").particles_per_micrograph is None
    done = CorrectionSettings(done="changed")
    found = read_corrected_run(tmp_path / "look", settings=done)
    # of the other micrograph nothing is picked
    assert found.particles_per_micrograph == pytest.approx(144 / 2 * (shown - 3) / shown)
    # the best peaks of that were shown: two are particles, and were not picked
    rewrite(suggested.files[second], lambda xy: xy[:2])
    found = read_corrected_run(tmp_path / "look", settings=done)
    assert found.particles_per_micrograph == pytest.approx(144 / 2 * (shown - 1) / shown)


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
