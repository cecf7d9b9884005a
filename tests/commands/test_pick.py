# SPDX-License-Identifier: GPL-3.0-or-later
"""Picking from files to files: what is found and written, what is used again, what survives."""

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.programs import start_pupick
from helpers.simulated import (
    DIAMETER,
    PARTICLES,
    PIXEL_SIZE,
    as_picks,
    draw,
    modified,
    place,
    shared_model,
    sharing,
    simulate,
    simulate_set,
    write_mrc,
)
from scipy import signal

from benchmarks.reliability.killed_runs import contents as compared
from benchmarks.reliability.killed_runs import run_killed
from scipion_pupick.engine import (
    Coordinates,
    PickSettings,
    evaluate,
    find_micrographs,
    fit,
    load_model,
    pick,
    read_picks,
    threshold,
)
from scipion_pupick.engine.coordinates.assign_picks import assign_to_micrographs
from scipion_pupick.engine.errors import MicrographError, PupickError, UsageError
from scipion_pupick.engine.files.star import read_blocks
from scipion_pupick.engine.micrographs import Micrograph
from scipion_pupick.engine.networks import scoring
from scipion_pupick.engine.networks.model import save_model
from scipion_pupick.engine.networks.scoring import make_judge, make_scorer
from scipion_pupick.engine.picking import detector
from scipion_pupick.engine.picking.cut import Cut
from scipion_pupick.engine.picking.peaks_file import MicrographPeaks, load_peaks, save_peaks
from scipion_pupick.engine.preprocessing.working_image import WorkingImage
from scipion_pupick.engine.runs.parts import part_of
from scipion_pupick.engine.runs.pick_run import PickRun
from scipion_pupick.engine.runs.score_micrographs import _batches

MODELS_OWN = PickSettings()
NOTHING = PickSettings(threshold=99.0)
EVERYTHING = PickSettings(threshold=-8.0, border=0.0)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return shared_model(tmp_path_factory) / "model.safetensors"


@pytest.fixture(scope="module")
def unseen(tmp_path_factory):
    """A folder of three micrographs with m<number>.mrc, and their particles."""
    folder = sharing(tmp_path_factory, "unseen", lambda folder: None)
    return folder, simulate_set(folder, range(30, 33))


@pytest.fixture
def own(unseen, tmp_path):
    """A copy of the micrographs that a test may change."""
    return shutil.copytree(unseen[0], tmp_path / "own")


def run(sources, model, output, settings=MODELS_OWN, **options):
    if not isinstance(sources, list):
        sources = [sources]
    micrographs = find_micrographs([str(source) for source in sources])
    return pick(micrographs, model, output, settings, device="cpu", threads=1, **options)


def positions(coordinates):
    return np.column_stack([coordinates.x, coordinates.y])


def assert_same_picks(one, other):
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_allclose(positions(one[name]), positions(other[name]), atol=1e-5)
        np.testing.assert_allclose(one[name].score, other[name].score, rtol=1e-6)


def by_stem(picks):
    return {name.rsplit("/", 1)[-1].split(".")[0]: found for name, found in picks.items()}


