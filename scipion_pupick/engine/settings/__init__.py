# SPDX-License-Identifier: GPL-3.0-or-later
"""What a user or a wrapper may set: one table, from which every front takes names and texts.

The metadata of each field say what it means and which values make sense. The options of the
command line, RELION's parameters, Scipion's forms and the tables in docs/ are made from them, and
so are the checks. Only the standard library is used.
"""

from .constants import (
    GENERAL,
    LEAST_SCORE,
    MICROGRAPHS_FITTED,
    MIN_DISTANCE_DIAMETERS,
    MIRRORS,
    MOST_SEEDS,
    NETWORKS,
    NORMALISATIONS,
    OBJECTIVES,
    STRIDE,
    TOLERANCE_DIAMETERS,
    WORKING_DIAMETER_PX,
)
from .labels import LabelSettings
from .pick import EvaluateSettings, PickSettings, PreprocessSettings
from .picks import ALL_PICKS, PicksSettings
from .setting import (
    ADVANCED,
    BASIC,
    INTERNAL,
    Setting,
    make_settings,
    offered_settings,
    settings_of,
)
from .train import (
    PRETRAINING,
    Augmentation,
    OptimizerSettings,
    PretrainSettings,
    TrainSettings,
)
from .watch import WatchSettings

__all__ = [
    "ADVANCED",
    "ALL_PICKS",
    "BASIC",
    "GENERAL",
    "INTERNAL",
    "LEAST_SCORE",
    "MICROGRAPHS_FITTED",
    "MIRRORS",
    "MOST_SEEDS",
    "NETWORKS",
    "NORMALISATIONS",
    "OBJECTIVES",
    "PRETRAINING",
    "MIN_DISTANCE_DIAMETERS",
    "STRIDE",
    "TOLERANCE_DIAMETERS",
    "WORKING_DIAMETER_PX",
    "WatchSettings",
    "Augmentation",
    "EvaluateSettings",
    "LabelSettings",
    "OptimizerSettings",
    "PickSettings",
    "PicksSettings",
    "PreprocessSettings",
    "PretrainSettings",
    "Setting",
    "TrainSettings",
    "make_settings",
    "offered_settings",
    "settings_of",
]
