# SPDX-License-Identifier: GPL-3.0-or-later
"""The folder of a picking run: how it is written, and how it is read again.

The list of micrographs and the settings are written when a run begins, so that a run that was
stopped can be looked at as well.
"""

from __future__ import annotations

import math
import os
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, Iterator, Mapping, Optional, Sequence, Tuple

from ..coordinates import Coordinates
from ..coordinates.file_names import name_below
from ..coordinates.relion import coordinates_text
from ..errors import PupickError, UsageError
from ..files.atomic import PathLike, file_status, make_folder, remove_leftovers, write_text
from ..files.json_files import json_values, read_json, write_json
from ..files.lock import only_owner
from ..micrographs import Micrograph
from ..micrographs.mrc import write_mask
from ..micrographs.pixel_sizes import PixelSizes
from ..networks.training_record import TrainingRecord
from ..picking.cut import Cut
from ..picking.peaks_file import MicrographPeaks, load_peaks, save_peaks
from .index import Index, Note
from .layout import (
    ADAPTED_MODEL,
    CHECKPOINT,
    COORDINATES,
    FAILED,
    INDEX,
    MASKS,
    MICROGRAPHS,
    PEAKS_SUFFIX,
    PICK_RECORD,
    PICKS,
    REPORT,
    SCORES,
    holds_own_picks,
)
from .lists import read_failures, read_micrographs, write_failures, write_micrographs
from .part_folders import no_part_at_work
from .pick_list import write_pick_list
from .picked import Criteria, Picked
from .quality import add_quality, begin_quality, write_quality
from .unwritable import unwritable_names

