# SPDX-License-Identifier: GPL-3.0-or-later
"""Training on a network's own sure peaks."""

import numpy as np
import pytest
from simulated import DIAMETER, HASTY, as_picks, simulate_set

from scipion_pupick.engine import find_micrographs, train
from scipion_pupick.engine.calibration import Calibration
from scipion_pupick.engine.errors import UsageError
from scipion_pupick.engine.networks import STRIDE
from scipion_pupick.engine.regions import MASKED, POSITIVE, UNLABELED, label_map
from scipion_pupick.engine.sampling import TrainingImage
from scipion_pupick.engine.self_training import with_sure_peaks
from scipion_pupick.engine.settings import TrainingSettings, TrainSettings

SETTINGS = TrainingSettings()
AS_THEY_ARE = Calibration(1.0, 0.0, 0.0)


def scorer_of(odds_at):
    """A scorer that gives chosen places a peak of chosen log-odds, and all others -9."""

    def score(images):
        maps = np.full((1, images.shape[1] // STRIDE, images.shape[2] // STRIDE), -9.0, np.float32)
        for (x, y), odds in odds_at.items():
            maps[0, y // STRIDE, x // STRIDE] = odds
        return maps

    return score


def completed(odds_at, positive=(), negative=()):
    positive = np.array(positive, float).reshape(-1, 2)
    labels = label_map((240, 240), positive, SETTINGS.training_radius, 8.0)
    image = TrainingImage(
        np.zeros((240, 240), np.float32), labels, positive, np.reshape(negative, (-1, 2))
    )
    (result,) = with_sure_peaks([image], scorer_of(odds_at), lambda scores: AS_THEY_ARE, SETTINGS)
    return result


def label_at(image, x, y):
    return image.labels[y, x]


def test_sure_peaks_become_labels_and_doubtful_ones_are_left_out():
    # probabilities of 0.9, 0.5 and 0.1
    image = completed({(40, 40): 2.2, (120, 120): 0.0, (200, 200): -2.2})
    assert image.positive.tolist() == [[40, 40]]
    assert label_at(image, 40, 40) == label_at(image, 42, 40) == POSITIVE
    assert label_at(image, 47, 40) == MASKED
    assert label_at(image, 51, 40) == UNLABELED
    assert label_at(image, 120, 120) == label_at(image, 127, 120) == MASKED
    assert label_at(image, 200, 200) == UNLABELED


def test_what_is_labelled_by_hand_stays():
    """A sure peak 4 px from a pick is that particle; one at a negative is no particle."""
    image = completed(
        {(44, 40): 5.0, (120, 120): 5.0}, positive=[(40, 40)], negative=[(120.0, 120.0)]
    )
    assert image.positive.tolist() == [[40, 40]]
    assert label_at(image, 40, 40) == POSITIVE
    assert label_at(image, 120, 120) == UNLABELED
    assert image.negative.tolist() == [[120, 120]]


def test_a_doubtful_peak_takes_nothing_from_a_label():
    image = completed({(40, 40): 5.0, (52, 40): 0.0})
    assert label_at(image, 43, 40) == POSITIVE
    assert label_at(image, 52, 40) == MASKED


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    particles = simulate_set(folder, range(2), side=144, particles=8)
    return find_micrographs([str(folder / "*.mrc")]), as_picks(particles)


def run(data, output, **settings):
    micrographs, picks = data
    start = settings.pop("start", None)
    job = TrainSettings(DIAMETER, particles_per_micrograph=9, training=HASTY, **settings)
    return train(micrographs, picks, output, job, start=start, device="cpu", threads=1)


def weights(model):
    return {name: value.numpy() for name, value in model.network.state_dict().items()}


def test_it_changes_the_network_and_can_be_left_out(data, tmp_path):
    without, with_it = run(data, tmp_path / "a"), run(data, tmp_path / "b", self_training=1)
    assert without.training["self_training"] == 0
    assert with_it.training["self_training"] == 1
    name = "features.0.weight"
    assert np.abs(weights(without)[name] - weights(with_it)[name]).max() > 0


def test_few_labels_and_a_start_mean_two_rounds(data, tmp_path):
    run(data, tmp_path / "start")
    start = tmp_path / "start" / "model.safetensors"
    assert run(data, tmp_path / "few", start=start).training["self_training"] == 2
    none = run(data, tmp_path / "none", start=start, self_training=0)
    assert none.training["self_training"] == 0


def test_the_rounds_of_a_finished_training_are_not_repeated(data, tmp_path):
    first = run(data, tmp_path, self_training=2)
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.glob("self_training_*")}
    assert len(kept) == 2
    (tmp_path / "model.safetensors").unlink()
    second = run(data, tmp_path, self_training=2)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    for name, value in weights(first).items():
        np.testing.assert_array_equal(value, weights(second)[name])


def test_fewer_than_no_rounds_are_refused():
    with pytest.raises(UsageError, match="self_training is -1"):
        TrainSettings(DIAMETER, self_training=-1)
