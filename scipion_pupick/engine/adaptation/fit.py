# SPDX-License-Identifier: GPL-3.0-or-later
"""Fitting the general model to the micrographs that it picks in, without any label.

Particles may be dark or bright, and the scale is chosen at which it is most certain. Its scores
are log-odds on simulated micrographs; on real ones of another contrast they are all too high or too
low, which leaves the order of peaks as it is but not the threshold, so they are calibrated.
"""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Dict, Iterator, List, Optional, Sequence, Tuple

import numpy as np
import torch

from ..calibration.general_scores import calibrate_general
from ..calibration.line import calibrated
from ..calibration.mixture_fit import GIVEN_COUNT_ERROR, ExpectedCount
from ..calibration.model_threshold import threshold_of_expected_f1
from ..errors import MicrographError, UsageError
from ..files.atomic import file_status
from ..files.prefetch import prefetch
from ..micrographs import AnyMicrograph, Micrograph
from ..networks.model import Model, load_model, save_model
from ..networks.training_record import TrainingRecord
from ..picking.decoys import PeaksAndDecoys, find_peaks_and_decoys
from ..preprocessing.scale import ModelScale, WorkingScale
from ..preprocessing.working_image import WorkingImage, prepare
from ..settings import EARLIER_GENERAL, MICROGRAPHS_FITTED
from .contrast import fit_contrast
from .parts import cut_part, place_of_part, side_of_parts
from .scale import best_scale, evenly_spaced

log = logging.getLogger(__name__)

# noise is alike in a set: one negative in so many micrographs gives enough decoys
MICROGRAPHS_PER_NEGATIVE = 3
# side of the part of each of twelve micrographs that is scored to calibrate, in diameters as the
# model sees them, larger where there are fewer micrographs; chosen in
# docs/decisions/027-fits-to-parts.md
DIAMETERS_CALIBRATED = 14.0


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
    parts: List[Tuple[AnyMicrograph, float]] = []

    def read_images() -> Iterator[np.ndarray]:
        # one by one, so that the next is read while one is scored
        for micrograph, image, share in _read_parts(general, suited, fitted):
            parts.append((micrograph, share))
            yield image

    width = suited.diameter_px
    found = find_peaks_and_decoys(judge, read_images(), width, MICROGRAPHS_PER_NEGATIVE)
    fitted_to = {micrograph.name: _status(micrograph) for micrograph, _ in parts}
    record = replace(
        general.training,
        adapted=request,
        fitted_to=fitted_to,
        micrographs=len(parts),
        particles_per_micrograph=particles,
    )
    if particles is not None:
        particles *= sum(p.share * share for p, (_, share) in zip(found.peaks, parts))
    return _calibrate(general, suited, found, particles, record)


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


def _calibrate(
    general: Model,
    scale: WorkingScale,
    found: PeaksAndDecoys,
    expected: Optional[float],
    record: TrainingRecord,
) -> Model:
    line = calibrate_general(found, expected, general.network.step)
    threshold, scores = general.threshold, found.scores
    if len(scores):
        count = None if expected is None else ExpectedCount(expected, GIVEN_COUNT_ERROR)
        threshold = threshold_of_expected_f1(line.log_odds(scores), line.error, count)
    return replace(
        general,
        network=calibrated(general.network, line),
        scale=ModelScale(scale.diameter, scale.diameter_px, scale.unit),
        threshold=threshold,
        training=replace(record, score_uncertainty=round(line.error, 3)),
    )
