# SPDX-License-Identifier: GPL-3.0-or-later
"""Scoring micrographs into the folder of a run, as any process on any computer does it."""

from __future__ import annotations

import hashlib
import itertools
import json
import logging
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Dict, Iterable, Iterator, List, Mapping, Optional, Sequence, Tuple, Union

import torch

from ..device import memory_errors_explained
from ..errors import MicrographError, PupickError
from ..files.atomic import file_status
from ..files.prefetch import prefetch
from ..micrographs import Micrograph, Shape
from ..networks.model import load_model
from ..networks.scoring import in_full_batches
from ..picker import Picker
from ..picking.peaks_file import PEAKS_VERSION
from ..preprocessing.working_image import WorkingImage
from ..settings import PickSettings
from .pick_run import PickRun

log = logging.getLogger(__name__)

GPU_BATCH = 8
# of the CPU's threads, one in so many prepares micrographs
THREADS_FOR_A_READER = 4

# a micrograph and the digest of all that its scores depend on
File = Tuple[Micrograph, str]
Prepared = Tuple[File, Union[WorkingImage, MicrographError]]


@dataclass(frozen=True)
class ScoringTask:
    """What it takes to score micrographs of a run, wherever its disk can be seen.

    Attributes:
        model: path of the model's file.
        digest: of the model.
        settings: how to pick.
        folder: of the run.
        peaks_only: whether picks are left to be chosen from the peaks later.
        masks: whether to write masks of contamination.
    """

    model: Path
    digest: str
    settings: PickSettings
    folder: Path
    peaks_only: bool = False
    masks: bool = False

    def to_dict(self) -> Dict[str, Any]:
        """Describe the task in JSON's types, with absolute paths."""
        paths = {"model": str(self.model.absolute()), "folder": str(self.folder.absolute())}
        return {**asdict(self), **paths}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ScoringTask:
        """Undo `to_dict`."""
        paths = {name: Path(values[name]) for name in ("model", "folder")}
        return cls(**{**values, **paths, "settings": PickSettings(**values["settings"])})


@dataclass(frozen=True)
class Scored:
    """How scoring one micrograph went.

    Attributes:
        name: of the micrograph.
        fingerprint: of what its peaks were found with; empty where there are none.
        error: why there are none. It is a `MicrographError` where the micrograph is to blame, and
            another where the memory did not suffice.
    """

    name: str
    fingerprint: str = ""
    error: Optional[PupickError] = None


def fingerprint_of(micrograph: Micrograph, digest: str, picker: Picker) -> str:
    """Digest of all that the scores of a micrograph depend on.

    Args:
        micrograph: to be scored.
        digest: of the model.
        picker: of the model.
    """
    parts = [
        *(PEAKS_VERSION, digest, picker.scale.to_dict(), picker.min_distance),
        *(micrograph.pixel_size, file_status(micrograph.path)),
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


@dataclass(frozen=True)
class MicrographScorer:
    """Scores micrographs that stream through, on one device.

    Attributes:
        task: what to do.
        picker: finds the peaks.
        device: that the picker computes on.
    """

    task: ScoringTask
    picker: Picker
    device: torch.device

    @classmethod
    def of_task(cls, task: ScoringTask, device: torch.device) -> MicrographScorer:
        """Load the model of a task.

        Raises:
            UsageError: it cannot be used.
            PupickError: it is no longer the one that the task was made for.
        """
        model = load_model(task.model)
        if model.digest != task.digest:
            raise PupickError(f"{task.model} has changed since the run began: pick again.")
        return cls(task, Picker.of_model(model, task.settings, device), device)

    @property
    def batch(self) -> int:
        """How many micrographs are scored at once."""
        return 1 if self.device.type == "cpu" else GPU_BATCH

    @property
    def ahead(self) -> int:
        """How many micrographs are prepared, or being prepared, before they are needed."""
        return self._readers + self.batch - 1

    @property
    def _readers(self) -> int:
        """Threads that prepare micrographs: all where a GPU scores them."""
        threads = torch.get_num_threads()
        return threads if self.device.type != "cpu" else max(1, threads // THREADS_FOR_A_READER)

    def score(self, micrographs: Iterable[Micrograph]) -> Iterator[Scored]:
        """Score micrographs, keep their peaks and write their picks.

        Yields:
            How it went, for one micrograph after the other.
        """
        # digests are of the files before they are read: one that is replaced later is read again
        files = ((m, fingerprint_of(m, self.task.digest, self.picker)) for m in micrographs)
        prepare = self.picker.prepare
        images = prefetch(lambda file: prepare(file[0]), files, self.ahead, self._readers)
        for batch in _batches(images, self.batch):
            for (micrograph, _), image in batch:
                if isinstance(image, MicrographError):
                    yield self._give_up(micrograph, image)
            yield from self._keep([(f, i) for f, i in batch if isinstance(i, WorkingImage)])

    @property
    def _run(self) -> PickRun:
        return PickRun(self.task.folder)

    def _give_up(self, micrograph: Micrograph, error: PupickError) -> Scored:
        self._run.forget_coordinates(micrograph.name)
        return Scored(micrograph.name, error=error)

    def _keep(
        self, images: Sequence[Tuple[File, WorkingImage]], together: bool = True
    ) -> Iterator[Scored]:
        """Find the peaks of working images of one shape, keep them and write the picks."""
        if not images:
            return
        picker = self.picker
        if together and self.batch > 1:
            # so that scores do not depend on how many happen to come together
            picker = replace(picker, judge=in_full_batches(picker.judge, self.batch))
        try:
            with memory_errors_explained():
                peaks_of_images = picker.find_peaks([image for _, image in images])
        except PupickError as error:
            if together and self.batch > 1:
                for image in images:
                    yield from self._keep([image], together=False)
            else:
                yield self._give_up(images[0][0][0], error)
            return
        for ((micrograph, fingerprint), _), peaks in zip(images, peaks_of_images):
            self._run.write_peaks(replace(peaks, fingerprint=fingerprint), micrograph.name)
            if not self.task.peaks_only:
                self._run.write_coordinates(self.picker.choose(peaks), micrograph.name)
            if self.task.masks:
                self._run.write_mask(peaks, micrograph.name)
            yield Scored(micrograph.name, fingerprint)


def _batches(images: Iterable[Prepared], size: int) -> Iterator[List[Prepared]]:
    """Group consecutive images of the same shape, at most `size` together."""
    for _, group in itertools.groupby(images, key=_working_shape):
        while batch := list(itertools.islice(group, size)):
            yield batch


def _working_shape(prepared: Prepared) -> Optional[Shape]:
    image = prepared[1]
    return image.working_shape if isinstance(image, WorkingImage) else None
