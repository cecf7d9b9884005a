# SPDX-License-Identifier: GPL-3.0-or-later
"""The folder of a training: what lies where in it, and whose it is."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Mapping, Optional, Sequence

from ..coordinates import Picks, read_picks, write_picks
from ..errors import UsageError
from ..files.json_files import read_json, write_json
from ..networks.model import Model, load_model, save_model
from ..preprocessing.scale import WorkingScale
from ..training.checkpoint import Checkpoint
from ..training.progress import Progress, log_epoch
from ..training.request import TrainRequest
from .layout import (
    CHECKPOINT,
    ESTIMATE_CHECKPOINT,
    LABELS,
    MODEL,
    REPORT,
    TRAIN_RECORD,
    TRAINING_LOG,
    VIEW,
)
from .lists import write_micrographs
from .pick_run import holds_pick_run
from .training_log import write_training_log


@dataclass(frozen=True)
class TrainRun:
    """The folder of one training, which may hold another one yet.

    Attributes:
        folder: that exists.
        fingerprint: of the training.
    """

    folder: Path
    fingerprint: str

    @property
    def checkpoint(self) -> Checkpoint:
        """Checkpoint of the training."""
        return Checkpoint(self.folder / CHECKPOINT, self.fingerprint)

    @property
    def estimate(self) -> Checkpoint:
        """Checkpoint of the short training that the number of particles is estimated with."""
        return Checkpoint(self.folder / ESTIMATE_CHECKPOINT, self.fingerprint)

    def holds_another(self, overwrite: bool) -> bool:
        """Whether the folder holds another training; it is refused unless that may be replaced.

        Raises:
            UsageError: it is, or the folder holds picks.
        """
        self._refuse_picks()
        try:
            self.checkpoint.load()
            self.estimate.load()
        except UsageError:
            if not overwrite:
                raise
            return True
        return False

    def _refuse_picks(self) -> None:
        if holds_pick_run(self.folder):
            raise UsageError(
                f"{self.folder} holds the picks of a run: give another folder for the model."
            )
        if (self.folder / LABELS).is_file() and not (self.folder / VIEW).is_file():
            raise UsageError(
                f"{self.folder / LABELS} was not written by a training and would be overwritten: "
                "give another folder.",
                setting="output",
            )

    def resumed(self, request: TrainRequest) -> Optional[TrainRequest]:
        """Return the request with the contrast and scale that it has had here before.

        Found again on another processor, the scale would differ by a little, and the training
        would not be the same any more.

        Returns:
            None where the folder does not hold this training.
        """
        path = self.folder / VIEW
        view = read_json(path) if path.is_file() else None
        if view is None or view["fingerprint"] != self.fingerprint:
            return None
        start = request.start.inverted() if view["bright_particles"] else request.start
        scale = WorkingScale(view["diameter"], view["diameter_px"])
        return replace(request, start=start.at_scale(scale))

    def forget(self) -> None:
        """Delete what another training has left."""
        for name in (CHECKPOINT, ESTIMATE_CHECKPOINT, MODEL, TRAIN_RECORD, TRAINING_LOG, REPORT):
            (self.folder / name).unlink(missing_ok=True)

    def begin(self, request: TrainRequest) -> None:
        """Write what a report shows of a training, finished or not."""
        view = {
            **asdict(request.start.scale),
            "bright_particles": request.start.sees_negatives,
            "fingerprint": self.fingerprint,
        }
        write_json(self.folder / VIEW, view)
        write_micrographs(request.labelled, self.folder)
        write_picks(request.labels.positive, self.folder / LABELS)

    def write_log(self, progress: Progress) -> None:
        """Write the log, and tell how the last epoch went."""
        write_training_log(progress.history, self.folder / TRAINING_LOG)
        log_epoch(progress)

    def finish(self, model: Model, pixel_sizes: Sequence[Mapping[str, Any]] = ()) -> None:
        """Write the model, and what it says of its training.

        Args:
            model: that was trained.
            pixel_sizes: groups of micrographs by pixel size, for the record.
        """
        save_model(model, self.folder / MODEL)
        record = {**model.training.to_dict(), "pixel_sizes": list(pixel_sizes)}
        write_json(self.folder / TRAIN_RECORD, record)


def holds_training(folder: Path) -> bool:
    """Whether `pupick train` has written to a folder, at least its log."""
    return any((folder / name).is_file() for name in (TRAINING_LOG, MODEL))


def read_labels(folder: Path) -> Picks:
    """Read the labels of the training that a folder holds, px; none where it holds no training."""
    return read_picks(folder / LABELS) if (folder / LABELS).is_file() else {}


def read_trained_model(folder: Path) -> Optional[Model]:
    """Read the model of the training that a folder holds; None where it has not ended.

    Raises:
        UsageError: the file is damaged.
    """
    return load_model(folder / MODEL) if (folder / MODEL).is_file() else None


def read_scale(folder: Path) -> Optional[WorkingScale]:
    """Read the working scale of a training that has begun; None where that is not known.

    Raises:
        PupickError: the file is damaged.
    """
    if not (folder / VIEW).is_file():
        return None
    view = read_json(folder / VIEW)
    return WorkingScale(view["diameter"], view["diameter_px"])
