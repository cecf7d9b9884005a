# SPDX-License-Identifier: GPL-3.0-or-later
"""Train a model on micrographs and a few picks."""

from __future__ import annotations

import hashlib
import json
import logging
import math
from dataclasses import asdict, astuple, dataclass, fields, replace
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Sequence, Set, Tuple

import numpy as np
import torch

from ..adaptation.contrast import BRIGHT, detect_contrast, invert_contrast
from ..adaptation.scale import search_scale
from ..calibration.gaussian import (
    ESTIMATED_COUNT_ERROR,
    GIVEN_COUNT_ERROR,
    PROBABILITY_PER_PARTICLE,
    Calibration,
    calibrate,
    calibrated,
)
from ..calibration.precision_recall_estimate import best_threshold, estimate_precision_recall
from ..calibration.target_decoy import calibrate_target_decoy
from ..coordinates import Picks, write_picks
from ..coordinates.assign_picks import assign_to_micrographs
from ..coordinates.file_names import SUMMARY
from ..device import choose_device, describe_device, memory_errors_explained, set_threads
from ..errors import PupickError, UsageError
from ..files.atomic import PathLike, file_status, make_folder, write_text
from ..files.json_files import read_json, write_json
from ..micrographs import Micrograph
from ..networks.architectures import Network
from ..networks.model import Model, load_model, save_model
from ..networks.scoring import Scorer, make_scorer
from ..picking.detector import PeaksInsideBorder, detect_peaks, expected_among, peaks_inside_border
from ..preprocessing.mixture import Mixture
from ..preprocessing.scale import ModelScale, WorkingScale
from ..preprocessing.working_image import pixel_method, require_scale
from ..runs.layout import LABELS, MODEL, REPORT, TRAINING_LOG, VIEW
from ..runs.lists import write_micrographs
from ..settings import GENERAL, LEAST_SCORE, TOLERANCE, OptimizerSettings, TrainSettings
from ..training.checkpoint import CHECKPOINT, load_progress, save_progress
from ..training.data import hold_out, read_data
from ..training.fit import fit, usual_steps
from ..training.loop import Epoch, Progress, best_network
from ..training.prior import assumed_pi, prior_shift
from ..training.regions import TrainingImage
from ..training.validation import label_scores, validate
from ..training.weight_averaging import choose_fraction, interpolate_weights
from .report import try_report

log = logging.getLogger(__name__)

RECORD = "train.json"
ESTIMATE = "estimate.safetensors"
CROWDING = 0.1
FIRST_EPOCHS = 3
SURE_SHARE = 0.8


