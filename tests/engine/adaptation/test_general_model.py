# SPDX-License-Identifier: GPL-3.0-or-later
"""The general model that comes with pupick, on real micrographs that it has never seen."""

import json
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.examples import write_corner
from helpers.programs import call_pupick
from helpers.simulated import HASTY, UNCHECKED
from scipy.spatial import cKDTree

from scipion_pupick.engine import (
    PickSettings,
    find_micrographs,
    load_model,
    pick,
    read_picks,
    train,
)
from scipion_pupick.engine.coordinates.assign_picks import assign_to_micrographs
from scipion_pupick.engine.evaluation.evaluate import evaluate_picks
from scipion_pupick.engine.micrographs import read_image, write_image
from scipion_pupick.engine.networks.model_file import model_path
from scipion_pupick.engine.settings import LEAST_SCORE, OptimizerSettings, TrainSettings

EXAMPLE = Path(__file__).parents[3] / "examples" / "empiar10017"
GENERAL = ("pick", "--micrographs", EXAMPLE / "micrographs", "--model", "general")
DIAMETER = 180.0
TOLERANCE = 10.8


@pytest.fixture(scope="module")
def micrographs():
    return find_micrographs([str(EXAMPLE / "micrographs")])


@pytest.fixture(scope="module")
def picked(tmp_path_factory):
    folder = tmp_path_factory.mktemp("picked")
    arguments = [
        "--micrographs",
        EXAMPLE / "micrographs",
        "--model",
        "general",
        "--diameter",
        DIAMETER,
    ]
    code, _, error = call_pupick("pick", *arguments, "--output", folder, "--threads", "1")
    assert code == 0, error
    return folder


def curve(folder, micrographs):
    """Precision and recall of the picks, away from the padding at the edges of these images."""
    reference = assign_to_micrographs(
        read_picks([EXAMPLE / "reference.star"]), micrographs, "reference"
    )
    picks = read_picks([folder / "picks.star"])
    found = assign_to_micrographs(picks, micrographs, "picks")
    shapes = {name: (1024, 1024) for name in reference}
    return evaluate_picks(found, reference, TOLERANCE, 32, shapes).curve


def test_it_is_small_and_says_how_it_was_made():
    path = model_path("general")
    assert path.stat().st_size < 5e6
    model = load_model("general")
    assert model.training.general is True
    assert model.training.simulated_particles > 0
    assert model.scale.diameter is None


@pytest.mark.slow
def test_it_picks_real_micrographs_without_any_label(picked, micrographs):
    _, _, f1 = curve(picked, micrographs).of_all
    assert f1 > 0.7


@pytest.mark.slow
def test_its_report_says_that_it_has_seen_no_label(picked):
    words = (picked / "report.html").read_text(encoding="utf-8")
    assert "The general model has seen none of your particles" in words
    assert "the general model, trained on simulations of" in words
    assert '"training":null' in words


def test_picking_with_it_needs_the_diameter(tmp_path):
    arguments = [
        "--micrographs",
        EXAMPLE / "micrographs",
        "--model",
        "general",
        "--output",
        tmp_path / "out",
    ]
    code, _, error = call_pupick("pick", *arguments)
    assert code == 2
    assert "--diameter" in error
    assert not (tmp_path / "out").exists()


def test_a_file_of_that_name_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("general").write_bytes(b"")
    assert model_path("general") == Path("general")


