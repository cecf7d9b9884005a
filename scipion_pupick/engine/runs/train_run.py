# SPDX-License-Identifier: GPL-3.0-or-later
"""The folder of a training: what lies where in it, and whose it is."""

from __future__ import annotations

import logging
import os
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Iterator, Mapping, Optional, Sequence, Tuple

from ..coordinates import write_picks
from ..errors import PupickError, UsageError
from ..files.atomic import make_folder, remove_leftovers
from ..files.json_files import json_values, read_json, write_json
from ..files.lock import only_owner
from ..networks.model import Model, load_model, save_model
from ..preprocessing.scale import WorkingScale
from ..training.checkpoint import Checkpoint
from ..training.progress import Progress, log_epoch
from ..training.request import TrainRequest
from .layout import (
    CHECKPOINT,
    ESTIMATE_CHECKPOINT,
    LABELS,
    MICROGRAPHS,
    MODEL,
    NEGATIVES,
    REPORT,
    TRAIN_RECORD,
    TRAINING_LOG,
    VIEW,
)
from .lists import write_micrographs
from .pick_run import holds_pick_run
from .train_folder import read_view
from .training_log import write_training_log

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainRun:
    """The folder of one training, which may hold another one yet.

    Attributes:
        folder: that exists.
        fingerprint: of the training.
    """

    folder: Path
    fingerprint: str

    @classmethod
    def begun(cls, asked: TrainRequest, folder: Path) -> Tuple[TrainRun, TrainRequest]:
        """Return the run of a request in a folder, and the request.

        If version 0.1 has begun there what the same words meant to it, it is that.

        Raises:
            PupickError: a file of the folder is damaged.
        """
        view = read_view(folder)
        if view is not None and not _is_of_later_version(view):
            old = asked.of_version_01()
            if view["fingerprint"] == old.fingerprint():
                return cls(folder, old.fingerprint()), old
        return cls(folder, asked.fingerprint()), asked

    @property
    def checkpoint(self) -> Checkpoint:
        """Checkpoint of the training."""
        return Checkpoint(self.folder / CHECKPOINT, self.fingerprint)

    @property
    def estimate(self) -> Checkpoint:
        """Checkpoint of the short training that the number of particles is estimated with."""
        return Checkpoint(self.folder / ESTIMATE_CHECKPOINT, self.fingerprint)

    @contextmanager
    def owned(self) -> Iterator[None]:
        """Make the folder, and own it while the block runs.

        Raises:
            UsageError: another run is at work in it, or it holds picks.
            OSError: it cannot be made.
        """
        make_folder(self.folder)
        self._refuse_picks()
        with only_owner(self.folder, "pupick train"):
            remove_leftovers(self.folder)
            yield

    def holds_another(self, overwrite: bool) -> bool:
        """Whether the folder holds another training; it is refused unless that may be replaced.

        Raises:
            UsageError: it is.
        """
        try:
            self.checkpoint.load()
            self.estimate.load()
            self._refuse_files()
        except UsageError:
            if not overwrite:
                raise
            return True
        return False

    def _refuse_files(self) -> None:
        """Refuse to replace a model of another training, and files of no training at all."""
        finished = (MODEL, TRAIN_RECORD)
        view = read_view(self.folder)
        if view is None and not (self.checkpoint.path.exists() or self.estimate.path.exists()):
            refused: Tuple[str, ...] = (*finished, TRAINING_LOG, MICROGRAPHS, REPORT)
        elif view is not None and view["fingerprint"] != self.fingerprint:
            refused = finished
        else:
            refused = ()
        for path in (self.folder / name for name in refused):
            if os.path.lexists(path):
                raise UsageError(
                    f"{path} was not written by this training and would be overwritten: give "
                    "another folder, or allow to overwrite it.",
                    setting=("output", "overwrite"),
                )

    def finished_model(self) -> Optional[Model]:
        """Return the model of this training if it has ended here; None if it has not."""
        view = read_view(self.folder)
        path, record = self.folder / MODEL, self.folder / TRAIN_RECORD
        if view is None or view["fingerprint"] != self.fingerprint or not path.exists():
            return None
        try:
            model = load_model(path)
            known = read_json(record)
        except (PupickError, OSError) as error:
            log.warning("%s: it is made anew.", error)
            return None
        # the record says more than the model
        return model if known == {**known, **json_values(model.training.to_dict())} else None

    @property
    def has_report(self) -> bool:
        """Whether there is a report."""
        return (self.folder / REPORT).is_file()

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
        view = read_view(self.folder)
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
        known = read_view(self.folder)
        view = {
            **request.start.scale.to_dict(),
            "bright_particles": request.start.sees_negatives,
            "fingerprint": self.fingerprint,
        }
        if known is None or _is_of_later_version(known) or not self._is_of(known):
            view["objective"] = request.start.settings.training.objective
        write_json(self.folder / VIEW, view)
        write_micrographs(request.labelled, self.folder)
        write_picks(request.labels.positive, self.folder / LABELS)
        if request.labels.negative:
            write_picks(request.labels.negative, self.folder / NEGATIVES)
        else:
            (self.folder / NEGATIVES).unlink(missing_ok=True)

    def _is_of(self, view: Mapping[str, Any]) -> bool:
        return bool(view["fingerprint"] == self.fingerprint)

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


def _is_of_later_version(view: Mapping[str, Any]) -> bool:
    return "objective" in view
