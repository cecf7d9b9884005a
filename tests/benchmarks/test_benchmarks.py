# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests of what the accuracy benchmarks are made of: labels, kept cells, Topaz's tables."""

import subprocess
import sys
from pathlib import Path

import mrcfile
import numpy as np
import pytest

from scipion_pupick.engine import Coordinates

ROOT = Path(__file__).resolve().parents[2]
PARTICLES = 12


@pytest.fixture
def blobs(tmp_path):
    """Three micrographs of dark blobs; those further to the right are darker."""
    from benchmarks.common.picking_sets import PickingSet

    grid_y, grid_x = np.mgrid[:256, :256]
    x = np.arange(PARTICLES) % 6 * 40 + 25.0
    y = np.arange(PARTICLES) // 6 * 100 + 60.0
    image = np.zeros((256, 256), np.float32)
    for index in range(PARTICLES):
        image -= (np.hypot(grid_x - x[index], grid_y - y[index]) < 8) * np.float32(x[index])
    paths = tuple(tmp_path / f"m{index}.mrc" for index in range(3))
    for path in paths:
        mrcfile.write(path, image, voxel_size=10.0)
    particles = {path.name: Coordinates.unscored(x, y) for path in paths}
    return PickingSet("blobs", paths, (), particles, 160.0, 10.0, 6.4, 8.0)


def _positions(picks):
    return {(name, x, y) for name, c in picks.items() for x, y in zip(c.x, c.y)}


def test_random_labels_are_particles_and_follow_the_seed(blobs):
    from benchmarks.common.labels import RANDOM, draw_labels

    first, again, other = (draw_labels(blobs, 10, RANDOM, seed) for seed in (1, 1, 2))
    assert len(_positions(first)) == 10
    assert _positions(first) <= _positions(blobs.train_particles)
    assert _positions(first) == _positions(again) != _positions(other)


def test_clearest_labels_are_those_of_highest_contrast(blobs):
    from benchmarks.common.labels import CLEAREST, draw_labels

    labels = draw_labels(blobs, PARTICLES, CLEAREST, 1)
    # Two of the six columns are a third.
    assert {x for _, x, _ in _positions(labels)} == {185.0, 225.0}


