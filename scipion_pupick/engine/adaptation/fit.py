# SPDX-License-Identifier: GPL-3.0-or-later
"""Fitting the general model to the micrographs that it picks in, without any label.

Particles may be dark or bright, and the scale is chosen at which it is most certain. Its scores
are log-odds on simulated micrographs; on real ones of another contrast they are all too high or too
low, which leaves the order of peaks as it is but not the threshold, so they are calibrated.
"""

from __future__ import annotations

import json
import logging
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Dict, Iterator, List, Optional, Sequence, Tuple

import numpy as np
import torch
from scipy.special import expit

from ..calibration.line import calibrated, with_count, with_coverage
from ..calibration.mixture_fit import GIVEN_COUNT_ERROR, ExpectedCount
from ..calibration.model_threshold import threshold_of_expected_f1
from ..calibration.target_decoy import calibrate_target_decoy
from ..errors import MicrographError, UsageError
from ..files.atomic import file_status
from ..files.prefetch import prefetch
from ..micrographs import AnyMicrograph, Micrograph
from ..networks.model import Model, load_model, save_model
from ..networks.training_record import TrainingRecord
from ..picking.contamination import Judge
from ..picking.detector import PeaksInsideBorder, clean_peaks_inside_border, expected_among
from ..preprocessing.scale import ModelScale, WorkingScale
from ..preprocessing.working_image import WorkingImage, prepare
from ..settings import EARLIER_GENERAL, MICROGRAPHS_FITTED, STRIDE
from .contrast import fit_contrast
from .parts import cut_part, place_of_part, side_of_parts
from .scale import best_scale, evenly_spaced

log = logging.getLogger(__name__)

# times the number of particles
_ABOUT = 0.8, 1.25
# noise is alike in a set: one negative in so many micrographs gives enough decoys
MICROGRAPHS_PER_NEGATIVE = 3
# side of the part of each of twelve micrographs that is scored to calibrate, in diameters as the
# model sees them, larger where there are fewer micrographs; chosen in
# docs/decisions/027-fits-to-parts.md
DIAMETERS_CALIBRATED = 14.0


@dataclass(frozen=True)
class _Parts:
    """What was found in parts of micrographs.

    Attributes:
        peaks: of each part.
        decoys: (n,) scores of the peaks of some of their negatives.
        room: number of particles whose discs are as large as the area in which peaks may lie.
    """

    peaks: Sequence[PeaksInsideBorder]
    decoys: Sequence[np.ndarray]
    room: float


def adapt_to_micrographs(
    general: Model,
    scale: WorkingScale,
    micrographs: Sequence[Micrograph],
    particles: Optional[float],
    path: Path,
    device: torch.device,
) -> Path:
    """Fit the general model to micrographs and write it; keep one that is there.

    A run that goes on with more micrographs keeps the model, so that all its scores mean the same.
    One of another request, of micrographs that have changed since or of none that could be used is
    made anew.

    Args:
        general: the model.
        scale: of the particle to pick.
        micrographs: to pick in.
        particles: about how many a micrograph holds; None if that is not known.
        path: of the fitted model's file.
        device: to compute on.

    Returns:
        The path.
    """
    if not is_fitted(general, scale, micrographs, particles, path):
        save_model(fit_general_model(general, scale, micrographs, particles, device), path)
    return path


def is_fitted(
    general: Model,
    scale: WorkingScale,
    micrographs: Sequence[Micrograph],
    particles: Optional[float],
    path: Path,
) -> bool:
    """Whether `adapt_to_micrographs`, which has these arguments, has nothing to do."""
    return _is_there(path, _request(general, scale, particles), micrographs)


def fit_general_model(
    general: Model,
    scale: WorkingScale,
    micrographs: Sequence[AnyMicrograph],
    particles: Optional[float],
    device: torch.device,
) -> Model:
    """Fit the general model to micrographs: its contrast, its scale and its scores.

    A part of at most twelve micrographs, spread evenly over those given, is scored for it.
    Arguments as in `adapt_to_micrographs`.

    Returns:
        A model of particles of that diameter, with a threshold for these micrographs.
    """
    fitted = evenly_spaced(micrographs, MICROGRAPHS_FITTED)
    log.info("Fitting the general model to %d micrographs.", len(fitted))
    request = _request(general, scale, particles)
    search = fit_contrast(general, scale, fitted, device)
    general, judge = search.general, search.judge
    suited = best_scale(search)
    peaks: Dict[AnyMicrograph, PeaksInsideBorder] = {}
    decoys: List[np.ndarray] = []
    width, area = suited.diameter_px, 0.0
    for micrograph, image, share in _read_parts(general, suited, fitted):
        scored = judge(image[None])
        if len(peaks) % MICROGRAPHS_PER_NEGATIVE == 0:
            decoys.append(_decoys(judge, image, width, scored[1]))
        found = clean_peaks_inside_border(_given(scored), image, width)
        area += found.share * image.size
        peaks[micrograph] = replace(found, share=found.share * share)
    fitted_to = {m.name: _status(m) for m in peaks}
    record = replace(general.training, adapted=request, fitted_to=fitted_to)
    room = area / (math.pi * (width / 2) ** 2)
    parts = _Parts([*peaks.values()], decoys, room)
    return _calibrate(general, suited, parts, particles, record)


