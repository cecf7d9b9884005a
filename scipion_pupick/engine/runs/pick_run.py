# SPDX-License-Identifier: GPL-3.0-or-later
"""The folder of a picking run: what lies where in it, and how it is read again.

The list of micrographs and the settings are written when a run begins, so that a run that was
stopped can be looked at as well.
"""

from __future__ import annotations

import csv
import io
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

from ..coordinates import Coordinates, Picks
from ..coordinates.file_names import PICKS, SUMMARY, file_of_micrograph, holds_own_picks
from ..coordinates.relion import coordinates_text, particles_text
from ..errors import PupickError, UsageError
from ..files.atomic import PathLike, write_text
from ..files.json_files import read_json, write_json
from ..micrographs import Micrograph
from ..picking.peaks_file import SUFFIX, MicrographPeaks, load_peaks

MICROGRAPHS = "micrographs.tsv"
FAILED = "failed.tsv"
COORDINATES = "micrographs"


def refuse_other_picks(folder: Path) -> None:
    """Refuse to write picks where picks lie that are not pupick's own, such as hand picks.

    Raises:
        UsageError: they do.
    """
    if (folder / PICKS).is_file() and not holds_own_picks(folder):
        raise UsageError(
            f"{folder / PICKS} was not written by a picking run and would be overwritten: give "
            "another folder (--output)."
        )


def peaks_path(name: str, folder: Path) -> Path:
    """Return the file of all peaks of a micrograph."""
    return file_of_micrograph(name, folder / "scores", SUFFIX)


def coordinates_path(name: str, folder: Path) -> Path:
    """Return the file of the picks of a micrograph."""
    return file_of_micrograph(name, folder / COORDINATES, ".star")


def write_micrographs(micrographs: Sequence[Micrograph], folder: Path) -> None:
    """Write the list of the micrographs to pick in, with their files and pixel sizes (Å/px)."""
    rows = [[m.name, str(m.path.absolute()), m.pixel_size or ""] for m in micrographs]
    _write_table(folder / MICROGRAPHS, ["micrograph", "file", "pixel_size"], rows)


def write_failures(failures: Mapping[str, str], path: Path) -> None:
    """Write the reason for each micrograph that could not be used (TSV)."""
    _write_table(path, ["micrograph", "reason"], [list(row) for row in failures.items()])


def read_failures(path: Path) -> Dict[str, str]:
    """Read the list that `write_failures` has written; nothing where there is none."""
    return {row["micrograph"]: row["reason"] for row in _read_table(path)}


def write_summary(summary: Mapping[str, Any], folder: Path) -> None:
    """Write the settings of a run, and what it has found."""
    write_json(folder / SUMMARY, summary)


def write_coordinates(picks: Coordinates, name: str, folder: Path) -> None:
    """Write the picks of one micrograph."""
    write_text(coordinates_path(name, folder), coordinates_text(picks, with_scores=True))


def write_picks(picks: Picks, folder: Path) -> None:
    """Write the list of all picks."""
    write_text(folder / PICKS, particles_text(picks, with_scores=True))


def _write_table(path: Path, head: List[str], rows: Sequence[Sequence[Any]]) -> None:
    text = io.StringIO()
    csv.writer(text, delimiter="\t", lineterminator="\n").writerows([head, *rows])
    write_text(path, text.getvalue())


@dataclass(frozen=True)
class PickRun:
    """A picking run as its folder tells it.

    Attributes:
        folder: of the run.
        summary: settings, and what was found if the run has ended.
        micrographs: to pick in, in the order in which they were given.
        failures: reason by name of those that could not be used.
    """

    folder: Path
    summary: Dict[str, Any]
    micrographs: Tuple[Micrograph, ...]
    failures: Dict[str, str]

    @property
    def finished(self) -> bool:
        """Whether the run has ended."""
        return "seconds" in self.summary

    @property
    def threshold(self) -> float:
        """Log-odds that the run applied."""
        return float(self.summary["threshold"])

    @property
    def diameter(self) -> float:
        """Particle diameter, Å."""
        return float(self.summary["diameter"])

    @property
    def model(self) -> Path:
        """File of the model."""
        return Path(self.summary.get("model", ""))

    @property
    def is_calibrated(self) -> bool:
        """Whether the model says how far its scores may be off."""
        return self.summary.get("training", {}).get("score_uncertainty") is not None

    @property
    def score_uncertainty(self) -> float:
        """Standard error that all scores share, log-odds; 0 where the model does not say."""
        return float(self.summary.get("training", {}).get("score_uncertainty") or 0.0)

    def peaks_of(self, micrograph: Micrograph) -> Optional[MicrographPeaks]:
        """Return the peaks of a micrograph without those at the edges; None if it has no scores."""
        kept = load_peaks(peaks_path(micrograph.name, self.folder))
        if kept is None or micrograph.name in self.failures:
            return None
        edge = float(self.summary["edge"]) / kept.pixel_size
        return replace(kept, coordinates=kept.above(-math.inf, edge))

    def peaks(self) -> Iterator[Tuple[str, MicrographPeaks]]:
        """Return the peaks of each micrograph that has scores."""
        for micrograph in self.micrographs:
            kept = self.peaks_of(micrograph)
            if kept is not None:
                yield micrograph.name, kept


def read_run(folder: PathLike) -> PickRun:
    """Read the folder of a picking run, finished or not.

    Raises:
        UsageError: it is no such folder.
        PupickError: a file in it is damaged.
    """
    run = Path(folder)
    if not (run / SUMMARY).is_file() or not (run / MICROGRAPHS).is_file():
        raise UsageError(
            f"{run} is not the folder of a picking run: it has no {SUMMARY} and {MICROGRAPHS}, "
            "which `pupick pick --output` writes."
        )
    micrographs = read_micrographs(run / MICROGRAPHS)
    failures = read_failures(run / FAILED)
    return PickRun(run, _read_summary(run / SUMMARY), micrographs, failures)


def read_micrographs(path: Path) -> Tuple[Micrograph, ...]:
    """Read the list that `write_micrographs` has written."""
    return tuple(
        Micrograph(
            Path(row["file"]),
            row["micrograph"],
            float(row["pixel_size"]) if row["pixel_size"] else None,
        )
        for row in _read_table(path)
    )


def _read_summary(path: Path) -> Dict[str, Any]:
    summary = read_json(path)
    try:
        {name: float(summary[name]) for name in ("threshold", "diameter", "edge")}
    except (ValueError, KeyError, TypeError) as error:
        raise PupickError(f"{path} is damaged ({error!r}): pick again.") from error
    return summary


def _read_table(path: Path) -> List[Dict[str, str]]:
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))
