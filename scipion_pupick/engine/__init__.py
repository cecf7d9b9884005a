# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine: particle picking on arrays and files, free of any suite.

Every command of `pupick` is one of the functions named here; they are loaded when first used, so
that importing the engine costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .coordinates import Coordinates, Picks, convert, read_picks, write_picks
    from .errors import MicrographError, PupickError, UsageError
    from .jobs.demo import demo
    from .jobs.evaluate import evaluate
    from .jobs.evaluate_regions import evaluate_regions
    from .jobs.pick import PickResult, pick
    from .jobs.preprocess import preprocess
    from .jobs.pretrain import make_general_model
    from .jobs.report import report
    from .jobs.simulate import simulate
    from .jobs.threshold import ThresholdResult, threshold
    from .jobs.train import train
    from .micrographs import Micrograph, find_micrographs
    from .networks.model import Model, load_model
    from .networks.model_file import show_model
    from .picker import Picker
    from .settings import OptimizerSettings, PickSettings, PretrainSettings, TrainSettings

_HOMES = {
    "MicrographError": "errors",
    "PupickError": "errors",
    "UsageError": "errors",
    "Picker": "picker",
    "Coordinates": "coordinates",
    "Picks": "coordinates",
    "convert": "coordinates",
    "read_picks": "coordinates",
    "write_picks": "coordinates",
    "demo": "jobs.demo",
    "evaluate": "jobs.evaluate",
    "evaluate_regions": "jobs.evaluate_regions",
    "PickResult": "jobs.pick",
    "PickSettings": "settings",
    "pick": "jobs.pick",
    "preprocess": "jobs.preprocess",
    "report": "jobs.report",
    "PretrainSettings": "settings",
    "make_general_model": "jobs.pretrain",
    "simulate": "jobs.simulate",
    "ThresholdResult": "jobs.threshold",
    "threshold": "jobs.threshold",
    "TrainSettings": "settings",
    "train": "jobs.train",
    "Micrograph": "micrographs",
    "find_micrographs": "micrographs",
    "Model": "networks.model",
    "load_model": "networks.model",
    "show_model": "networks.model_file",
    "OptimizerSettings": "settings",
}

__all__ = [
    "Coordinates",
    "Micrograph",
    "MicrographError",
    "Model",
    "OptimizerSettings",
    "PickResult",
    "PickSettings",
    "Picker",
    "Picks",
    "PretrainSettings",
    "PupickError",
    "ThresholdResult",
    "TrainSettings",
    "UsageError",
    "convert",
    "demo",
    "evaluate",
    "evaluate_regions",
    "find_micrographs",
    "load_model",
    "make_general_model",
    "pick",
    "preprocess",
    "read_picks",
    "report",
    "show_model",
    "simulate",
    "threshold",
    "train",
    "write_picks",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
