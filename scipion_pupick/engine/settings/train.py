# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings of trainings; the metadata of each field say what it means."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Optional

from ..errors import UsageError
from .constants import (
    FIRST_SCORES,
    MOST_SEEDS,
    NEGATIVES_WEIGHTS,
    NETWORKS,
    OBJECTIVES,
    RECIPES,
    RECONSTRUCTION_ERRORS,
    SAMPLINGS,
    SCHEDULES,
    UNITS,
    WITH_SLACK,
    WORKING_DIAMETER_PX,
)
from .labels import LabelSettings
from .setting import ADVANCED, INTERNAL, KEY, Checked, about
from .shared import DIAMETER, NORMALISATION, PARTICLES

# symmetric networks have each feature in four turns
_UNITS_STEP = 4
_TILES_AUTOMATIC = "8, or 4 where up to 250 picks adjust a trained network"


@dataclass(frozen=True)
class Augmentation:
    """How much patches and tiles vary.

    Attributes:
        scale: largest relative change of size, up or down.
        gain: largest relative change of contrast, up or down.
        offset: largest change of mean grey, in standard deviations of the background.
        faintest: lowest share of its contrast that a labelled patch keeps; None for what suits.
    """

    scale: float = 0.1
    gain: float = 0.2
    offset: float = 0.2
    faintest: Optional[float] = None


@dataclass(frozen=True)
class OptimizerSettings(Checked):
    """How to train a network; the metadata of each field say what it means."""

    network: str = field(
        default="resnet8",
        metadata=about(
            "Network",
            "layout of the neural network",
            level=ADVANCED,
            choices=NETWORKS,
            more="A model to start from keeps its own. With another network than the general "
            "model's, training starts from random weights.",
        ),
    )
    units: int = field(
        default=UNITS,
        metadata=about(
            "Width of the network",
            "width of the network: filters of its first layer, a multiple of 4",
            level=ADVANCED,
            above=0,
            more="The last layer has four times as many. With 64, a network has four times as "
            "many weights, and starts from random ones.",
        ),
    )
    objective: str = field(
        default="nnpu",
        metadata=about("Objective", "what training minimises", level=ADVANCED, choices=OBJECTIVES),
    )
    slack: Optional[float] = field(
        default=None,
        metadata=about(
            "Slack",
            "weight λ of the expected number of particles",
            level=ADVANCED,
            least=0,
            automatic="10 for ge-kl, 1 for ge-binomial and ge-binomial-kl",
            more="The other objectives have none.",
            placeholder="λ",
        ),
    )
    autoencoder: Optional[float] = field(
        default=None,
        metadata=about(
            "Autoencoder's weight, error summed",
            "weight γ of the autoencoder's squared error, summed over pixels as in the paper",
            level=ADVANCED,
            least=0,
            automatic="by the weight per pixel",
            more="A second task, to redraw the image round a pick. Give this weight or the one per "
            "pixel, not both.",
            placeholder="γ",
        ),
    )
    autoencoder_per_pixel: Optional[float] = field(
        default=None,
        metadata=about(
            "Autoencoder's weight, error per pixel",
            "weight γ of the autoencoder's mean squared error over the 961 pixels of a region",
            level=ADVANCED,
            least=0,
            automatic="10 / picks up to 250 picks from scratch, else 0",
            more="Version 0.1 called it the weight of the autoencoder.",
            placeholder="γ",
        ),
    )
    reconstruction: str = field(
        default="pixel",
        metadata=about(
            "Error of the autoencoder",
            "of which error the automatic weight of the autoencoder is",
            level=INTERNAL,
            choices=RECONSTRUCTION_ERRORS,
        ),
    )
    distillation: Optional[float] = field(
        default=None,
        metadata=about(
            "Weight of the starting model",
            "how much training keeps to what the model that it starts from says",
            level=ADVANCED,
            least=0,
            automatic="5 / picks up to 250 picks, else 0",
            more="Its scores of regions without picks are learned, too. Random weights have none.",
            placeholder="WEIGHT",
        ),
    )
    diameter_px: float = field(
        default=WORKING_DIAMETER_PX,
        metadata=about(
            "Working diameter",
            "particle diameter in the working image",
            unit="px",
            level=INTERNAL,
            above=0,
        ),
    )
    training_radius: float = field(
        default=WORKING_DIAMETER_PX / 8,
        metadata=about(
            "Training radius",
            "radius round a pick that counts as particle, in the working image",
            unit="px",
            level=ADVANCED,
            above=0,
            more="There a particle is 24 px wide.",
        ),
    )
    epochs: int = field(
        default=12,
        metadata=about(
            "Epochs",
            "rounds of training",
            level=ADVANCED,
            above=0,
            more="More take longer. The learning rate falls to zero over these.",
        ),
    )
    steps: Optional[int] = field(
        default=None,
        metadata=about(
            "Batches an epoch",
            "batches of images in an epoch",
            level=ADVANCED,
            above=0,
            automatic="50, or 25 where up to 250 picks adjust a trained network",
        ),
    )
    sampling: str = field(
        default="tiles",
        metadata=about(
            "Unlabelled regions",
            "how regions without picks are drawn",
            level=ADVANCED,
            choices=SAMPLINGS,
        ),
    )
    negatives_weight: str = field(
        default="doubted",
        metadata=about(
            "Weight of places without a particle",
            "how much places without a particle count",
            level=ADVANCED,
            choices=NEGATIVES_WEIGHTS,
            more="Pooled is for the objectives whose names begin with ge.",
        ),
    )
    mosaics: Optional[int] = field(
        default=None,
        metadata=about(
            "Mosaics",
            "mosaics of labelled patches in a batch",
            level=INTERNAL,
            above=0,
            automatic=_TILES_AUTOMATIC,
        ),
    )
    tiles: Optional[int] = field(
        default=None,
        metadata=about(
            "Tiles",
            "tiles of unlabelled micrograph in a batch",
            level=INTERNAL,
            above=0,
            automatic=_TILES_AUTOMATIC,
        ),
    )
    unlabeled_scores: int = field(
        default=1024,
        metadata=about(
            "Unlabelled scores",
            "scores drawn from the tiles for one step of the objective",
            level=INTERNAL,
            above=0,
        ),
    )
    labelled_regions: int = field(
        default=16,
        metadata=about(
            "Labelled regions",
            "labelled regions of each class in a batch of single regions",
            level=INTERNAL,
            above=0,
        ),
    )
    learning_rate: float = field(
        default=2e-3,
        metadata=about(
            "Learning rate",
            "learning rate at its highest",
            level=ADVANCED,
            above=0,
            placeholder="RATE",
        ),
    )
    schedule: str = field(
        default="one-cycle",
        metadata=about(
            "Schedule", "how the learning rate changes", level=INTERNAL, choices=SCHEDULES
        ),
    )
    first_scores: str = field(
        default="prior",
        metadata=about("First scores", "of random weights", level=INTERNAL, choices=FIRST_SCORES),
    )
    weight_decay: float = field(
        default=1e-2, metadata=about("Weight decay", "of AdamW", level=INTERNAL, least=0)
    )
    averaging: float = field(
        default=0.99,
        metadata=about(
            "Averaging",
            "decay of the moving average of the weights",
            level=INTERNAL,
            least=0,
            below=1,
        ),
    )
    seed: int = field(
        default=0,
        metadata=about(
            "Seed",
            "seed of every random choice",
            level=ADVANCED,
            least=0,
            below=MOST_SEEDS,
            more="The same seed trains the same model.",
        ),
    )
    augmentation: Augmentation = Augmentation()

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_objective()
        if self.units % _UNITS_STEP:
            raise UsageError(f"units is {self.units}: give a multiple of {_UNITS_STEP}.", "units")
        if self.autoencoder is not None and self.autoencoder_per_pixel is not None:
            raise UsageError(
                f"The autoencoder has two weights, {self.autoencoder:g} for its error summed over "
                f"pixels and {self.autoencoder_per_pixel:g} per pixel: give one of them.",
                ("autoencoder", "autoencoder_per_pixel"),
            )

    def _check_objective(self) -> None:
        if self.objective in WITH_SLACK:
            return
        known = f"choose one of {', '.join(WITH_SLACK)}"
        if self.slack is not None:
            raise UsageError(
                f"The objective {self.objective!r} has no slack, but {self.slack} was given: leave "
                f"it out, or {known}.",
                ("slack", "objective"),
            )
        if self.negatives_weight == "pooled":
            raise UsageError(
                f"The objective {self.objective!r} weighs picks and negatives by the share of "
                f"particles, so that they cannot be pooled: {known}.",
                ("negatives_weight", "objective"),
            )


