# SPDX-License-Identifier: GPL-3.0-or-later
"""The folder of a training: what lies where in it, and whose it is."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, List, Optional, Sequence

from ..adaptation.contrast import BRIGHT
from ..coordinates import write_picks
from ..errors import UsageError
from ..files.atomic import file_status
from ..files.json_files import read_json, write_json
from ..micrographs import Micrograph
from ..networks.model import Model, save_model
from ..preprocessing.scale import WorkingScale
from ..training.checkpoint import Checkpoint
from ..training.labels import Labels
from ..training.progress import Progress, log_epoch
from ..training.start import Start
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


def fingerprint(micrographs: Sequence[Micrograph], labels: Labels, start: Start) -> str:
    """Digest of all that the trained weights depend on.

    Args:
        micrographs: that are used.
        labels: of these.
        start: what training starts from, and its settings.
    """
    model = None if start.model is None else start.model.digest
    parts: List[Any] = [asdict(start.settings), model]
    parts.append([[m.name, m.pixel_size, *file_status(m.path)] for m in micrographs])
    for picks in (labels.positive, labels.negative):
        parts.append([[name, c.x.tolist(), c.y.tolist()] for name, c in picks.items()])
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


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

    def resume_start(self, start: Start) -> Optional[Start]:
        """Return the start with the contrast and scale that the same training has had here before.

        Found again on another processor, the scale would differ by a little, and the training
        would not be the same any more.

        Returns:
            None where the folder does not hold this training.
        """
        path = self.folder / VIEW
        view = read_json(path) if path.is_file() else None
        if view is None or view["fingerprint"] != self.fingerprint:
            return None
        if view[BRIGHT]:
            start = start.inverted()
        return start.at_scale(WorkingScale(view["diameter"], view["diameter_px"]))

    def forget(self) -> None:
        """Delete what another training has left."""
        for name in (CHECKPOINT, ESTIMATE_CHECKPOINT, MODEL, TRAIN_RECORD, TRAINING_LOG, REPORT):
            (self.folder / name).unlink(missing_ok=True)

    def begin(self, start: Start, micrographs: Sequence[Micrograph], labels: Labels) -> None:
        """Write what a report shows of a training, finished or not.

        Args:
            start: what training starts from.
            micrographs: with particles.
            labels: of these.
        """
        view = {
            **asdict(start.scale),
            BRIGHT: start.sees_negatives,
            "fingerprint": self.fingerprint,
        }
        write_json(self.folder / VIEW, view)
        write_micrographs(micrographs, self.folder)
        write_picks(labels.positive, self.folder / LABELS)

    def write_log(self, progress: Progress) -> None:
        """Write the log, and tell how the last epoch went."""
        write_training_log(progress.history, self.folder / TRAINING_LOG)
        log_epoch(progress)

    def finish(self, model: Model) -> None:
        """Write the model, and what it says of its training."""
        save_model(model, self.folder / MODEL)
        write_json(self.folder / TRAIN_RECORD, model.training)
