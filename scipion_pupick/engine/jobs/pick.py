# SPDX-License-Identifier: GPL-3.0-or-later
"""Pick particles in micrographs with a trained model."""

from __future__ import annotations

import hashlib
import itertools
import json
import logging
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Dict, Iterable, Iterator, List, Optional, Sequence, Tuple, Union

import numpy as np
import torch

from ..coordinates import Coordinates, Picks
from ..coordinates.names import file_of_micrograph, files_of_micrographs
from ..coordinates.relion import coordinates_text, particles_text
from ..device import choose_device, describe_device, set_threads
from ..downsample import Shape, WorkingScale, to_original
from ..errors import MicrographError, PupickError, UsageError
from ..files import PathLike, make_folder, write_text
from ..kept import SUFFIX, VERSION, KeptPeaks, load_peaks, save_peaks
from ..micrograph import Micrograph
from ..model import Model, load_model, versions
from ..networks import STRIDE
from ..peaks import find_peaks
from ..prepare import WorkingImage, prepare
from ..progress import track
from ..scoring import Scorer, make_scorer
from ..settings import LEAST_SCORE, PickSettings
from ..stream import prepared_ahead

log = logging.getLogger(__name__)

GPU_BATCH = 8

Prepared = Tuple[Micrograph, Union[WorkingImage, MicrographError]]


@dataclass(frozen=True)
class PickResult:
    """What picking has found.

    Attributes:
        picks: by micrograph name, px of the micrographs.
        failures: reason by micrograph name.
        reused: micrographs whose kept scores could be used again.
        threshold: log-odds that was applied.
        seconds: wall time.
    """

    picks: Picks
    failures: Dict[str, str]
    reused: int
    threshold: float
    seconds: float

    def summary(self) -> str:
        """Say in one line what was found."""
        count = sum(len(coordinates) for coordinates in self.picks.values())
        text = (
            f"{count} particles in {len(self.picks)} micrographs "
            f"(log-odds {self.threshold:.2f} or more) in {self.seconds:.1f} s"
        )
        if self.reused:
            text += f"; kept scores of {self.reused} micrographs used again"
        return text + (f"; {len(self.failures)} micrographs failed" if self.failures else "")


def pick(
    micrographs: Sequence[Micrograph],
    model: PathLike,
    output: PathLike,
    settings: PickSettings = PickSettings(),
    device: str = "auto",
    threads: int = 0,
) -> PickResult:
    """Pick particles, and write them as STAR files.

    In the output folder come to lie `picks.star` (all picks), `micrographs/` (a STAR file for each
    micrograph, in the folders of its name), `scores/` (all peaks of each, so that the same call
    with another threshold or edge scores nothing again), `failed.tsv` and `pick.json`. Called
    again, only micrographs that are new or changed, or all if the model is another, are scored.

    Args:
        micrographs: to pick in; they stream through, whatever their number.
        model: path of a model file.
        output: folder, made where needed.
        settings: how to pick.
        device: see `device.choose_device`.
        threads: see `device.set_threads`.

    Returns:
        The picks and what failed. Micrographs that cannot be used are listed there, not raised.

    Raises:
        UsageError: the model or the device cannot be used, or no micrograph was given.
        OSError: a result cannot be written.
    """
    started = time.monotonic()
    if not micrographs:
        raise UsageError("There is no micrograph to pick in.")
    set_threads(threads)
    chosen = choose_device(device)
    job = _Job.plan(load_model(model), settings, Path(output))
    make_folder(output)
    files_of_micrographs([m.name for m in micrographs], job.output, SUFFIX)
    scored = {m for m in micrographs if job.is_done(m)}
    pending = [m for m in micrographs if m not in scored]
    where = describe_device(chosen)
    log.info("Picking %d micrographs on %s; %d are scored.", len(pending), where, len(scored))
    for micrograph in scored:
        job.write_coordinates(micrograph)
    failures = job.score(pending, chosen)
    picks = {m.name: job.picks_of(m) for m in micrographs if m.name not in failures}
    result = PickResult(
        picks=picks,
        failures=failures,
        reused=len(scored),
        threshold=job.threshold,
        seconds=time.monotonic() - started,
    )
    job.write_results(result)
    return result


