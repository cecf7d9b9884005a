# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine: particle picking on arrays and files, free of any suite.

Every command of `pupick` is one of the functions named here; they are loaded when first used, so
that importing the engine costs nothing.
"""

from __future__ import annotations

import warnings
from importlib import import_module
from typing import TYPE_CHECKING, Any, Mapping

if TYPE_CHECKING:
    from .calibration.precision_recall_estimate import EstimatedCurve, estimate_precision_recall
    from .calibration.thresholds import threshold_of_count, threshold_of_precision
    from .coordinates import Coordinates, Picks, convert, read_picks, write_picks
    from .coordinates.assign_picks import assign_to_micrographs
    from .coordinates.conversion import convert_picks
    from .coordinates.file_names import file_of_micrograph, files_of_micrographs
    from .coordinates.join import join_picks
    from .coordinates.selection import find_rejected, find_selected_from, read_rejected
    from .coordinates.table import flatten_picks, group_picks
    from .device import memory_errors_explained
    from .errors import MicrographError, PupickError, UsageError
    from .evaluation.combine import PickSet
    from .evaluation.curves import PrecisionRecall
    from .evaluation.evaluate import Evaluation, evaluate_picks
    from .files.atomic import atomic_write, write_text
    from .files.json_files import read_json, write_json
    from .jobs.combine import CombineResult, combine, write_for_repic
    from .jobs.demo import demo
    from .jobs.evaluate import evaluate
    from .jobs.evaluate_regions import evaluate_regions
    from .jobs.fit import fit
    from .jobs.pick import pick
    from .jobs.pick_part import pick_part
    from .jobs.preprocess import preprocess
    from .jobs.pretrain import make_general_model
    from .jobs.report import report
    from .jobs.serve import serve
    from .jobs.simulate import simulate
    from .jobs.suggest import SuggestResult, suggest
    from .jobs.threshold import ThresholdResult, threshold
    from .jobs.train import train
    from .jobs.watch import watch
    from .micrographs import (
        Micrograph,
        find_micrographs,
        image_shape,
        match_names,
        read_image,
        read_pixel_size,
        require_pixel_size,
        write_image,
    )
    from .networks.model import Model, load_model
    from .networks.model_file import ModelFile, read_model_file, show_model
    from .picker import Picker
    from .picking.cut import Cut
    from .picking.peaks_file import MicrographPeaks
    from .preprocessing.fourier_crop import downsample
    from .preprocessing.scale import WorkingScale
    from .pretraining.labelled import LabelledSet
    from .runs.corrected_run import CorrectedRun, read_corrected_picks, read_corrected_run
    from .runs.executors.clusters import connect, start_cluster
    from .runs.executors.executor import Executor
    from .runs.lists import read_failures
    from .runs.parts import Part, part_of
    from .runs.pick_result import PickResult
    from .runs.pick_run import PickRun, read_pick_run
    from .runs.pick_sets import diameter_px, read_sets
    from .runs.quality import read_out_of_line
    from .runs.training_log import read_training_log
    from .settings import (
        CombineSettings,
        CorrectionSettings,
        EvaluateSettings,
        LabelSettings,
        OptimizerSettings,
        PickSettings,
        PicksSettings,
        PreprocessSettings,
        PretrainSettings,
        TrainSettings,
        WatchSettings,
        make_settings,
    )

# the public interface, by the modules that it comes from; the imports above tell it to mypy
_INTERFACE: Mapping[str, str] = {
    "calibration.precision_recall_estimate": "EstimatedCurve estimate_precision_recall",
    "calibration.thresholds": "threshold_of_count threshold_of_precision",
    "coordinates": "Coordinates Picks convert read_picks write_picks",
    "coordinates.assign_picks": "assign_to_micrographs",
    "coordinates.conversion": "convert_picks",
    "coordinates.file_names": "file_of_micrograph files_of_micrographs",
    "coordinates.selection": "find_rejected find_selected_from read_rejected",
    "coordinates.join": "join_picks",
    "coordinates.table": "flatten_picks group_picks",
    "device": "memory_errors_explained",
    "errors": "MicrographError PupickError UsageError",
    "evaluation.combine": "PickSet",
    "evaluation.curves": "PrecisionRecall",
    "evaluation.evaluate": "Evaluation evaluate_picks",
    "files.atomic": "atomic_write write_text",
    "files.json_files": "read_json write_json",
    "jobs.combine": "CombineResult combine write_for_repic",
    "jobs.demo": "demo",
    "jobs.evaluate": "evaluate",
    "jobs.evaluate_regions": "evaluate_regions",
    "jobs.fit": "fit",
    "jobs.pick": "pick",
    "jobs.pick_part": "pick_part",
    "jobs.preprocess": "preprocess",
    "jobs.pretrain": "make_general_model",
    "jobs.report": "report",
    "jobs.serve": "serve",
    "jobs.simulate": "simulate",
    "jobs.suggest": "SuggestResult suggest",
    "jobs.threshold": "ThresholdResult threshold",
    "jobs.train": "train",
    "jobs.watch": "watch",
    "micrographs": "Micrograph find_micrographs image_shape match_names "
    "read_image read_pixel_size require_pixel_size write_image",
    "networks.model": "Model load_model",
    "networks.model_file": "ModelFile read_model_file show_model",
    "picker": "Picker",
    "picking.cut": "Cut",
    "picking.peaks_file": "MicrographPeaks",
    "preprocessing.fourier_crop": "downsample",
    "preprocessing.scale": "WorkingScale",
    "pretraining.labelled": "LabelledSet",
    "runs.corrected_run": "CorrectedRun read_corrected_picks read_corrected_run",
    "runs.executors.clusters": "connect start_cluster",
    "runs.executors.executor": "Executor",
    "runs.lists": "read_failures",
    "runs.parts": "Part part_of",
    "runs.pick_result": "PickResult",
    "runs.pick_run": "PickRun read_pick_run",
    "runs.pick_sets": "diameter_px read_sets",
    "runs.quality": "read_out_of_line",
    "runs.training_log": "read_training_log",
    "settings": "CombineSettings CorrectionSettings EvaluateSettings LabelSettings "
    "OptimizerSettings PicksSettings PickSettings PreprocessSettings PretrainSettings "
    "TrainSettings WatchSettings make_settings",
}
_HOMES = {name: module for module, names in _INTERFACE.items() for name in names.split()}
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name == "TrainingSettings":
        text = "TrainingSettings is called OptimizerSettings now."
        warnings.warn(text, DeprecationWarning, stacklevel=2)
        name = "OptimizerSettings"
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