@pytest.mark.slow
def test_training_starts_from_it_by_default(micrographs, tmp_path):
    one_step = replace(OptimizerSettings(), epochs=1, steps=1, learning_rate=1e-9)
    settings = TrainSettings(
        DIAMETER, particles_per_micrograph=600, training=one_step, labels=UNCHECKED
    )
    picks = read_picks([EXAMPLE / "picks_100.star"])
    model = train(micrographs[:2], picks, tmp_path, settings, device="cpu", threads=1)
    general = load_model("general").network.state_dict()
    for name, values in model.network.state_dict().items():
        if name.startswith("features") and name.endswith(("0.weight", "3.weight")):
            np.testing.assert_allclose(values, general[name], atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("particles", [None, 600.0])
def test_what_starts_from_it_has_a_threshold_near_the_best(micrographs, tmp_path, particles):
    one_step = replace(OptimizerSettings(), epochs=1, steps=1, learning_rate=1e-9)
    settings = TrainSettings(
        DIAMETER, particles_per_micrograph=particles, training=one_step, labels=UNCHECKED
    )
    labels = read_picks([EXAMPLE / "picks_100.star"])
    options = {"device": "cpu", "threads": 1}
    model = train(micrographs, labels, tmp_path / "model", settings, **options)
    curves = []
    for threshold in (LEAST_SCORE, model.threshold):
        chosen = PickSettings(threshold)
        pick(micrographs, tmp_path / "model/model.safetensors", tmp_path / "out", chosen, **options)
        curves.append(curve(tmp_path / "out", micrographs))
    every, own = curves
    assert own.of_all[2] > every.best_f1 - 0.03


@pytest.mark.slow
@pytest.mark.parametrize("start", [None, "general"])
def test_another_network_starts_from_random_weights(micrographs, tmp_path, caplog, start):
    caplog.set_level(logging.INFO)
    settings = TrainSettings(
        DIAMETER, particles_per_micrograph=600, training=HASTY, labels=UNCHECKED
    )
    picks = read_picks([EXAMPLE / "picks_100.star"])
    train(micrographs[:2], picks, tmp_path, settings, start=start, device="cpu", threads=1)
    summary = json.loads((tmp_path / "train.json").read_text())
    assert summary["settings"]["network"] == HASTY.network
    assert ("starts from random weights" in caplog.text) == (start == "general")


@pytest.fixture(scope="module")
def corners(micrographs, tmp_path_factory):
    """A quarter of each of two micrographs: enough where only the same picks are wanted again."""
    folder = tmp_path_factory.mktemp("corners")
    for micrograph in micrographs[:2]:
        write_corner(micrograph.path.name, folder)
    return find_micrographs([str(folder)])


@pytest.fixture(scope="module")
def fresh(corners, tmp_path_factory):
    """What is found in the first corner alone."""
    return found_in(corners[:1], tmp_path_factory.mktemp("fresh"))


def found_in(micrographs, folder):
    settings = PickSettings(diameter=DIAMETER)
    result = pick(micrographs, "general", folder, settings, device="cpu", threads=1)
    return {Path(n).stem: (c.x.tolist(), c.y.tolist()) for n, c in result.picks.items()}


@pytest.mark.slow
def test_it_is_fitted_as_soon_as_a_micrograph_can_be_used(corners, fresh, tmp_path):
    (tmp_path / "damaged.mrc").write_bytes(b"no image")
    damaged = find_micrographs([str(tmp_path / "damaged.mrc")])
    assert found_in(damaged, tmp_path / "later") == {}
    assert found_in(corners[:1], tmp_path / "later") == fresh


@pytest.mark.slow
def test_it_is_fitted_anew_for_another_pixel_size(corners, fresh, tmp_path):
    wrong = [replace(corners[0], pixel_size=4.2)]
    assert found_in(wrong, tmp_path / "again") != fresh
    assert found_in(corners[:1], tmp_path / "again") == fresh


@pytest.mark.slow
def test_it_is_fitted_anew_to_micrographs_that_were_replaced(corners, tmp_path):
    folder = tmp_path / "mics"
    images = [read_image(micrograph.path) for micrograph in corners]
    for number, image in enumerate(images):
        write_image(folder / f"{number}.mrc", image, 7.08)
    chosen = find_micrographs([str(folder)])
    before = found_in(chosen, tmp_path / "again")
    adapted = tmp_path / "again" / "adapted.safetensors"
    written = adapted.stat().st_mtime_ns
    # more micrographs, or others alone, change nothing
    write_image(folder / "more.mrc", images[0][:300], 7.08)
    found_in(find_micrographs([str(folder)]), tmp_path / "again")
    found_in(find_micrographs([str(folder / "more.mrc")]), tmp_path / "again")
    assert adapted.stat().st_mtime_ns == written
    for number, image in enumerate(images):
        write_image(folder / f"{number}.mrc", -image, 7.08)
    after = found_in(chosen, tmp_path / "again")
    assert after == found_in(chosen, tmp_path / "fresh")
    # rounding differs, so that one of some forty may fall to the other side of the threshold
    old, new = np.transpose(before["0"]), np.transpose(after["0"])
    assert len(new) == pytest.approx(len(old), rel=0.01)
    assert (cKDTree(new).query(old)[0] < 0.1).mean() > 0.95
