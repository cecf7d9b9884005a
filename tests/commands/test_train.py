# SPDX-License-Identifier: GPL-3.0-or-later
"""Training from files to files: results, continuing after a kill, and what is refused."""

import json
import logging
import random
import shutil
import signal
import time
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.programs import start_pupick
from helpers.simulated import (
    DIAMETER,
    HASTY,
    MODEL,
    PARTICLES,
    PIXEL_SIZE,
    QUICK,
    SIDE,
    UNCHECKED,
    as_picks,
    modified,
    shared_model,
    simulate,
    simulate_set,
    trained_run,
)
from safetensors.numpy import load_file

from scipion_pupick.engine import (
    Coordinates,
    OptimizerSettings,
    Picker,
    PickSettings,
    TrainSettings,
    evaluate,
    find_micrographs,
    load_model,
    pick,
    read_image,
    read_picks,
    show_model,
    train,
    write_picks,
)
from scipion_pupick.engine.calibration.gaussian import calibrate
from scipion_pupick.engine.cli.main import main
from scipion_pupick.engine.errors import PupickError, UsageError
from scipion_pupick.engine.networks.model import save_model
from scipion_pupick.engine.runs.training_log import read_training_log
from scipion_pupick.engine.training.particle_count import count_particles
from scipion_pupick.engine.training.progress import Epoch
from scipion_pupick.engine.training.regions import TrainingImage
from scipion_pupick.engine.training.start import choose_start

