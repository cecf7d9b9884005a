# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings: what makes no sense is refused when it is set, before any work."""

import pytest

from scipion_pupick.engine import settings
from scipion_pupick.engine.errors import UsageError
from scipion_pupick.engine.networks.architectures import ARCHITECTURES
from scipion_pupick.engine.settings import OptimizerSettings, PickSettings, TrainSettings
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
    ],
)
def test_settings_of_picking_that_make_no_sense(name, value):
    with pytest.raises(UsageError, match=name):
        PickSettings(**{name: value})