@memory_errors_explained()
def train(
    micrographs: Sequence[Micrograph],
    picks: Picks,
    output: PathLike,
    settings: TrainSettings,
    negatives: Optional[Picks] = None,
    start: Optional[PathLike] = GENERAL,
    overwrite: bool = False,
    device: str = "auto",
    threads: int = 0,
) -> Model:
    """Train a model, and write it with its log.

    In the output folder come to lie `model.safetensors`, `training.tsv` (a row for each epoch,
    written while it runs), `train.json`, `report.html`, what that shows (`micrographs.tsv`,
    `labels.csv` and `view.json`) and `checkpoint.safetensors`. Called again with the same
    arguments, a training that was stopped continues, and one that is finished is not repeated.

    Args:
        micrographs: with and without picks.
        picks: labelled particles by micrograph name, px of the micrographs; scores are ignored.
        output: folder, made where needed.
        settings: how to train.
        negatives: places labelled as no particle, in the same form.
        start: path of a model to start from, or `general`; None for random weights. Settings
            that the general model does not fit, as another network, mean random weights too.
        overwrite: forget a training of other data or settings that the folder holds.
        device: see `device.choose_device`.
        threads: see `device.set_threads`.

    Returns:
        The model, as written.

    Raises:
        UsageError: the picks fit no micrograph, or something else that was given makes no sense.
        PupickError: no labelled micrograph can be used, training failed, or the memory does not
            suffice.
        OSError: a result cannot be written.
    """
    set_threads(threads)
    chosen = choose_device(device)
    labelled = _not_empty(assign_to_micrographs(picks, micrographs, "picks"))
    excluded = _not_empty(assign_to_micrographs(negatives or {}, micrographs, "negatives"))
    if not labelled:
        raise UsageError(_no_label_text(picks, micrographs))
    first = _first_model(start, settings)
    if first is not None:
        settings = _continue_from(first, settings)
        log.info(
            "Training starts from %s, with its network (%s), scale and normalisation.",
            start,
            first.network_name,
        )
    used = _choose(micrographs, {*labelled, *excluded}, settings)
    scale = WorkingScale(settings.diameter, settings.training.diameter_px)
    require_scale(used, scale)
    make_folder(output)
    fingerprint = _fingerprint(used, labelled, excluded, settings, first)
    replaced = _check_output_folder(Path(output), fingerprint, overwrite)
    shown = [m for m in used if m.name in labelled]
    first, scale = _suited(first, scale, shown, fingerprint, Path(output), chosen)
    settings = _at_scale(settings, scale)
    data = _read(used, labelled, excluded, settings)
    if settings.particles_per_micrograph is not None:
        _check_number(data, settings.particles_per_micrograph, settings.training)
    if replaced:
        _forget(Path(output))
    found = {**asdict(scale), BRIGHT: _sees_negatives(first), "fingerprint": fingerprint}
    write_json(Path(output) / VIEW, found)
    write_micrographs(shown, Path(output))
    write_picks(labelled, Path(output) / LABELS)
    model = TrainJob(Path(output), settings, data, fingerprint, chosen, first).finish()
    try_report(output, chosen)
    return model


def _check_output_folder(output: Path, fingerprint: str, overwrite: bool) -> bool:
    """Whether the folder holds another training; it is refused unless that may be replaced.

    Raises:
        UsageError: it is, or the folder holds picks.
    """
    if (output / SUMMARY).is_file():
        raise UsageError(f"{output} holds the picks of a run: give another folder for the model.")
    if (output / LABELS).is_file() and not (output / VIEW).is_file():
        raise UsageError(
            f"{output / LABELS} was not written by a training and would be overwritten: give "
            "another folder (--output)."
        )
    try:
        for name in (CHECKPOINT, ESTIMATE):
            load_progress(output / name, fingerprint)
    except UsageError:
        if not overwrite:
            raise
        return True
    return False


def _forget(output: Path) -> None:
    for name in (CHECKPOINT, ESTIMATE, MODEL, RECORD, TRAINING_LOG, REPORT):
        (output / name).unlink(missing_ok=True)


def _suited(
    first: Optional[Model],
    scale: WorkingScale,
    labelled: Sequence[Micrograph],
    fingerprint: str,
    output: Path,
    device: torch.device,
) -> Tuple[Optional[Model], WorkingScale]:
    """Fit contrast and scale to the general model, or take over what the same training has found.

    Found again on another processor, the scale would differ by a little, and the training would
    not be the same any more.
    """
    path = output / VIEW
    if path.is_file():
        known = read_json(path)
        if known["fingerprint"] == fingerprint:
            if first is not None and known[BRIGHT] and not _sees_negatives(first):
                first = invert_contrast(first)
            return first, WorkingScale(known["diameter"], known["diameter_px"])
    if first is not None and first.scale.diameter is None:
        first = detect_contrast(first, scale, labelled, device)
        scale = search_scale(first, make_scorer(first.network, device), scale, labelled)
    return first, scale


def _sees_negatives(first: Optional[Model]) -> bool:
    return first is not None and bool(first.training.get(BRIGHT))


def _not_empty(picks: Picks) -> Picks:
    return {name: coordinates for name, coordinates in picks.items() if len(coordinates)}


def _no_label_text(picks: Picks, micrographs: Sequence[Micrograph]) -> str:
    if not any(len(coordinates) for coordinates in picks.values()):
        return "The picks hold no particle: pick at least one, better 10 to 100, by hand (--picks)."
    return (
        f"The picks are of other micrographs (such as {next(iter(picks))}) than those given "
        f"(such as {micrographs[0].name}): check --picks and --micrographs."
    )


