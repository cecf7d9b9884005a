# SPDX-License-Identifier: GPL-3.0-or-later
"""The folder of a simulation: its micrographs, what they were made with and their particles."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Mapping

import numpy as np

from ..coordinates import Coordinates, Picks, write_picks
from ..errors import UsageError
from ..files.atomic import write_text
from ..micrographs import write_image
from .layout import SIMULATED_MICROGRAPHS, SIMULATED_PARTICLES, SIMULATION_RECORD

STEM = "simulated_"


@dataclass(frozen=True)
class SimulationRun:
    """What lies in the folder of a simulation.

    Attributes:
        folder: of the simulation.
    """

    folder: Path

    @property
    def particles_path(self) -> Path:
        """File of the particles of all micrographs."""
        return self.folder / SIMULATED_PARTICLES

    def micrograph_path(self, index: int) -> Path:
        """Return the file of a micrograph."""
        return self.folder / SIMULATED_MICROGRAPHS / f"{STEM}{index:04d}.mrc"

    def name(self, index: int) -> str:
        """Return the path of a micrograph as seen from the folder."""
        return f"{SIMULATED_MICROGRAPHS}/{self.micrograph_path(index).name}"

    def claim(self, request: Dict[str, Any], overwrite: bool) -> None:
        """Note what is simulated here; clear away another simulation if that is allowed.

        Raises:
            UsageError: the folder holds another simulation.
            OSError: the note cannot be written.
        """
        note = self.folder / SIMULATION_RECORD
        text = json.dumps(request, indent=2) + "\n"
        if note.is_file() and note.read_text(encoding="utf-8") != text:
            if not overwrite and any((self.folder / SIMULATED_MICROGRAPHS).glob(f"{STEM}*")):
                raise UsageError(
                    f"{self.folder} holds another simulation ({SIMULATION_RECORD} says which): "
                    "give another folder, or allow to overwrite it.",
                    setting="overwrite",
                )
            self.forget_from(0)
        write_text(note, text)

    def forget_from(self, first: int) -> None:
        """Delete micrographs from number `first` on, and the particles, which no longer fit."""
        self.particles_path.unlink(missing_ok=True)
        for path in (self.folder / SIMULATED_MICROGRAPHS).glob(f"{STEM}*"):
            number = path.stem[len(STEM) :]
            if path.suffix in (".mrc", ".json") and number.isdigit() and int(number) >= first:
                path.unlink()

    def has(self, index: int) -> bool:
        """Whether a micrograph is there, and whole."""
        path = self.micrograph_path(index)
        return path.is_file() and path.with_suffix(".json").is_file()

    def write(self, index: int, image: np.ndarray, parameters: Mapping[str, Any]) -> None:
        """Write a micrograph (ny, nx) and what it was made with."""
        path = self.micrograph_path(index)
        write_image(path, image, parameters["pixel_size"])
        # last, so that a micrograph with parameters is a whole one
        write_text(path.with_suffix(".json"), json.dumps(parameters) + "\n")

    def particles(self, index: int) -> Coordinates:
        """Read the particles of a micrograph, px."""
        text = self.micrograph_path(index).with_suffix(".json").read_text(encoding="utf-8")
        xy = np.array(json.loads(text)["particles"], float).reshape(-1, 2)
        return Coordinates.unscored(xy[:, 0], xy[:, 1])

    def write_particles(self, particles: Picks) -> None:
        """Write the particles of all micrographs."""
        write_picks(particles, self.particles_path)
