# SPDX-License-Identifier: GPL-3.0-or-later
"""`pupick train` on what people say of picks: corrected runs, and selections of 2D classes."""

import itertools
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers.simulated import MODEL, PIXEL_SIZE, simulate_set

from scipion_pupick.engine import (
    Coordinates,
    CorrectionSettings,
    Micrograph,
    find_micrographs,
    pick,
    read_corrected_picks,
    read_corrected_run,
    read_picks,
    write_picks,
)
from scipion_pupick.engine.cli.main import main
from scipion_pupick.engine.coordinates.corrections import Correction, write_corrections
from scipion_pupick.engine.coordinates.relion import coordinates_text
from scipion_pupick.engine.errors import PupickError, UsageError
from scipion_pupick.engine.runs.lists import write_micrographs
from scipion_pupick.engine.runs.pick_run import PickRun, read_pick_run
from scipion_pupick.engine.runs.suggestion import suggest_picks

HASTY = ["--epochs", "1", "--steps", "1", "--check-picks", "off", "--threads", "1"]
HASTY += ["--particles-per-micrograph", "9"]


def pick_simulated(folder, count, side, particles):
    """Pick simulated micrographs with a model that lies with them, and return the folder."""
    simulate_set(folder / "mics", range(count), side=side, particles=particles)
    shutil.copy(MODEL, folder / "old.safetensors")
    micrographs = find_micrographs([str(folder / "mics")])
    pick(micrographs, folder / "old.safetensors", folder / "run", device="cpu", threads=1)
    return folder


@pytest.fixture(scope="module")
def picked(tmp_path_factory):
    """Picks of three small micrographs."""
    return pick_simulated(tmp_path_factory.mktemp("picked"), 3, side=144, particles=8)


@pytest.fixture
def run(picked, tmp_path):
    return shutil.copytree(picked / "run", tmp_path / "run")


def rewrite(run, name, change):
    """Do to a file of coordinates what a manual picker does: positions are whole pixels there."""
    path = PickRun(run).coordinates_path(name)
    (before,) = read_picks(path).values()
    after = change(np.rint(before.xy))
    picks = Coordinates(after[:, 0], after[:, 1], np.full(len(after), np.nan))
    path.write_text(coordinates_text(picks, with_scores=True))
    return before.xy


def test_corrected_files_of_coordinates_tell_what_was_removed_and_added(run):
    names = [m.name for m in read_pick_run(run).micrographs]
    before = rewrite(run, names[1], lambda xy: np.vstack([xy[2:], [[3.0, 140.0]]]))
    rewrite(run, names[2], lambda xy: xy)
    found = read_corrected_run(run)
    assert set(found.corrections) == {names[1]}
    np.testing.assert_allclose(found.negatives[names[1]].xy, before[:2], atol=1e-3)
    assert found.particles[names[1]].xy.tolist() == [[3, 140]]
    assert found.summary() == "2 picks removed, 1 added and 0 confirmed in 1 micrographs"


@pytest.mark.parametrize(("done", "micrographs"), [("changed", 1), ("all", 3)])
def test_what_was_left_is_a_particle_where_a_micrograph_is_done(run, done, micrographs):
    names = [m.name for m in read_pick_run(run).micrographs]
    before = rewrite(run, names[0], lambda xy: xy[1:])
    found = read_corrected_run(run, settings=CorrectionSettings(done=done))
    assert len(found.corrections) == micrographs
    np.testing.assert_allclose(found.particles[names[0]].xy, before[1:], atol=1e-3)


@pytest.mark.parametrize(("done", "warned"), [("none", True), ("changed", False)])
def test_who_adds_particles_and_confirms_none_is_warned(run, caplog, done, warned):
    name = read_pick_run(run).micrographs[0].name
    rewrite(run, name, lambda xy: np.vstack([xy[1:], [[5.0, 6.0]]]))
    read_corrected_run(run, settings=CorrectionSettings(done=done))
    assert ("only those that were added are learned" in caplog.text) == warned