def _choose(
    micrographs: Sequence[Micrograph], labelled: Set[str], settings: TrainSettings
) -> List[Micrograph]:
    """All micrographs with labels or negatives, and others up to the most that are used."""
    others = [m for m in micrographs if m.name not in labelled]
    room = max(0, settings.most_micrographs - len(labelled))
    if len(others) > room:
        log.info("%d of %d unlabelled micrographs are used.", room, len(others))
        random = np.random.default_rng([settings.training.seed, 0])
        others = [others[i] for i in sorted(random.permutation(len(others))[:room])]
    chosen = {m.name for m in others} | labelled
    return [m for m in micrographs if m.name in chosen]


def _read(
    micrographs: Sequence[Micrograph], labelled: Picks, excluded: Picks, settings: TrainSettings
) -> TrainingData:
    """Read and prepare micrographs with their labels, and hold some out."""
    images, mixture, failures = read_data(
        micrographs,
        labelled,
        excluded,
        WorkingScale(settings.diameter, settings.training.diameter_px),
        settings.normalisation,
        settings.training.training_radius,
    )
    training, held_out = hold_out(images, settings.held_out, settings.training.seed)
    return TrainingData(training, held_out, mixture, failures)


def _first_model(start: Optional[PathLike], settings: TrainSettings) -> Optional[Model]:
    """Load the model to start from, if there is one that fits."""
    if start is None:
        return None
    model = load_model(start)
    if str(start) == GENERAL and settings != _continue_from(model, settings):
        log.info(
            "The general model has the network %s, %g px a diameter and its own normalisation: "
            "with these settings training starts from random weights.",
            model.network_name,
            model.scale.diameter_px,
        )
        return None
    return model


def _continue_from(model: Model, settings: TrainSettings) -> TrainSettings:
    """Take over from a model what its weights are bound to: network, scale, normalisation."""
    training = replace(
        settings.training, network=model.network_name, diameter_px=model.scale.diameter_px
    )
    shared = "micrograph" if model.mixture is None else "joint"
    normalisation = "affine" if model.normalisation == "affine" else shared
    return replace(settings, training=training, normalisation=normalisation)


def _check_number(data: TrainingData, particles: float, training: OptimizerSettings) -> None:
    """Refuse more particles than fit in a micrograph, and warn of fewer than are labelled."""
    assumed_pi(data.images, particles, training)
    if data.labels > particles * len(data.images):
        log.warning(
            "%d particles are labelled in %d micrographs, more than %g in each: is that number "
            "right? (--particles-per-micrograph)",
            data.labels,
            len(data.images),
            particles,
        )


def _at_scale(settings: TrainSettings, scale: WorkingScale) -> TrainSettings:
    return replace(settings, training=replace(settings.training, diameter_px=scale.diameter_px))


def _fingerprint(
    micrographs: Sequence[Micrograph],
    labelled: Picks,
    excluded: Picks,
    settings: TrainSettings,
    start: Optional[Model],
) -> str:
    """Digest of all that the trained weights depend on."""
    parts: List[Any] = [asdict(settings), None if start is None else start.digest]
    parts.append([[m.name, m.pixel_size, *file_status(m.path)] for m in micrographs])
    for picks in (labelled, excluded):
        parts.append([[name, c.x.tolist(), c.y.tolist()] for name, c in picks.items()])
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


@dataclass(frozen=True)
class TrainingData:
    """Prepared micrographs.

    Attributes:
        images: to train on.
        held_out: labelled ones that only choose the best epoch.
        mixture: of a joint normalisation.
        failures: reason by name of the micrographs that could not be used.
    """

    images: Tuple[TrainingImage, ...]
    held_out: Tuple[TrainingImage, ...]
    mixture: Optional[Mixture]
    failures: Dict[str, str]

    @property
    def labels(self) -> int:
        """Labelled particles trained on."""
        return sum(len(image.positive) for image in self.images)