@dataclass(frozen=True)
class _Job:
    """A model and settings with nothing left to be derived."""

    model: Model
    digest: str
    scale: WorkingScale
    threshold: float
    edge: float
    separation: float
    output: Path

    @classmethod
    def plan(cls, model: Model, settings: PickSettings, output: Path) -> _Job:
        """Derive from the diameter what the settings leave open."""
        diameter = model.scale.diameter if settings.diameter is None else settings.diameter
        return cls(
            model=model,
            digest=model.digest,
            scale=replace(model.scale, diameter=diameter),
            threshold=model.threshold if settings.threshold is None else settings.threshold,
            edge=diameter / 2 if settings.edge is None else settings.edge,
            separation=diameter / 2 if settings.separation is None else settings.separation,
            output=output,
        )

    def kept_path(self, micrograph: Micrograph) -> Path:
        """Where all peaks of a micrograph are kept."""
        return file_of_micrograph(micrograph.name, self.output / "scores", SUFFIX)

    def coordinates_path(self, micrograph: Micrograph) -> Path:
        """Where the picks of a micrograph are written."""
        return file_of_micrograph(micrograph.name, self.output / "micrographs", ".star")

    def fingerprint(self, micrograph: Micrograph) -> str:
        """Digest of all that the scores of a micrograph depend on."""
        try:
            status = micrograph.path.stat()
            file = [status.st_size, status.st_mtime_ns]
        except OSError:
            file = []
        scale = asdict(self.scale)
        parts = [VERSION, self.digest, scale, self.separation, micrograph.pixel_size, file]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def is_done(self, micrograph: Micrograph) -> bool:
        """Whether the kept peaks are those that scoring would find again."""
        kept = load_peaks(self.kept_path(micrograph))
        return kept is not None and kept.fingerprint == self.fingerprint(micrograph)

    def score(self, micrographs: Sequence[Micrograph], device: torch.device) -> Dict[str, str]:
        """Score micrographs, keep their peaks and write their picks; give what failed, and why."""
        scorer = make_scorer(self.model.network, device)
        images = prepared_ahead(self._prepare, micrographs)
        size = 1 if device.type == "cpu" else GPU_BATCH
        failures: Dict[str, str] = {}
        for batch in _batches(track(images, len(micrographs), "micrographs"), size):
            for micrograph, image in batch:
                if isinstance(image, MicrographError):
                    log.warning("%s", image)
                    failures[micrograph.name] = str(image)
                    self.coordinates_path(micrograph).unlink(missing_ok=True)
            good = [image for _, image in batch if isinstance(image, WorkingImage)]
            if good:
                self._keep(good, scorer)
            for working in good:
                self.write_coordinates(working.micrograph)
        return failures

    def _prepare(self, micrograph: Micrograph) -> WorkingImage:
        return prepare(micrograph, self.scale, self.model.normalisation, self.model.mixture)

    def _keep(self, images: Sequence[WorkingImage], scorer: Scorer) -> None:
        maps = scorer(np.stack([working.image for working in images]))
        for working, score_map in zip(images, maps):
            radius = self.separation / self.scale.pixel_size / STRIDE
            peaks = find_peaks(score_map, radius, LEAST_SCORE)
            xy = to_original(peaks.xy * STRIDE, working.shape, working.image.shape)
            save_peaks(
                KeptPeaks(
                    Coordinates(xy[:, 0], xy[:, 1], peaks.score),
                    working.shape,
                    working.pixel_size,
                    self.fingerprint(working.micrograph),
                ),
                self.kept_path(working.micrograph),
            )

    def picks_of(self, micrograph: Micrograph) -> Coordinates:
        """Give the picks of a scored micrograph at the threshold."""
        kept = load_peaks(self.kept_path(micrograph))
        if kept is None:
            raise PupickError(f"{self.kept_path(micrograph)} has disappeared: pick again.")
        return kept.above(self.threshold, self.edge / kept.pixel_size)

    def write_coordinates(self, micrograph: Micrograph) -> None:
        """Write the picks of a scored micrograph at the threshold."""
        text = coordinates_text(self.picks_of(micrograph), with_scores=True)
        write_text(self.coordinates_path(micrograph), text)

    def write_results(self, result: PickResult) -> None:
        """Write the list of all picks, the failures and the summary."""
        write_text(self.output / "picks.star", particles_text(result.picks, with_scores=True))
        rows = [f"{name}\t{reason}\n" for name, reason in result.failures.items()]
        write_text(self.output / "failed.tsv", "micrograph\treason\n" + "".join(rows))
        summary = {
            "micrographs": len(result.picks),
            "failed": len(result.failures),
            "picks": sum(len(coordinates) for coordinates in result.picks.values()),
            "threshold": self.threshold,
            "diameter": self.scale.diameter,
            "edge": self.edge,
            "separation": self.separation,
            "seconds": round(result.seconds, 2),
            "versions": versions(),
        }
        write_text(self.output / "pick.json", json.dumps(summary, indent=2) + "\n")


def _batches(images: Iterable[Prepared], size: int) -> Iterator[List[Prepared]]:
    """Group consecutive images of the same shape, at most `size` together."""
    for _, group in itertools.groupby(images, key=_working_shape):
        while batch := list(itertools.islice(group, size)):
            yield batch


def _working_shape(prepared: Prepared) -> Optional[Shape]:
    image = prepared[1]
    return image.image.shape if isinstance(image, WorkingImage) else None
