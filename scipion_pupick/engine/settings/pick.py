# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings of picking and of what goes with it; the metadata of each field say what it means."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Optional

from .constants import (
    LEAST_SCORE,
    MIN_DISTANCE_DIAMETERS,
    MOST_CONTAMINATION,
    TOLERANCE_DIAMETERS,
    WORKING_DIAMETER_PX,
)
from .setting import ADVANCED, KEY, Checked, about
from .shared import DIAMETER, NORMALISATION, PARTICLES


def usual_border(diameter: float) -> float:
    """Return the border that is taken where none is given, in the unit of the diameter."""
    return diameter / 2


def usual_min_distance(diameter: float) -> float:
    """Return the least distance that is taken where none is given, in the diameter's unit."""
    return MIN_DISTANCE_DIAMETERS * diameter


@dataclass(frozen=True)
class PickSettings(Checked):
    """How to pick; the metadata of each field say what it means."""

    threshold: Optional[float] = field(
        default=None,
        metadata=about(
            "Score threshold",
            "score (log-odds) from which on a peak is picked",
            least=LEAST_SCORE,
            automatic="the model's",
            more="A score of 0 is one particle in two picks, 2.2 nine in ten, -2.2 one in ten. "
            f"{LEAST_SCORE:g} takes all peaks.",
            advice=", since lower scores are not kept",
            placeholder="SCORE",
        ),
    )
    border: Optional[float] = field(
        default=None,
        metadata=about(
            "Border",
            "picks nearer to the micrograph's edge are dropped",
            unit="Å",
            least=0,
            automatic="half the diameter",
            old_name="edge",
        ),
    )
    min_distance: Optional[float] = field(
        default=None,
        metadata=about(
            "Minimum inter-particle distance",
            "least distance of two picks",
            unit="Å",
            least=0,
            automatic=f"{MIN_DISTANCE_DIAMETERS:g} diameters",
            more="Of two that are nearer to each other, the one with the higher score is kept.",
            old_name="separation",
        ),
    )
    diameter: Optional[float] = field(
        default=None, metadata={KEY: replace(DIAMETER, automatic="the model's")}
    )
    particles_per_micrograph: Optional[float] = field(
        default=None,
        metadata={
            KEY: replace(
                PARTICLES,
                automatic="unknown",
                more="It improves the threshold of the general model; a trained model knows it.",
                advice=", or none if it is not known",
            )
        },
    )
    contamination: float = field(
        default=MOST_CONTAMINATION,
        metadata=about(
            "Contamination limit",
            "picks that are likelier than this to lie on ice, carbon or dirt are dropped",
            level=ADVANCED,
            least=0,
            most=1,
            more="A probability; 1 keeps all. Contamination is known to the general model and to "
            "models trained from it, but not to those of version 0.1.",
            placeholder="PROBABILITY",
        ),
    )


@dataclass(frozen=True)
class PreprocessSettings(Checked):
    """How to write micrographs as a network sees them; see the metadata of each field."""

    diameter: float = field(metadata={KEY: DIAMETER})
    diameter_px: float = field(
        default=WORKING_DIAMETER_PX,
        metadata=about(
            "Width of the particle in the output",
            "width of the particle in the written images",
            unit="px",
            above=0,
            more="The images are downsampled, or enlarged, so that the particle has this width.",
        ),
    )
    normalisation: str = field(default="micrograph", metadata={KEY: NORMALISATION})


@dataclass(frozen=True)
class EvaluateSettings(Checked):
    """How to compare picks with reference particles; see the metadata of each field."""

    tolerance: float = field(
        metadata=about(
            "Tolerance",
            "largest distance of a pick from its particle, in the micrograph",
            unit="px",
            above=0,
            more=f"{TOLERANCE_DIAMETERS:g} diameters are usual.",
        )
    )
    border: float = field(
        default=0.0,
        metadata=about(
            "Border",
            "what is nearer to the edge is left out; needs the micrographs",
            unit="px",
            least=0,
        ),
    )