def contents(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_particles_are_found_where_they_are(unseen, model, tmp_path):
    folder, particles = unseen
    result = run(folder, model, tmp_path)
    evaluation = evaluate(result.picks, as_picks(particles), 0.25 * DIAMETER / PIXEL_SIZE)
    assert evaluation.curve.average_precision > 0.95
    assert evaluation.hits >= 0.95 * 3 * PARTICLES
    assert evaluation.localisation_error < 1.5
    assert result.failures == {}
    assert result.reused == 0


def test_the_files_say_what_was_returned(unseen, model, tmp_path):
    result = run(unseen[0], model, tmp_path)
    assert_same_picks(read_picks(tmp_path / "picks.star"), result.picks)
    for name, found in result.picks.items():
        file = tmp_path / "micrographs" / name.lstrip("/").replace(".mrc", ".star")
        assert_same_picks({name: found}, {name: next(iter(read_picks(file).values()))})
    assert_same_picks(by_stem(read_picks(tmp_path / "micrographs")), by_stem(result.picks))
    summary = json.loads((tmp_path / "pick.json").read_text())
    count = sum(len(found) for found in result.picks.values())
    assert (summary["micrographs"], summary["failed"], summary["picks"]) == (3, 0, count)
    assert summary["threshold"] == result.threshold == load_model(model).threshold
    assert (summary["edge"], summary["separation"]) == (DIAMETER / 2, 0.4 * DIAMETER)
    assert (tmp_path / "failed.tsv").read_text() == "micrograph\treason\n"
    assert f"{count} particles in 3 micrographs" in result.summary()


def test_picks_come_best_first_at_or_above_the_threshold(unseen, model, tmp_path):
    settings = PickSettings(threshold=5.0)
    for found in run(unseen[0], model, tmp_path, settings).picks.values():
        assert (np.diff(found.score) <= 0).all()
        assert found.score.min() >= 5.0


def test_no_two_picks_are_nearer_than_the_separation(unseen, model, tmp_path):
    for separation in (None, 0.0, 2 * DIAMETER):
        settings = replace(EVERYTHING, min_distance=separation)
        picks = run(unseen[0], model, tmp_path, settings).picks
        least = (0.4 * DIAMETER if separation is None else separation) / PIXEL_SIZE
        for found in picks.values():
            xy = positions(found)
            distance = np.linalg.norm(xy[:, None] - xy[None], axis=-1)
            assert distance[np.triu_indices(len(xy), 1)].min() >= least


def test_the_edge_is_kept_free(unseen, model, tmp_path):
    everything = run(unseen[0], model, tmp_path, EVERYTHING).picks
    for edge in (None, 0.0, 200.0):
        px = (DIAMETER / 2 if edge is None else edge) / PIXEL_SIZE
        found = run(unseen[0], model, tmp_path, replace(EVERYTHING, border=edge)).picks
        for name, all_of_it in everything.items():
            xy = positions(all_of_it)
            inside = (xy >= px).all(axis=1) & (xy <= 255 - px).all(axis=1)
            np.testing.assert_array_equal(positions(found[name]), xy[inside])


def test_a_second_run_scores_nothing_again(unseen, model, tmp_path):
    first = run(unseen[0], model, tmp_path)
    before = modified(tmp_path / "scores")
    second = run(unseen[0], model, tmp_path)
    assert second.reused == len(before) == 3
    assert "3 micrographs used again" in second.summary()
    assert modified(tmp_path / "scores") == before
    assert_same_picks(first.picks, second.picks)


@pytest.mark.parametrize(
    ("first", "changed"),
    [
        ({}, {"threshold": 25.0}),
        ({"threshold": 25.0}, {"threshold": 5.0}),
        ({}, {"border": 200.0}),
        ({"border": 200.0}, {"border": 0.0}),
    ],
)
def test_another_threshold_or_edge_uses_the_scores_again(unseen, model, tmp_path, first, changed):
    run(unseen[0], model, tmp_path / "one", PickSettings(**first))
    scores, stars = modified(tmp_path / "one" / "scores"), contents(tmp_path / "one")
    result = run(unseen[0], model, tmp_path / "one", PickSettings(**changed))
    assert result.reused == 3
    assert modified(tmp_path / "one" / "scores") == scores
    assert contents(tmp_path / "one")["picks.star"] != stars["picks.star"]
    fresh = run(unseen[0], model, tmp_path / "two", PickSettings(**changed))
    assert fresh.reused == 0
    assert_same_picks(result.picks, fresh.picks)
    for part in ("micrographs", "scores"):
        assert contents(tmp_path / "one" / part) == contents(tmp_path / "two" / part)


@pytest.mark.parametrize("changed", [{"min_distance": 20.0}, {"diameter": 100.0}])
def test_what_scores_depend_on_makes_them_anew(unseen, model, tmp_path, changed):
    run(unseen[0], model, tmp_path)
    result = run(unseen[0], model, tmp_path, PickSettings(**changed))
    assert result.reused == 0
    assert_same_picks(
        result.picks, run(unseen[0], model, tmp_path / "b", PickSettings(**changed)).picks
    )


def test_another_model_scores_all_anew(unseen, model, tmp_path):
    run(unseen[0], model, tmp_path)
    other = load_model(model)
    with torch.no_grad():
        other.network.classifier.bias += 0.5
    save_model(other, tmp_path / "other.safetensors")
    assert run(unseen[0], tmp_path / "other.safetensors", tmp_path).reused == 0


def test_an_aborted_run_leaves_the_whole_list_and_no_other_picks_of_another_model(
    unseen, model, tmp_path, monkeypatch
):
    run(unseen[0], model, tmp_path / "out")
    old = (tmp_path / "out" / "picks.star").read_bytes()
    other = load_model(model)
    with torch.no_grad():
        other.network.classifier.bias += 0.5
    save_model(other, tmp_path / "other.safetensors")

    def abort(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("scipion_pupick.engine.runs.pick_job.track", abort)
        with pytest.raises(KeyboardInterrupt):
            run(unseen[0], tmp_path / "other.safetensors", tmp_path / "out")
    # the old list stays until the new one is whole
    assert list((tmp_path / "out").rglob("*.star")) == [tmp_path / "out" / "picks.star"]
    assert (tmp_path / "out" / "picks.star").read_bytes() == old
    assert "seconds" not in json.loads((tmp_path / "out" / "pick.json").read_bytes())
    result = run(unseen[0], tmp_path / "other.safetensors", tmp_path / "out")
    assert_same_picks(result.picks, read_picks(tmp_path / "out" / "picks.star"))


def test_the_same_model_elsewhere_uses_the_scores_again(unseen, model, tmp_path):
    run(unseen[0], model, tmp_path / "out")
    shutil.copy(model, tmp_path / "copy.safetensors")
    assert run(unseen[0], tmp_path / "copy.safetensors", tmp_path / "out").reused == 3


def test_only_new_and_changed_micrographs_are_scored(own, model, tmp_path):
    run(own, model, tmp_path / "out")
    simulate(own / "m31.mrc", 99)
    simulate(own / "m40.mrc", 40)
    before = modified(tmp_path / "out" / "scores")
    result = run(own, model, tmp_path / "out")
    after = modified(tmp_path / "out" / "scores")
    written = {path.rsplit("/", 1)[1] for path in after if after[path] != before.get(path)}
    assert written == {"m31.peaks.safetensors", "m40.peaks.safetensors"}
    assert result.reused == 2
    assert_same_picks(result.picks, run(own, model, tmp_path / "new").picks)


def test_another_pixel_size_scores_anew(unseen, model, tmp_path):
    run(unseen[0], model, tmp_path)
    micrographs = find_micrographs([str(unseen[0])], pixel_size=3.9)
    assert pick(micrographs, model, tmp_path, device="cpu", threads=1).reused == 0


def test_a_damaged_score_file_is_made_anew(unseen, model, tmp_path):
    first = run(unseen[0], model, tmp_path)
    files = sorted((tmp_path / "scores").rglob("*.safetensors"))
    files[0].write_bytes(files[0].read_bytes()[:50])
    files[1].write_bytes(b"")
    second = run(unseen[0], model, tmp_path)
    assert second.reused == 1
    assert_same_picks(first.picks, second.picks)


def test_no_picks_at_all_are_a_success(unseen, model, tmp_path):
    result = run(unseen[0], model, tmp_path, NOTHING)
    assert [len(found) for found in result.picks.values()] == [0, 0, 0]
    assert "0 particles in 3 micrographs" in result.summary()
    assert "are right" not in result.summary()
    assert sum(len(found) for found in read_picks(tmp_path / "picks.star").values()) == 0
    alone = read_picks(tmp_path / "micrographs")
    assert [len(found) for found in alone.values()] == [0, 0, 0]


def test_a_table_without_picks_has_the_columns_of_the_others(unseen, model, tmp_path):
    run(unseen[0], model, tmp_path / "some")
    run(unseen[0], model, tmp_path / "none", NOTHING)
    columns = [
        [list(table.columns) for table in read_blocks(file).values()]
        for folder in ("some", "none")
        for file in (tmp_path / folder / "micrographs").rglob("*.star")
    ]
    assert len(columns) == 6
    assert all(each == columns[0] for each in columns)


def test_equal_names_in_two_folders_stay_apart(unseen, model, tmp_path):
    for folder, source in (("a", "m30.mrc"), ("b", "m31.mrc")):
        (tmp_path / folder).mkdir()
        shutil.copy(unseen[0] / source, tmp_path / folder / "same.mrc")
    result = run([tmp_path / "a", tmp_path / "b"], model, tmp_path / "out")
    expected = run(unseen[0], model, tmp_path / "expected").picks
    for (name, found), (other, source) in zip(
        result.picks.items(), [("a", "m30.mrc"), ("b", "m31.mrc")]
    ):
        assert name == (tmp_path / other / "same.mrc").as_posix()
        assert_same_picks({"m": found}, {"m": expected[(unseen[0] / source).as_posix()]})
    assert len(list((tmp_path / "out" / "micrographs").rglob("same.star"))) == 2


def test_micrographs_that_would_share_a_file_are_refused(own, model, tmp_path):
    shutil.copy(own / "m30.mrc", own / "m30.mrcs")
    with pytest.raises(UsageError, match=r"m30.mrc and .*m30.mrcs would both be written"):
        run(own, model, tmp_path / "out")
    assert contents(tmp_path / "out") == {}


def test_relative_names_are_kept_and_never_lead_out(own, model, tmp_path, monkeypatch):
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    result = run("../own/m30.mrc", model, "../out")
    assert list(result.picks) == ["../own/m30.mrc"]
    assert list(read_picks(tmp_path / "out" / "picks.star")) == ["../own/m30.mrc"]
    assert (tmp_path / "out" / "micrographs" / "own" / "m30.star").is_file()


def test_sizes_and_pixel_sizes_may_be_mixed(model, tmp_path):
    particles = {
        str(tmp_path / "in" / f"{i}.mrc"): simulate(
            tmp_path / "in" / f"{i}.mrc", i, side=side, pixel_size=pixel_size, particles=10
        )
        for i, (side, pixel_size) in enumerate([(200, 4), (400, 2), (180, 4), (300, 3), (200, 4)])
    }
    result = run(tmp_path / "in", model, tmp_path / "out")
    assert result.failures == {}
    for name, xy in particles.items():
        found = {name: result.picks[name]}
        evaluation = evaluate(found, as_picks({name: xy}), 6.0)
        assert evaluation.hits >= 9, name
        assert evaluation.picks <= 12, name


def test_twice_the_pixels_give_twice_the_coordinates(model, tmp_path):
    random = np.random.default_rng(3)
    shape = (200, 240)
    image = draw(shape, place(shape, 15, 30.0, random), 24.0, random)
    finer = signal.resample(signal.resample(image, 400, axis=0), 480, axis=1).astype(np.float32)
    write_mrc(tmp_path / "coarse.mrc", image, 4.0)
    write_mrc(tmp_path / "fine.mrc", finer, 2.0)
    result = run([tmp_path / "coarse.mrc", tmp_path / "fine.mrc"], model, tmp_path / "out")
    coarse, fine = result.picks.values()
    assert len(coarse) >= 12
    np.testing.assert_allclose(positions(fine), 2 * positions(coarse), atol=0.2)
    np.testing.assert_allclose(fine.score, coarse.score, rtol=0.02, atol=0.02)


def test_images_smaller_than_the_field_of_view_are_scored(model, tmp_path, monkeypatch):
    # whatever the score of such a view
    monkeypatch.setattr("scipion_pupick.engine.picker.LEAST_SCORE", -1000.0)
    random = np.random.default_rng(0)
    write_mrc(tmp_path / "in" / "small.mrc", draw((28, 26), np.array([[13.0, 14.0]]), 24, random))
    result = run(tmp_path / "in", model, tmp_path / "out", replace(EVERYTHING, threshold=-8.0))
    assert result.failures == {}
    kept = load_peaks(next((tmp_path / "out").rglob("*.peaks.safetensors")))
    assert len(kept.coordinates) >= 1


def test_a_batch_gives_the_scores_of_its_members(model):
    images = np.random.default_rng(0).standard_normal((5, 70, 90)).astype(np.float32)
    scorer = make_scorer(load_model(model).network, torch.device("cpu"))
    alone = np.concatenate([scorer(image[None]) for image in images])
    assert alone.shape == (5, 18, 23)
    np.testing.assert_allclose(scorer(images), alone, rtol=0.02, atol=0.05)


def test_batches_hold_neighbours_of_one_size_and_lose_none():
    shapes = [(4, 4)] * 5 + [None] + [(4, 4), (5, 4), (5, 4), None, None, (4, 4)]
    prepared = []
    for i, shape in enumerate(shapes):
        micrograph = Micrograph(Path(f"m{i}.mrc"), f"m{i}.mrc")
        failed = MicrographError("broken")
        image = failed if shape is None else WorkingImage(micrograph, np.zeros(shape), shape, 1.0)
        prepared.append((micrograph, image))
    batches = list(_batches(iter(prepared), 3))
    assert [each for batch in batches for each in batch] == prepared
    assert [len(batch) for batch in batches] == [3, 2, 1, 1, 2, 2, 1]
    assert all(len({getattr(i, "shape", None) for _, i in batch}) == 1 for batch in batches)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_gives_the_same_picks(unseen, model, tmp_path):
    on_cpu = run(unseen[0], model, tmp_path / "cpu").picks
    micrographs = find_micrographs([str(unseen[0])])
    on_gpu = pick(micrographs, model, tmp_path / "gpu", device="cuda", threads=1).picks
    for name, found in on_cpu.items():
        evaluation = evaluate({name: on_gpu[name]}, {name: found}, 0.5)
        assert evaluation.hits >= 0.95 * len(found)


def test_a_broken_micrograph_leaves_the_others_alone(own, model, tmp_path):
    whole = dict(run(own, model, tmp_path / "whole").picks)
    broken = own / "m31.mrc"
    broken.write_bytes(broken.read_bytes()[:-4])
    result = run(own, model, tmp_path / "out")
    assert list(result.failures) == [broken.as_posix()]
    assert "truncated" in result.failures[broken.as_posix()]
    assert "1 micrographs failed" in result.summary()
    del whole[broken.as_posix()]
    assert_same_picks(result.picks, whole)
    name, reason = (tmp_path / "out" / "failed.tsv").read_text().splitlines()[1].split("\t")
    assert name == broken.as_posix()
    assert reason == result.failures[name]
    assert json.loads((tmp_path / "out" / "pick.json").read_text())["failed"] == 1


def test_a_micrograph_that_breaks_later_loses_its_old_picks(own, model, tmp_path):
    run(own, model, tmp_path / "out")
    (own / "m31.mrc").write_bytes(b"")
    result = run(own, model, tmp_path / "out")
    assert result.reused == 2
    alone = read_picks(tmp_path / "out" / "micrographs")
    assert_same_picks(by_stem(alone), by_stem(read_picks(tmp_path / "out" / "picks.star")))
    assert set(by_stem(alone)) == {"m30", "m32"}


def test_nothing_is_written_beside_the_micrographs(own, model, tmp_path):
    before = contents(own), modified(own)
    run(own, model, tmp_path / "out")
    assert (contents(own), modified(own)) == before


def test_no_micrographs_are_refused(model, tmp_path):
    with pytest.raises(UsageError, match="no micrograph"):
        pick([], model, tmp_path)


def test_kept_peaks_come_back_whatever_their_memory_layout(tmp_path):
    table = np.arange(15.0).reshape(5, 3)
    peaks = MicrographPeaks(Coordinates(*table.T), (200, 100), 1.5, "mark")
    save_peaks(peaks, tmp_path / "m.safetensors")
    read = load_peaks(tmp_path / "m.safetensors")
    assert (read.shape, read.pixel_size, read.fingerprint) == ((200, 100), 1.5, "mark")
    np.testing.assert_array_equal(positions(read.coordinates), table[:, :2])
    np.testing.assert_array_equal(read.coordinates.score, table[:, 2])
    assert load_peaks(tmp_path / "none.safetensors") is None


def test_peaks_on_the_edge_and_on_the_threshold_are_kept():
    x, y = np.array([9.9, 10.0, 89.0, 89.1, 50.0, 50.0]), np.full(6, 50.0)
    y[4:] = 10.0, 189.1
    peaks = MicrographPeaks(Coordinates(x, y, np.arange(6.0)), (200, 100), 1.0, "")
    np.testing.assert_array_equal(Cut(0.0, 10.0).choose(peaks).score, [1, 2, 4])
    np.testing.assert_array_equal(Cut(2.0, 10.0).choose(peaks).score, [2, 4])
    np.testing.assert_array_equal(Cut(2.0, 10.0).of_all_scores.choose(peaks).score, [1, 2, 4])


def test_picks_under_two_names_of_one_micrograph_are_joined(unseen, caplog):
    micrographs = find_micrographs([str(unseen[0])])
    one = {"m30": np.array([[1.0, 2.0]]), "unseen/m30.mrc": np.array([[3.0, 4.0]])}
    found = assign_to_micrographs(
        as_picks({**one, "x9": np.ones((1, 2))}), micrographs, "hand picks"
    )
    assert list(found) == [micrographs[0].name]
    np.testing.assert_array_equal(positions(found[micrographs[0].name]), [[1, 2], [3, 4]])
    assert "The hand picks of 1 other micrographs, such as x9" in caplog.text


def copies(folder, source, count):
    """Many micrographs in the space of one."""
    folder.mkdir()
    for i in range(count):
        os.link(source, folder / f"m{i:02}.mrc")
    return folder


@pytest.mark.slow
def test_a_killed_run_continues_without_loss(model, tmp_path):
    simulate(tmp_path / "large.mrc", 1, side=768, pixel_size=2.0)
    folder = copies(tmp_path / "in", tmp_path / "large.mrc", 16)
    arguments = ("--model", model, "--micrographs", folder, "--device", "cpu", "--threads", 1)
    process = start_pupick("pick", *arguments, "--output", tmp_path / "out")
    scores = tmp_path / "out" / "scores"
    while process.poll() is None and len(list(scores.rglob("m*.safetensors"))) < 3:
        time.sleep(0.01)
    process.kill()
    _, error = process.communicate()
    assert process.returncode == -9, error
    done = len(list(scores.rglob("m*.safetensors")))
    assert 3 <= done < 16
    assert not (tmp_path / "out" / "picks.star").exists()
    result = run(folder, model, tmp_path / "out")
    assert result.reused == done
    stems = sorted(by_stem(read_picks(tmp_path / "out" / "micrographs")))
    assert stems == [f"m{i:02}" for i in range(16)]
    first, *others = result.picks.values()
    assert len(first) > 0
    for found in others:
        np.testing.assert_array_equal(positions(found), positions(first))
    assert_same_picks(read_picks(tmp_path / "out" / "picks.star"), result.picks)


MEMORY = """
import resource, sys
from scipion_pupick.engine import PickSettings, find_micrographs, pick
model, folder, output = sys.argv[1:]
micrographs = find_micrographs([folder])
for count in (4, 28):
    pick(micrographs[:count], model, f"{output}/{count}", device="cpu", threads=1)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_micrographs(model, tmp_path):
    # 4 MB each: to keep 24 more would show as 96 MB
    simulate(tmp_path / "large.mrc", 1, side=1024, pixel_size=1.0, particles=9)
    folder = copies(tmp_path / "in", tmp_path / "large.mrc", 28)
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, str(model), str(folder), str(tmp_path / "out")],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    few, many = (int(line) / 1024 for line in done.stdout.split())
    assert many - few < 40


def test_a_gpu_whose_memory_is_full(own, model, tmp_path, monkeypatch):
    def score(images):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr(scoring, "make_judge", lambda network, device: score)
    with pytest.raises(PupickError, match="GPU has too little free memory"):
        run(own, model, tmp_path / "out")


def test_a_micrograph_replaced_while_it_is_scored_is_scored_again(
    model, unseen, own, tmp_path, monkeypatch
):
    micrographs = find_micrographs([str(own / "m30.mrc")])
    find_peaks = detector.find_peaks

    def replacing(*arguments, **options):
        shutil.copy2(unseen[0] / "m31.mrc", own / "m30.mrc")
        return find_peaks(*arguments, **options)

    monkeypatch.setattr(detector, "find_peaks", replacing)
    pick(micrographs, model, tmp_path / "run", EVERYTHING, device="cpu", threads=1)
    monkeypatch.undo()
    again = pick(micrographs, model, tmp_path / "run", EVERYTHING, device="cpu", threads=1)
    assert again.reused == 0
    fresh = pick(micrographs, model, tmp_path / "fresh", EVERYTHING, device="cpu", threads=1)
    assert again.picks.keys() == fresh.picks.keys()
    for name, coordinates in again.picks.items():
        np.testing.assert_array_equal(coordinates.score, fresh.picks[name].score)


@pytest.mark.parametrize("name", ["picks.star", "checkpoint.safetensors"])
def test_neither_hand_picks_nor_a_training_are_written_over(unseen, model, tmp_path, name):
    (tmp_path / name).write_bytes(b"mine")
    with pytest.raises(UsageError, match="another folder"):
        run(unseen[0], model, tmp_path)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"mine"]


def test_a_run_that_is_stopped_leaves_the_list_from_before(unseen, model, tmp_path, monkeypatch):
    """With another threshold nothing is scored, and only the end writes the list."""
    run(unseen[0], model, tmp_path)
    old = (tmp_path / "picks.star").read_bytes()
    monkeypatch.setattr("scipion_pupick.engine.runs.pick_run.write_pick_list", stopped)
    with pytest.raises(KeyboardInterrupt):
        run(unseen[0], model, tmp_path, NOTHING)
    assert (tmp_path / "picks.star").read_bytes() == old


def stopped(*arguments):
    raise KeyboardInterrupt


def test_micrographs_of_an_earlier_call_are_missed(unseen, model, tmp_path, caplog):
    first, *others = sorted(unseen[1])
    run(unseen[0], model, tmp_path)
    assert "not given now" not in caplog.text
    run(others, model, tmp_path)
    assert f"1 micrographs that were picked here before, such as {first}" in caplog.text
    caplog.clear()
    run(unseen[0], model, tmp_path)
    assert "not given now" not in caplog.text


def test_a_model_that_was_fitted_before_picks_all_that_come_alike(unseen, tmp_path):
    paths = sorted(unseen[1])
    settings = PickSettings(diameter=DIAMETER)
    few, whole = find_micrographs(paths[:2], PIXEL_SIZE), find_micrographs(paths, PIXEL_SIZE)
    path = fit(few, tmp_path / "run", settings, device="cpu", threads=1)
    assert path == PickRun(tmp_path / "run").adapted_model
    assert not (tmp_path / "run" / "pick.json").exists()
    fitted = path.read_bytes()
    assert {*load_model(path).training.fitted_to} == {m.name for m in few}
    pick(whole, "general", tmp_path / "run", settings, "cpu", 1, report=False)
    assert path.read_bytes() == fitted
    with pytest.raises(UsageError, match="was trained for one particle"):
        fit(few, tmp_path / "other", settings, path, "cpu", 1)


def test_a_folder_called_general_is_not_the_model(unseen, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("general").mkdir()
    settings = PickSettings(diameter=DIAMETER)
    run(sorted(unseen[1])[:1], "general", "general", settings)
    assert Path("general/picks.star").is_file()


def test_a_run_on_all_uses_what_runs_on_parts_have_found(own, tmp_path):
    """The model is fitted by the first part, for all."""
    settings = PickSettings(diameter=DIAMETER, threshold=0.0)
    names = [[own / "m30.mrc"], [own / "m31.mrc", own / "m32.mrc"]]
    whole = PickRun(tmp_path / "whole")
    for i, part in enumerate(names):
        with part_of(whole, tmp_path / f"part{i}") as run_of_part:
            run(part, "general", run_of_part.folder, settings)
        assert not run_of_part.folder.exists()
    fitted = whole.adapted_model.read_bytes()
    result = run(own, "general", whole.folder, settings)
    assert result.reused == 3
    assert whole.adapted_model.read_bytes() == fitted
    assert result.count > 0
    assert_same_picks(result.picks, read_picks(whole.folder / "picks.star"))


def test_a_call_with_nothing_to_do_writes_nothing(unseen, model, tmp_path):
    run(unseen[0], model, tmp_path)
    before = modified(tmp_path)
    assert run(unseen[0], model, tmp_path).reused == 3
    assert modified(tmp_path) == before


def test_a_micrograph_whose_picks_no_file_can_hold_costs_one(own, model, tmp_path):
    for name in ("grid#3.mrc", f"{'m' * 245}.mrc"):
        shutil.copy(own / "m30.mrc", own / name)
    result = run(own, model, tmp_path / "out")
    assert len(result.picks) == 3
    assert all(name.endswith(("#3.mrc", "mmm.mrc")) for name in result.failures)
    assert len(result.failures) == 2
    assert all("rename the micrograph" in reason for reason in result.failures.values())
    again = run(own, model, tmp_path / "out")
    assert (again.picks.keys(), again.failures) == (result.picks.keys(), result.failures)


def test_one_micrograph_too_large_for_the_memory_costs_one(own, model, tmp_path, monkeypatch):
    make = make_judge

    def make_small(network, device):
        judge, calls = make(network, device), []

        def small(images):
            calls.append(images)
            if len(calls) == 2:
                raise MemoryError("too large")
            return judge(images)

        return small

    monkeypatch.setattr(scoring, "make_judge", make_small)
    result = run(own, model, tmp_path / "out", report=False)
    assert len(result.picks) == 2
    assert ["too little free memory" in reason for reason in result.failures.values()] == [True]


def test_kept_peaks_of_another_run_are_not_used(unseen, model, tmp_path):
    run(unseen[0], model, tmp_path / "one")
    run(unseen[0], model, tmp_path / "other", PickSettings(min_distance=170.0))
    peaks = next((tmp_path / "other" / "scores").rglob("*30.peaks.safetensors"))
    shutil.copy(peaks, tmp_path / "one" / peaks.relative_to(tmp_path / "other"))
    taken = threshold(tmp_path / "one", tmp_path / "taken", threshold=0.0)
    assert len(taken.picks) == 2
    assert run(unseen[0], model, tmp_path / "one").reused == 2


@pytest.mark.parametrize("name", ["picks.star", "micrographs.tsv", "failed.tsv", "report.html"])
def test_files_of_no_run_are_not_replaced(name, unseen, model, tmp_path):
    (tmp_path / name).write_text("mine", encoding="utf-8")
    with pytest.raises(UsageError, match=rf"{name} was not written by a picking run"):
        run(unseen[0], model, tmp_path)
    assert contents(tmp_path) == {name: b"mine"}


def test_hand_picks_of_a_micrograph_are_not_replaced(own, model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.move(own, tmp_path / "micrographs")
    (tmp_path / "micrographs" / "micrographs").mkdir()
    mine = tmp_path / "micrographs" / "micrographs" / "m30.star"
    mine.write_text("mine", encoding="utf-8")
    with pytest.raises(UsageError, match=r"m30.star was not written by a picking run"):
        run("micrographs", model, tmp_path)
    assert mine.read_text(encoding="utf-8") == "mine"
    assert not (tmp_path / "pick.json").exists()


@pytest.mark.parametrize(
    "text", ["micrograph\tfile\tpixel_size\na\n", "\0", "[", "micrograph\n", "a\tb\n1\t2\t3\n"]
)
def test_a_damaged_list_of_micrographs_is_made_anew(text, unseen, model, tmp_path):
    run(unseen[0], model, tmp_path)
    before = (tmp_path / "micrographs.tsv").read_bytes()
    (tmp_path / "micrographs.tsv").write_text(text, encoding="utf-8")
    assert run(unseen[0], model, tmp_path).reused == 3
    assert (tmp_path / "micrographs.tsv").read_bytes() == before


@pytest.mark.slow
def test_picking_that_is_killed_many_times_gives_the_same_files(unseen, model, tmp_path):
    folder = copies(tmp_path / "in", unseen[0] / "m30.mrc", 30)
    arguments = ("--model", model, "--micrographs", folder, "--device", "cpu", "--threads", 1)
    command = [*map(str, ["pick", *arguments, "--no-report", "--output"])]
    run_killed([*command, str(tmp_path / "whole")], 0, 0.0)
    run_killed([*command, str(tmp_path / "killed")], 3, 5.0)
    whole = compared(tmp_path / "whole")
    assert "picks.star" in whole
    assert whole == compared(tmp_path / "killed")
