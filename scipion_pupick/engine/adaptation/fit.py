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
from typing import Dict, Optional, Sequence, Tuple

import numpy as np
import torch

from ..calibration.line import calibrated
from ..calibration.precision_recall_estimate import best_threshold, estimate_precision_recall
from ..calibration.target_decoy import calibrate_target_decoy
from ..errors import UsageError
from ..files.atomic import file_status
from ..micrographs import Micrograph
from ..networks.model import Model, load_model, save_model
from ..networks.scoring import Scorer, make_scorer
from ..picking.detector import PeaksInsideBorder, expected_among, peaks_inside_border
from ..preprocessing.scale import ModelScale, WorkingScale
from ..settings import LEAST_SCORE
from .contrast import detect_contrast
from .scale import evenly_spaced, read_usable, search_scale

log = logging.getLogger(__name__)

ADAPTED = "adapted.safetensors"
MOST_MICROGRAPHS = 12


def adapt_to_micrographs(
    general: Model,
    scale: WorkingScale,
    micrographs: Sequence[Micrograph],
    particles: Optional[float],
    folder: Path,
    device: torch.device,
) -> Path:
    """Write a general model with scores and threshold for micrographs; keep one that is there.

    At most twelve micrographs, spread evenly over those given, are scored for it. A run that goes
    on with more micrographs keeps the model, so that all its scores mean the same. One of another
    request, of micrographs that have changed since or of none that could be used is made anew.

    Args:
        general: the model.
        scale: of the particle to pick.
        micrographs: to pick in.
        particles: about how many a micrograph holds; None if that is not known.
        folder: of the run.
        device: to compute on.

    Returns:
        Path of the model's file in the folder.
    """
    path = folder / ADAPTED
    request = {"general": general.digest, "diameter": scale.diameter, "particles": particles}
    if not _is_there(path, request, micrographs):
        chosen = evenly_spaced(micrographs, MOST_MICROGRAPHS)
        log.info("Fitting the general model to %d micrographs.", len(chosen))
        general = detect_contrast(general, scale, chosen, device)
        scorer = make_scorer(general.network, device)
        suited = search_scale(general, scorer, scale, chosen)
        scored = {
            micrograph: _peaks_and_decoys(scorer, image.image, suited.diameter_px)
            for micrograph, image in read_usable(general, suited, chosen)
        }
        fitted_to = {m.name: [m.pixel_size, *file_status(m.path)] for m in scored}
        record = {"adapted": request, "fitted_to": fitted_to}
        save_model(_fit(general, suited, [*scored.values()], particles, record), path)
    return path


def _is_there(path: Path, request: Dict[str, object], micrographs: Sequence[Micrograph]) -> bool:
    """Whether the file holds a model for the request, from micrographs that are still the same."""
    if not path.exists():
        return False
    try:
        training = load_model(path).training
    except UsageError as error:
        log.warning("%s is made anew: %s", path, error)
        return False
    fitted_to = training.get("fitted_to", {})
    there = (m for m in micrographs if m.name in fitted_to and m.path.exists())
    files = {m.name: [m.pixel_size, *file_status(m.path)] for m in there}
    return (
        training.get("adapted") == json.loads(json.dumps(request))
        and bool(fitted_to)
        and all(files.get(name, file) == file for name, file in fitted_to.items())
    )


def _peaks_and_decoys(
    scorer: Scorer, image: np.ndarray, diameter_px: float
) -> Tuple[PeaksInsideBorder, np.ndarray]:
    """Peaks of a working image, and the scores of those of its negative."""
    negative = peaks_inside_border(scorer, -image, diameter_px)
    return peaks_inside_border(scorer, image, diameter_px), negative.score


def _fit(
    general: Model,
    scale: WorkingScale,
    scored: Sequence[Tuple[PeaksInsideBorder, np.ndarray]],
    particles: Optional[float],
    record: Dict[str, object],
) -> Model:
    peaks = [each for each, _ in scored]
    every = np.concatenate([each.score for each in peaks] + [np.empty(0)])
    decoys = np.concatenate([scores for _, scores in scored] + [np.empty(0)])
    expected = None if particles is None else expected_among(peaks, particles)
    line = calibrate_target_decoy(every, decoys, expected)
    threshold = general.threshold
    if len(every):
        quality = estimate_precision_recall([line.log_odds(every)])
        threshold = max(LEAST_SCORE, best_threshold(quality))
    training = {
        **general.training,
        **record,
        "micrographs": len(peaks),
        "particles_per_micrograph": particles,
        "score_uncertainty": round(line.error, 3),
    }
    return replace(
        general,
        network=calibrated(general.network, line),
        scale=ModelScale(scale.diameter, scale.diameter_px),
        threshold=threshold,
        training=training,
    )