def test_who_only_removes_picks_is_not_warned_of_what_was_added(run, caplog):
    name = read_pick_run(run).micrographs[0].name
    rewrite(run, name, lambda xy: xy[1:])
    read_corrected_run(run)
    assert "only those that were added are learned" not in caplog.text


def test_labels_that_the_model_learned_from_spare_the_warning(run, caplog):
    of_run = read_pick_run(run)
    rewrite(run, of_run.micrographs[0].name, lambda xy: np.vstack([xy, [[5.0, 6.0]]]))
    labels = of_run.model.parent / "labels.csv"
    write_picks({of_run.micrographs[0].name: Coordinates.unscored([50.0], [60.0])}, labels)
    try:
        assert sum(map(len, read_corrected_run(run).particles.values())) == 2
    finally:
        labels.unlink()
    assert "only those that were added are learned" not in caplog.text


def test_a_label_whose_pick_was_removed_is_a_particle_no_more(run):
    """Whatever the training called the micrograph; a person clicks near a particle's middle."""
    of_run = read_pick_run(run)
    first, second, _ = (m.name for m in of_run.micrographs)
    (before,) = read_picks(of_run.coordinates_path(first)).values()
    removed, left = before.xy[0], before.xy[1]
    rewrite(run, first, lambda xy: xy[1:])
    aside = 0.3 * of_run.diameter / PIXEL_SIZE
    on_first = np.array([removed + [aside, 0], left, removed + [1.5 * aside, 0]])
    labels = of_run.model.parent / "labels.csv"
    of_second = Coordinates.unscored(removed[:1], removed[1:])
    other_name = f"elsewhere/{Path(first).name}"
    write_picks({other_name: Coordinates.unscored(*on_first.T), second: of_second}, labels)
    try:
        found = read_corrected_run(run)
    finally:
        labels.unlink()
    np.testing.assert_allclose(found.particles[first].xy, on_first[1:], atol=1e-3)
    np.testing.assert_allclose(found.particles[second].xy, of_second.xy, atol=1e-3)
    assert len(found.negatives[first]) == 1


def test_labels_follow_their_files_and_not_their_names(picked, run, tmp_path, caplog):
    of_run = read_pick_run(run)
    names = [m.name for m in of_run.micrographs]
    rewrite(run, names[2], lambda xy: xy[1:])
    training = of_run.model.parent
    (tmp_path / "other").mkdir()
    shutil.copy(picked / "mics" / "m0.mrc", tmp_path / "other")
    (tmp_path / "link").symlink_to(picked / "mics")
    of_other, of_linked, of_gone = "other/m0.mrc", "link/m1.mrc", "gone/m2.mrc"
    micrographs = [Micrograph(tmp_path / name, name) for name in (of_other, of_linked, of_gone)]
    write_micrographs(micrographs, training)
    label = Coordinates.unscored([50.0], [60.0])
    write_picks(dict.fromkeys((of_other, of_linked, of_gone), label), training / "labels.csv")
    write_picks({of_other: label, of_linked: label}, training / "negatives.csv")
    try:
        found = read_corrected_run(run)
    finally:
        for name in ("labels.csv", "negatives.csv", "micrographs.tsv"):
            (training / name).unlink()
    assert [len(found.particles.get(name, ())) for name in names] == [0, 1, 1]
    assert [len(found.negatives.get(name, ())) for name in names] == [0, 1, 1]
    assert "1 labels that" in caplog.text
    assert str(tmp_path / of_other) in caplog.text


def test_negatives_that_the_model_learned_from_are_kept_but_for_what_is_a_particle_now(run):
    of_run = read_pick_run(run)
    name = of_run.micrographs[0].name
    rewrite(run, name, lambda xy: np.vstack([xy[1:], [[100.0, 20.0]]]))
    negatives = of_run.model.parent / "negatives.csv"
    write_picks({name: Coordinates.unscored([101.0, 60.0], [21.0, 40.0])}, negatives)
    try:
        found = read_corrected_run(run).negatives[name]
    finally:
        negatives.unlink()
    assert len(found) == 2
    assert found.xy[1].tolist() == [60, 40]


