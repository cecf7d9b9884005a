# SPDX-License-Identifier: GPL-3.0-or-later
"""Pick particles in micrographs with a trained model."""

from __future__ import annotations

import hashlib
import itertools
import json
import logging
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Dict, Iterable, Iterator, List, Optional, Sequence, Tuple, Union

import numpy as np
import torch

from ..adaptation.fit import adapt_to_micrographs
from ..calibration.precision_recall_estimate import estimate_precision_recall
from ..coordinates import Coordinates, Picks
from ..coordinates.file_names import PICKS, files_of_micrographs
from ..device import choose_device, describe_device, memory_errors_explained, set_threads
from ..errors import MicrographError, PupickError, UsageError
from ..files.atomic import PathLike, file_status, make_folder
from ..files.prefetch import prefetch
from ..files.progress import track
from ..files.star import check_star_names
from ..micrographs import Micrograph, Shape
from ..networks.architectures import STRIDE
from ..networks.model import Model, load_model, versions
from ..networks.model_file import model_path
from ..networks.scoring import Scorer, make_scorer
from ..picking.peaks import find_peaks
from ..picking.peaks_file import SUFFIX, VERSION, MicrographPeaks, load_peaks, save_peaks
from ..preprocessing.scale import WorkingScale, to_original
from ..preprocessing.working_image import WorkingImage, prepare, require_scale
from ..runs.layout import CHECKPOINT
from ..runs.pick_run import (
    FAILED,
    MICROGRAPHS,
    coordinates_path,
    peaks_path,
    read_micrographs,
    refuse_other_picks,
    write_coordinates,
    write_failures,
    write_micrographs,
    write_picks,
    write_summary,
)
from ..settings import LEAST_SCORE, SEPARATION, PickSettings
from .report import try_report

log = logging.getLogger(__name__)

GPU_BATCH = 8

# a micrograph and the digest of all that its scores depend on
File = Tuple[Micrograph, str]
Prepared = Tuple[File, Union[WorkingImage, MicrographError]]


@dataclass(frozen=True)
class PickResult:
    """What picking has found.

    Attributes:
        picks: by micrograph name, px of the micrographs.
        failures: reason by micrograph name.
        reused: micrographs whose kept scores could be used again.
        threshold: log-odds that was applied.
        seconds: wall time.
        estimate: expected true and false picks, precision and recall with the ends of their 95 %
            intervals; empty for a model whose scores are not calibrated.
    """

    picks: Picks
    failures: Dict[str, str]
    reused: int
    threshold: float
    seconds: float
    estimate: Dict[str, float] = field(default_factory=dict)

    def summary(self) -> str:
        """Say in one line what was found."""
        count = sum(len(coordinates) for coordinates in self.picks.values())
        text = (
            f"{count} particles in {len(self.picks)} micrographs "
            f"(log-odds {self.threshold:.2f} or more) in {self.seconds:.1f} s"
        )
        if self.estimate and count:
            text += (
                f"; about {100 * self.estimate['precision']:.0f} % of them are right "
                f"({100 * self.estimate['precision_low']:.0f} to "
                f"{100 * self.estimate['precision_high']:.0f} %), and they are about "
                f"{100 * self.estimate['recall']:.0f} % of all particles "
                f"({100 * self.estimate['recall_low']:.0f} to "
                f"{100 * self.estimate['recall_high']:.0f} %)"
            )
        if self.reused:
            text += f"; kept scores of {self.reused} micrographs used again"
        return text + (f"; {len(self.failures)} micrographs failed" if self.failures else "")


