# SPDX-License-Identifier: GPL-3.0-or-later
"""Recipes: what settings are where they are not given, by one word."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any, Mapping, Type, TypeVar

from .constants import WITH_SLACK
from .setting import settings_from, settings_of
from .train import Augmentation

_Settings = TypeVar("_Settings")

# Bepler et al., Methods 2, 4 to 7. The preprint gives no batch size, learning rate or number of
# updates. 16 labelled and 240 unlabelled regions and Adam at 2e-4 are those of the published
# program; regions are turned and mirrored, as there.
PAPER: Mapping[str, Any] = MappingProxyType(
    {
        "normalisation": "joint",
        "held_out": 0.0,
        "network": "conv3",
        "objective": "ge-binomial",
        "reconstruction": "sum",
        "sampling": "regions",
        "labelled_regions": 16,
        "unlabeled_scores": 240,
        "augmentation": Augmentation(scale=0.0, gain=0.0, offset=0.0, faintest=1.0),
        "first_scores": "even",
        "learning_rate": 2e-4,
        "schedule": "constant",
        "weight_decay": 0.0,
        "averaging": 0.0,
        "epochs": 20,
        "steps": 100,
    }
)


def recipe_values(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what the recipe among values says of settings, by name; nothing without one.

    Of the paper's, labelled negatives are pooled where the objective lets them.
    """
    if values.get("recipe") != "paper":
        return {}
    objective = values.get("objective", PAPER["objective"])
    return {**PAPER, "negatives_weight": "pooled" if objective in WITH_SLACK else "class"}


def make_settings(kind: Type[_Settings], values: Mapping[str, Any]) -> _Settings:
    """Make settings from values by name; names of other things are left out.

    Where a recipe is among the values and among the settings, it says what those are that are not
    among the values.

    Raises:
        UsageError: a value makes no sense.
    """
    if any(setting.name == "recipe" for setting in settings_of(kind)):
        values = {**recipe_values(values), **values}
    return settings_from(kind, values)