def test_a_training_keeps_its_negatives_for_the_next_one(picked, run, tmp_path):
    of_run = read_pick_run(run)
    name = of_run.micrographs[0].name
    before = rewrite(run, name, lambda xy: xy[1:])
    options = ["--done", "changed", *HASTY, "--output", str(tmp_path / "new")]
    assert main(["train", "--corrected", str(run), *options]) == 0
    kept = read_picks(tmp_path / "new" / "negatives.csv")
    np.testing.assert_allclose(kept[name].xy, before[:1], atol=1e-3)
    given = ["--micrographs", str(picked / "mics"), "--picks", str(tmp_path / "new" / "labels.csv")]
    options = ["--diameter", "96", "--overwrite", *HASTY, "--output", str(tmp_path / "new")]
    assert main(["train", *given, *options]) == 0
    assert not (tmp_path / "new" / "negatives.csv").exists()


def test_corrections_follow_micrographs_that_are_given_from_elsewhere(
    picked, run, tmp_path, monkeypatch, caplog
):
    names = [m.name for m in read_pick_run(run).micrographs]
    said = {
        names[0]: Correction(added=Coordinates.unscored([5.0], [6.0])),
        names[1]: Correction(added=Coordinates.unscored([7.0], [8.0])),
        names[2]: Correction(),
    }
    write_corrections(run / "corrections.json", said)
    monkeypatch.chdir(picked)
    micrographs = find_micrographs(["mics"])
    assert micrographs[0].name != names[0]
    pick(micrographs[1:], picked / "old.safetensors", run, device="cpu", threads=1)
    caplog.clear()
    found = read_corrected_run(run)
    assert {name: c.added.xy.tolist() for name, c in found.corrections.items()} == {
        micrographs[1].name: [[7, 8]]
    }
    assert f"corrections of 1 micrographs, such as {names[0]}, are left out" in caplog.text
    assert [7, 8] in read_corrected_picks(run)[micrographs[1].name].xy.tolist()


@pytest.mark.parametrize("left", ["nothing", "undone"])
def test_files_count_where_nothing_is_said_in_the_browser(run, left):
    name = read_pick_run(run).micrographs[0].name
    said = {} if left == "nothing" else {name: Correction()}
    write_corrections(run / "corrections.json", said)
    rewrite(run, name, lambda xy: xy[1:])
    assert len(read_corrected_run(run).negatives[name]) == 1


def test_files_that_were_changed_beside_the_browsers_corrections_are_said(run, caplog):
    first, second, _ = (m.name for m in read_pick_run(run).micrographs)
    added = Correction(added=Coordinates.unscored([5.0], [6.0]))
    write_corrections(run / "corrections.json", {first: added})
    read_corrected_run(run)
    assert "only those in" not in caplog.text
    rewrite(run, second, lambda xy: xy[1:])
    assert set(read_corrected_run(run).corrections) == {first}
    assert "1 files of coordinates, such as" in caplog.text


def test_files_that_are_none_of_the_run_are_not_read(run):
    of_run = read_pick_run(run)
    name = of_run.micrographs[0].name
    stale = of_run.coordinates_path("elsewhere/" + name.strip("/"))
    stale.parent.mkdir(parents=True)
    shutil.copy(of_run.coordinates_path(name), stale)
    rewrite(run, name, lambda xy: xy[1:])
    assert len(read_corrected_run(run).negatives[name]) == 1


@pytest.mark.parametrize(("done", "micrographs"), [("none", 0), ("changed", 1), ("all", 3)])
def test_what_is_done_may_be_said_of_the_browsers_corrections_too(run, done, micrographs):
    of_run = read_pick_run(run)
    name = of_run.micrographs[0].name
    added = Correction(added=Coordinates.unscored([5.0], [6.0]))
    write_corrections(run / "corrections.json", {name: added})
    found = read_corrected_run(run, settings=CorrectionSettings(done=done)).corrections
    assert sum(c.done for c in found.values()) == micrographs
    for picked_name, correction in found.items():
        picks = of_run.cut.choose(of_run.kept_peaks(picked_name))
        assert len(correction.confirmed) == (len(picks) if done != "none" else 0)