def _read_parts(
    general: Model, scale: WorkingScale, micrographs: Sequence[AnyMicrograph]
) -> Iterator[Tuple[AnyMicrograph, np.ndarray, float]]:
    """Prepare a part of each micrograph that can be used.

    Yields:
        The micrograph, a working image (h, w) and the share of the micrograph that it is.
    """
    diameters = side_of_parts(DIAMETERS_CALIBRATED, MICROGRAPHS_FITTED, len(micrographs))
    side = diameters * general.scale.diameter_px

    def prepared(numbered: Tuple[int, AnyMicrograph]) -> Tuple[WorkingImage, float]:
        part = cut_part(numbered[1], scale, side, place_of_part(numbered[0]))
        image = prepare(part.micrograph, scale, general.normalisation, general.mixture)
        return image, part.share

    for (_, micrograph), part in prefetch(prepared, enumerate(micrographs)):
        if not isinstance(part, MicrographError):
            yield micrograph, part[0].image, part[1]


def _request(general: Model, scale: WorkingScale, particles: Optional[float]) -> Dict[str, object]:
    return {"general": general.digest, "diameter": scale.diameter, "particles": particles}


def _status(micrograph: AnyMicrograph) -> List[Optional[float]]:
    """Pixel size, and what tells the file from another in its place."""
    return [micrograph.pixel_size, *file_status(micrograph.path)]


def _is_there(path: Path, request: Dict[str, object], micrographs: Sequence[Micrograph]) -> bool:
    """Whether the file holds a model for the request, from micrographs that are still the same."""
    if not path.exists():
        return False
    try:
        training = load_model(path).training
    except UsageError as error:
        log.warning("%s is made anew: %s", path, error)
        return False
    present = (m for m in micrographs if m.name in training.fitted_to and m.path.exists())
    status = {m.name: _status(m) for m in present}
    return (
        _is_of(training, request)
        and bool(training.fitted_to)
        and all(status.get(name, file) == file for name, file in training.fitted_to.items())
    )


def _is_of(training: TrainingRecord, request: Dict[str, object]) -> bool:
    """Whether a model was fitted for the request, maybe from the general model of version 0.1."""
    if training.adapted == json.loads(json.dumps(request)):
        return True
    earlier = {**request, "general": load_model(EARLIER_GENERAL).digest}
    return training.adapted == json.loads(json.dumps(earlier))


def _given(scored: Tuple[np.ndarray, Optional[np.ndarray]]) -> Judge:
    return lambda images: scored


def _decoys(
    judge: Judge, image: np.ndarray, diameter_px: float, dirty: Optional[np.ndarray]
) -> np.ndarray:
    """Scores of the peaks of an image's negative that lie on no contamination of the image."""
    where = None if dirty is None else dirty[0]
    return clean_peaks_inside_border(judge, -image, diameter_px, where).score


def _likely_count(
    scores: np.ndarray, in_negatives: float, expected: Optional[float]
) -> Tuple[float, float]:
    """Fewest and most particles that may be among peaks.

    Among strong contamination, faint particles look like a tail of other peaks, and the fit may
    leave them out. The number that users know, within what "about" means, says otherwise; or else
    what the model itself expects there, beyond what it expects in the negatives.
    """
    if expected is not None:
        return _ABOUT[0] * expected, _ABOUT[1] * expected
    excess = float(expit(scores).sum()) - in_negatives
    return _ABOUT[0] * max(0.0, excess), math.inf


def _calibrate(
    general: Model,
    scale: WorkingScale,
    parts: _Parts,
    particles: Optional[float],
    record: TrainingRecord,
) -> Model:
    peaks = parts.peaks
    scores = np.concatenate([of_micrograph.score for of_micrograph in peaks] + [np.empty(0)])
    negatives = np.concatenate([*parts.decoys, np.empty(0)])
    expected = None if particles is None else expected_among(peaks, particles)
    step = general.network.step
    line = calibrate_target_decoy(scores, negatives, expected, step=step)
    in_negatives = float(expit(negatives).sum()) * len(peaks) / max(1, len(parts.decoys))
    line = with_count(line, scores, *_likely_count(scores, in_negatives, expected))
    if expected is None and step < STRIDE and len(scores):
        line = with_coverage(line, scores, parts.room)
    threshold = general.threshold
    if len(scores):
        count = None if expected is None else ExpectedCount(expected, GIVEN_COUNT_ERROR)
        threshold = threshold_of_expected_f1(line.log_odds(scores), line.error, count)
    training = replace(
        record,
        micrographs=len(peaks),
        particles_per_micrograph=particles,
        score_uncertainty=round(line.error, 3),
    )
    return replace(
        general,
        network=calibrated(general.network, line),
        scale=ModelScale(scale.diameter, scale.diameter_px, scale.unit),
        threshold=threshold,
        training=training,
    )
