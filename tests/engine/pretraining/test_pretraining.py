# SPDX-License-Identifier: GPL-3.0-or-later
"""The making of a general model: simulated images, supervised training, calibration."""

import os
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.processes import children_of, wait_until
from helpers.programs import start_pupick
from scipy.special import expit

from scipion_pupick.engine.errors import UsageError
from scipion_pupick.engine.jobs.pretrain import make_general_model
from scipion_pupick.engine.networks.architectures import make_network
from scipion_pupick.engine.networks.model import load_model, save_model
from scipion_pupick.engine.networks.scoring import make_scorer
from scipion_pupick.engine.pretraining.dataset import (
    load_images,
    save_images,
    simulate_images,
    simulate_particles,
)
from scipion_pupick.engine.pretraining.pretrain import (
    MatchedPeaks,
    calibrate_on,
    match_peaks,
    mean_average_precision,
    pretrain,
)
from scipion_pupick.engine.settings import PretrainSettings
from scipion_pupick.engine.simulation import Protein
from scipion_pupick.engine.training.progress import best_network

CPU = torch.device("cpu")
PRETRAINING = PretrainSettings().training
TINY = replace(PRETRAINING, network="conv3", epochs=2, steps=2, tiles=2)


@pytest.fixture(scope="module")
def images():
    return [image for index in range(6) for image in simulate_images(5, index)]


def test_images_follow_from_seed_and_number_and_survive_the_disk(images, tmp_path):
    again = simulate_images(5, 2)
    save_images(again, tmp_path / "images.safetensors")
    for one, other in zip(images[4:6], load_images(tmp_path / "images.safetensors")):
        assert np.array_equal(one.pixels, other.pixels)
        assert np.array_equal(one.xy, other.xy)
        assert one.diameter_px == other.diameter_px
    assert not np.array_equal(images[0].pixels, simulate_images(6, 0)[0].pixels)


def pixels_of(particles):
    return [image.pixels for images in particles for image in images]


@pytest.mark.slow
def test_images_of_other_proteins_and_damaged_files_are_made_again(tmp_path):
    """A run may be stopped before its first epoch, and begun again from other proteins."""
    seed, number = 3, 3
    rod = Protein("rod", np.random.default_rng(0).normal(size=(900, 3)) * [8, 8, 40])
    simulate_particles(tmp_path / "run", seed, number, 1)
    of_proteins = pixels_of(simulate_particles(tmp_path / "run", seed, number, 1, [rod]))
    expected = pixels_of(simulate_particles(tmp_path / "new", seed, number, 1, [rod]))
    assert all(map(np.array_equal, of_proteins, expected))
    first, second, third = sorted((tmp_path / "run").iterdir())
    first.write_bytes(first.read_bytes()[:5000])
    second.write_bytes(b"")
    untouched = third.stat().st_mtime_ns
    mended = pixels_of(simulate_particles(tmp_path / "run", seed, number, 1, [rod]))
    assert all(map(np.array_equal, mended, expected))
    assert third.stat().st_mtime_ns == untouched


@pytest.mark.slow
def test_images_are_normalised_and_of_many_scales():
    many = [simulate_images(7, index)[0] for index in range(12)]
    assert len({image.diameter_px for image in many}) == 12
    for image in many:
        assert 15 <= image.diameter_px <= 38
        background = image.pixels[(np.abs(image.pixels) < 3)].astype(float)
        assert abs(np.median(background)) < 1
        assert 0.3 < background.std() < 1.5


@pytest.mark.slow
def test_a_network_learns_from_simulated_images(images):
    settings = replace(PRETRAINING, network="conv3", epochs=2, steps=20, tiles=4)
    progress = pretrain(images[2:], images[:2], settings, CPU)
    # losses of so short epochs depend on which tiles were drawn
    first, last = progress.history
    assert last.held_out_ap > 1.5 * first.held_out_ap
    scorer = make_scorer(best_network(progress, settings), CPU)
    found = [match_peaks(scorer, image) for image in images[:2]]
    chance = np.mean([f.hits.mean() for f in found])
    assert mean_average_precision(found) > 1.5 * chance


def test_the_mean_average_precision_leaves_out_images_without_particles():
    perfect = MatchedPeaks(np.array([2.0, 1.0]), np.array([True, False]), 1)
    half = MatchedPeaks(np.array([2.0, 1.0]), np.array([False, True]), 1)
    empty = MatchedPeaks(np.array([2.0]), np.array([False]), 0)
    assert mean_average_precision([perfect, half, empty]) == pytest.approx(0.75)


