# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of a training's epochs, `training.tsv`."""

from __future__ import annotations

import csv
from dataclasses import astuple, fields
from pathlib import Path
from typing import TYPE_CHECKING, Dict, Sequence

import numpy as np

from ..files.atomic import PathLike, write_text

if TYPE_CHECKING:
    # PyTorch, which this brings along, is not there where a log is only read
    from ..training.progress import Epoch


def write_training_log(history: Sequence[Epoch], path: PathLike) -> None:
    """Write a training's epochs, one or more, as a table (TSV), a row for each."""
    names = [column.name for column in fields(history[0])]
    rows = [
        [f"{value:.6g}" if isinstance(value, float) else str(value) for value in astuple(epoch)]
        for epoch in history
    ]
    write_text(path, "".join("\t".join(row) + "\n" for row in [names, *rows]))


def read_training_log(path: PathLike) -> Dict[str, np.ndarray]:
    """Read a training's epochs: columns (epochs,) by name, none without a file or an epoch."""
    if not Path(path).is_file():
        return {}
    with Path(path).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    return {name: np.array([float(row[name]) for row in rows]) for name in rows[0]} if rows else {}
