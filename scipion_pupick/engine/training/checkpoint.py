# SPDX-License-Identifier: GPL-3.0-or-later
"""Training progress on disk, so that a killed training continues."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Dict, Mapping, Optional

from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from ..errors import OtherTrainingError, UsageError
from ..files.atomic import PathLike, atomic_write
from ..files.json_files import parse_object
from .progress import Epoch, Progress

_STATES = ("weights", "average", "best", "optimizer")


@dataclass(frozen=True)
class Checkpoint:
    """The file of one training's progress.

    Attributes:
        path: of the file.
        fingerprint: of the data and settings; a checkpoint continues only the same training.
    """

    path: Path
    fingerprint: str

    def save(self, progress: Progress) -> None:
        """Write the progress."""
        save_progress(progress, self.fingerprint, self.path)

    def load(self) -> Optional[Progress]:
        """Read the progress; see `load_progress`."""
        return load_progress(self.path, self.fingerprint)


def save_progress(progress: Progress, fingerprint: str, path: PathLike) -> None:
    """Write a checkpoint (safetensors).

    Args:
        progress: what has been reached.
        fingerprint: of the data and settings; a checkpoint continues only the same training.
        path: of the file.
    """
    tensors = {
        f"{state}/{name}": value.contiguous().clone()
        for state in _STATES
        for name, value in getattr(progress, state).items()
    }
    summary = {
        "fingerprint": fingerprint,
        "best_epoch": progress.best_epoch,
        "best_ap": progress.best_ap,
        "history": [asdict(epoch) for epoch in progress.history],
    }
    with atomic_write(path) as temporary:
        temporary.write_bytes(save(tensors, {"progress": json.dumps(summary)}))


def load_progress(path: PathLike, fingerprint: str) -> Optional[Progress]:
    """Read a checkpoint; None if there is none yet.

    Raises:
        OtherTrainingError: the checkpoint belongs to a training with other data or settings.
        UsageError: it is damaged.
    """
    if not Path(path).exists():
        return None
    try:
        if not Path(path).is_file():
            raise ValueError("not a file")
        with safe_open(path, framework="pt") as file:
            summary = parse_object(file.metadata()["progress"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            same = summary["fingerprint"] == fingerprint
            history = tuple(_epoch(row) for row in summary["history"])
            best_epoch, best_ap = int(summary["best_epoch"]), float(summary["best_ap"])
    except (SafetensorError, LookupError, TypeError, ValueError, ArithmeticError) as error:
        raise UsageError(f"{path} is damaged ({error}): delete it to train anew.") from error
    if not same:
        raise OtherTrainingError(
            f"{Path(path).parent} holds a training with other micrographs, picks or settings: "
            "give another folder, or allow to overwrite it.",
            setting=("output", "overwrite"),
        )
    states = {
        state: {
            name.split("/", 1)[1]: value
            for name, value in tensors.items()
            if name.startswith(f"{state}/")
        }
        for state in _STATES
    }
    return Progress(**states, history=history, best_epoch=best_epoch, best_ap=best_ap)


def _epoch(row: Mapping[str, Any]) -> Epoch:
    """Read an epoch.

    Raises:
        TypeError: it is none.
        ValueError: a value is not a number.
    """
    whole = ("epoch", "regions")
    values: Dict[str, Any] = {name: (int if name in whole else float)(row[name]) for name in row}
    return Epoch(**values)
