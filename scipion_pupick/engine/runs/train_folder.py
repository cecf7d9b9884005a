# SPDX-License-Identifier: GPL-3.0-or-later
"""What the folder of a training tells, finished or not; read without PyTorch."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, Optional

from ..coordinates import Picks, read_picks
from ..errors import PupickError, UsageError
from ..files.json_files import read_json
from ..networks.model_file import ModelFile, read_model_file
from ..preprocessing.scale import WorkingScale
from .layout import LABELS, MODEL, NEGATIVES, TRAINING_LOG, VIEW


def holds_training(folder: Path) -> bool:
    """Whether `pupick train` has written to a folder, at least its log."""
    return any((folder / name).is_file() for name in (TRAINING_LOG, MODEL))


def read_labels(folder: Path) -> Picks:
    """Read the labels of the training that a folder holds, px; none where it holds no training."""
    return read_picks(folder / LABELS) if (folder / LABELS).is_file() else {}


def read_negatives(folder: Path) -> Picks:
    """Read the places without a particle of the training that a folder holds, px; or none."""
    return read_picks(folder / NEGATIVES) if (folder / NEGATIVES).is_file() else {}


def read_trained_model(folder: Path) -> Optional[ModelFile]:
    """Read the model of the training that a folder holds; None where it has not ended.

    Raises:
        UsageError: the file is damaged.
    """
    return read_model_file(folder / MODEL) if (folder / MODEL).is_file() else None


def read_scale(folder: Path) -> Optional[WorkingScale]:
    """Read the working scale of a training that has begun; None where that is not known.

    Raises:
        PupickError: the file is damaged.
    """
    view = read_view(folder)
    return None if view is None else WorkingScale(view["diameter"], view["diameter_px"])


def read_view(folder: Path) -> Optional[Dict[str, Any]]:
    """Read how the training in a folder sees its micrographs; None where that is not known.

    Raises:
        PupickError: the file is damaged.
    """
    path = folder / VIEW
    if not path.exists():
        return None
    view = read_json(path)
    try:
        WorkingScale(float(view["diameter"]), float(view["diameter_px"]))
        _ = view["bright_particles"], view["fingerprint"]
    except (UsageError, LookupError, TypeError, ValueError, OverflowError) as error:
        raise PupickError(f"{path} is damaged ({error!r}): delete it to train anew.") from error
    return view
