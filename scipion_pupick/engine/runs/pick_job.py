# SPDX-License-Identifier: GPL-3.0-or-later
"""Scoring many micrographs into the folder of a run: only those that are new or changed."""

from __future__ import annotations

import hashlib
import itertools
import json
import logging
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Dict, Iterable, Iterator, List, Mapping, Optional, Sequence, Tuple, Union

import torch

from ..calibration.precision_recall_estimate import estimate_precision_recall
from ..coordinates import Coordinates
from ..device import describe_device
from ..errors import MicrographError, PupickError
from ..files.atomic import file_status
from ..files.prefetch import prefetch
from ..files.progress import track
from ..micrographs import Micrograph, Shape
from ..networks.model import Model, load_model, versions
from ..picker import Picker
from ..picking.peaks_file import PEAKS_VERSION, MicrographPeaks
from ..preprocessing.working_image import WorkingImage
from ..settings import PickSettings
from .pick_run import PickRun

log = logging.getLogger(__name__)

GPU_BATCH = 8

# a micrograph and the digest of all that its scores depend on
File = Tuple[Micrograph, str]
Prepared = Tuple[File, Union[WorkingImage, MicrographError]]


@dataclass(frozen=True)
class PickJob:
    """Picking in many micrographs, which leaves its results in the folder of a run.

    Attributes:
        picker: finds the peaks.
        model: of the picker.
        path: of the model's file.
        digest: of the model.
        run: that the results belong to.
        device: to compute on.
    """

    picker: Picker
    model: Model
    path: Path
    digest: str
    run: PickRun
    device: torch.device

    @classmethod
    def plan(
        cls, path: Path, settings: PickSettings, run: PickRun, device: torch.device
    ) -> PickJob:
        """Derive from the model and the diameter what the settings leave open."""
        model = load_model(path)
        picker = Picker.of_model(model, settings, device)
        return cls(picker, model, path, model.digest, run, device)

    def pick(self, micrographs: Sequence[Micrograph]) -> Tuple[Dict[str, str], int]:
        """Pick in micrographs, of which only those without kept peaks are scored.

        Returns:
            The reason, by name, of each micrograph that failed, and how many were scored before.
        """
        scored = {m for m in micrographs if self.is_done(m)}
        pending = [m for m in micrographs if m not in scored]
        log.info(
            "Picking %d micrographs on %s; %d are scored.",
            len(pending),
            describe_device(self.device),
            len(scored),
        )
        self.run.begin(micrographs, pending, self.record())
        for micrograph in scored:
            self.write_coordinates(micrograph)
        return self.score(pending), len(scored)

    def record(self) -> Mapping[str, Any]:
        """Return what is known of the run when it begins."""
        return {
            "model": str(self.path.absolute()),
            "digest": self.digest,
            "device": describe_device(self.device),
            "training": self.model.training.to_dict(),
            "threshold": self.picker.threshold,
            "diameter": self.picker.diameter,
            "edge": self.picker.cut.border,
            "separation": self.picker.min_distance,
            "versions": versions(),
        }

    def fingerprint(self, micrograph: Micrograph) -> str:
        """Digest of all that the scores of a micrograph depend on."""
        parts = [
            *(PEAKS_VERSION, self.digest, asdict(self.picker.scale), self.picker.min_distance),
            *(micrograph.pixel_size, file_status(micrograph.path)),
        ]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def is_done(self, micrograph: Micrograph) -> bool:
        """Whether the kept peaks are those that scoring would find again."""
        peaks = self.run.kept_peaks(micrograph.name)
        return peaks is not None and peaks.fingerprint == self.fingerprint(micrograph)

    def score(self, micrographs: Sequence[Micrograph]) -> Dict[str, str]:
        """Score micrographs, keep their peaks and write their picks.

        Returns:
            The reason, by name, of each micrograph that failed.
        """
        # digests are of the files before they are read: one that is replaced later is read again
        files = ((micrograph, self.fingerprint(micrograph)) for micrograph in micrographs)
        images = prefetch(lambda file: self.picker.prepare(file[0]), files)
        size = 1 if self.device.type == "cpu" else GPU_BATCH
        failures: Dict[str, str] = {}
        for batch in _batches(track(images, len(micrographs), "micrographs"), size):
            for (micrograph, _), image in batch:
                if isinstance(image, MicrographError):
                    log.warning("%s", image)
                    failures[micrograph.name] = str(image)
                    self.run.forget_coordinates(micrograph.name)
            self._keep([(f, image) for f, image in batch if isinstance(image, WorkingImage)])
        return failures

    def _keep(self, images: Sequence[Tuple[File, WorkingImage]]) -> None:
        """Find the peaks of working images of one shape, keep them and write the picks."""
        if not images:
            return
        peaks_of_images = self.picker.find_peaks([image for _, image in images])
        for ((micrograph, fingerprint), _), peaks in zip(images, peaks_of_images):
            self.run.write_peaks(replace(peaks, fingerprint=fingerprint), micrograph.name)
        for (micrograph, _), _ in images:
            self.write_coordinates(micrograph)

    def estimate(self, micrographs: Sequence[Micrograph]) -> Dict[str, float]:
        """Estimate how good the picks of scored micrographs are, if scores are calibrated."""
        uncertainty = self.model.training.score_uncertainty
        if uncertainty is None:
            return {}
        cut = self.picker.cut.of_all_scores
        scores = [cut.choose(self._peaks_of(m)).score for m in micrographs]
        threshold = self.picker.threshold
        curve = estimate_precision_recall(scores, uncertainty, [threshold])
        return curve.at(threshold).summary()

    def picks_of(self, micrograph: Micrograph) -> Coordinates:
        """Return the picks of a scored micrograph."""
        return self.picker.choose(self._peaks_of(micrograph))

    def _peaks_of(self, micrograph: Micrograph) -> MicrographPeaks:
        peaks = self.run.kept_peaks(micrograph.name)
        if peaks is None:
            path = self.run.peaks_path(micrograph.name)
            raise PupickError(f"{path} has disappeared: pick again.")
        return peaks

    def write_coordinates(self, micrograph: Micrograph) -> None:
        """Write the picks of a scored micrograph."""
        self.run.write_coordinates(self.picks_of(micrograph), micrograph.name)


def _batches(images: Iterable[Prepared], size: int) -> Iterator[List[Prepared]]:
    """Group consecutive images of the same shape, at most `size` together."""
    for _, group in itertools.groupby(images, key=_working_shape):
        while batch := list(itertools.islice(group, size)):
            yield batch


def _working_shape(prepared: Prepared) -> Optional[Shape]:
    image = prepared[1]
    return image.image.shape if isinstance(image, WorkingImage) else None
