# SPDX-License-Identifier: GPL-3.0-or-later
"""Picks that cannot be right stop a training, and the settings that this names mend it."""

from dataclasses import replace

import numpy as np
import pytest
from helpers.simulated import DIAMETER, HASTY, as_picks, simulate_set

from scipion_pupick.engine import (
    Coordinates,
    LabelSettings,
    TrainSettings,
    find_micrographs,
    read_picks,
    train,
    write_picks,
)
from scipion_pupick.engine.cli.main import main
from scipion_pupick.engine.errors import UsageError

SETTINGS = TrainSettings(DIAMETER, 25, training=replace(HASTY, epochs=1))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Three micrographs, and their particles by micrograph."""
    folder = tmp_path_factory.mktemp("data")
    picks = as_picks(simulate_set(folder, range(3)))
    return find_micrographs([str(folder)]), picks


def swapped_and_enlarged(picks):
    """As of micrographs four times as large, with x and y exchanged."""
    return {name: Coordinates(4 * c.y, 4 * c.x, c.score) for name, c in picks.items()}


def run(data, output, picks, labels=None, **options):
    settings = replace(SETTINGS, labels=labels or LabelSettings())
    return train(data[0], picks, output, settings, start=None, device="cpu", threads=1, **options)


@pytest.mark.slow
def test_the_setting_that_the_error_names_mends_the_picks(data, tmp_path):
    wrong = swapped_and_enlarged(data[1])
    with pytest.raises(UsageError, match=r"scale them by 0\.25 and swap") as caught:
        run(data, tmp_path / "wrong", wrong)
    assert caught.value.settings == ("picks_scale", "picks_swap", "check_picks")
    mended = LabelSettings(picks_scale=0.25, picks_swap="yes")
    model = run(data, tmp_path / "mended", wrong, mended)
    assert model.digest == run(data, tmp_path / "right", data[1]).digest
    for name, kept in read_picks(tmp_path / "mended" / "labels.csv").items():
        np.testing.assert_allclose(kept.xy, data[1][name].xy, atol=0.01)


@pytest.mark.slow
def test_negatives_are_changed_like_the_picks(data, tmp_path):
    particles, places = {}, {}
    for name, c in data[1].items():
        particles[name], places[name] = c.select(range(20)), c.select(range(20, len(c)))
    mended = LabelSettings(picks_scale=0.25, picks_swap="yes")
    one = run(data, tmp_path / "one", particles, negatives=places)
    other = run(
        data,
        tmp_path / "other",
        swapped_and_enlarged(particles),
        mended,
        negatives=swapped_and_enlarged(places),
    )
    assert one.digest == other.digest


@pytest.mark.slow
def test_a_training_that_goes_on_is_not_checked_again(data, tmp_path, monkeypatch):
    first = run(data, tmp_path, data[1])

    def never(*arguments):
        raise AssertionError("the labels were looked at again")

    monkeypatch.setattr("scipion_pupick.engine.training.request.check_labels", never)
    assert run(data, tmp_path, data[1]).digest == first.digest
    # neither does the check make another training
    assert run(data, tmp_path, data[1], LabelSettings("off")).digest == first.digest


def test_the_command_names_its_options_and_takes_them(data, tmp_path, caplog):
    write_picks(swapped_and_enlarged(data[1]), tmp_path / "picks.star")
    command = [
        *("train", "--micrographs", *(str(m.path) for m in data[0])),
        *("--picks", str(tmp_path / "picks.star"), "--output", str(tmp_path / "out")),
        *("--diameter", f"{DIAMETER:g}", "--particles-per-micrograph", "25", "--from-scratch"),
        *("--network", "conv3", "--epochs", "1", "--steps", "1", "--device", "cpu"),
    ]
    assert main(command) == 2
    assert "(--picks-scale, --picks-swap, --check-picks)" in caplog.text
    assert main([*command, "--picks-scale", "0.25", "--picks-swap", "yes"]) == 0
