# SPDX-License-Identifier: GPL-3.0-or-later
"""The folder in which a general model is made."""

from __future__ import annotations

import hashlib
import json
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator, Optional

from ..errors import OtherTrainingError, UsageError
from ..files.atomic import make_folder, remove_leftovers
from ..files.lock import only_owner
from ..networks.model import Model, save_model
from ..settings import PretrainSettings, in_words_of_version_01
from ..training.checkpoint import Checkpoint
from ..training.progress import Progress, log_epoch
from .layout import CHECKPOINT, GENERAL_MODEL, SIMULATED, TRAINING_LOG
from .training_log import write_training_log


@dataclass(frozen=True)
class PretrainRun:
    """The folder in which one general model is made.

    Attributes:
        folder: that exists.
        fingerprint: of the settings.
    """

    folder: Path
    fingerprint: str

    @classmethod
    def of_settings(
        cls, folder: Path, settings: PretrainSettings, sources: str = ""
    ) -> PretrainRun:
        """Return the run in a folder with these settings, and with a digest of its sources."""
        text = json.dumps(in_words_of_version_01(settings)) + sources
        return cls(folder, hashlib.sha256(text.encode()).hexdigest())

    @property
    def checkpoint(self) -> Checkpoint:
        """Checkpoint of the training."""
        return Checkpoint(self.folder / CHECKPOINT, self.fingerprint)

    @property
    def simulated(self) -> Path:
        """Folder of the simulated images."""
        return self.folder / SIMULATED

    @contextmanager
    def owned(self) -> Iterator[None]:
        """Make the folder, and own it while the block runs.

        Raises:
            UsageError: another run is at work in it, or it holds a model that was not made there.
            OSError: it cannot be made.
        """
        make_folder(self.folder)
        with only_owner(self.folder, "pupick pretrain"):
            for path in (self.folder / GENERAL_MODEL, self.folder / TRAINING_LOG):
                if path.exists() and not self.checkpoint.path.exists():
                    raise UsageError(
                        f"{path} was not written by this training and would be overwritten: give "
                        "another folder.",
                        setting="output",
                    )
            remove_leftovers(self.folder)
            remove_leftovers(self.simulated)
            yield

    def reached(self) -> Optional[Progress]:
        """Read what a run that was stopped had reached; None where nothing is trained yet.

        Raises:
            UsageError: the folder holds another training, or a damaged one.
        """
        try:
            return self.checkpoint.load()
        except OtherTrainingError as error:
            raise UsageError(
                f"{self.folder} holds a training with other settings, proteins, labelled "
                "micrographs or model to start from: give another folder.",
                setting="output",
            ) from error

    def save(self, progress: Progress) -> None:
        """Write checkpoint and log, and tell how the last epoch went."""
        self.checkpoint.save(progress)
        write_training_log(progress.history, self.folder / TRAINING_LOG)
        log_epoch(progress)

    def finish(self, model: Model) -> None:
        """Write the model."""
        save_model(model, self.folder / GENERAL_MODEL)