def test_a_run_that_was_moved_has_its_fitted_model_with_it(run, tmp_path):
    record = json.loads((run / "pick.json").read_text())
    record["model"] = "/gone/adapted.safetensors"
    (run / "pick.json").write_text(json.dumps(record))
    with pytest.raises(PupickError, match="no longer at /gone/adapted.safetensors"):
        read_corrected_run(run)
    shutil.copy(MODEL, run / "adapted.safetensors")
    assert read_pick_run(run).model == run / "adapted.safetensors"


def test_corrections_of_a_namesake_that_is_still_there_are_not_taken(picked, run, tmp_path, caplog):
    caplog.set_level("INFO")
    name = read_pick_run(run).micrographs[0].name
    other = tmp_path / "session2" / "m0.mrc"
    other.parent.mkdir()
    shutil.copy(picked / "mics" / "m0.mrc", other)
    removed = read_picks(run)[name].select([0])
    write_corrections(run / "corrections.json", {str(other): Correction(removed, done=True)})
    with pytest.raises(UsageError, match="no pick was removed"):
        read_corrected_run(run)
    assert "corrections of 1 micrographs" in caplog.text
    other.unlink()
    assert [*read_corrected_run(run).corrections] == [name]
    assert f"{other} for {name}" in caplog.text


def test_a_run_without_a_correction_is_refused(run):
    with pytest.raises(UsageError, match="no pick was removed, added or confirmed"):
        read_corrected_run(run)


def test_corrections_in_the_folder_go_before_files_of_coordinates(run):
    name = read_pick_run(run).micrographs[0].name
    rewrite(run, name, lambda xy: xy[4:])
    (before,) = read_picks(PickRun(run).coordinates_path(name)).values()
    given = Correction(added=Coordinates.unscored([5.0], [6.0]), done=True)
    write_corrections(run / "corrections.json", {name: given, "of another": given})
    found = read_corrected_run(run)
    assert len(found.negatives[name]) == 0
    # all picks of the run are left: what the file of coordinates has is of no account
    assert len(found.particles[name]) == 1 + len(before) + 4


@pytest.mark.parametrize("where", ["browser", "files"])
def test_corrected_picks_are_written_for_other_programs(run, tmp_path, where):
    names = [m.name for m in read_pick_run(run).micrographs]
    (before,) = read_picks(PickRun(run).coordinates_path(names[1])).values()
    if where == "browser":
        # one that is confirmed and was not picked, as below the threshold
        added, low = (Coordinates.unscored([x], [6.0]) for x in (5.0, 138.0))
        said = Correction(before.select([0]), added, low, done=True)
        write_corrections(run / "corrections.json", {names[1]: said})
        new = [[5.0, 6.0], [138.0, 6.0]]
    else:
        rewrite(run, names[1], lambda xy: np.vstack([xy[1:], [[5.0, 6.0]]]))
        new = [[5.0, 6.0]]
    output = tmp_path / "corrected.star"
    assert main(["convert", str(run), "--corrected", "--output", str(output)]) == 0
    found = read_picks(output)
    wanted = np.vstack([before.xy[1:], new])
    assert np.abs(found[names[1]].xy - wanted).max() < 0.01
    np.testing.assert_allclose(
        found[names[1]].score[: len(before) - 1], before.score[1:], atol=1e-3
    )
    assert np.isnan(found[names[1]].score[len(before) - 1 :]).all()
    # of the others nothing was said
    (other,) = read_picks(PickRun(run).coordinates_path(names[0])).values()
    np.testing.assert_allclose(found[names[0]].xy, other.xy, atol=0.01)


def test_only_a_run_has_corrected_picks(tmp_path, caplog):
    arguments = ["convert", str(tmp_path), "--corrected", "--output", str(tmp_path / "a.star")]
    assert main(arguments) == 2
    assert "is not the folder of a picking run" in caplog.text


