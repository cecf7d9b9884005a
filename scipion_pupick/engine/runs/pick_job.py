# SPDX-License-Identifier: GPL-3.0-or-later
"""Scoring many micrographs into the folder of a run: only those that are new or changed."""

from __future__ import annotations

import hashlib
import itertools
import json
import logging
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Dict, Iterable, Iterator, List, Mapping, Optional, Sequence, Tuple, Union

import torch

from ..calibration.precision_recall_estimate import estimate_precision_recall
from ..coordinates import Coordinates
from ..device import describe_device, memory_errors_explained
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
from .pick_run import FINGERPRINTS, PickRun

log = logging.getLogger(__name__)

GPU_BATCH = 8

# a micrograph and the digest of all that its scores depend on
File = Tuple[Micrograph, str]
Prepared = Tuple[File, Union[WorkingImage, MicrographError]]


@dataclass(frozen=True)
class PickedMicrographs:
    """How picking in micrographs went.

    Attributes:
        failures: reason by name of those that failed.
        reused: how many had been scored before.
        changed: whether there was anything to do.
    """

    failures: Dict[str, str]
    reused: int
    changed: bool


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
        pixel_sizes: groups of micrographs by pixel size, for the record.
        fingerprints: by name, of the kept peaks of each micrograph: only such are read again.
    """

    picker: Picker
    model: Model
    path: Path
    digest: str
    run: PickRun
    device: torch.device
    pixel_sizes: Sequence[Mapping[str, Any]] = ()
    fingerprints: Dict[str, str] = field(default_factory=dict)

    @classmethod
    def plan(
        cls,
        path: Path,
        settings: PickSettings,
        run: PickRun,
        device: torch.device,
        pixel_sizes: Sequence[Mapping[str, Any]] = (),
    ) -> PickJob:
        """Derive from the model and the diameter what the settings leave open."""
        model = load_model(path)
        picker = Picker.of_model(model, settings, device)
        return cls(picker, model, path, model.digest, run, device, pixel_sizes)

    def pick(self, micrographs: Sequence[Micrograph]) -> PickedMicrographs:
        """Pick in micrographs, of which only those without kept peaks are scored."""
        failures = self.run.unwritable([m.name for m in micrographs])
        writable = [m for m in micrographs if m.name not in failures]
        self.fingerprints.update((m.name, self.fingerprint(m)) for m in writable)
        scored = {m for m in writable if self._has_peaks(m)}
        pending = [m for m in writable if m not in scored]
        log.info(
            "Picking %d micrographs on %s; %d are scored.",
            len(pending),
            describe_device(self.device),
            len(scored),
        )
        for reason in failures.values():
            log.warning("%s", reason)
        changed = bool(pending) or not self.run.holds_all_of(micrographs, self.record())
        if changed:
            self.run.begin(micrographs, pending, self.record())
        for micrograph in scored:
            self.write_coordinates(micrograph)
        failures.update(self.score(pending))
        return PickedMicrographs(failures, len(scored), changed)

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
            "contamination": self.picker.cut.contamination,
            "pixel_sizes": list(self.pixel_sizes),
            "versions": versions(),
            FINGERPRINTS: {name: full[:16] for name, full in self.fingerprints.items()},
        }

    def fingerprint(self, micrograph: Micrograph) -> str:
        """Digest of all that the scores of a micrograph depend on."""
        parts = [
            *(PEAKS_VERSION, self.digest, self.picker.scale.to_dict(), self.picker.min_distance),
            *(micrograph.pixel_size, file_status(micrograph.path)),
        ]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def _has_peaks(self, micrograph: Micrograph) -> bool:
        """Whether the kept peaks are those that scoring would find again."""
        peaks = self.run.kept_peaks(micrograph.name)
        return peaks is not None and peaks.fingerprint == self.fingerprints[micrograph.name]

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
        too_large: Dict[str, PupickError] = {}
        for batch in _batches(track(images, len(micrographs), "micrographs"), size):
            for (micrograph, _), image in batch:
                if isinstance(image, MicrographError):
                    failures[micrograph.name] = self._give_up(micrograph, image)
            too_large.update(self._keep([(f, i) for f, i in batch if isinstance(i, WorkingImage)]))
        if too_large and len(too_large) == len(micrographs):
            # it is not the micrographs: whatever is tried, the memory does not suffice
            raise next(iter(too_large.values()))
        return {**failures, **{name: str(error) for name, error in too_large.items()}}

    def _give_up(self, micrograph: Micrograph, error: PupickError) -> str:
        """Say that a micrograph has failed, and return the reason."""
        log.warning("%s", error)
        self.run.forget_coordinates(micrograph.name)
        return str(error)

    def _keep(self, images: Sequence[Tuple[File, WorkingImage]]) -> Dict[str, PupickError]:
        """Find the peaks of working images of one shape, keep them and write the picks.

        Returns:
            The error, by name, of each micrograph for which the memory does not suffice.
        """
        if not images:
            return {}
        try:
            with memory_errors_explained():
                peaks_of_images = self.picker.find_peaks([image for _, image in images])
        except PupickError as error:
            if len(images) > 1:
                alone = [self._keep([image]) for image in images]
                return {name: reason for each in alone for name, reason in each.items()}
            ((micrograph, _), _) = images[0]
            self._give_up(micrograph, MicrographError(f"{micrograph.path}: {error}"))
            return {micrograph.name: error}
        for ((micrograph, fingerprint), _), peaks in zip(images, peaks_of_images):
            self.fingerprints[micrograph.name] = fingerprint
            self.run.write_peaks(replace(peaks, fingerprint=fingerprint), micrograph.name)
        for (micrograph, _), _ in images:
            self.write_coordinates(micrograph)
        return {}

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
        if peaks is None or peaks.fingerprint != self.fingerprints[micrograph.name]:
            path = self.run.peaks_path(micrograph.name)
            raise PupickError(f"{path} has disappeared or was replaced: pick again.")
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
