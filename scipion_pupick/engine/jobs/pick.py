# SPDX-License-Identifier: GPL-3.0-or-later
"""Pick particles in micrographs with a trained model."""

from __future__ import annotations

import hashlib
import itertools
import json
import logging
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Dict, Iterable, Iterator, List, Mapping, Optional, Sequence, Tuple, Union

import torch

from ..adaptation.fit import adapt_to_micrographs
from ..calibration.precision_recall_estimate import estimate_precision_recall
from ..coordinates import Coordinates, Picks
from ..device import choose_device, describe_device, memory_errors_explained, set_threads
from ..errors import MicrographError, PupickError, UsageError
from ..files.atomic import PathLike, file_status, make_folder
from ..files.prefetch import prefetch
from ..files.progress import track
from ..files.star import check_star_names
from ..micrographs import Micrograph, Shape
from ..networks.model import Model, load_model, versions
from ..networks.model_file import model_path
from ..picker import Picker
from ..picking.peaks_file import VERSION, MicrographPeaks
from ..preprocessing.working_image import WorkingImage, require_scale
from ..runs.layout import PICKS
from ..runs.pick_run import PickRun
from ..settings import LEAST_SCORE, PickSettings
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

    @property
    def count(self) -> int:
        """Number of picks."""
        return sum(len(coordinates) for coordinates in self.picks.values())

    def summary(self) -> str:
        """Say in one line what was found."""
        text = (
            f"{self.count} particles in {len(self.picks)} micrographs "
            f"(log-odds {self.threshold:.2f} or more) in {self.seconds:.1f} s"
        )
        if self.estimate and self.count:
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
    with another threshold or border scores nothing again), `report.html`, `micrographs.tsv`,
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
    processor = choose_device(device)
    run = PickRun(Path(output))
    fitted_model = _check_output_folder(micrographs, model, settings, run, processor)
    if report:
        _warn_of_others(micrographs, run)
    job = PickJob.plan(fitted_model, settings, run, processor)
    scored = {m for m in micrographs if job.is_done(m)}
    pending = [m for m in micrographs if m not in scored]
    log.info(
        "Picking %d micrographs on %s; %d are scored.",
        len(pending),
        describe_device(processor),
        len(scored),
    )
    run.begin(micrographs, pending, job.record())
    for micrograph in scored:
        job.write_coordinates(micrograph)
    failures = job.score(pending)
    usable = [m for m in micrographs if m.name not in failures]
    result = PickResult(
        picks={m.name: job.picks_of(m) for m in usable},
        failures=failures,
        reused=len(scored),
        threshold=job.picker.threshold,
        seconds=time.monotonic() - started,
        estimate=job.estimate(usable),
    )
    run.end(result.picks, failures, {**_findings(result), **job.record()})
    if report:
        try_report(output, processor)
    return result


def _check_output_folder(
    micrographs: Sequence[Micrograph],
    model: PathLike,
    settings: PickSettings,
    run: PickRun,
    device: torch.device,
) -> Path:
    """Check what was given, make the folder, and return the model that its micrographs need."""
    loaded = load_model(model)
    scale = loaded.scale.of(settings.diameter)
    require_scale(micrographs, scale)
    names = [m.name for m in micrographs]
    check_star_names(names)
    make_folder(run.folder)
    run.refuse_other_picks()
    run.refuse_training()
    run.check_names(names)
    number = settings.particles_per_micrograph
    if loaded.scale.diameter is None:
        return adapt_to_micrographs(loaded, scale, micrographs, number, run.adapted_model, device)
    if number is not None:
        log.warning("A trained model knows how many particles to expect: %g is ignored.", number)
    return model_path(model)


def _warn_of_others(micrographs: Sequence[Micrograph], run: PickRun) -> None:
    """Say that micrographs of an earlier call, which are not in this one, are left out."""
    others = run.picked_before(micrographs)
    if others:
        log.warning(
            "%d micrographs that were picked here before, such as %s, are not given now: %s and "
            "the report leave them out. Give all micrographs in each call; only new ones are "
            "scored.",
            len(others),
            min(others),
            PICKS,
        )


def _findings(result: PickResult) -> Dict[str, Any]:
    return {
        "micrographs": len(result.picks),
        "failed": len(result.failures),
        "picks": result.count,
        "reused": result.reused,
        "estimate": result.estimate,
        "seconds": round(result.seconds, 2),
    }


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

    def record(self) -> Mapping[str, Any]:
        """Return what is known of the run when it begins."""
        return {
            "model": str(self.path.absolute()),
            "digest": self.digest,
            "device": describe_device(self.device),
            "training": self.model.training,
            "threshold": self.picker.threshold,
            "diameter": self.picker.diameter,
            "edge": self.picker.border,
            "separation": self.picker.min_distance,
            "versions": versions(),
        }

    def fingerprint(self, micrograph: Micrograph) -> str:
        """Digest of all that the scores of a micrograph depend on."""
        parts = [
            *(VERSION, self.digest, asdict(self.picker.scale), self.picker.min_distance),
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
        uncertainty = self.model.training.get("score_uncertainty")
        if uncertainty is None:
            return {}
        every_peak = replace(self.picker, threshold=LEAST_SCORE)
        scores = [every_peak.choose(self._peaks_of(m)).score for m in micrographs]
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
