# SPDX-License-Identifier: GPL-3.0-or-later
"""The folder of picks that were suggested to be looked at: which they were, and of which run.

The files of picks beside the record are for people to correct; the record keeps what they were.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional

import numpy as np

from ..coordinates import Coordinates, Picks, read_picks
from ..coordinates.area import Area
from ..coordinates.corrections import Corrections
from ..coordinates.table import join_coordinates
from ..errors import PupickError
from ..files.atomic import PathLike
from ..files.json_files import read_json, write_json
from .layout import SUGGESTION

_SUGGESTION_VERSION = 1


@dataclass(frozen=True)
class Suggested:
    """Picks that were suggested to be looked at.

    Attributes:
        run: folder of the run that they are of.
        shown: the picks as they were written, by micrograph name, px; nothing else was shown.
        files: in which they were written, by micrograph name.
        reasons: why each micrograph was chosen, by its name, the most doubtful first.
        areas: in which all picks were shown, px, by micrograph name; older records have none.
    """

    run: Path
    shown: Picks
    files: Mapping[str, Path]
    reasons: Mapping[str, str]
    areas: Mapping[str, Area] = field(default_factory=dict)

    def what(self, name: str) -> str:
        """Say in a line what to look at in a micrograph, and why."""
        where = f" in {self.areas[name].describe()}" if name in self.areas else ""
        return f"{len(self.shown[name])} picks{where} ({self.reasons[name]})"

    def looked_at(self, corrections: Corrections) -> Dict[str, Optional[Area]]:
        """Return the areas of micrographs that are done, by micrograph name."""
        done = {name for name, correction in corrections.items() if correction.done}
        return {name: area for name, area in self.areas.items() if name in done}

    def as_they_are(self) -> Picks:
        """Read the picks as people have left them; a micrograph whose file is gone has none.

        Raises:
            UsageError: a file is no file of picks any more.
        """
        found: Picks = {}
        for name, file in self.files.items():
            left = list(read_picks(file).values()) if file.is_file() else []
            found[name] = join_coordinates(left) if left else Coordinates.empty()
        return found


def holds_suggestion(folder: Path) -> bool:
    """Whether `pupick suggest` has written to a folder."""
    return (folder / SUGGESTION).is_file()


def write_suggested(folder: PathLike, suggested: Suggested) -> None:
    """Write what was suggested, so that corrections can be told from it.

    Raises:
        OSError: it cannot be written.
    """
    home = Path(folder)
    micrographs = {
        name: {
            "reason": suggested.reasons[name],
            "file": os.path.relpath(suggested.files[name], home),
            "picks": np.c_[picks.xy, picks.score].tolist(),
            "area": suggested.areas[name].corners,
        }
        for name, picks in suggested.shown.items()
    }
    # a project may be moved, with all that is in it
    run = os.path.relpath(suggested.run, home)
    write_json(
        home / SUGGESTION, {"version": _SUGGESTION_VERSION, "run": run, "micrographs": micrographs}
    )


def read_suggested(folder: PathLike) -> Suggested:
    """Read what was suggested.

    Raises:
        PupickError: the record is damaged, or of another version.
        OSError: it cannot be read.
    """
    home = Path(folder)
    record = read_json(home / SUGGESTION)
    if record.get("version") != _SUGGESTION_VERSION:
        raise PupickError(
            f"{home / SUGGESTION}: is of version {record.get('version')!r:.40}, and this pupick "
            f"reads version {_SUGGESTION_VERSION}: take the pupick that has written it."
        )
    try:
        kept: Dict[str, Dict[str, Any]] = dict(record["micrographs"])
        shown = {name: _coordinates(of_one["picks"]) for name, of_one in kept.items()}
        files = {name: home / of_one["file"] for name, of_one in kept.items()}
        reasons = {name: str(of_one["reason"]) for name, of_one in kept.items()}
        corners = {name: of_one["area"] for name, of_one in kept.items() if "area" in of_one}
        areas = {name: Area(*map(int, four)) for name, four in corners.items()}
        run = Path(os.path.normpath(home / record["run"]))
    except (LookupError, TypeError, ValueError) as error:
        raise PupickError(
            f"{home / SUGGESTION} is damaged ({error}): suggest picks again."
        ) from error
    return Suggested(run, shown, files, reasons, areas)


def _coordinates(rows: List[List[float]]) -> Coordinates:
    return Coordinates(*np.array(rows, float).reshape(-1, 3).T)
