# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings that several commands have."""

from __future__ import annotations

from .constants import NORMALISATIONS
from .setting import Setting

DIAMETER = Setting("Particle diameter", "diameter of the particle", unit="Å", above=0)
PARTICLES = Setting(
    "Particles per micrograph",
    "about how many particles a micrograph holds, picked or not",
    above=0,
    automatic="estimated",
    advice=", or none to have it estimated",
)
NORMALISATION = Setting("Normalisation", "how grey values are scaled", choices=NORMALISATIONS)