# key of the record: the beginning of the fingerprint of each micrograph's kept peaks, by name
FINGERPRINTS = "fingerprints"


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
            numbers = [float(record[name]) for name in ("threshold", "diameter", "edge")]
            if not all(map(math.isfinite, numbers)) or numbers[1] <= 0:
                raise ValueError(f"threshold, diameter and edge are {numbers}")
            if not isinstance(record.get("model", ""), str):
                raise TypeError("the model is not the name of a file")
            {**record.get(FINGERPRINTS, {})}
            TrainingRecord.from_dict(record.get("training", {}))
        except (ValueError, KeyError, TypeError, OverflowError) as error:
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
        return Cut(
            self.threshold,
            float(self.record["edge"]),
            # runs of models that knew none, and of older versions, do not say
            float(self.record.get("contamination", 1.0)),
        )

    @property
    def model(self) -> Path:
        """File of the model."""
        recorded = Path(self.record.get("model", ""))
        # the folder may have been moved since
        is_here = recorded.name == ADAPTED_MODEL and self.adapted_model.is_file()
        return self.adapted_model if is_here else recorded

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
        return Path(self._peaks_file(name))

    def _peaks_file(self, name: str) -> str:
        return name_below(name, os.path.join(self.folder, SCORES), PEAKS_SUFFIX)

    def coordinates_path(self, name: str) -> Path:
        """Return the file of the picks of a micrograph."""
        return Path(self.coordinates_file(name))

    def coordinates_file(self, name: str) -> str:
        """Return `coordinates_path` as a text, which for thousands of files is quicker."""
        return name_below(name, os.path.join(self.folder, COORDINATES), ".star")

    def mask_path(self, name: str) -> Path:
        """Return the file of the mask of a micrograph's contamination."""
        return Path(self._mask_file(name))

    def _mask_file(self, name: str) -> str:
        return name_below(name, os.path.join(self.folder, MASKS), ".mrc")

    def kept_peaks(self, name: str) -> Optional[MicrographPeaks]:
        """Return all peaks that are kept of a micrograph; None where there are none."""
        return load_peaks(self._peaks_file(name))

    def peaks_of(self, micrograph: Micrograph) -> Optional[MicrographPeaks]:
        """Return the peaks of a micrograph that a threshold chooses among; None without scores."""
        peaks = self.all_peaks_of(micrograph)
        return None if peaks is None else self.cut.of_all_scores.select(peaks)

    def all_peaks_of(self, micrograph: Micrograph) -> Optional[MicrographPeaks]:
        """Return the peaks of a micrograph, wherever they lie; None if it has no scores."""
        if micrograph.name in self.failures:
            return None
        peaks = self.kept_peaks(micrograph.name)
        return peaks if peaks and self._is_of_run(micrograph.name, peaks) else None

    def _is_of_run(self, name: str, peaks: MicrographPeaks) -> bool:
        """Whether peaks are those that the run has found, as far as its record says."""
        return peaks.fingerprint.startswith(self.record.get(FINGERPRINTS, {}).get(name, ""))

    def all_peaks(self) -> Iterator[Tuple[str, MicrographPeaks]]:
        """Return the peaks, wherever they lie, of each micrograph that has scores."""
        for micrograph in self.micrographs:
            peaks = self.all_peaks_of(micrograph)
            if peaks is not None:
                yield micrograph.name, peaks

    def peaks(self) -> Iterator[Tuple[str, MicrographPeaks]]:
        """Return the peaks that a threshold chooses among, of each micrograph with scores."""
        for name, peaks in self.all_peaks():
            yield name, self.cut.of_all_scores.select(peaks)

    def refuse_other_files(self, names: Iterable[str]) -> None:
        """Refuse to write where files lie that are not pupick's own, such as hand picks.

        Args:
            names: of the micrographs whose picks are to be written.

        Raises:
            UsageError: they do.
        """
        if holds_own_picks(self.folder):
            return
        files = [os.path.join(self.folder, n) for n in (PICKS, MICROGRAPHS, FAILED, REPORT)]
        names = [*names]
        # most folders are new, and names thousands
        for below, file_of in ((COORDINATES, self.coordinates_file), (MASKS, self._mask_file)):
            if os.path.lexists(os.path.join(self.folder, below)):
                files += map(file_of, names)
        for path in files:
            # a folder is never replaced
            if os.path.lexists(path) and not os.path.isdir(path):
                raise UsageError(
                    f"{path} was not written by a picking run and would be overwritten: give "
                    "another folder.",
                    setting="output",
                )

    def unwritable(self, names: Sequence[str]) -> Dict[str, str]:
        """Return why, by name, the picks of some micrographs cannot be written.

        Raises:
            UsageError: two micrographs would share a file.
        """
        return unwritable_names(names, self.folder)

    @contextmanager
    def owned(self, micrographs: Sequence[Micrograph], work: str) -> Iterator[None]:
        """Make the folder for the picks of micrographs, and own it while the block runs.

        What a killed run has left half written is removed.

        Args:
            micrographs: whose picks are to be written.
            work: what is done, for the message of another run.

        Raises:
            UsageError: another run, or a part of this, is at work in it, files that are not
                pupick's own or a training lie there, a file is in its place, or two micrographs
                would share a file.
            OSError: it cannot be made.
        """
        names = [m.name for m in micrographs]
        unwritable = self.unwritable(names)
        make_folder(self.folder)
        self.refuse_other_files(name for name in names if name not in unwritable)
        if (self.folder / CHECKPOINT).is_file():
            raise UsageError(f"{self.folder} holds a training: give another folder for the picks.")
        with only_owner(self.folder, work), no_part_at_work(self.folder):
            remove_leftovers(self.folder)
            for name in (COORDINATES, SCORES, MASKS):
                remove_leftovers(self.folder / name, recursively=True)
            yield

    def picked_before(self, micrographs: Sequence[Micrograph]) -> Sequence[str]:
        """Return the names of micrographs that were picked here, but are not among these."""
        try:
            names = {m.name for m in self.micrographs} - {m.name for m in micrographs}
        except PupickError:
            # the list is damaged, and about to be written anew
            return []
        writable = names - self.unwritable(sorted(names)).keys()
        return [name for name in sorted(writable) if self.coordinates_path(name).is_file()]

    def holds_all_of(self, micrographs: Sequence[Micrograph], record: Mapping[str, Any]) -> bool:
        """Whether a run that has ended here has these micrographs and this in its record."""
        try:
            here = os.getcwd()
            same = {name: self.record.get(name) for name in record} == json_values(record)
            listed = [(m.name, str(m.path), m.pixel_size) for m in self.micrographs]
            asked = [(m.name, os.path.join(here, m.path), m.pixel_size) for m in micrographs]
            return same and self.finished and listed == asked and (self.folder / PICKS).is_file()
        except (PupickError, OSError):
            return False

    def begin(
        self,
        micrographs: Sequence[Micrograph],
        pending: Sequence[Micrograph],
        record: Mapping[str, Any],
        sizes: PixelSizes,
    ) -> None:
        """Write what is known of a run, and remove what pending micrographs have from others.

        The list of all picks stays as it is until the new one is whole.
        """
        # first, for it says whose folder this is
        self.write_record(record)
        write_micrographs(micrographs, self.folder, sizes)
        write_failures({}, self.folder / FAILED)
        begin_quality(self.folder)
        for micrograph in pending:
            self.peaks_path(micrograph.name).unlink(missing_ok=True)
            self.forget_coordinates(micrograph.name)

    def end(
        self,
        notes: Sequence[Note],
        index: Index,
        failures: Mapping[str, str],
        picks_of: Callable[[str], Coordinates],
    ) -> None:
        """Write the list of all picks, how good they are, and the failures.

        Args:
            notes: of the micrographs that were picked, in the order in which they were given.
            index: says what the list holds now.
            failures: reason by name of the other micrographs.
            picks_of: returns the picks of a micrograph.
        """
        listed = write_pick_list(self.folder / PICKS, notes, index, picks_of)
        write_quality([note.picked for note in notes], self.folder)
        write_failures(failures, self.folder / FAILED)
        index.write(listed, file_status(self.folder / PICKS))

    def read_index(self) -> Index:
        """Read what is noted of the micrographs that were picked here."""
        return Index.read(self.folder / INDEX)

    def note_of(
        self, index: Index, name: str, fingerprint: str, criteria: Criteria, edited: bool = False
    ) -> Optional[Note]:
        """Return what is noted of a micrograph, if its files (edited: its peaks) are the same."""
        coordinates = None if edited else self.coordinates_file(name)
        return index.believed(name, fingerprint, criteria, self._peaks_file(name), coordinates)

    def note(self, index: Index, picked: Picked, criteria: Criteria) -> Note:
        """Note a micrograph whose peaks and picks have just been written."""
        peaks = file_status(self.peaks_path(picked.name))
        note = Note(picked, criteria, peaks, file_status(self.coordinates_path(picked.name)))
        index.add(note)
        add_quality(picked, self.folder)
        return note

    def write_record(self, record: Mapping[str, Any]) -> None:
        """Write the settings of a run, and what it has found."""
        write_json(self.folder / PICK_RECORD, record)

    def write_peaks(self, peaks: MicrographPeaks, name: str) -> None:
        """Keep all peaks of one micrograph."""
        save_peaks(peaks, self.peaks_path(name))

    def write_coordinates(self, picks: Coordinates, name: str) -> None:
        """Write the picks of one micrograph."""
        write_text(self.coordinates_file(name), coordinates_text(picks, with_scores=True))

    def write_mask(self, peaks: MicrographPeaks, name: str) -> None:
        """Write where one micrograph has contamination, if the model knows any."""
        mask = peaks.mask
        if mask is not None:
            pixel_size = peaks.pixel_size * peaks.shape[1] / mask.shape[1]
            write_mask(self.mask_path(name), mask.image(), pixel_size)

    def forget_coordinates(self, name: str) -> None:
        """Remove the picks of one micrograph, and its mask."""
        self.coordinates_path(name).unlink(missing_ok=True)
        self.mask_path(name).unlink(missing_ok=True)


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
    _ = run.record, run.micrographs, run.failures  # what is damaged shall be said now
    return run