@dataclass(frozen=True)
class TrainJob:
    """One training, from prepared data to the files in its folder."""

    output: Path
    settings: TrainSettings
    data: TrainingData
    fingerprint: str
    device: torch.device
    start: Optional[Model]

    @property
    def checkpoint(self) -> Path:
        """Checkpoint of the training."""
        return self.output / CHECKPOINT

    @property
    def estimate(self) -> Path:
        """Checkpoint of the short training that the number of particles is estimated with."""
        return self.output / ESTIMATE

    @property
    def training(self) -> OptimizerSettings:
        """How to train, with the batches of an epoch."""
        training = self.settings.training
        steps = training.steps or usual_steps(self.data.labels, self.start is not None)
        return replace(training, steps=steps)

    def finish(self) -> Model:
        """Train, or go on with it, and write the model."""
        particles = self.settings.particles_per_micrograph or self._estimate_particles()
        log.info(
            "Training on %d labels in %d micrographs (and %d labels held out), with about %.0f "
            "particles a micrograph, on %s.",
            self.data.labels,
            sum(len(image.positive) > 0 for image in self.data.images),
            sum(len(image.positive) for image in self.data.held_out),
            particles,
            describe_device(self.device),
        )
        progress = self._fit(self.training, particles, self.checkpoint, self._write_log)
        model = self._model(progress, particles)
        save_model(model, self.output / MODEL)
        write_json(self.output / RECORD, model.training)
        return model

    def _fit(
        self,
        training: OptimizerSettings,
        particles: float,
        checkpoint: Path,
        after_epoch: Callable[[Progress], None],
    ) -> Progress:
        """Train from where the checkpoint is, writing it after each epoch."""

        def save(progress: Progress) -> None:
            save_progress(progress, self.fingerprint, checkpoint)
            after_epoch(progress)

        return fit(
            self.data.images,
            self.data.held_out,
            particles,
            training,
            self.device,
            None if self.start is None else self.start.network,
            load_progress(checkpoint, self.fingerprint),
            save,
        )

    def _estimate_particles(self) -> float:
        """Train for a few epochs on a guess, and count the peaks that score as labels do."""
        training = self.settings.training
        areas = [image.image.size for image in self.data.images]
        disc = math.pi * (training.diameter_px / 2) ** 2
        most_labels = max(len(image.positive) for image in self.data.images)
        guess = max(most_labels, CROWDING * float(np.mean(areas)) / disc)
        log.info("Estimating how many particles a micrograph holds, starting from %.0f.", guess)
        short = replace(training, epochs=FIRST_EPOCHS)
        progress = self._fit(short, guess, self.estimate, log_epoch)
        scorer = make_scorer(best_network(progress, short), self.device)
        number = count_particles(
            scorer, self.data.held_out or self.data.images, self.data.images, training.diameter_px
        )
        return max(number, self.data.labels / len(areas), 1.0)

    def _write_log(self, progress: Progress) -> None:
        write_log(progress.history, self.output / TRAINING_LOG)
        log_epoch(progress)

    def _model(self, progress: Progress, particles: float) -> Model:
        settings, training = self.settings, self.training
        network, share, precision = self._average(progress, particles)
        images = [*self.data.images, *self.data.held_out]
        scorer = make_scorer(network, self.device)
        peaks = [peaks_inside_border(scorer, each.image, training.diameter_px) for each in images]
        if not any(len(each.score) for each in peaks):
            raise PupickError("The trained network finds no peak at all: check the micrographs.")
        calibration = self._calibrate(scorer, images, peaks, particles)
        log_odds = [calibration.log_odds(each.score) for each in peaks]
        return Model(
            network=calibrated(network, calibration),
            network_name=training.network,
            scale=ModelScale(settings.diameter, training.diameter_px),
            threshold=max(LEAST_SCORE, best_threshold(estimate_precision_recall(log_odds))),
            normalisation=pixel_method(settings.normalisation),
            mixture=self.data.mixture,
            training={
                "labels": self.data.labels,
                "held_out_labels": sum(len(image.positive) for image in self.data.held_out),
                "micrographs": len(self.data.images),
                BRIGHT: _sees_negatives(self.start),
                "held_out_micrographs": len(self.data.held_out),
                "failed_micrographs": self.data.failures,
                "particles_per_micrograph": round(particles, 1),
                "particles_estimated": settings.particles_per_micrograph is None,
                "pi": progress.history[-1].pi,
                "score_uncertainty": round(calibration.error, 3),
                "best_epoch": progress.best_epoch,
                "epochs": len(progress.history),
                "trained_share": share,
                "held_out_average_precision": None if math.isnan(precision) else precision,
                "settings": asdict(training),
            },
        )

    def _average(self, progress: Progress, particles: float) -> Tuple[Network, float, float]:
        """The network, the share of what training found in it, and its held-out precision."""
        network = best_network(progress, self.training)
        if self.start is None:
            return network, 1.0, progress.best_ap

        def validate_average(average: Network) -> float:
            return validate(average, self.data.held_out, particles, self.training, self.device)

        start = self.start.network
        share, precision = choose_fraction(network, start, self.data.labels, validate_average)
        log.info(
            "The model averages what training found (%.0f %%) with what it started from.",
            100 * share,
        )
        return interpolate_weights(network, start, share), share, precision

    def _calibrate(
        self,
        scorer: Scorer,
        images: Sequence[TrainingImage],
        peaks: Sequence[PeaksInsideBorder],
        particles: float,
    ) -> Calibration:
        """Fit log-odds to the scores of the peaks of images, of so many particles each."""
        scores = np.concatenate([each.score for each in peaks])
        expected = expected_among(peaks, particles)
        given = self.settings.particles_per_micrograph is not None
        error = GIVEN_COUNT_ERROR if given else ESTIMATED_COUNT_ERROR
        if self.start is not None and self.start.training.get("general"):
            width = self.settings.training.diameter_px
            decoys = [peaks_inside_border(scorer, -each.image, width).score for each in images]
            return calibrate_target_decoy(scores, np.concatenate(decoys), expected, error)
        shift = prior_shift(self.data.images, particles)
        line = calibrate(scores + shift, PROBABILITY_PER_PARTICLE * expected, error)
        return replace(line, offset=line.offset + line.slope * shift)


