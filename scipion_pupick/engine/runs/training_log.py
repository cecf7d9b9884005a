# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of a training's epochs, `training.tsv`."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Dict

import numpy as np

from ..files.atomic import PathLike


def read_training_log(path: PathLike) -> Dict[str, np.ndarray]:
    """Read a training's epochs: columns (epochs,) by name, none without a file or an epoch."""
    if not Path(path).is_file():
        return {}
    with Path(path).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    return {name: np.array([float(row[name]) for row in rows]) for name in rows[0]} if rows else {}
