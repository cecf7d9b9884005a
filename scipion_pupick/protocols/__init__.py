# SPDX-License-Identifier: GPL-3.0-or-later
"""The protocols: each turns sets into files, runs the engine, and turns files into sets."""

from .protocol_combine import PUPickProtCombine
from .protocol_evaluate import PUPickProtEvaluate
from .protocol_import_coordinates import PUPickProtImportCoordinates
from .protocol_import_model import PUPickProtImportModel
from .protocol_pick import PUPickProtPick
from .protocol_preprocess import PUPickProtPreprocess
from .protocol_suggest import PUPickProtSuggest
from .protocol_threshold import PUPickProtThreshold
from .protocol_train import PUPickProtTrain

__all__ = [
    "PUPickProtCombine",
    "PUPickProtEvaluate",
    "PUPickProtImportCoordinates",
    "PUPickProtImportModel",
    "PUPickProtPick",
    "PUPickProtPreprocess",
    "PUPickProtSuggest",
    "PUPickProtThreshold",
    "PUPickProtTrain",
]
