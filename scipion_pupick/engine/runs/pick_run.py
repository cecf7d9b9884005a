# SPDX-License-Identifier: GPL-3.0-or-later
"""The folder of a picking run: how it is written, and how it is read again.

The list of micrographs and the settings are written when a run begins, so that a run that was
stopped can be looked at as well.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Dict, Iterable, Iterator, Mapping, Optional, Sequence, Tuple

from ..coordinates import Coordinates, Picks
from ..coordinates.file_names import file_of_micrograph, files_of_micrographs
from ..coordinates.relion import coordinates_text, particles_text
from ..errors import PupickError, UsageError
from ..files.atomic import PathLike, make_folder, write_text
from ..files.json_files import read_json, write_json
from ..files.star import check_star_names
from ..micrographs import Micrograph
from ..networks.training_record import TrainingRecord
from ..picking.cut import Cut
from ..picking.peaks_file import MicrographPeaks, load_peaks, save_peaks
from .layout import (
    ADAPTED_MODEL,
    CHECKPOINT,
    COORDINATES,
    FAILED,
    MICROGRAPHS,
    PEAKS_SUFFIX,
    PICK_RECORD,
    PICKS,
    REPORT,
    SCORES,
    THRESHOLD_RECORD,
    holds_own_picks,
)
from .lists import read_failures, read_micrographs, write_failures, write_micrographs


@dataclass(frozen=True)
class PickRun:
    """A picking run, finished or not, or the picks of another threshold: what its folder holds.

    What is read from the folder is read once, when it is first asked for.

    Attributes:
        folder: of the run.
    """

    folder: Path

    @property
    def adapted_model(self) -> Path:
        """File of the general model as it was fitted to the micrographs."""
        return self.folder / ADAPTED_MODEL

    @property
    def report(self) -> Path:
        """File of the report."""
        return self.folder / REPORT

    @cached_property
    def record(self) -> Dict[str, Any]:
        """Settings, and what was found if the run has ended.

        Raises:
            PupickError: the file is damaged.
        """
        path = self.folder / PICK_RECORD
        record = read_json(path)
        try:
            {name: float(record[name]) for name in ("threshold", "diameter", "edge")}
            TrainingRecord.from_dict(record.get("training", {}))
        except (ValueError, KeyError, TypeError) as error:
            raise PupickError(f"{path} is damaged ({error!r}): pick again.") from error
        return record

    @cached_property
    def micrographs(self) -> Tuple[Micrograph, ...]:
        """Micrographs to pick in, in the order in which they were given."""
        return read_micrographs(self.folder)

    @cached_property
    def failures(self) -> Dict[str, str]:
        """Reason by name of the micrographs that could not be used."""
        return read_failures(self.folder / FAILED)

    @property
    def finished(self) -> bool:
        """Whether the run has ended."""
        return "seconds" in self.record

    @property
    def threshold(self) -> float:
        """Log-odds that the run applied."""
        return float(self.record["threshold"])

    @property
    def diameter(self) -> float:
        """Particle diameter, Å."""
        return float(self.record["diameter"])

    @property
    def cut(self) -> Cut:
        """Which peaks the run has picked."""
        return Cut(self.threshold, float(self.record["edge"]))

    @property
    def model(self) -> Path:
        """File of the model."""
        return Path(self.record.get("model", ""))

    @cached_property
    def training(self) -> TrainingRecord:
        """What the model says of how it came about."""
        return TrainingRecord.from_dict(self.record.get("training", {}))

    @property
    def is_calibrated(self) -> bool:
        """Whether the model says how far its scores may be off."""
        return self.training.score_uncertainty is not None

    @property
    def score_uncertainty(self) -> float:
        """Standard error that all scores share, log-odds; 0 where the model does not say."""
        return float(self.training.score_uncertainty or 0.0)

    def peaks_path(self, name: str) -> Path:
        """Return the file of all peaks of a micrograph."""
        return file_of_micrograph(name, self.folder / SCORES, PEAKS_SUFFIX)

    def coordinates_path(self, name: str) -> Path:
        """Return the file of the picks of a micrograph."""
        return file_of_micrograph(name, self.folder / COORDINATES, ".star")

    def kept_peaks(self, name: str) -> Optional[MicrographPeaks]:
        """Return all peaks that are kept of a micrograph; None where there are none."""
        return load_peaks(self.peaks_path(name))

    def peaks_of(self, micrograph: Micrograph) -> Optional[MicrographPeaks]:
        """Return the peaks inside the border of a micrograph; None if it has no scores."""
        peaks = self.kept_peaks(micrograph.name)
        if peaks is None or micrograph.name in self.failures:
            return None
        return replace(peaks, coordinates=self.cut.of_all_scores.choose(peaks))

    def peaks(self) -> Iterator[Tuple[str, MicrographPeaks]]:
        """Return the peaks of each micrograph that has scores."""
        for micrograph in self.micrographs:
            peaks = self.peaks_of(micrograph)
            if peaks is not None:
                yield micrograph.name, peaks

    def refuse_other_picks(self) -> None:
        """Refuse to write picks where picks lie that are not pupick's own, such as hand picks.

        Raises:
            UsageError: they do.
        """
        if (self.folder / PICKS).is_file() and not holds_own_picks(self.folder):
            raise UsageError(
                f"{self.folder / PICKS} was not written by a picking run and would be "
                "overwritten: give another folder.",
                setting="output",
            )

    def claim(self, names: Sequence[str]) -> None:
        """Make the folder for the picks of micrographs, unless it holds something else.

        Raises:
            UsageError: picks that are not pupick's own or a training lie there, a file is in its
                place, two micrographs would share a file, or the name of one cannot be written.
            OSError: it cannot be made.
        """
        check_star_names(names)
        make_folder(self.folder)
        self.refuse_other_picks()
        if (self.folder / CHECKPOINT).is_file():
            raise UsageError(f"{self.folder} holds a training: give another folder for the picks.")
        files_of_micrographs(names, self.folder, PEAKS_SUFFIX)

    def picked_before(self, micrographs: Sequence[Micrograph]) -> Sequence[str]:
        """Return the names of micrographs that were picked here, but are not among these."""
        names = {m.name for m in self.micrographs} - {m.name for m in micrographs}
        return [name for name in names if self.coordinates_path(name).is_file()]

    def begin(
        self,
        micrographs: Sequence[Micrograph],
        pending: Sequence[Micrograph],
        record: Mapping[str, Any],
    ) -> None:
        """Write what is known of a run, and remove what pending micrographs have from others."""
        write_micrographs(micrographs, self.folder)
        write_failures({}, self.folder / FAILED)
        self.write_record(record)
        self.forget_picks()
        for micrograph in pending:
            self.peaks_path(micrograph.name).unlink(missing_ok=True)
            self.forget_coordinates(micrograph.name)

    def end(self, picks: Picks, failures: Mapping[str, str], record: Mapping[str, Any]) -> None:
        """Write the list of all picks, the failures and the record of a run that has ended."""
        self.write_picks(picks)
        write_failures(failures, self.folder / FAILED)
        self.write_record(record)

    def write_record(self, record: Mapping[str, Any]) -> None:
        """Write the settings of a run, and what it has found."""
        write_json(self.folder / PICK_RECORD, record)

    def write_threshold_record(self, record: Mapping[str, Any]) -> None:
        """Write which threshold was applied to the peaks of a run, and what it gives."""
        write_json(self.folder / THRESHOLD_RECORD, record)

    def write_peaks(self, peaks: MicrographPeaks, name: str) -> None:
        """Keep all peaks of one micrograph."""
        save_peaks(peaks, self.peaks_path(name))

    def write_coordinates(self, picks: Coordinates, name: str) -> None:
        """Write the picks of one micrograph."""
        write_text(self.coordinates_path(name), coordinates_text(picks, with_scores=True))

    def write_picks(self, picks: Picks) -> None:
        """Write the list of all picks."""
        write_text(self.folder / PICKS, particles_text(picks, with_scores=True))

    def forget_picks(self) -> None:
        """Remove the list of all picks."""
        (self.folder / PICKS).unlink(missing_ok=True)

    def forget_coordinates(self, name: str) -> None:
        """Remove the picks of one micrograph."""
        self.coordinates_path(name).unlink(missing_ok=True)

    def forget_other_coordinates(self, names: Iterable[str]) -> None:
        """Remove the picks that an earlier threshold has left of micrographs other than these."""
        if not (self.folder / THRESHOLD_RECORD).is_file() or holds_pick_run(self.folder):
            return
        kept = {self.coordinates_path(name) for name in names}
        for path in (self.folder / COORDINATES).rglob("*.star"):
            if path not in kept:
                path.unlink()


def holds_pick_run(folder: Path) -> bool:
    """Whether `pupick pick` has written to a folder."""
    return (folder / PICK_RECORD).is_file()


def read_pick_run(folder: PathLike) -> PickRun:
    """Read the folder of a picking run, finished or not.

    Raises:
        UsageError: it is no such folder.
        PupickError: a file in it is damaged.
    """
    run = PickRun(Path(folder))
    if not holds_pick_run(run.folder) or not (run.folder / MICROGRAPHS).is_file():
        raise UsageError(
            f"{run.folder} is not the folder of a picking run: it has no {PICK_RECORD} and "
            f"{MICROGRAPHS}, which `pupick pick` writes."
        )
    # what is damaged shall be said now
    _ = run.record, run.micrographs, run.failures
    return run