def test_a_model_that_is_gone_is_named(run):
    record = json.loads((run / "pick.json").read_text())
    PickRun(run).write_record({**record, "model": str(run / "gone.safetensors")})
    with pytest.raises(PupickError, match=r"no longer at .*gone.safetensors"):
        read_corrected_run(run)


def test_one_option_trains_on_from_the_model_whose_picks_were_corrected(run, tmp_path, caplog):
    caplog.set_level("INFO")
    picks = {
        m.name: read_picks(PickRun(run).coordinates_path(m.name)) for m in PickRun(run).micrographs
    }
    name, coordinates = next(iter(picks.items()))
    (own,) = coordinates.values()
    shutil.move(PickRun(run).coordinates_path(name), tmp_path / "kept")
    corrected = tmp_path / "corrected.csv"
    write_picks({name: own.select(np.arange(len(own)) > 1)}, corrected)
    arguments = ["train", "--corrected", str(run), "--output", str(tmp_path / "new"), *HASTY]
    asked = [*arguments, "--corrections", str(corrected), "--done", "changed"]
    assert main(asked) == 0
    assert f"Fine-tuning {PickRun(run).model}" in caplog.text
    record = json.loads((tmp_path / "new" / "train.json").read_text())
    assert record["labels"] == len(own) - 2
    assert record["negatives"] == 2


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """Two micrographs with some thirty picks each."""
    return pick_simulated(tmp_path_factory.mktemp("many"), 2, side=288, particles=30) / "run"


def picks_of(run):
    return {name: run.cut.choose(peaks) for name, peaks in run.peaks()}


@pytest.mark.parametrize("where", ["browser", "files"])
def test_done_micrographs_tell_how_many_particles_one_holds(many, tmp_path, where):
    folder = shutil.copytree(many, tmp_path / "run")
    picked = picks_of(read_pick_run(folder))
    (name, first), (_, second) = picked.items()
    assert len(first) > 24
    if where == "browser":
        removed, added = first.select(range(4)), Coordinates.unscored([5.0], [6.0])
        correction = Correction(removed, added, done=True)
        write_corrections(folder / "corrections.json", {name: correction})
    else:
        rewrite(folder, name, lambda xy: np.vstack([xy[4:], [[5.0, 6.0]]]))
    found = read_corrected_run(folder, settings=CorrectionSettings(done="changed"))
    mean = (len(first) + len(second)) / 2
    expected = mean * (len(first) - 3) / len(first)
    assert found.particles_per_micrograph == pytest.approx(expected)


def test_of_what_is_not_done_no_number_follows(many, tmp_path):
    folder = shutil.copytree(many, tmp_path / "run")
    name = next(iter(picks_of(read_pick_run(folder))))
    rewrite(folder, name, lambda xy: np.vstack([xy[4:], [[5.0, 6.0]]]))
    assert read_corrected_run(folder).particles_per_micrograph is None


def test_too_few_picks_tell_no_number(run):
    name = PickRun(run).micrographs[0].name
    rewrite(run, name, lambda xy: xy[1:])
    found = read_corrected_run(run, settings=CorrectionSettings(done="changed"))
    assert found.particles_per_micrograph is None
    assert found.settings == {"diameter": found.run.diameter}


@pytest.mark.parametrize("all_marked", [True, False])
def test_a_frame_in_which_each_pick_is_marked_counts_as_looked_at(many, tmp_path, all_marked):
    folder = shutil.copytree(many, tmp_path / "run")
    run = read_pick_run(folder)
    frames = suggest_picks(run, dict(run.peaks()))
    picked = picks_of(run)
    corrections, seen = {}, 0
    for name, frame in frames.items():
        inside = picked[name].select(frame.area.holds(picked[name].xy))
        seen += len(inside)
        rows = np.arange(len(inside))
        left, top = frame.area.corners[:2]
        corrections[name] = Correction(
            removed=inside.select(rows < 3),
            added=Coordinates.unscored([left + 1.0, 1.0], [top + 1.0, 1.0]),
            confirmed=inside.select((rows >= 3) & (rows < len(inside) - (not all_marked))),
        )
        assert not frame.area.holds(np.array([[1.0, 1.0]])).any()
    write_corrections(folder / "corrections.json", corrections)
    number = read_corrected_run(folder).particles_per_micrograph
    if all_marked:
        mean = np.mean([len(picks) for picks in picked.values()])
        assert number == pytest.approx(mean * (seen - 2 * len(frames)) / seen)
    else:
        assert number is None


