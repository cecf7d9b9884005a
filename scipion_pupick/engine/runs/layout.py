# SPDX-License-Identifier: GPL-3.0-or-later
"""The name of every file that picking and training write to the folder of a run."""

from __future__ import annotations

from pathlib import Path

# of both
MICROGRAPHS = "micrographs.tsv"
REPORT = "report.html"
# of picking, and of another threshold
PICKS = "picks.star"
PICK_RECORD = "pick.json"
THRESHOLD_RECORD = "threshold.json"
FAILED = "failed.tsv"
QUALITY = "quality.tsv"
QUALITY_JSON = "quality.json"
INDEX = ".index.jsonl"
COORDINATES = "micrographs"
SCORES = "scores"
MASKS = "masks"
PEAKS_SUFFIX = ".peaks.safetensors"
PARTS = "parts"
WATCH_LOCK = ".watch.lock"
ADAPTED_MODEL = "adapted.safetensors"
CORRECTIONS = "corrections.json"
# of picks that were suggested to be corrected
SUGGESTION = "suggestion.json"
# of the page to correct picks in
CORRECTED = "corrected"
TRAINING_OUTPUT = "output.log"
OPENING_PAGE = "open.html"
# of training
MODEL = "model.safetensors"
TRAIN_RECORD = "train.json"
TRAINING_LOG = "training.tsv"
CHECKPOINT = "checkpoint.safetensors"
ESTIMATE_CHECKPOINT = "estimate.safetensors"
LABELS = "labels.csv"
NEGATIVES = "negatives.csv"
VIEW = "view.json"
# of preprocessing
PREPROCESS_RECORD = "preprocess.json"
# of pre-training
SIMULATED = "simulated"
GENERAL_MODEL = "general.safetensors"
# of simulation
SIMULATED_MICROGRAPHS = "micrographs"
SIMULATED_PARTICLES = "particles.star"
SIMULATION_RECORD = "simulation.json"


def is_own_mask(path: str) -> bool:
    """Whether a file is a mask that a picking run has written."""
    # most paths have no such part, and there may be thousands
    return MASKS in path and any(
        folder.name == MASKS and (folder.parent / PICK_RECORD).is_file()
        for folder in Path(path).parents
    )


def holds_own_picks(folder: Path) -> bool:
    """Whether `pupick pick` or `pupick threshold` has written to a folder."""
    return any((folder / record).is_file() for record in (PICK_RECORD, THRESHOLD_RECORD))
