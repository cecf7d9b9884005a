# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of a training's epochs, `training.tsv`."""

from __future__ import annotations

from dataclasses import astuple, fields
from pathlib import Path
from typing import TYPE_CHECKING, Dict, Sequence

import numpy as np

from ..errors import PupickError
from ..files.atomic import PathLike, write_text
from ..files.tables import read_table

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
    """Read a training's epochs: columns (epochs,) by name, none without a file or an epoch.

    Raises:
        PupickError: the table is damaged.
        OSError: it cannot be read.
    """
    rows = read_table(Path(path))
    try:
        return (
            {name: np.array([float(row[name]) for row in rows]) for name in rows[0]} if rows else {}
        )
    except ValueError as error:
        raise PupickError(f"{path} is damaged ({error}): it cannot be shown.") from error