def test_calibration_finds_the_line_and_the_spread_that_peaks_were_drawn_from():
    random = np.random.default_rng(0)
    shifts = random.normal(0, 0.5, 60)
    found = []
    for shift in shifts:
        score = random.normal(0, 2, 500)
        hits = random.random(500) < expit(1.5 * score - 1 + shift)
        found.append(MatchedPeaks(score, hits, int(hits.sum())))
    calibration = calibrate_on(found)
    # averaging over shifts flattens the line a little
    assert calibration.slope == pytest.approx(1.5, rel=0.1)
    assert calibration.offset == pytest.approx(-1, abs=0.2)
    assert calibration.error == pytest.approx(0.5, rel=0.3)


@pytest.mark.slow
def test_a_stopped_run_goes_on_to_the_same_model(tmp_path):
    settings = PretrainSettings(particles=2, held_out=2, training=TINY)
    whole = make_general_model(tmp_path / "whole", settings, "cpu", 1)
    first = PretrainSettings(particles=2, held_out=2, training=TINY)
    make_general_model(tmp_path / "again", first, "cpu", 1)
    (tmp_path / "again" / "general.safetensors").unlink()
    again = make_general_model(tmp_path / "again", settings, "cpu", 1)
    assert again.digest == whole.digest == load_model(tmp_path / "again/general.safetensors").digest
    assert whole.scale.diameter is None
    with pytest.raises(UsageError, match="other settings") as caught:
        make_general_model(tmp_path / "again", replace(settings, particles=3), "cpu", 1)
    # there is no leave to overwrite that could be given
    assert caught.value.settings == ("output",)
    assert "overwrite" not in str(caught.value)


def start_simulating(folder):
    """Start a run in a session of its own, and wait until it has simulated the first particle."""
    arguments = ("--output", folder, "--particles", 9, "--threads", 2)
    process = start_pupick("pretrain", *arguments, start_new_session=True)
    images = folder / "simulated"
    wait_until(lambda: process.poll() is not None or [*images.glob("seed0_*")], 90)
    return process, children_of(process.pid)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_process_outlives_a_run_that_is_stopped(number, tmp_path):
    """Whoever stops a job may tell all of its processes, or kill the first alone."""
    process, children = start_simulating(tmp_path)
    if number == signal.SIGKILL:
        process.kill()
    else:
        os.killpg(process.pid, number)
    _, said = process.communicate(timeout=60)
    assert len(children) >= 2
    wait_until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in children), 30)
    assert not any(os.path.exists(f"/proc/{pid}") for pid in children)
    if number != signal.SIGKILL:
        assert said.endswith("pupick pretrain: stopped; call it again to continue.\n")
    assert "Traceback" not in said


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_processes_that_are_only_starting_say_nothing_when_a_run_is_stopped(number, tmp_path):
    arguments = ("--output", tmp_path, "--particles", 9, "--threads", 2)
    process = start_pupick("pretrain", *arguments, start_new_session=True)
    # two that simulate, and one that Python starts with them
    wait_until(lambda: process.poll() is not None or len(children_of(process.pid)) >= 3, 90)
    os.killpg(process.pid, number)
    _, said = process.communicate(timeout=60)
    assert said.endswith("pupick pretrain: stopped; call it again to continue.\n")
    assert "Traceback" not in said


@pytest.mark.slow
def test_a_process_that_the_system_ends_is_told(tmp_path):
    process, children = start_simulating(tmp_path)
    os.kill(children[-1], signal.SIGKILL)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "A process that simulates was ended from outside" in said
    assert "Traceback" not in said


def test_a_start_of_another_network_is_refused_before_anything_is_simulated(tmp_path):
    conv3 = replace(load_model("general"), network=make_network("conv3"), network_name="conv3")
    save_model(conv3, tmp_path / "conv3.safetensors")
    with pytest.raises(UsageError, match="has another network"):
        make_general_model(tmp_path / "run", threads=1, start=tmp_path / "conv3.safetensors")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_general_model_asks_for_the_diameter(tmp_path):
    settings = PretrainSettings(particles=1, held_out=2, training=TINY)
    model = make_general_model(tmp_path, settings, "cpu", 1)
    assert model.scale.of(120.0).diameter == 120
    with pytest.raises(UsageError, match="give the particle's diameter") as caught:
        model.scale.of()
    assert caught.value.settings == ("diameter",)


@pytest.mark.parametrize("name", ["particles", "held_out"])
def test_numbers_must_be_positive(name):
    with pytest.raises(UsageError, match=f"{name} is 0"):
        PretrainSettings(**{name: 0})
