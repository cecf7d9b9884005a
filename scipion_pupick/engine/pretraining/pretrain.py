# SPDX-License-Identifier: GPL-3.0-or-later
"""Training a general network on simulated micrographs, whose particles are all known."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Callable, Optional, Sequence

import numpy as np
import torch
from scipy.optimize import brentq, minimize
from scipy.special import expit

from ..calibration.line import Calibration
from ..errors import UsageError
from ..evaluation.curves import average_precision
from ..evaluation.matching import match_points
from ..networks.architectures import Network
from ..networks.scoring import Scorer, make_scorer
from ..picking.border import inside_border
from ..picking.detector import detect_peaks
from ..settings import TOLERANCE_DIAMETERS, OptimizerSettings
from ..training.loop import Trainer
from ..training.prior import fresh_network
from ..training.progress import Progress
from .dataset import KnownImage
from .supervised_loss import SupervisedLoss

_FIRST_ODDS = 0.05
_LABELLED_SHARE = 0.25
_SHARE_OF_START = 0.2


def pretrain(
    images: Sequence[KnownImage],
    held_out: Sequence[KnownImage],
    settings: OptimizerSettings,
    device: torch.device,
    progress: Optional[Progress] = None,
    after_epoch: Callable[[Progress], None] = lambda progress: None,
    labelled: Sequence[Sequence[KnownImage]] = (),
    start: Optional[Network] = None,
) -> Progress:
    """Train a network to tell the centres of particles from everything else.

    Every score of a tile is trained, by its logistic loss. Pixels within the training radius of a
    centre are positive, and count four times; those further out but still on a particle are left
    out; all others are negative. Of sets of labelled micrographs, all alike, comes a quarter of
    the tiles. Arguments, result and errors are those of `training.fit`, but for the images and the
    network to start from, if there is one.
    """
    network = first_network(settings, start)
    shares = [1 - _LABELLED_SHARE, *(_LABELLED_SHARE / len(labelled) for _ in labelled)]
    loss = SupervisedLoss([images, *labelled], shares, network, settings, device)

    def validate(average: Network) -> float:
        scorer = make_scorer(average, device)
        return mean_average_precision([match_peaks(scorer, image) for image in held_out])

    trainer = Trainer(network, loss, validate, loss.positive_share(), settings, device)
    return trainer.run(progress, after_epoch)


def first_network(settings: OptimizerSettings, start: Optional[Network] = None) -> Network:
    """Make the network that training begins with, of random weights or those of another.

    Raises:
        UsageError: the network to start from is of another kind.
    """
    network = fresh_network(settings, _FIRST_ODDS)
    if start is not None:
        take_over(network, start)
    return network


def take_over(network: Network, start: Network) -> None:
    """Give a network the weights of another; a fine one scores its corners as a coarse one scores.

    Raises:
        UsageError: the networks are of other kinds.
    """
    weights = start.state_dict()
    for name in ("classifier.weight", "classifier.bias"):
        corners = network.classifier.out_channels // start.classifier.out_channels
        weights[name] = weights[name].repeat_interleave(corners, dim=0)
    try:
        missing, unknown = network.load_state_dict(weights, strict=False)
    except RuntimeError as error:
        raise UsageError(f"The model to start from has another network: {error}") from error
    odd = [name for name in missing if not name.startswith("contamination")]
    if odd or unknown:
        raise UsageError(
            "The model to start from has another network: it lacks, or has beside, "
            f"{', '.join([*odd, *unknown][:3])}."
        )


def averaged_with_start(network: Network, start: Network) -> Network:
    """Copy a network, a fifth of the way back to the one that it started from.

    What it had learned before is kept better so, at hardly any loss of what is new (Wortsman et
    al., CVPR 2022).
    """
    averaged, before = copy.deepcopy(network), copy.deepcopy(network)
    take_over(before, start)
    weights = before.state_dict()
    with torch.no_grad():
        for name, value in averaged.state_dict().items():
            if value.is_floating_point():
                value.lerp_(weights[name], _SHARE_OF_START)
    return averaged


@dataclass(frozen=True)
class MatchedPeaks:
    """Peaks of images whose particles are known, without those near the edges.

    Attributes:
        score: (n,) of the peaks.
        hits: (n,) bool, which of them are particles.
        particles: in the images, whether a peak is at them or not.
    """

    score: np.ndarray
    hits: np.ndarray
    particles: int


def match_peaks(scorer: Scorer, image: KnownImage) -> MatchedPeaks:
    """Detect the peaks of an image and tell which are particles."""
    radius = image.diameter_px / 2
    peaks = detect_peaks(scorer, image.pixels.astype(np.float32), image.diameter_px)
    shape = (image.pixels.shape[0], image.pixels.shape[1])
    inside, counted = (inside_border(xy, radius, shape) for xy in (peaks.xy, image.xy))
    score, particles = peaks.score[inside], image.xy[counted]
    matched = match_points(peaks.xy[inside], particles, 2 * TOLERANCE_DIAMETERS * radius, score)
    return MatchedPeaks(score, matched >= 0, len(particles))


def join_peaks(of_images: Sequence[MatchedPeaks]) -> MatchedPeaks:
    """Put the peaks of several images together."""
    return MatchedPeaks(
        np.concatenate([peaks.score for peaks in of_images]),
        np.concatenate([peaks.hits for peaks in of_images]),
        sum(peaks.particles for peaks in of_images),
    )


def mean_average_precision(of_images: Sequence[MatchedPeaks]) -> float:
    """Mean, over images that hold particles, of the average precision of their peaks."""
    precisions = [
        average_precision(peaks.hits, peaks.score, peaks.particles)
        for peaks in of_images
        if peaks.particles
    ]
    return float(np.mean(precisions))


def calibrate_on(of_images: Sequence[MatchedPeaks]) -> Calibration:
    """Fit log-odds to peaks of which it is known whether they are particles (logistic regression).

    The standard error is the spread over images of the constant that would make the expected
    number of particles among an image's peaks right: images differ more than peaks do.
    """
    peaks = join_peaks(of_images)

    def loss(line: np.ndarray) -> float:
        odds = line[0] * peaks.score + line[1]
        return float(np.mean(np.logaddexp(0, odds) - peaks.hits * odds))

    slope, offset = minimize(loss, [1.0, 0.0], method="Nelder-Mead").x
    shifts = [_shift(slope * peaks.score + offset, int(peaks.hits.sum())) for peaks in of_images]
    return Calibration(float(slope), float(offset), float(np.std([s for s in shifts if s])))


def _shift(odds: np.ndarray, hits: int) -> Optional[float]:
    """Log-odds to add so that so many hits are expected; None where all or no peaks are hits."""
    if not 0 < hits < len(odds):
        return None
    return float(brentq(lambda shift: expit(odds + shift).sum() - hits, -30, 30))
