# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings: what makes no sense is refused when it is set, before any work."""

import json
from pathlib import Path

import pytest

from scipion_pupick.engine import settings
from scipion_pupick.engine.errors import UsageError
from scipion_pupick.engine.networks.architectures import ARCHITECTURES
from scipion_pupick.engine.settings import (
    OptimizerSettings,
    PickSettings,
    TrainSettings,
    as_meant_by_version_01,
    in_words_of_version_01,
    make_settings,
)
from scipion_pupick.engine.training.objectives import OBJECTIVE_FUNCTIONS


def test_the_choices_are_what_there_is():
    assert set(settings.NETWORKS) == set(ARCHITECTURES)
    assert set(settings.OBJECTIVES) == set(OBJECTIVE_FUNCTIONS)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("network", "vgg"),
        ("objective", "mse"),
        ("slack", -1.0),
        ("autoencoder", -1.0),
        ("distillation", -1.0),
        ("autoencoder", float("nan")),
        ("diameter_px", 0.0),
        ("training_radius", float("nan")),
        ("epochs", 0),
        ("steps", 0),
        ("mosaics", 0),
        ("tiles", -1),
        ("unlabeled_scores", 0),
        ("learning_rate", 0.0),
        ("weight_decay", -1.0),
        ("averaging", 1.0),
        ("seed", -1),
        ("learning_rate", float("inf")),
        ("weight_decay", float("inf")),
        ("slack", 1.0),
        ("units", 30),
        ("units", 0),
        ("negatives_weight", "pooled"),
        ("sampling", "crops"),
    ],
)
def test_training_settings_that_make_no_sense(name, value):
    with pytest.raises(UsageError, match=f"{name}|{str(value).rstrip('.0')}"):
        OptimizerSettings(**{name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("normalisation", "zscore"),
        ("held_out", 1.0),
        ("held_out", -0.1),
        ("particles_per_micrograph", 0.0),
        ("particles_per_micrograph", float("nan")),
        ("particles_per_micrograph", float("inf")),
    ],
)
def test_settings_of_a_training_that_make_no_sense(name, value):
    with pytest.raises(UsageError, match=name):
        TrainSettings(180.0, **{name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("threshold", -8.5),
        ("threshold", float("nan")),
        ("threshold", float("-inf")),
        ("threshold", float("inf")),
        ("border", -1.0),
        ("border", float("inf")),
        ("min_distance", float("nan")),
        ("contamination", -0.1),
        ("contamination", 50.0),
    ],
)
def test_settings_of_picking_that_make_no_sense(name, value):
    with pytest.raises(UsageError, match=name):
        PickSettings(**{name: value})


def test_the_autoencoder_has_one_weight():
    with pytest.raises(UsageError, match="0.5 for its error summed over pixels and 2 per pixel"):
        OptimizerSettings(autoencoder=0.5, autoencoder_per_pixel=2.0)


def test_labelled_negatives_can_be_pooled_where_the_paper_does():
    for objective in ("ge-kl", "ge-binomial", "ge-binomial-kl"):
        OptimizerSettings(objective=objective, negatives_weight="pooled")


def words_of(**training):
    """The words of version 0.1 for a training; all words that it had are in all of them."""
    words = in_words_of_version_01(TrainSettings(180.0, training=OptimizerSettings(**training)))
    assert {"network", "objective", "autoencoder", "augmentation"} <= words["training"].keys()
    return words


def test_a_recipe_is_no_single_value():
    made = make_settings(TrainSettings, {"diameter": 100.0, "recipe": "paper"})
    assert made.training.network == "conv3"
    with pytest.raises(UsageError, match=r"make_settings\(TrainSettings, {'recipe': 'paper'"):
        TrainSettings(100.0, recipe="paper")


def test_settings_in_words_of_version_01_have_no_other_words_where_they_are_as_they_come():
    made_with = Path(__file__).parents[1] / "fixtures" / "v0.1" / "made_with.json"
    expected = json.loads(made_with.read_text())["expected"]
    known = expected["train-stopped"]["train_json"]["settings"]
    assert list(words_of()["training"]) == list(known)
    assert words_of(units=64)["training"]["units"] == 64


def test_version_01_had_other_names_for_the_objective_and_the_autoencoder():
    assert words_of(objective="ge-binomial-kl")["training"]["objective"] == "ge-binomial"
    assert words_of(objective="ge-binomial")["training"]["objective"] != "ge-binomial"
    assert words_of(autoencoder_per_pixel=0.5)["training"]["autoencoder"] == 0.5
    assert words_of(autoencoder=0.5)["training"]["autoencoder"] is None
    assert words_of(autoencoder=0.0) == words_of(autoencoder_per_pixel=0.0)
    weights = [{"autoencoder": 0.5}, {"autoencoder_per_pixel": 0.5}, {}, {"autoencoder": 0.1}]
    assert len({json.dumps(words_of(**weight)) for weight in weights}) == 4


def test_what_version_01_meant_is_said_in_its_words():
    asked = OptimizerSettings(objective="ge-binomial", autoencoder=0.5, network="conv3")
    meant = as_meant_by_version_01(TrainSettings(180.0, training=asked))
    assert meant.training.objective == "ge-binomial-kl"
    assert (meant.training.autoencoder, meant.training.autoencoder_per_pixel) == (None, 0.5)
    assert meant.training.negatives_weight == "class"
    words = in_words_of_version_01(meant)["training"]
    assert (words["objective"], words["autoencoder"]) == ("ge-binomial", 0.5)
