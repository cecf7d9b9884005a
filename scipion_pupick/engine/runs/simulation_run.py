# SPDX-License-Identifier: GPL-3.0-or-later
"""The folder of a simulation: its micrographs, what they were made with and their particles."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Optional

import numpy as np

from ..coordinates import Coordinates, Picks, write_picks
from ..errors import PupickError, UsageError
from ..files.atomic import make_folder, remove_leftovers, write_text
from ..files.json_files import json_values, read_json, write_json
from ..files.lock import only_owner
from ..micrographs import image_shape, write_image
from .layout import SIMULATED_MICROGRAPHS, SIMULATED_PARTICLES, SIMULATION_RECORD

STEM = "simulated_"
# key of the record: digests of the maps' files
MAP_DIGESTS = "map_digests"


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

    @contextmanager
    def owned(self, request: Dict[str, Any], overwrite: bool) -> Iterator[None]:
        """Own the folder while the block runs, and note what is simulated there.

        Another simulation is cleared away if that is allowed. One of an older version, which noted
        no digests of its maps, is the same if all else is, and gets them now.

        Raises:
            UsageError: another run is at work in the folder, or it holds another simulation or
                files that are not pupick's own.
            OSError: the note cannot be written.
        """
        make_folder(self.folder)
        with only_owner(self.folder, "pupick simulate"):
            asked = json_values(request)
            self._refuse_others(asked, overwrite)
            if self._request(asked) not in (None, asked):
                self._forget_all()
            write_json(self.folder / SIMULATION_RECORD, request)
            for folder in (self.folder, self.folder / SIMULATED_MICROGRAPHS):
                remove_leftovers(folder)
            yield

    def _request(self, asked: Mapping[str, Any]) -> Optional[Dict[str, Any]]:
        """Return what is simulated here; None where that is not known."""
        try:
            noted = read_json(self.folder / SIMULATION_RECORD)
        except (PupickError, OSError):
            return None
        # nothing tells whether a map has changed since an older version read it
        return {MAP_DIGESTS: asked[MAP_DIGESTS], **noted}

    def _refuse_others(self, request: Dict[str, Any], overwrite: bool) -> None:
        noted = self._request(request)
        if overwrite or noted == request:
            return
        found = [path for path in (self.particles_path, *self._numbered(0)) if path.exists()]
        note = self.folder / SIMULATION_RECORD
        known = {"seed", "shape"} <= (noted or {}).keys()
        if known and found:
            raise UsageError(
                f"{self.folder} holds another simulation ({SIMULATION_RECORD} says which): "
                "give another folder, or allow to overwrite it.",
                setting="overwrite",
            )
        if not known and (found or note.exists()):
            raise UsageError(
                f"{(*found, note)[0]} was not written by a simulation and would be lost: give "
                "another folder, or allow to overwrite it.",
                setting="overwrite",
            )

    def _numbered(self, first: int) -> List[Path]:
        """Files of micrographs from number `first` on."""
        return [
            path
            for path in (self.folder / SIMULATED_MICROGRAPHS).glob(f"{STEM}*")
            if path.suffix in (".mrc", ".json")
            and path.stem[len(STEM) :].isdecimal()
            and int(path.stem[len(STEM) :]) >= first
        ]

    def _forget_all(self) -> None:
        self.particles_path.unlink(missing_ok=True)
        self.forget_from(0)

    def forget_from(self, first: int) -> None:
        """Delete micrographs from number `first` on."""
        for path in self._numbered(first):
            path.unlink()

    def has(self, index: int) -> bool:
        """Whether a micrograph is there, and whole."""
        try:
            image_shape(self.micrograph_path(index))
            self.particles(index)
        except (PupickError, OSError):
            return False
        return True

    def write(self, index: int, image: np.ndarray, parameters: Mapping[str, Any]) -> None:
        """Write a micrograph (ny, nx) and what it was made with."""
        path = self.micrograph_path(index)
        write_image(path, image, parameters["pixel_size"])
        # last, so that a micrograph with parameters is a whole one
        write_text(path.with_suffix(".json"), json.dumps(parameters) + "\n")

    def particles(self, index: int) -> Coordinates:
        """Read the particles of a micrograph, px.

        Raises:
            PupickError: the file is damaged.
            OSError: it cannot be read.
        """
        path = self.micrograph_path(index).with_suffix(".json")
        try:
            xy = np.array(read_json(path)["particles"], float).reshape(-1, 2)
        except (LookupError, TypeError, ValueError) as error:
            raise PupickError(f"{path} is damaged ({error!r}): simulate again.") from error
        return Coordinates.unscored(xy[:, 0], xy[:, 1])

    def write_particles(self, particles: Picks) -> None:
        """Write the particles of all micrographs."""
        write_picks(particles, self.particles_path)