def test_a_frame_of_which_all_picks_were_removed_counts_as_well(many, tmp_path):
    folder = shutil.copytree(many, tmp_path / "run")
    run = read_pick_run(folder)
    picked = picks_of(run)
    frames = suggest_picks(run, dict(run.peaks()))
    (one, right), (other, wrong) = (
        (name, picked[name].select(frame.area.holds(picked[name].xy)))
        for name, frame in frames.items()
    )
    corrections = {one: Correction(confirmed=right), other: Correction(removed=wrong)}
    write_corrections(folder / "corrections.json", corrections)
    assert len(right) >= 20
    mean = np.mean([len(picks) for picks in picked.values()])
    expected = mean * len(right) / (len(right) + len(wrong))
    assert read_corrected_run(folder).particles_per_micrograph == pytest.approx(expected)


@pytest.mark.parametrize("told", [None, "50"])
def test_the_number_that_follows_is_trained_with_unless_another_is_given(
    many, tmp_path, told, caplog
):
    caplog.set_level("INFO")
    folder = shutil.copytree(many, tmp_path / "run")
    picked = picks_of(read_pick_run(folder))
    (name, first), (_, second) = picked.items()
    rewrite(folder, name, lambda xy: xy[4:])
    number = (len(first) + len(second)) / 2 * (len(first) - 4) / len(first)
    arguments = ["train", "--corrected", str(folder), "--done", "changed", *HASTY[:-2]]
    if told is not None:
        arguments += ["--particles-per-micrograph", told]
    assert main([*arguments, "--output", str(tmp_path / "new")]) == 0
    assert f"a micrograph holds about {number:.0f} particles" in caplog.text
    record = json.loads((tmp_path / "new" / "train.json").read_text())
    expected = number if told is None else 50
    assert record["particles_per_micrograph"] == pytest.approx(expected)
    assert record["particles_estimated"] is False


def test_a_least_score_removes_no_corrected_pick(run, tmp_path, caplog):
    caplog.set_level("INFO")
    name = read_pick_run(run).micrographs[0].name
    every = read_picks(run)
    corrected = {**every, name: every[name].select(np.arange(len(every[name])) > 0)}
    write_picks(corrected, tmp_path / "corrected.star")
    given = ["--corrected", str(run), "--corrections", str(tmp_path / "corrected.star")]
    options = ["--done", "changed", "--least-score", "99", *HASTY]
    assert main(["train", *given, *options, "--output", str(tmp_path / "new")]) == 0
    assert "1 picks removed, 0 added" in caplog.text


def test_corrected_picks_are_not_scaled_with_others(run, tmp_path, caplog):
    given = ["--corrected", str(run), "--done", "all", "--picks-scale", "0.25"]
    options = [*given, "--picks-shift-x", "3", *HASTY, "--output", str(tmp_path / "new")]
    assert main(["train", *options]) == 2
    assert "(--corrected, --picks-scale, --picks-shift-x)" in caplog.text
    assert not (tmp_path / "new").exists()


def test_other_picks_beside_corrected_ones_are_tied_and_converted_by_themselves(
    picked, run, tmp_path
):
    name = read_pick_run(run).micrographs[0].name
    rewrite(run, name, lambda xy: xy[1:])
    head = "data_\nloop_\n_rlnMicrographName #1\n_rlnCoordinateX #2\n_rlnCoordinateY #3\n"
    row = f"MotionCorr/job002/{Path(name).name} 400 80 {PIXEL_SIZE / 4:.6f}\n"
    more = tmp_path / "selected.star"
    more.write_text(f"{head}_rlnMicrographPixelSize #4\n{row}")
    given = ["--corrected", str(run), "--done", "changed", "--picks", str(more), *HASTY]
    assert main(["train", *given, "--output", str(tmp_path / "new")]) == 0
    labels = read_picks(tmp_path / "new" / "labels.csv")
    assert labels[name].xy[0] == pytest.approx([100, 20], abs=0.01)
    assert len(labels) == 1