@dataclass(frozen=True)
class TrainSettings(Checked):
    """What a user may set of a training; the metadata of each field say what it means.

    Attributes:
        training: of the network.
        labels: of the picks; they decide where these are, not how they are trained on.
    """

    diameter: float = field(metadata={KEY: DIAMETER})
    particles_per_micrograph: Optional[float] = field(default=None, metadata={KEY: PARTICLES})
    recipe: str = field(
        default="pupick",
        metadata=about(
            "Recipe",
            "which defaults hold for settings that are left as they are",
            level=ADVANCED,
            choices=RECIPES,
            more="The paper's: the network conv3, the objective ge-binomial, batches of 16 "
            "labelled and 240 unlabelled regions of all micrographs, Adam with a learning rate of "
            "2e-4, 2,000 batches, nothing held out, a joint normalisation.",
        ),
    )
    normalisation: str = field(
        default="micrograph", metadata={KEY: replace(NORMALISATION, level=ADVANCED)}
    )
    held_out: Optional[float] = field(
        default=None,
        metadata=about(
            "Held-out picks",
            "share of the picks that is kept out of training, to choose the best epoch by",
            level=ADVANCED,
            least=0,
            below=1,
            automatic="0.2 of 500 picks or more, else none",
        ),
    )
    most_micrographs: int = field(
        default=200,
        metadata=about(
            "Most micrographs",
            "unlabelled micrographs beyond this number are left out, at random",
            level=INTERNAL,
            least=0,
        ),
    )
    training: OptimizerSettings = field(default_factory=OptimizerSettings)
    labels: LabelSettings = field(default_factory=LabelSettings)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.recipe != "pupick" and self.training == OptimizerSettings():
            made = f"make_settings(TrainSettings, {{'recipe': {self.recipe!r}, ...}})"
            raise UsageError(f"Settings of a recipe are made by their names: `{made}`.", "recipe")


PRETRAINING = OptimizerSettings(
    network="resnet8-fine",
    objective="pn",
    autoencoder=0.0,
    epochs=30,
    steps=100,
    tiles=12,
    averaging=0.998,
)


@dataclass(frozen=True)
class PretrainSettings(Checked):
    """How to make the general model; the metadata of each field say what it means.

    Attributes:
        training: of the network; every region of the tiles is labelled.
    """

    particles: int = field(
        default=1600,
        metadata=about("Particles", "random particles, two micrographs of each", above=0),
    )
    held_out: int = field(
        default=40,
        metadata=about(
            "Held-out particles",
            "random particles that choose the best epoch and calibrate the scores",
            level=INTERNAL,
            above=0,
        ),
    )
    training: OptimizerSettings = PRETRAINING