def count_particles(
    scorer: Scorer,
    labelled: Sequence[TrainingImage],
    images: Sequence[TrainingImage],
    diameter_px: float,
) -> float:
    """Estimate the particles in an image from the scores of the labelled ones.

    The peaks are counted that score as high as 80 % of the labelled particles do (or as all that
    were found, if these are fewer), and their number is divided by that share. Counting peaks,
    not pixels, keeps the many pixels of the background from swamping the estimate where classes
    overlap.

    Args:
        scorer: of a network trained for a while.
        labelled: images with labels.
        images: to count in.
        diameter_px: of the particle, px of the working image.
    """
    of_labels = [
        label_scores(
            detect_peaks(scorer, image.image, diameter_px),
            image.positive,
            TOLERANCE * diameter_px,
        )
        for image in labelled
    ]
    scores = np.sort(np.concatenate(of_labels))[::-1]
    found = int(np.count_nonzero(np.isfinite(scores)))
    sure = min(found, math.ceil(SURE_SHARE * len(scores)))
    if not sure:
        return 0.0
    peaks = np.concatenate(
        [detect_peaks(scorer, image.image, diameter_px).score for image in images]
    )
    return np.count_nonzero(peaks >= scores[sure - 1]) / len(images) * len(scores) / sure


def write_log(history: Sequence[Epoch], path: PathLike) -> None:
    """Write the training log as a table (TSV), a row for each epoch."""
    names = [column.name for column in fields(Epoch)]
    rows = [
        [f"{value:.6g}" if isinstance(value, float) else str(value) for value in astuple(epoch)]
        for epoch in history
    ]
    write_text(path, "".join("\t".join(row) + "\n" for row in [names, *rows]))


def log_epoch(progress: Progress) -> None:
    """Tell how the last epoch went."""
    epoch = progress.history[-1]
    log.info(
        "epoch %d: loss %.4f (labelled %.4f, unlabelled %.4f, reconstruction %.4g), held-out "
        "average precision %.3f",
        epoch.epoch,
        epoch.loss,
        epoch.classification,
        epoch.penalty,
        epoch.reconstruction,
        epoch.held_out_ap,
    )
