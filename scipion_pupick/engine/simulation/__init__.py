# SPDX-License-Identifier: GPL-3.0-or-later
"""Simulated micrographs with known particles, from density maps or from random phantoms."""

from .bank import Bank, make_bank
from .ctf import Defocus, Microscope, ctf
from .density import Density, centre_density, read_map
from .micrograph import SimulatedMicrograph, simulate_micrograph
from .phantom import random_phantom
from .projection import project
from .proteins import Protein, read_proteins
from .random_numbers import log_uniform
from .recipe import Recipe
from .rotations import random_rotations
from .settings import (
    Contamination,
    Crowding,
    Ice,
    SimulationSettings,
    hard_settings,
    random_settings,
    with_fixed,
)

__all__ = [
    "Bank",
    "Contamination",
    "Crowding",
    "Defocus",
    "Density",
    "Ice",
    "Microscope",
    "Protein",
    "Recipe",
    "SimulatedMicrograph",
    "SimulationSettings",
    "centre_density",
    "ctf",
    "hard_settings",
    "log_uniform",
    "make_bank",
    "project",
    "random_phantom",
    "random_rotations",
    "random_settings",
    "read_map",
    "read_proteins",
    "simulate_micrograph",
    "with_fixed",
]