@pytest.mark.parametrize("named", ["Select/particles.star", "Select", "Sel*/part*.star"])
def test_rejected_classes_are_negatives(picked, tmp_path, caplog, named):
    caplog.set_level("INFO")
    every = read_picks(picked / "run")
    lines = ["data_particles\nloop_\n_rlnMicrographName #1\n_rlnCoordinateX #2\n"]
    lines += ["_rlnCoordinateY #3\n_rlnClassNumber #4\n"]
    rows = [
        f"{name} {x:.3f} {y:.3f} {1 + (number % 3 == 0)}\n"
        for name, coordinates in every.items()
        for number, (x, y) in enumerate(coordinates.xy)
    ]
    (tmp_path / "Class2D").mkdir()
    (tmp_path / "Class2D" / "run_it025_data.star").write_text("".join([*lines, *rows]))
    (tmp_path / "Select").mkdir()
    selected = tmp_path / "Select" / "particles.star"
    selected.write_text("".join([*lines, *(row for row in rows if row.endswith("1\n"))]))
    arguments = ["train", "--micrographs", str(picked / "mics"), "--picks", str(tmp_path / named)]
    arguments += ["--selected-from", str(tmp_path / "Class2D"), "--diameter", "96"]
    assert main([*arguments, "--output", str(tmp_path / "new"), *HASTY]) == 0
    record = json.loads((tmp_path / "new" / "train.json").read_text())
    rejected = sum(row.endswith("2\n") for row in rows)
    assert record["negatives"] == rejected > 0
    assert record["labels"] == len(rows) - rejected


def test_a_least_score_leaves_out_picks_but_no_negatives(picked, tmp_path):
    rows = [
        f"{name} {x:.3f} {y:.3f} "
        for name, coordinates in read_picks(picked / "run").items()
        for x, y in coordinates.xy
    ]
    columns = ("MicrographName", "CoordinateX", "CoordinateY", "AutopickFigureOfMerit")
    head = [f"_rln{name} #{number + 1}\n" for number, name in enumerate(columns)]
    # of every four picks one is selected with a high score, one with a low one, two are rejected
    sides = {"selected": (0, 1), "rejected": (2, 3)}
    scores = (0, -0.5, 1.5, -0.5)
    for side, kept in sides.items():
        lines = [
            f"{row}{scores[number]}\n"
            for row, number in zip(rows, itertools.cycle(range(4)))
            if number in kept
        ]
        text = "".join(["data_particles\nloop_\n", *head, *lines])
        (tmp_path / f"{side}.star").write_text(text)
    arguments = ["train", "--micrographs", str(picked / "mics"), "--diameter", "96", *HASTY]
    for side, option in zip(sides, ("--picks", "--negatives")):
        arguments += [option, str(tmp_path / f"{side}.star")]
    assert main([*arguments, "--least-score", "0", "--output", str(tmp_path / "new")]) == 0
    record = json.loads((tmp_path / "new" / "train.json").read_text())
    assert record["labels"] == len(rows[::4])
    assert record["negatives"] == len(rows[2::4]) + len(rows[3::4])


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ([], "(--micrographs, --picks, --diameter)"),
        (["--picks", "p.star", "--micrographs", "m.mrc"], "(--diameter)"),
        (["--corrected", "run", "--selected-from", "Class2D"], "(--selected-from, --picks)"),
        (
            [*("--micrographs", "m.mrc"), *("--picks", "p.star"), "--diameter=9", "--done=all"],
            "(--done, --corrected)",
        ),
        (["--corrected", "nowhere"], "nowhere is not the folder of a picking run"),
    ],
)
def test_what_is_missing_is_named(tmp_path, capsys, arguments, named, caplog):
    assert main(["train", "--output", str(tmp_path / "new"), *arguments]) == 2
    assert named in caplog.text
    assert not (tmp_path / "new").exists()
