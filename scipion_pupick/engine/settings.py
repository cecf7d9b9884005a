# SPDX-License-Identifier: GPL-3.0-or-later
"""What a user or a wrapper may set, with its defaults; everything else is derived."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Optional, Tuple

from .errors import UsageError

WORKING_DIAMETER_PX = 24.0
STRIDE = 4  # px of the working image from one score to the next, in every network
LEAST_SCORE = -8.0
SEPARATION = 0.4  # of the diameter: particles overlap in projection, and diameters are guesses
TOLERANCE = 0.4  # of the diameter: so near to a particle, a pick is right
GENERAL = "general"
NETWORKS = ("conv3", "resnet8", "resnet16")
OBJECTIVES = ("pn", "upu", "nnpu", "ge-kl", "ge-binomial")
WITH_SLACK = ("ge-kl", "ge-binomial")
NORMALISATIONS = ("micrograph", "joint", "affine")
MOST_SEEDS = 2**63


def _check_choice(what: str, chosen: str, choices: Tuple[str, ...]) -> None:
    if chosen not in choices:
        raise UsageError(f"There is no {what} {chosen!r}: choose one of {', '.join(choices)}.")


def _check_particles(number: Optional[float]) -> None:
    if number is not None and not 0 < number < math.inf:
        raise UsageError(
            f"{number:g} particles per micrograph were given: give a positive number, or none "
            "to have it estimated (--particles-per-micrograph)."
        )


@dataclass(frozen=True)
class Augmentation:
    """How much patches and tiles vary.

    Attributes:
        scale: largest relative change of size, up or down.
        gain: largest relative change of contrast, up or down.
        offset: largest change of mean grey, in standard deviations of the background.
    """

    scale: float = 0.1
    gain: float = 0.2
    offset: float = 0.2


@dataclass(frozen=True)
class OptimizerSettings:
    """How to train.

    Attributes:
        network: name in `NETWORKS`.
        objective: name in `OBJECTIVES`.
        slack: weight λ of the expectation penalty; None for the objective's own default.
        autoencoder: weight γ of the reconstruction error per pixel; None for 10/N up to N = 250
            labels where training starts from random weights, else 0.
        distillation: weight of the answers of the network that training starts from, on unlabelled
            regions; None for 5/N up to N = 250 labels. Random weights have none.
        diameter_px: particle diameter, px of the working image.
        training_radius: pixels this near to a label are positive, px of the working image.
        epochs: how many; the learning rate falls to zero over these.
        steps: batches an epoch; None for 50, or 25 where up to 250 labels adjust a trained
            network.
        mosaics: mosaics of labelled patches in a batch.
        tiles: tiles of unlabelled micrograph in a batch.
        unlabeled_scores: scores drawn from the tiles for one step of the objective.
        learning_rate: at its highest.
        weight_decay: of AdamW.
        averaging: decay of the exponential moving average of the weights.
        seed: of every random choice.
        augmentation: random changes of patches and tiles.
    """

    network: str = "resnet8"
    objective: str = "nnpu"
    slack: Optional[float] = None
    autoencoder: Optional[float] = None
    distillation: Optional[float] = None
    diameter_px: float = WORKING_DIAMETER_PX
    training_radius: float = WORKING_DIAMETER_PX / 8
    epochs: int = 12
    steps: Optional[int] = None
    mosaics: int = 8
    tiles: int = 8
    unlabeled_scores: int = 1024
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    averaging: float = 0.99
    seed: int = 0
    augmentation: Augmentation = Augmentation()

    def __post_init__(self) -> None:
        _check_choice("network", self.network, NETWORKS)
        _check_choice("objective", self.objective, OBJECTIVES)
        for name in (
            "diameter_px",
            "training_radius",
            "epochs",
            "mosaics",
            "tiles",
            "unlabeled_scores",
            "learning_rate",
        ):
            if not 0 < getattr(self, name) < math.inf:
                raise UsageError(
                    f"{name} is {getattr(self, name)}: it must be positive and finite."
                )
        if self.steps is not None and not self.steps > 0:
            raise UsageError(f"steps is {self.steps}: it must be positive.")
        for name in ("slack", "autoencoder", "distillation", "weight_decay"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < math.inf:
                raise UsageError(f"{name} is {value}: it must be finite and not negative.")
        if self.slack is not None and self.objective not in WITH_SLACK:
            raise UsageError(
                f"The objective {self.objective!r} has no slack, but {self.slack} was given: leave "
                f"it out, or choose one of {', '.join(WITH_SLACK)}."
            )
        if not 0 <= self.averaging < 1:
            raise UsageError(f"averaging is {self.averaging}: give a decay from 0 to below 1.")
        if not 0 <= self.seed < MOST_SEEDS:
            raise UsageError(f"The seed is {self.seed}: give a number from 0 to {MOST_SEEDS - 1}.")


@dataclass(frozen=True)
class TrainSettings:
    """How to train, as a user sees it.

    Attributes:
        diameter: of the particle, Å.
        particles_per_micrograph: about how many a micrograph holds; None to estimate it.
        normalisation: 'micrograph' (a Gaussian mixture for each), 'joint' (one mixture for the
            set and a scale for each) or 'affine'.
        held_out: share of the labels that only choose the best weights; None for a fifth where that
            is 100 labels or more, since fewer would choose by chance, and none otherwise.
        most_micrographs: unlabelled micrographs are left out (at random) beyond this number.
        training: of the network.
    """

    diameter: float
    particles_per_micrograph: Optional[float] = None
    normalisation: str = "micrograph"
    held_out: Optional[float] = None
    most_micrographs: int = 200
    training: OptimizerSettings = field(default_factory=OptimizerSettings)

    def __post_init__(self) -> None:
        _check_choice("normalisation", self.normalisation, NORMALISATIONS)
        if self.held_out is not None and not 0 <= self.held_out < 1:
            raise UsageError(f"held_out is {self.held_out:g}: give a share from 0 to below 1.")
        _check_particles(self.particles_per_micrograph)


PRETRAINING = OptimizerSettings(
    objective="pn", autoencoder=0.0, epochs=30, steps=100, tiles=12, averaging=0.998
)


@dataclass(frozen=True)
class PretrainSettings:
    """How to make the general model.

    Attributes:
        particles: random particles to train on, two micrographs of each.
        held_out: random particles that choose the best epoch and calibrate the scores.
        training: of the network; every region of the tiles is labelled.
    """

    particles: int = 1600
    held_out: int = 40
    training: OptimizerSettings = PRETRAINING

    def __post_init__(self) -> None:
        for name in ("particles", "held_out"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} is {getattr(self, name)}: give 1 or more.")


@dataclass(frozen=True)
class PickSettings:
    """How to pick.

    Attributes:
        threshold: log-odds from which on a peak is picked; None for the model's own.
        border: picks nearer to the micrograph's edge are dropped, Å; None for half the diameter.
        min_distance: least distance between two picks, Å; None for 0.4 diameters.
        diameter: particle diameter, Å; None for the model's.
        particles_per_micrograph: about how many a micrograph holds, which betters the threshold of
            the general model; a trained model knows it. None if that is not known.
    """

    threshold: Optional[float] = None
    border: Optional[float] = None
    min_distance: Optional[float] = None
    diameter: Optional[float] = None
    particles_per_micrograph: Optional[float] = None

    def __post_init__(self) -> None:
        for name in ("border", "min_distance"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < math.inf:
                raise UsageError(
                    f"The {name.replace('_', ' ')} is {value:g} Å: it must be finite and not "
                    "negative."
                )
        _check_particles(self.particles_per_micrograph)
        if self.threshold is not None and not LEAST_SCORE <= self.threshold < math.inf:
            raise UsageError(
                f"The threshold is {self.threshold:g}: give {LEAST_SCORE:g} or more, since lower "
                "scores are not kept (--threshold)."
            )
