# SPDX-License-Identifier: GPL-3.0-or-later
"""What the protocols hand on to each other beside sets of micrographs and coordinates."""

from __future__ import annotations

import hashlib
import os
from typing import List, Optional

import pyworkflow.object as pwobj
from pwem.objects import EMObject

from .engine import show_model
from .engine.networks.model_file import model_path
from .engine.networks.training_record import TrainingRecord


class PUPickModel(EMObject):
    """A trained model, and what it knows of itself.

    Attributes stored by Scipion: path of the file, diameter of the particle (Å), pixel size of the
    images that the network sees (Å/px), score from which on it picks, labels trained on, and the
    average precision on held-out labels (None if none were held out).
    """

    def __init__(self, path: str = "", **kwargs: object) -> None:
        super().__init__(**kwargs)
        self._path = pwobj.String(path or None)
        self._diameter = pwobj.Float()
        self._pixelSize = pwobj.Float()
        self._threshold = pwobj.Float()
        self._labels = pwobj.Integer()
        self._averagePrecision = pwobj.Float()

    @classmethod
    def from_file(cls, path: str) -> PUPickModel:
        """Describe a model file.

        Raises:
            UsageError: no such file, or not a model that this version of pupick can use.
        """
        metadata = show_model(path)
        training = TrainingRecord.from_dict(metadata["training"])
        model = cls(path)
        if metadata["diameter"] is not None:
            model._diameter.set(metadata["diameter"])
            model._pixelSize.set(metadata["diameter"] / metadata["diameter_px"])
        model._threshold.set(metadata["threshold"])
        model._labels.set(training.labels)
        model._averagePrecision.set(training.held_out_average_precision)
        return model

    def __str__(self) -> str:
        diameter = self.getDiameter()
        fits = "any diameter" if diameter is None else f"{diameter:g} Å"
        return f"PUPickModel ({fits}, {self._labels.get() or 'no'} labels)"

    def getPath(self) -> str:
        """Return the path of the model file, from the project's folder."""
        return str(self._path.get())

    def getFileName(self) -> str:
        """Return the path of the model file, as Scipion calls it for all its files."""
        return self.getPath()

    def getFiles(self) -> List[str]:
        """Return the files that have to travel with the object."""
        return [self.getPath()] if os.path.exists(self.getPath()) else []

    def digest(self) -> str:
        """Return a digest of the file: a training that starts anew writes to the same path."""
        return hashlib.sha256(model_path(self.getPath()).read_bytes()).hexdigest()[:16]

    def getDiameter(self) -> Optional[float]:
        """Return the diameter of the particle, Å; None for a model for particles of any."""
        return self._diameter.get()

    def getPixelSize(self) -> Optional[float]:
        """Return the pixel size of what the network sees, Å/px; None without a diameter."""
        return self._pixelSize.get()

    def getThreshold(self) -> float:
        """Return the score (log-odds) from which on the model picks, unless told otherwise."""
        return float(self._threshold.get())