def test_labels_of_few_micrographs_leave_half_of_each_out(blobs):
    from benchmarks.common.labels import FEW_MICROGRAPHS, draw_labels

    one = draw_labels(blobs, PARTICLES // 2, FEW_MICROGRAPHS, 1)
    assert [len(labels) for labels in one.values()] == [PARTICLES // 2]
    assert len(draw_labels(blobs, PARTICLES // 2 + 1, FEW_MICROGRAPHS, 1)) == 2
    with pytest.raises(ValueError, match="only 18 labels"):
        draw_labels(blobs, 19, FEW_MICROGRAPHS, 1)


def test_a_kind_of_which_there_are_too_few_is_left_out(blobs, tmp_path, monkeypatch, capsys):
    from benchmarks.accuracy import against_topaz

    monkeypatch.setattr(against_topaz, "find_sets", lambda options: [blobs])
    words = ["--work", str(tmp_path), "--data", str(tmp_path), "--maps", str(tmp_path)]
    options = against_topaz.parse(
        [*words, "--side", "pupick", "--seeds", "1", "--labels", "19", "--diameters", "1"]
        + ["--kinds", "few micrographs,clearest"]
    )
    against_topaz.run_cells(options)
    said = capsys.readouterr().out.splitlines()
    assert ["left out" in line for line in said] == [True, True]
    assert "blobs has only 18 labels of the kind 'few micrographs'" in said[0]


def test_a_cell_is_computed_once(tmp_path):
    from benchmarks.common.cells import Store

    store, calls = Store(tmp_path / "cells"), []

    def compute():
        calls.append(1)
        return {"ap": 0.5, "f1": 0.25}

    rows = [store.cell({"set": "a", "labels": 10}, compute) for _ in range(2)]
    assert len(calls) == 1
    assert rows[0] == rows[1] == store.rows()[0]
    assert {"cpu", "packages", "revision"} <= rows[0].keys()


def test_topaz_tables_are_in_pixels_of_the_downsampled_image(tmp_path):
    from benchmarks.accuracy.pickers import read_topaz_table, write_topaz_table

    write_topaz_table(tmp_path / "a.txt", {"m.mrc": Coordinates.unscored([8.2], [15.9])}, 2)
    assert (tmp_path / "a.txt").read_text().splitlines()[1] == "m\t4\t8"
    (tmp_path / "b.txt").write_text("image_name\tx_coord\ty_coord\tscore\nm\t8\t16\t-1.5\n")
    read = read_topaz_table(tmp_path / "b.txt")["m.mrc"]
    assert (read.x[0], read.y[0], read.score[0]) == (8, 16, -1.5)


def test_simulated_sets_are_made_once_and_split(tmp_path, monkeypatch):
    from benchmarks.common import picking_sets

    monkeypatch.setattr(picking_sets, "TRAIN", 1)
    monkeypatch.setattr(picking_sets, "SIDE", 192)
    grid = np.mgrid[-16:16, -16:16, -16:16]
    ball = (np.sqrt((grid**2).sum(axis=0)) < 12).astype(np.float32)
    mrcfile.write(tmp_path / "ball_1abc.mrc", ball, voxel_size=5.0)
    where = (tmp_path / "ball", tmp_path / "ball_1abc.mrc")
    made = picking_sets.simulated_set(*where, train=1, test=1)
    (tmp_path / "ball_1abc.mrc").unlink()
    again = picking_sets.simulated_set(*where, train=1, test=1)
    assert made.name == "ball"
    assert [len(made.train), len(made.test)] == [1, 1]
    assert made.diameter_px == pytest.approx(picking_sets.SIMULATED_DIAMETER_PX)
    assert _positions(made.particles) == _positions(again.particles)
    assert len(_positions(made.particles)) > 3


def test_a_swapped_real_set_trains_on_its_last_micrographs(tmp_path):
    from benchmarks.common.picking_sets import real_set

    micrographs = tmp_path / "empiar10059" / "micrographs"
    micrographs.mkdir(parents=True)
    for name in "abcde":
        mrcfile.write(micrographs / f"{name}.mrc", np.zeros((8, 8), np.float32))
    rows = "\n".join(f"{name}.mrc 1 2" for name in "abcde")
    columns = "_rlnMicrographName\n_rlnCoordinateX\n_rlnCoordinateY\n"
    star = micrographs.parent / "particles.star"
    star.write_text(f"data_\n\nloop_\n{columns}{rows}\n")
    data = tmp_path / "empiar10017"
    usual, swapped = (real_set(data, f"empiar10059{end}") for end in ("", "-swapped"))
    assert ["".join(p.stem for p in half) for half in (usual.train, usual.test)] == ["abc", "de"]
    assert ["".join(p.stem for p in half) for half in (swapped.train, swapped.test)] == [
        "cde",
        "ab",
    ]


def test_crowded_and_dirty_sets_are_what_they_are_called():
    from benchmarks.common.picking_sets import KINDS_OF_SETS, micrograph_settings

    seeds = range(5)
    usual = [micrograph_settings(np.random.default_rng(seed)) for seed in seeds]
    crowded = [KINDS_OF_SETS["crowded"](np.random.default_rng(seed)) for seed in seeds]
    dirty = [KINDS_OF_SETS["dirty"](np.random.default_rng(seed)) for seed in seeds]
    assert max(s.crowding.coverage for s in usual) < min(s.crowding.coverage for s in crowded)
    assert all(s.contamination.carbon > 0 and s.contamination.clumps > 0 for s in dirty)
    assert [s.crowding for s in dirty] != [s.crowding for s in crowded]
    junky = [KINDS_OF_SETS["junk"](np.random.default_rng(seed)) for seed in seeds]
    for more, less in zip(junky, usual):
        assert more.crowding.junk_coverage > less.crowding.junk_coverage
        assert more.contamination.crystals > less.contamination.crystals
        assert more.crowding.coverage == less.crowding.coverage


@pytest.mark.slow
@pytest.mark.parametrize(
    "script",
    [
        "speed/speed.py",
        "speed/simulate.py",
        "accuracy/against_topaz.py",
        "paper/experiments.py",
        "paper/classes_by_threshold.py",
        "loop/loop.py",
    ],
)
def test_a_benchmark_can_be_called_from_any_folder(tmp_path, script):
    command = [sys.executable, ROOT / "benchmarks" / script, "--help"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert f"python benchmarks/{script}" in done.stdout