@memory_errors_explained()
def pick(
    micrographs: Sequence[Micrograph],
    model: PathLike,
    output: PathLike,
    settings: PickSettings = PickSettings(),
    device: str = "auto",
    threads: int = 0,
    report: bool = True,
) -> PickResult:
    """Pick particles, and write them as STAR files.

    In the output folder come to lie `picks.star` (all picks), `micrographs/` (a STAR file for each
    micrograph, in the folders of its name), `scores/` (all peaks of each, so that the same call
    with another threshold or edge scores nothing again), `report.html`, `micrographs.tsv`,
    `failed.tsv` and `pick.json`. Called again, only micrographs that are new or changed, or all if
    the model is another, are scored. The general model is first fitted to the micrographs, and
    comes to lie there as `adapted.safetensors`.

    Args:
        micrographs: to pick in; they stream through, whatever their number.
        model: path of a model file, or `general`.
        output: folder, made where needed.
        settings: how to pick.
        device: see `device.choose_device`.
        threads: see `device.set_threads`.
        report: write `report.html` at the end.

    Returns:
        The picks and what failed. Micrographs that cannot be used are listed there, not raised.

    Raises:
        UsageError: the model or the device cannot be used, no micrograph was given, or the name
            of one cannot be written.
        PupickError: the memory does not suffice.
        OSError: a result cannot be written.
    """
    started = time.monotonic()
    if not micrographs:
        raise UsageError("There is no micrograph to pick in.")
    set_threads(threads)
    chosen = choose_device(device)
    path = _check_output_folder(micrographs, model, settings, Path(output), chosen)
    if report:
        _warn_of_others(micrographs, Path(output))
    job = PickJob.plan(load_model(path), settings, Path(output))
    scored = {m for m in micrographs if job.is_done(m)}
    pending = [m for m in micrographs if m not in scored]
    where = describe_device(chosen)
    log.info("Picking %d micrographs on %s; %d are scored.", len(pending), where, len(scored))
    facts = {
        "model": str(model_path(path).absolute()),
        "digest": job.digest,
        "device": where,
        "training": job.model.training,
    }
    job.begin(micrographs, pending, facts)
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
        estimate=job.estimate([m for m in micrographs if m.name not in failures]),
    )
    job.write_results(result, facts)
    if report:
        try_report(output, chosen)
    return result


def _check_output_folder(
    micrographs: Sequence[Micrograph],
    model: PathLike,
    settings: PickSettings,
    output: Path,
    device: torch.device,
) -> PathLike:
    """Check what was given, make the folder, and give the model that its micrographs need."""
    loaded = load_model(model)
    scale = loaded.scale.of(settings.diameter)
    require_scale(micrographs, scale)
    names = [m.name for m in micrographs]
    check_star_names(names)
    make_folder(output)
    refuse_other_picks(output)
    if (output / CHECKPOINT).is_file():
        raise UsageError(f"{output} holds a training: give another folder for the picks.")
    files_of_micrographs(names, output, SUFFIX)
    number = settings.particles_per_micrograph
    if loaded.scale.diameter is not None:
        if number is not None:
            log.warning(
                "A trained model knows how many particles to expect: %g is ignored.", number
            )
        return model
    return adapt_to_micrographs(loaded, scale, micrographs, number, output, device)


def _warn_of_others(micrographs: Sequence[Micrograph], output: Path) -> None:
    """Say that micrographs of an earlier call, which are not in this one, are left out."""
    known = {m.name for m in read_micrographs(output / MICROGRAPHS)} - {m.name for m in micrographs}
    left = [name for name in known if coordinates_path(name, output).is_file()]
    if left:
        log.warning(
            "%d micrographs that were picked here before, such as %s, are not given now: %s and "
            "the report leave them out. Give all micrographs in each call; only new ones are "
            "scored.",
            len(left),
            min(left),
            PICKS,
        )


