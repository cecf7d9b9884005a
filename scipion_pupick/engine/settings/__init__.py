# SPDX-License-Identifier: GPL-3.0-or-later
"""What a user or a wrapper may set: one table, from which every front takes names and texts.

The metadata of each field say what it means and which values make sense. The options of the
command line, RELION's parameters, Scipion's forms and the tables in docs/ are made from them, and
so are the checks. Only the standard library is used.
"""

from .combine import CombineSettings
from .constants import (
    EARLIER_GENERAL,
    GENERAL,
    LEAST_SCORE,
    MICROGRAPHS_FITTED,
    MIN_DISTANCE_DIAMETERS,
    MIRRORS,
    MOST_CONTAMINATION,
    MOST_SEEDS,
    NETWORKS,
    NORMALISATIONS,
    OBJECTIVES,
    RULES,
    STRIDE,
    SUGGESTED_PICKS,
    TOLERANCE_DIAMETERS,
    UNITS,
    WORKING_DIAMETER_PX,
)
from .corrections import CorrectionSettings
from .labels import LabelSettings
from .pick import (
    EvaluateSettings,
    PickSettings,
    PreprocessSettings,
    usual_border,
    usual_min_distance,
)
from .picks import ALL_PICKS, PicksSettings
from .recipes import make_settings
from .setting import (
    ADVANCED,
    BASIC,
    INTERNAL,
    Setting,
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
from .version_01 import (
    NEGATIVES_WEIGHT_OF_VERSION_01,
    as_meant_by_version_01,
    in_words_of_version_01,
)
from .watch import WatchSettings

__all__ = [
    "ADVANCED",
    "ALL_PICKS",
    "BASIC",
    "EARLIER_GENERAL",
    "GENERAL",
    "INTERNAL",
    "LEAST_SCORE",
    "MICROGRAPHS_FITTED",
    "MIRRORS",
    "MOST_CONTAMINATION",
    "MOST_SEEDS",
    "NEGATIVES_WEIGHT_OF_VERSION_01",
    "NETWORKS",
    "NORMALISATIONS",
    "OBJECTIVES",
    "PRETRAINING",
    "MIN_DISTANCE_DIAMETERS",
    "RULES",
    "STRIDE",
    "SUGGESTED_PICKS",
    "TOLERANCE_DIAMETERS",
    "UNITS",
    "WORKING_DIAMETER_PX",
    "WatchSettings",
    "Augmentation",
    "CombineSettings",
    "CorrectionSettings",
    "EvaluateSettings",
    "LabelSettings",
    "OptimizerSettings",
    "PickSettings",
    "PicksSettings",
    "PreprocessSettings",
    "PretrainSettings",
    "Setting",
    "TrainSettings",
    "as_meant_by_version_01",
    "in_words_of_version_01",
    "make_settings",
    "offered_settings",
    "settings_of",
    "usual_border",
    "usual_min_distance",
]