EXAMPLE = Path(__file__).parents[2] / "examples" / "empiar10017"
CPU = {"device": "cpu", "threads": 1}
HASTY_JOB = TrainSettings(DIAMETER, particles_per_micrograph=9, training=HASTY, labels=UNCHECKED)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Four small micrographs, one of them without picks."""
    folder = tmp_path_factory.mktemp("data")
    particles = simulate_set(folder, range(4), side=144, particles=8)
    labelled = dict(list(particles.items())[:3])
    write_picks(as_picks(labelled), folder / "picks.star")
    return folder, as_picks(labelled)


def hasty(data, output, settings=HASTY_JOB, **options):
    folder, picks = data
    micrographs = find_micrographs([str(folder / "*.mrc")])
    options = {"picks": picks, "device": "cpu", "threads": 1, **options}
    return train(micrographs, output=output, settings=settings, **options)


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def unstopped(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("unstopped")
    hasty(data, folder)
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return shared_model(tmp_path_factory)


def test_the_results_are_written(unstopped):
    assert set(files(unstopped)) == {
        "model.safetensors",
        "checkpoint.safetensors",
        "training.tsv",
        "train.json",
        "micrographs.tsv",
        "labels.csv",
        "view.json",
        "report.html",
    }
    summary = json.loads((unstopped / "train.json").read_text())
    (pixel_sizes,) = summary.pop("pixel_sizes")
    assert pixel_sizes == {"pixel_size": 4.0, "from": "header", "micrographs": 4}
    assert summary == show_model(unstopped / "model.safetensors")["training"]
    assert (summary["labels"], summary["micrographs"], summary["held_out_labels"]) == (24, 4, 0)
    assert (summary["epochs"], summary["best_epoch"]) == (HASTY.epochs, HASTY.epochs)
    assert summary["particles_per_micrograph"] == 9
    assert summary["particles_estimated"] is False
    assert summary["held_out_average_precision"] is None
    assert summary["failed_micrographs"] == {}
    assert summary["settings"]["seed"] == HASTY.seed


def test_the_log_has_a_row_for_each_epoch(tmp_path_factory):
    trained = trained_run(tmp_path_factory)
    header, *rows = [
        line.split("\t") for line in (trained / "training.tsv").read_text().splitlines()
    ]
    assert header == [column.name for column in fields(Epoch)]
    table = np.array(rows, float)
    summary = json.loads((trained / "train.json").read_text())
    assert table[:, 0].tolist() == list(range(1, summary["epochs"] + 1))
    held_out = table[:, header.index("held_out_ap")]
    half = len(held_out) // 2
    assert held_out[half:].argmax() + half + 1 == summary["best_epoch"]
    assert held_out[half:].max() == pytest.approx(summary["held_out_average_precision"], abs=1e-5)
    assert table[0, header.index("pi")] == pytest.approx(summary["pi"], abs=1e-5)
    assert np.isfinite(table).all()


def test_the_model_of_the_tests_can_be_trained_again(tmp_path_factory, trained, tmp_path):
    """Not to the bit: processors add numbers in other orders, and training enlarges that."""
    simulate(tmp_path / "unseen.mrc", 77)
    image = read_image(tmp_path / "unseen.mrc")
    pickers = [
        Picker.load(folder / "model.safetensors")
        for folder in (trained_run(tmp_path_factory), trained)
    ]
    assert pickers[0].threshold == pytest.approx(pickers[1].threshold, abs=0.5)
    again, scores = (picker.score_map(image, pixel_size=PIXEL_SIZE) for picker in pickers)
    assert np.corrcoef(again.ravel(), scores.ravel())[0, 1] > 0.999


def test_the_model_holds_what_was_trained(unstopped):
    model = load_model(unstopped / "model.safetensors")
    best = load_file(unstopped / "checkpoint.safetensors")
    assert model.scale.diameter == DIAMETER
    assert model.network_name == HASTY.network
    for name, value in model.network.state_dict().items():
        if not name.startswith("classifier"):
            np.testing.assert_array_equal(value, best[f"best/network.{name}"])


def test_the_last_layer_is_calibrated(unstopped):
    network = load_model(unstopped / "model.safetensors").network
    best = load_file(unstopped / "checkpoint.safetensors")
    ratio = network.classifier.weight.detach().numpy() / best["best/network.classifier.weight"]
    assert ratio.min() > 0
    np.testing.assert_allclose(ratio, ratio.mean(), rtol=1e-4)


def test_the_same_training_gives_the_same_files(data, unstopped, tmp_path):
    hasty(data, tmp_path / "new" / "folder")
    again = files(tmp_path / "new" / "folder")
    for name in ("model.safetensors", "training.tsv", "train.json"):
        assert again[name] == files(unstopped)[name]


def test_a_finished_training_is_not_repeated(data, unstopped, caplog):
    caplog.set_level(logging.INFO)
    before, when = files(unstopped), modified(unstopped)
    hasty(data, unstopped)
    assert files(unstopped) == before
    assert modified(unstopped) == when
    assert "epoch" not in caplog.text


def test_training_that_fails_midway_continues(data, unstopped, tmp_path, monkeypatch):
    calls = []

    def fails_at_the_second(path, text):
        calls.append(path)
        if len(calls) == 2:
            raise OSError(28, "No space left on device", str(path))

    with monkeypatch.context() as patch:
        patch.setattr("scipion_pupick.engine.runs.training_log.write_text", fails_at_the_second)
        with pytest.raises(OSError, match="No space left"):
            hasty(data, tmp_path)
    left = {"checkpoint.safetensors", "view.json", "micrographs.tsv", "labels.csv"}
    assert set(files(tmp_path)) == left
    hasty(data, tmp_path)
    assert files(tmp_path)["model.safetensors"] == files(unstopped)["model.safetensors"]
    assert files(tmp_path)["training.tsv"] == files(unstopped)["training.tsv"]


LONG = replace(HASTY, epochs=12, steps=1)


def long_arguments(data, output):
    folder, _ = data
    return [
        *("train", "--micrographs", folder / "*.mrc", "--picks", folder / "picks.star"),
        *("--diameter", DIAMETER, "--particles-per-micrograph", 9, "--output", output),
        *("--network", LONG.network, "--autoencoder", LONG.autoencoder, "--seed", LONG.seed),
        *("--training-radius", LONG.training_radius, "--epochs", LONG.epochs),
        *("--steps", LONG.steps, "--device", "cpu", "--threads", 1, "--check-picks", "off"),
    ]


def wait_for(condition, process):
    end = time.monotonic() + 60
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.02)


def epochs_in(folder):
    """How many epochs the log of a training has."""
    log = folder / "training.tsv"
    return len(log.read_text().splitlines()) - 1 if log.exists() else 0


@pytest.fixture(scope="module")
def interrupted(data, tmp_path_factory):
    """A training that was stopped by each signal, then killed; and how each process ended."""
    folder = tmp_path_factory.mktemp("interrupted")
    ends = {}
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGKILL):
        process = start_pupick(*long_arguments(data, folder))
        epochs = epochs_in(folder)
        wait_for(lambda epochs=epochs: epochs_in(folder) > epochs, process)
        # what is tested must hold wherever the blow falls
        time.sleep(random.uniform(0, 0.3))  # noqa: S311
        process.send_signal(number)
        _, error = process.communicate(timeout=60)
        hidden = [path.name for path in folder.iterdir() if path.name.startswith(".")]
        ends[number] = process.returncode, error, hidden
    assert not (folder / "model.safetensors").exists()
    return folder, ends


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_training_says_how_to_continue(interrupted, number):
    code, error, hidden = interrupted[1][number]
    assert code == 1
    assert error.splitlines()[-1] == "pupick train: stopped; call it again to continue."
    assert "Traceback" not in error
    assert hidden == []


@pytest.mark.slow
def test_a_killed_training_continues_as_if_never_killed(data, interrupted, tmp_path):
    killed, ends = interrupted
    assert ends[signal.SIGKILL][0] == -signal.SIGKILL
    for folder in (killed, tmp_path):
        assert main([*map(str, long_arguments(data, folder))]) == 0
    for name in ("model.safetensors", "training.tsv", "train.json"):
        assert (killed / name).read_bytes() == (tmp_path / name).read_bytes()


@pytest.mark.parametrize(
    "change",
    [
        {"settings": replace(HASTY_JOB, diameter=95.0)},
        {"settings": replace(HASTY_JOB, particles_per_micrograph=10)},
        {"settings": replace(HASTY_JOB, normalisation="affine")},
        {"settings": replace(HASTY_JOB, training=replace(HASTY, seed=9))},
        {"picks": "fewer"},
        {"negatives": "some"},
    ],
)
def test_another_training_in_the_folder_is_refused(data, unstopped, change):
    _, picks = data
    if change.get("picks"):
        change = {"picks": dict(list(picks.items())[1:])}
    if change.get("negatives"):
        change = {"negatives": dict(list(picks.items())[:1])}
    before = files(unstopped)
    with pytest.raises(UsageError, match="allow to overwrite") as caught:
        hasty(data, unstopped, **change)
    assert str(unstopped) in str(caught.value)
    assert files(unstopped) == before


def test_a_micrograph_that_has_changed_makes_another_training(tmp_path):
    particles = simulate_set(tmp_path / "data", range(2), side=144, particles=8)
    data = tmp_path / "data", as_picks(particles)
    hasty(data, tmp_path / "out")
    simulate(tmp_path / "data" / "m1.mrc", 7, side=144, particles=8)
    with pytest.raises(UsageError, match="allow to overwrite"):
        hasty(data, tmp_path / "out")


@pytest.mark.slow
@pytest.mark.parametrize("particles", [9, None])
def test_overwriting_trains_anew(data, tmp_path, particles):
    settings = replace(HASTY_JOB, particles_per_micrograph=particles)
    other = replace(settings, training=replace(HASTY, seed=9))
    hasty(data, tmp_path / "one", settings)
    hasty(data, tmp_path / "one", other, overwrite=True)
    hasty(data, tmp_path / "two", other)
    one, two = (files(tmp_path / name) for name in ("one", "two"))
    # the report has the folder's name
    assert {**one, "report.html": b""} == {**two, "report.html": b""}


def test_overwriting_keeps_the_same_training(data, unstopped, tmp_path):
    again = shutil.copytree(unstopped, tmp_path / "again")
    before = modified(again)["checkpoint.safetensors"]
    hasty(data, again, overwrite=True)
    assert modified(again)["checkpoint.safetensors"] == before


def test_no_model_of_another_training_stays_behind(data, unstopped, tmp_path):
    again = shutil.copytree(unstopped, tmp_path / "again")
    diverging = replace(HASTY_JOB.training, learning_rate=1e38, steps=4)
    with pytest.raises(PupickError, match="[Ll]earning rate"):
        hasty(data, again, replace(HASTY_JOB, training=diverging), overwrite=True)
    assert set(files(again)) <= {"view.json", "micrographs.tsv", "labels.csv"}


@pytest.mark.parametrize("wrong", ["number", "device", "micrographs"])
def test_a_training_that_cannot_start_leaves_the_one_before(data, unstopped, tmp_path, wrong):
    again = shutil.copytree(unstopped, tmp_path / "again")
    before = files(again)
    if wrong == "number":
        crowded = replace(HASTY_JOB, particles_per_micrograph=1e5)
        with pytest.raises(UsageError, match="do not fit"):
            hasty(data, again, crowded, overwrite=True)
    elif wrong == "device":
        with pytest.raises(UsageError, match="cuda:77"):
            hasty(data, again, replace(HASTY_JOB, diameter=70.0), overwrite=True, device="cuda:77")
    else:
        (tmp_path / "broken.mrc").write_bytes(b"no image")
        micrographs = find_micrographs([str(tmp_path / "broken.mrc")])
        labels = {"broken": next(iter(data[1].values()))}
        with pytest.raises(PupickError):
            train(micrographs, labels, again, HASTY_JOB, overwrite=True, device="cpu", threads=1)
    after = files(again)
    assert {name: after[name] for name in before} == before


def test_picks_that_become_negatives_are_another_training(data, unstopped, tmp_path):
    """Both keep their order among all picks."""
    again = shutil.copytree(unstopped, tmp_path / "again")
    folder, picks = data
    *rest, last = picks
    labelled, negatives = {name: picks[name] for name in rest}, {last: picks[last]}
    micrographs = find_micrographs([str(folder)])
    with pytest.raises(UsageError, match="training with other micrographs, picks"):
        train(micrographs, labelled, again, HASTY_JOB, negatives=negatives, **CPU)


def test_places_cannot_be_particles_and_negatives_at_once(data, tmp_path):
    folder, picks = data
    name, own = next(iter(picks.items()))
    near = Coordinates.unscored(own.x[:2] + 1, own.y[:2])
    with pytest.raises(UsageError, match="2 of 2 negatives lie on picked particles") as refused:
        train(find_micrographs([str(folder)]), picks, tmp_path, HASTY_JOB, {name: near}, **CPU)
    assert refused.value.settings == ("picks", "negatives")


def test_a_few_negatives_on_particles_are_left_out(data, tmp_path, caplog):
    """As where the same particle was picked twice, and sorted into two classes."""
    caplog.set_level(logging.INFO)
    folder, picks = data
    name, own = next(iter(picks.items()))
    mixed = Coordinates.unscored([own.x[0] + 1, 5, 139, 5], [own.y[0], 5, 5, 139])
    hasty(data, tmp_path, negatives={name: mixed})
    assert "1 of 4 negatives are left out" in caplog.text


@pytest.mark.slow
def test_fewer_particles_than_are_labelled_are_doubted(data, tmp_path, caplog):
    hasty(data, tmp_path / "few", replace(HASTY_JOB, particles_per_micrograph=5))
    assert "24 particles are labelled in 4 micrographs, more than 5 in each" in caplog.text
    caplog.clear()
    hasty(data, tmp_path / "enough", replace(HASTY_JOB, particles_per_micrograph=6))
    assert "are labelled" not in caplog.text


def test_neither_hand_picks_nor_a_picking_run_are_written_over(data, tmp_path):
    by_hand, run = tmp_path / "by_hand", tmp_path / "run"
    for folder, name in ((by_hand, "labels.csv"), (run, "pick.json")):
        folder.mkdir()
        (folder / name).write_text("{}")
        with pytest.raises(UsageError, match="give another folder"):
            hasty(data, folder)
        assert files(folder).keys() == {name}


@pytest.mark.slow
def test_the_number_of_particles_is_estimated_by_all_micrographs(tmp_path):
    """One with many labels says nothing of the others."""
    folder = tmp_path / "mics"
    full = simulate_set(folder, range(1), side=288, particles=20)
    empty = simulate_set(folder, range(1, 5), side=288, particles=2)
    picks = as_picks({**full, **empty})
    settings = TrainSettings(DIAMETER, training=replace(QUICK, epochs=3), labels=UNCHECKED)
    model = train(find_micrographs([str(folder)]), picks, tmp_path / "run", settings, **CPU)
    assert model.training.particles_per_micrograph < 15


def test_the_number_of_particles_holds_for_where_peaks_are_counted(data, tmp_path, monkeypatch):
    """Peaks near the edges are not calibrated on, so the particles there must not count either."""
    seen = []

    def watched(scores, particles, *more):
        seen.append(particles)
        return calibrate(scores, particles, *more)

    monkeypatch.setattr("scipion_pupick.engine.training.trained_model.calibrate", watched)
    hasty(data, tmp_path)
    # particles are 24 px wide, and the micrographs 144 px; 1.1 is PROBABILITY_PER_PARTICLE
    assert seen == [pytest.approx(1.1 * 9 * 4 * (1 - 24 / 144) ** 2, rel=0.01)]


def test_negatives_are_never_left_out(data, tmp_path):
    folder, picks = data
    negatives = {"m3": Coordinates.unscored([20.0], [20.0])}
    few = replace(HASTY_JOB, most_micrographs=1)
    with_negatives = hasty(data, tmp_path / "with", few, negatives=negatives)
    assert with_negatives.training.micrographs == 4
    assert hasty(data, tmp_path / "without", few).training.micrographs == 3


def test_many_picks_with_rejected_ones_are_learned_from_as_fainter_copies(data, tmp_path):
    x, y = (axis.ravel() for axis in np.meshgrid(*[np.arange(8, 136, 8.0)] * 2))
    rejected = {"m3": Coordinates.unscored([20.0], [20.0])}
    for number, negatives, faintest in ((256, rejected, 0.5), (250, rejected, 1), (256, None, 1)):
        picks = {"m0": Coordinates.unscored(x[:number], y[:number])}
        settings = replace(HASTY_JOB, particles_per_micrograph=300, held_out=0.0)
        how = {"picks": picks, "negatives": negatives, "start": MODEL}
        model = hasty(data, tmp_path / f"{number}{faintest}", settings, **how)
        assert model.training.settings["augmentation"]["faintest"] == faintest


@pytest.mark.slow
def test_a_training_that_goes_on_elsewhere_keeps_its_scale(tmp_path):
    """The scale that another processor finds differs in its last digits."""
    micrographs = find_micrographs([str(EXAMPLE / "micrographs")])[:1]
    labels = read_picks([EXAMPLE / "picks_100.star"])
    training = replace(OptimizerSettings(), epochs=1, steps=1)
    settings = TrainSettings(
        180.0, particles_per_micrograph=600, training=training, labels=UNCHECKED
    )
    output = tmp_path / "out"
    options = {"device": "cpu", "threads": 1}
    first = train(micrographs, labels, output, settings, **options)
    view = json.loads((output / "view.json").read_text())
    assert view["diameter_px"] == first.scale.diameter_px
    (output / "view.json").write_text(json.dumps({**view, "diameter_px": 24.5}))
    (output / "model.safetensors").unlink()
    assert train(micrographs, labels, output, settings, **options).scale.diameter_px == 24.5


def test_micrographs_without_picks_are_learned_from(data, unstopped, tmp_path):
    folder, picks = data
    micrographs = [m for m in find_micrographs([str(folder)]) if m.name in picks]
    model = train(micrographs, picks, tmp_path, HASTY_JOB, device="cpu", threads=1)
    assert model.training.micrographs == 3
    assert model.digest != load_model(unstopped / "model.safetensors").digest


def test_a_limit_leaves_out_unlabelled_micrographs_only(data, tmp_path):
    model = hasty(data, tmp_path, replace(HASTY_JOB, most_micrographs=1))
    assert (model.training.micrographs, model.training.labels) == (3, 24)


@pytest.mark.parametrize("normalisation", ["joint", "affine"])
def test_the_other_normalisations_are_kept_in_the_model(data, tmp_path, normalisation):
    hasty(data, tmp_path, replace(HASTY_JOB, normalisation=normalisation))
    model = load_model(tmp_path / "model.safetensors")
    assert model.normalisation == ("affine" if normalisation == "affine" else "gmm")
    assert (model.mixture is not None) == (normalisation == "joint")


def test_the_picks_names_need_not_be_written_alike(data, unstopped, tmp_path):
    _, picks = data
    stems = {name.rsplit("/", 1)[1][:-4]: coordinates for name, coordinates in picks.items()}
    model = hasty(data, tmp_path, picks=stems)
    assert model.digest == load_model(unstopped / "model.safetensors").digest


def test_a_broken_micrograph_is_left_out_and_named(data, tmp_path):
    folder, picks = data
    (tmp_path / "broken.mrc").write_bytes((folder / "m0.mrc").read_bytes()[:-100])
    micrographs = find_micrographs([str(folder), str(tmp_path / "broken.mrc")])
    model = train(micrographs, picks, tmp_path / "out", HASTY_JOB, device="cpu", threads=1)
    assert list(model.training.failed_micrographs) == [(tmp_path / "broken.mrc").as_posix()]
    assert "truncated" in str(model.training.failed_micrographs)


def test_training_starts_from_a_model(data, trained, tmp_path):
    start = trained / "model.safetensors"
    gentle = replace(HASTY_JOB, training=replace(HASTY, learning_rate=1e-6, network="resnet8"))
    model = hasty(data, tmp_path, gentle, start=start)
    # the network is that of the start, whatever the settings say
    assert model.network_name == "conv3"
    assert model.training.finetuned_fraction == pytest.approx(24**0.5 / (24**0.5 + 8))
    for (name, value), old in zip(
        model.network.state_dict().items(), load_model(start).network.state_dict().values()
    ):
        averages = name.endswith(("running_mean", "running_var", "num_batches_tracked"))
        # the last layer is calibrated anew
        if not averages and not name.startswith("classifier"):
            np.testing.assert_allclose(value, old, atol=1e-4)
    with pytest.raises(UsageError, match="allow to overwrite"):
        hasty(data, tmp_path, gentle)


@pytest.mark.slow
def test_a_network_that_training_spoils_is_kept(trained, tmp_path):
    right = read_picks(trained / "picks.star")
    held_out, *others = sorted(right)
    misleading = {name: places_between(right[name], 50) for name in others}
    start = load_model(trained / "model.safetensors")
    with torch.no_grad():
        # ranks as before, but has no say in an average
        start.network.classifier.weight.mul_(0.01)
    save_model(start, tmp_path / "start.safetensors")
    settings = replace(
        HASTY_JOB,
        particles_per_micrograph=PARTICLES,
        held_out=0.1,
        training=replace(QUICK, epochs=3, steps=10),
    )
    model = hasty(
        (trained / "train", {held_out: right[held_out], **misleading}),
        tmp_path / "out",
        settings,
        negatives={name: right[name] for name in others},
        start=tmp_path / "start.safetensors",
    )
    assert model.training.held_out_labels == len(right[held_out])
    assert model.training.finetuned_fraction == 0
    assert model.training.held_out_average_precision == 1
    # the last layer is calibrated anew
    for value, old in zip(model.network.features.parameters(), start.network.features.parameters()):
        assert torch.equal(value, old)


def test_settings_that_a_model_does_not_take_over_are_said(caplog):
    caplog.set_level("INFO")
    settings = TrainSettings(180.0, normalisation="joint")
    settings = replace(settings, training=replace(settings.training, network="resnet16", units=8))
    start = choose_start(MODEL, settings)
    network, units = start.settings.training.network, start.settings.training.units
    (said,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    for name, used, wished in (
        *(("network", network, "resnet16"), ("units", units, 8)),
        ("normalisation", start.settings.normalisation, "joint"),
    ):
        assert f"{name} is {used} (not {wished})" in said
    caplog.clear()
    choose_start(MODEL, TrainSettings(180.0))
    assert "not" not in caplog.text


def places_between(particles, count):
    """Places that lie on no particle."""
    xy = np.random.default_rng(5).uniform(8, SIDE - 8, (20 * count, 2))
    apart = np.hypot(xy[:, :1] - particles.x, xy[:, 1:] - particles.y).min(axis=1)
    return Coordinates.unscored(*xy[apart > 16][:count].T)


@pytest.mark.slow
def test_few_labels_adjust_a_trained_network_in_half_as_many_steps(data, trained, tmp_path):
    settings = replace(HASTY_JOB, training=replace(HASTY, epochs=1, steps=None))
    hasty(data, tmp_path / "scratch", settings, start=None)
    hasty(data, tmp_path / "adjusted", settings, start=trained / "model.safetensors")
    regions = [
        read_training_log(tmp_path / name / "training.tsv")["regions"]
        for name in ("scratch", "adjusted")
    ]
    # how many of a tile are unlabelled regions is chance
    assert regions[0] == pytest.approx(2 * regions[1], rel=0.2)


@pytest.mark.slow
def test_the_number_of_particles_is_estimated(trained, tmp_path):
    few = as_picks(simulate_set(trained / "train", range(4)), most=6)
    settings = TrainSettings(DIAMETER, training=QUICK, labels=UNCHECKED)
    micrographs = find_micrographs([str(trained / "train")])
    model = train(micrographs, few, tmp_path, settings, device="cpu", threads=1)
    assert model.training.particles_estimated is True
    assert PARTICLES / 2 < model.training.particles_per_micrograph < 2 * PARTICLES
    assert "estimate.safetensors" in files(tmp_path)


def test_the_threshold_gives_the_expected_number_of_picks(trained, tmp_path):
    particles = simulate_set(tmp_path / "unseen", range(20, 24))
    model = trained / "model.safetensors"
    micrographs = find_micrographs([str(tmp_path / "unseen")])
    result = pick(micrographs, model, tmp_path / "out", device="cpu", threads=1)
    assert result.threshold == load_model(model).threshold
    count = sum(len(coordinates) for coordinates in result.picks.values())
    assert count == pytest.approx(4 * PARTICLES, rel=0.15)
    everything = PickSettings(threshold=-8.0)
    found = pick(micrographs, model, tmp_path / "out", everything, device="cpu", threads=1)
    curve = evaluate(found.picks, as_picks(particles), 10).curve
    assert curve.average_precision > 0.9
    f1 = evaluate(result.picks, as_picks(particles), 10).curve.of_all[2]
    assert f1 > curve.best_f1 - 0.03


def test_the_estimate_agrees_with_the_truth(trained, tmp_path):
    particles = simulate_set(tmp_path / "unseen", range(20, 24))
    micrographs = find_micrographs([str(tmp_path / "unseen")])
    model = trained / "model.safetensors"
    result = pick(micrographs, model, tmp_path / "out", device="cpu", threads=1)
    estimate = json.loads((tmp_path / "out" / "pick.json").read_text())["estimate"]
    assert estimate == result.estimate
    precision, recall, _ = evaluate(result.picks, as_picks(particles), 10).curve.of_all
    assert estimate["precision_low"] - 0.02 <= precision <= estimate["precision_high"] + 0.02
    assert estimate["recall_low"] - 0.02 <= recall <= estimate["recall_high"] + 0.02
    count = sum(len(coordinates) for coordinates in result.picks.values())
    assert estimate["true_picks"] + estimate["false_picks"] == pytest.approx(count, abs=0.01)
    assert f"{round(100 * estimate['precision'])} % of them are right" in result.summary()


def score_map_of(image):
    """A scorer that reads scores out of the image itself, every fourth pixel."""
    return image[:, ::4, ::4]


def test_particles_are_counted_by_the_scores_of_the_labels():
    image = np.full((200, 200), -9.0, np.float32)
    places = np.array([(x, y) for x in range(20, 200, 40) for y in range(20, 200, 40)])
    image[places[:, 1], places[:, 0]] = np.linspace(1, 2, 25)
    labelled = places[::5].astype(float)
    known = TrainingImage(image, np.zeros((200, 200), np.uint8), labelled, np.empty((0, 2)))
    number = count_particles(score_map_of, [known], [known], 24.0)
    assert number == pytest.approx(25, rel=0.25)


def test_labels_that_were_not_found_do_not_upset_the_count():
    image = np.random.default_rng(0).normal(-3, 1, (200, 200)).astype(np.float32)
    image[::40, ::40] = 2
    labelled = np.array([[3.0, 90.0], [90.0, 3.0], [40.0, 40.0], [80.0, 80.0], [120.0, 120.0]])
    known = TrainingImage(image, np.zeros((200, 200), np.uint8), labelled, np.empty((0, 2)))
    number = count_particles(score_map_of, [known], [known], 24.0)
    assert np.isfinite(number)
    assert number < 200 * 200 / 24**2


@pytest.mark.parametrize("picks", [{}, {"m0": []}])
def test_no_label_at_all_is_refused(data, tmp_path, picks):
    with pytest.raises(UsageError, match="at least one"):
        hasty(data, tmp_path, picks=as_picks({name: np.empty((0, 2)) for name in picks}))


def test_picks_of_other_micrographs_are_refused(data, tmp_path):
    picks = as_picks({"elsewhere/x1.mrc": np.ones((3, 2))})
    with pytest.raises(UsageError, match=r"other micrographs.*elsewhere/x1.mrc.*m0.mrc"):
        hasty(data, tmp_path, picks=picks)


@pytest.mark.slow
def test_particles_are_counted_right_where_all_of_them_are_labelled(tmp_path):
    particles = simulate_set(tmp_path / "faint", range(6), contrast=-0.5)
    micrographs = find_micrographs([str(tmp_path / "faint")])
    settings = TrainSettings(
        DIAMETER, PARTICLES, training=replace(QUICK, epochs=6), labels=UNCHECKED
    )
    train(micrographs, as_picks(particles), tmp_path, settings, device="cpu", threads=1)
    every = PickSettings(threshold=-8)
    model = tmp_path / "model.safetensors"
    found = pick(micrographs, model, tmp_path / "picks", every, device="cpu", threads=1)
    probability = 1 / (1 + np.exp(-np.concatenate([c.score for c in found.picks.values()])))
    assert probability.sum() == pytest.approx(6 * PARTICLES, rel=0.2)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"held_out": 1.0}, "held_out is 1"),
        ({"held_out": float("nan")}, "held_out is nan"),
        ({"normalisation": "none"}, "'none'"),
        ({"particles_per_micrograph": 0}, "particles_per_micrograph is 0"),
        ({"particles_per_micrograph": float("nan")}, "particles_per_micrograph is nan"),
    ],
)
def test_settings_that_make_no_sense_are_refused(change, text):
    with pytest.raises(UsageError, match=text):
        replace(HASTY_JOB, **change)


def test_more_particles_than_fit_are_refused(data, tmp_path):
    settings = replace(HASTY_JOB, particles_per_micrograph=1e5)
    with pytest.raises(UsageError, match="do not fit") as caught:
        hasty(data, tmp_path, settings)
    assert "particles_per_micrograph" in caught.value.settings


def test_the_log_lines_tell_the_labels_and_the_epochs(data, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    hasty(data, tmp_path)
    assert "Training on 24 labels in 3 micrographs" in caplog.text
    assert sum(message.startswith("epoch ") for message in caplog.messages) == HASTY.epochs