@dataclass(frozen=True)
class PickJob:
    """A model and settings with nothing left to be derived."""

    model: Model
    digest: str
    scale: WorkingScale
    threshold: float
    edge: float
    separation: float
    output: Path

    @classmethod
    def plan(cls, model: Model, settings: PickSettings, output: Path) -> PickJob:
        """Derive from the diameter what the settings leave open."""
        scale = model.scale.of(settings.diameter)
        diameter = scale.diameter
        return cls(
            model=model,
            digest=model.digest,
            scale=scale,
            threshold=_given(settings.threshold, model.threshold),
            edge=_given(settings.edge, diameter / 2),
            separation=_given(settings.separation, SEPARATION * diameter),
            output=output,
        )

    def peaks_path(self, micrograph: Micrograph) -> Path:
        """Where all peaks of a micrograph are kept."""
        return peaks_path(micrograph.name, self.output)

    def begin(
        self,
        micrographs: Sequence[Micrograph],
        pending: Sequence[Micrograph],
        facts: Dict[str, Any],
    ) -> None:
        """Write what is known of the run, and remove what pending micrographs have from others."""
        write_micrographs(micrographs, self.output)
        write_failures({}, self.output / FAILED)
        write_summary(self._summary(facts), self.output)
        (self.output / PICKS).unlink(missing_ok=True)
        for micrograph in pending:
            self.peaks_path(micrograph).unlink(missing_ok=True)
            coordinates_path(micrograph.name, self.output).unlink(missing_ok=True)

    def _summary(self, facts: Dict[str, Any]) -> Dict[str, Any]:
        settings = {
            "threshold": self.threshold,
            "diameter": self.scale.diameter,
            "edge": self.edge,
            "separation": self.separation,
        }
        return {**facts, **settings, "versions": versions()}

    def fingerprint(self, micrograph: Micrograph) -> str:
        """Digest of all that the scores of a micrograph depend on."""
        parts = [
            *(VERSION, self.digest, asdict(self.scale), self.separation),
            *(micrograph.pixel_size, file_status(micrograph.path)),
        ]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def is_done(self, micrograph: Micrograph) -> bool:
        """Whether the kept peaks are those that scoring would find again."""
        kept = load_peaks(self.peaks_path(micrograph))
        return kept is not None and kept.fingerprint == self.fingerprint(micrograph)

    def score(self, micrographs: Sequence[Micrograph], device: torch.device) -> Dict[str, str]:
        """Score micrographs, keep their peaks and write their picks; give what failed, and why."""
        scorer = make_scorer(self.model.network, device)
        # digests are of the files before they are read: one that is replaced later is read again
        files = ((micrograph, self.fingerprint(micrograph)) for micrograph in micrographs)
        images = prefetch(self._prepare, files)
        size = 1 if device.type == "cpu" else GPU_BATCH
        failures: Dict[str, str] = {}
        for batch in _batches(track(images, len(micrographs), "micrographs"), size):
            for (micrograph, _), image in batch:
                if isinstance(image, MicrographError):
                    log.warning("%s", image)
                    failures[micrograph.name] = str(image)
                    coordinates_path(micrograph.name, self.output).unlink(missing_ok=True)
            good = [(i, digest) for (_, digest), i in batch if isinstance(i, WorkingImage)]
            if good:
                self._keep(good, scorer)
            for working, _ in good:
                self.write_coordinates(working.micrograph)
        return failures

    def _prepare(self, file: File) -> WorkingImage:
        return prepare(file[0], self.scale, self.model.normalisation, self.model.mixture)

    def _keep(self, images: Sequence[Tuple[WorkingImage, str]], scorer: Scorer) -> None:
        maps = scorer(np.stack([working.image for working, _ in images]))
        for (working, fingerprint), score_map in zip(images, maps):
            radius = self.separation / self.scale.pixel_size / STRIDE
            peaks = find_peaks(score_map, radius, LEAST_SCORE)
            xy = to_original(peaks.xy * STRIDE, working.shape, working.image.shape)
            save_peaks(
                MicrographPeaks(
                    Coordinates(xy[:, 0], xy[:, 1], peaks.score),
                    working.shape,
                    working.pixel_size,
                    fingerprint,
                ),
                self.peaks_path(working.micrograph),
            )

    def estimate(self, micrographs: Sequence[Micrograph]) -> Dict[str, float]:
        """Estimate how good the picks of scored micrographs are, if scores are calibrated."""
        uncertainty = self.model.training.get("score_uncertainty")
        if uncertainty is None:
            return {}
        scores = [self.picks_of(micrograph, LEAST_SCORE).score for micrograph in micrographs]
        return (
            estimate_precision_recall(scores, uncertainty, [self.threshold])
            .at(self.threshold)
            .summary()
        )

    def picks_of(self, micrograph: Micrograph, threshold: Optional[float] = None) -> Coordinates:
        """Return the picks of a scored micrograph at a threshold; None for that of the job."""
        kept = load_peaks(self.peaks_path(micrograph))
        if kept is None:
            raise PupickError(f"{self.peaks_path(micrograph)} has disappeared: pick again.")
        least = self.threshold if threshold is None else threshold
        return kept.above(least, self.edge / kept.pixel_size)

    def write_coordinates(self, micrograph: Micrograph) -> None:
        """Write the picks of a scored micrograph at the threshold."""
        write_coordinates(self.picks_of(micrograph), micrograph.name, self.output)

    def write_results(self, result: PickResult, facts: Dict[str, Any]) -> None:
        """Write the list of all picks, the failures and the summary."""
        write_picks(result.picks, self.output)
        write_failures(result.failures, self.output / FAILED)
        found = {
            "micrographs": len(result.picks),
            "failed": len(result.failures),
            "picks": sum(len(coordinates) for coordinates in result.picks.values()),
            "reused": result.reused,
            "estimate": result.estimate,
            "seconds": round(result.seconds, 2),
        }
        write_summary({**found, **self._summary(facts)}, self.output)


def _given(value: Optional[float], otherwise: float) -> float:
    return otherwise if value is None else value


def _batches(images: Iterable[Prepared], size: int) -> Iterator[List[Prepared]]:
    """Group consecutive images of the same shape, at most `size` together."""
    for _, group in itertools.groupby(images, key=_working_shape):
        while batch := list(itertools.islice(group, size)):
            yield batch


def _working_shape(prepared: Prepared) -> Optional[Shape]:
    image = prepared[1]
    return image.image.shape if isinstance(image, WorkingImage) else None
