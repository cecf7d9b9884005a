# SPDX-License-Identifier: GPL-3.0-or-later
"""Scoring many micrographs into the folder of a run: only those that are new or changed."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Mapping, NoReturn, Optional, Sequence, Set, Tuple

import numpy as np

from ..coordinates import Coordinates
from ..errors import MicrographError, PupickError
from ..files.atomic import file_status
from ..files.progress import track
from ..micrographs import Micrograph
from ..micrographs.pixel_sizes import PixelSizes
from ..networks.model import Model, load_model, versions
from ..picker import Picker
from ..picking.peaks_file import MicrographPeaks
from ..settings import PickSettings
from .applied_threshold import applied_threshold, forget_applied_threshold
from .edited_files import edited_files, refuse_edited, warn_of_unseen
from .executors import Executor
from .gone_micrographs import fingerprints_of_gone
from .index import Index, Note
from .layout import MASKS
from .lists import write_micrographs
from .pick_result import KeptPicks, PickResult
from .pick_run import FINGERPRINTS, PickRun
from .picked import Criteria, Picked, estimate_of
from .score_micrographs import ScoringTask, fingerprint_of

log = logging.getLogger(__name__)


def _score_elsewhere(images: np.ndarray) -> NoReturn:
    """Whoever scores loads the model again, on a device of its own."""
    raise PupickError("a job scores nothing itself: its executor does")


@dataclass(frozen=True)
class PickedMicrographs:
    """How picking in micrographs went.

    Attributes:
        failures: reason by name of those that failed.
        reused: how many had been scored before.
        changed: whether there was anything to do.
    """

    failures: Dict[str, str]
    reused: int
    changed: bool


@dataclass(frozen=True)
class PickJob:
    """Picking in many micrographs, which leaves its results in the folder of a run.

    Attributes:
        picker: chooses among the peaks that the executor finds.
        model: of the picker.
        path: of the model's file.
        digest: of the model.
        settings: how to pick.
        run: that the results belong to.
        executor: scores the micrographs.
        masks: whether to write masks of contamination.
        pixel_sizes: of the micrographs.
        index: of what was picked in the run before.
        fingerprints: by name, of the kept peaks of each micrograph: only such are read again.
        notes: by name, of what was picked.
    """

    picker: Picker
    model: Model
    path: Path
    digest: str
    settings: PickSettings
    run: PickRun
    executor: Executor
    index: Index
    pixel_sizes: PixelSizes
    masks: bool = False
    fingerprints: Dict[str, str] = field(default_factory=dict)
    notes: Dict[str, Note] = field(default_factory=dict)

    @classmethod
    def plan(
        cls,
        path: Path,
        settings: PickSettings,
        run: PickRun,
        executor: Executor,
        masks: bool = False,
        pixel_sizes: Optional[PixelSizes] = None,
    ) -> PickJob:
        """Derive from the model and the diameter what the settings leave open."""
        model = load_model(path)
        picker = Picker.of_judge(model, _score_elsewhere, settings)
        if masks and not model.knows_contamination:
            log.warning("There are no masks: %s knows no contamination.", path)
            masks = False
        digest, index = model.digest, run.read_index()
        sizes = pixel_sizes or PixelSizes({})
        return cls(picker, model, path, digest, settings, run, executor, index, sizes, masks)

    def pick(self, micrographs: Sequence[Micrograph]) -> PickedMicrographs:
        """Pick in micrographs, of which only those without kept peaks are scored."""
        failures, scored, pending = self._sort(micrographs)
        changed = bool(pending) or not self.run.holds_all_of(micrographs, self.record())
        if changed:
            warn_of_unseen(self.run, self.record())
            self._say_other_threshold()
            self.run.begin(micrographs, pending, self.record(), self.pixel_sizes)
        for name in (m.name for m in scored if m.name not in self.notes):
            self.run.write_coordinates(self.picks_of(name), name)
            self._note(name)
        if self.masks or (self.run.folder / MASKS).is_dir():
            for name in (m.name for m in scored):
                self._renew_mask(name)
        failures.update(self.score(pending))
        return PickedMicrographs(failures, len(scored), changed)

    def _say_other_threshold(self) -> None:
        applied, chosen = applied_threshold(self.run), self.picker.threshold
        if applied is not None and applied != chosen:
            log.warning("The threshold %.4g that was applied is replaced: %.4g.", applied, chosen)

    def _recall(self, micrographs: Sequence[Micrograph]) -> None:
        """Take up what is noted of micrographs whose files are as they were then, or were edited.

        Raises:
            UsageError: files that were edited are of other peaks, or would be picked otherwise.
        """
        names = [micrograph.name for micrograph in micrographs]
        self._recall_each(names)
        # only of files that are not as they were it may take reading to tell
        edited = edited_files(self.run, self.index, [n for n in names if n not in self.notes])
        self._recall_each(edited, edited=True)
        refuse_edited(self.run, [name for name in edited if name not in self.notes])
        if edited:
            log.warning(
                "%d files of coordinates, such as %s, were changed since they were written: they "
                "stay as they are, and the list of all picks has what was picked.",
                len(edited),
                self.run.coordinates_path(edited[0]),
            )

    def _recall_each(self, names: Sequence[str], edited: bool = False) -> None:
        for name in names:
            fingerprint = self.fingerprints[name]
            note = self.run.note_of(self.index, name, fingerprint, self.criteria, edited)
            if note is not None:
                self.notes[name] = note

    def _recall_gone(self, micrographs: Sequence[Micrograph]) -> Set[str]:
        """Take up what was found in those micrographs whose files are gone; return their names."""
        found = fingerprints_of_gone(self.run, micrographs, self._record_of_scores())
        self.fingerprints.update(found)
        self._recall([micrograph for micrograph in micrographs if micrograph.name in found])
        return {*found}

    def _note(self, name: str) -> None:
        """Note what was picked on a micrograph, whose files have just been written."""
        picked = Picked.of_peaks(name, self._peaks_of(name), self.criteria)
        self.notes[name] = self.run.note(self.index, picked, self.criteria)

    @property
    def criteria(self) -> Criteria:
        """What the numbers of picked micrographs depend on, beside the peaks."""
        picker = self.picker
        uncertainty = self.model.training.score_uncertainty or 0.0
        cut = picker.cut
        return Criteria(cut.threshold, cut.border, picker.diameter, uncertainty, cut.contamination)

    def score_missing(self, micrographs: Sequence[Micrograph]) -> PickedMicrographs:
        """Score those micrographs that have no kept peaks, and write nothing but their peaks."""
        failures, scored, pending = self._sort(micrographs)
        failures.update(self.score(pending, peaks_only=True))
        return PickedMicrographs(failures, len(scored), bool(pending))

    def _sort(
        self, micrographs: Sequence[Micrograph]
    ) -> Tuple[Dict[str, str], List[Micrograph], List[Micrograph]]:
        """Tell micrographs whose names no file can have from those scored and those to score."""
        failures = self.run.unwritable([m.name for m in micrographs])
        writable = [m for m in micrographs if m.name not in failures]
        self.fingerprints.update((m.name, self.fingerprint(m)) for m in writable)
        self._recall(writable)
        scored = {m: m.name in self.notes or self._has_peaks(m) for m in writable}
        gone = self._recall_gone([m for m in writable if not scored[m]])
        scored.update((m, m.name in gone) for m in writable if not scored[m])
        pending = [m for m in writable if not scored[m]]
        log.info(
            "Picking %d micrographs on %s; %d are scored.",
            len(pending),
            self.executor.describe(),
            len(writable) - len(pending),
        )
        for reason in failures.values():
            log.warning("%s", reason)
        return failures, [m for m in writable if scored[m]], pending

    def _record_of_scores(self) -> Mapping[str, Any]:
        """Return the part of the record that scores depend on."""
        return {
            "digest": self.digest,
            "diameter": self.picker.diameter,
            "separation": self.picker.min_distance,
        }

    def record(self) -> Mapping[str, Any]:
        """Return what is known of the run when it begins."""
        return {
            **self._record_of_scores(),
            "model": str(self.path.absolute()),
            "device": self.executor.describe(),
            "training": self.model.training.to_dict(),
            "threshold": self.picker.threshold,
            "edge": self.picker.cut.border,
            "contamination": self.picker.cut.contamination,
            "pixel_sizes": self.pixel_sizes.record(),
            "versions": versions(),
            FINGERPRINTS: {name: full[:16] for name, full in self.fingerprints.items()},
        }

    def fingerprint(self, micrograph: Micrograph) -> str:
        """Digest of all that the scores of a micrograph depend on."""
        return fingerprint_of(micrograph, self.digest, self.picker)

    def _has_peaks(self, micrograph: Micrograph) -> bool:
        """Whether the kept peaks are those that scoring would find again."""
        peaks = self.run.kept_peaks(micrograph.name)
        return peaks is not None and peaks.fingerprint == self.fingerprints[micrograph.name]

    def score(self, micrographs: Sequence[Micrograph], peaks_only: bool = False) -> Dict[str, str]:
        """Score micrographs, keep their peaks and write their picks.

        Args:
            micrographs: to score.
            peaks_only: write no picks yet.

        Returns:
            The reason, by name, of each micrograph that failed.

        Raises:
            PupickError: the memory suffices for none.
        """
        task = ScoringTask(
            self.path, self.digest, self.settings, self.run.folder, peaks_only, self.masks
        )
        paths = {micrograph.name: micrograph.path for micrograph in micrographs}
        failures: Dict[str, str] = {}
        too_large: List[PupickError] = []
        results = self.executor.score(task, micrographs) if micrographs else iter(())
        for scored in track(results, len(micrographs), "micrographs"):
            if scored.error is None:
                self.fingerprints[scored.name] = scored.fingerprint
                if not peaks_only:
                    self._note(scored.name)
                continue
            failures[scored.name] = str(scored.error)
            if isinstance(scored.error, MicrographError):
                log.warning("%s", scored.error)
            else:
                log.warning("%s: %s", paths[scored.name], scored.error)
                too_large.append(scored.error)
        if too_large and len(too_large) == len(micrographs):
            # it is not the micrographs: whatever is tried, the memory does not suffice
            raise too_large[0]
        return failures

    def end(
        self, micrographs: Sequence[Micrograph], picked: PickedMicrographs, started: float
    ) -> PickResult:
        """Write what stands for the whole run; a call that had nothing to do writes nothing.

        Args:
            micrographs: that were given.
            picked: how picking in them went.
            started: when, by `time.monotonic`.
        """
        notes = [self.notes[m.name] for m in micrographs if m.name not in picked.failures]
        self.run.end(notes, self.index, picked.failures, self.picks_of)
        counted = [note.picked for note in notes]
        result = PickResult(
            picks=KeptPicks([each.name for each in counted], self.picks_of),
            failures=picked.failures,
            reused=picked.reused,
            threshold=self.picker.threshold,
            seconds=time.monotonic() - started,
            count=sum(each.picks for each in counted),
            estimate=self.estimate(counted),
            contamination={
                each.name: each.contamination for each in counted if each.contamination is not None
            },
        )
        if picked.changed:
            write_micrographs(micrographs, self.run.folder, self.pixel_sizes, result.contamination)
            self.run.write_record({**result.findings(), **self.record()})
            forget_applied_threshold(self.run)
        return result

    def estimate(self, picked: Sequence[Picked]) -> Dict[str, float]:
        """Estimate how good picks are, if scores are calibrated."""
        if self.model.training.score_uncertainty is None:
            return {}
        return estimate_of(picked, self.criteria)

    def picks_of(self, name: str) -> Coordinates:
        """Return the picks of a scored micrograph."""
        return self.picker.choose(self._peaks_of(name))

    def _renew_mask(self, name: str) -> None:
        """Remove a mask that is older than the peaks, and write it if it is wanted and missing."""
        path = self.run.mask_path(name)
        mask, peaks = file_status(path), file_status(self.run.peaks_path(name))
        if mask and peaks and mask[1] < peaks[1]:
            path.unlink(missing_ok=True)
            mask = []
        if self.masks and not mask:
            self.run.write_mask(self._peaks_of(name), name)

    def _peaks_of(self, name: str) -> MicrographPeaks:
        peaks = self.run.kept_peaks(name)
        if peaks is None or peaks.fingerprint != self.fingerprints[name]:
            path = self.run.peaks_path(name)
            raise PupickError(f"{path} has disappeared or was replaced: pick again.")
        return peaks
