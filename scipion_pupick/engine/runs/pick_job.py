# SPDX-License-Identifier: GPL-3.0-or-later
"""Scoring many micrographs into the folder of a run: only those that are new or changed."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import torch

from ..calibration.precision_recall_estimate import estimate_precision_recall
from ..coordinates import Coordinates
from ..errors import MicrographError, PupickError
from ..files.progress import track
from ..micrographs import Micrograph
from ..networks.model import Model, load_model, versions
from ..picker import Picker
from ..picking.cut import Contamination
from ..picking.peaks_file import MicrographPeaks
from ..settings import PickSettings
from .executors import Executor
from .pick_run import FINGERPRINTS, PickRun
from .score_micrographs import ScoringTask, fingerprint_of

log = logging.getLogger(__name__)


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
        picker: finds the peaks.
        model: of the picker.
        path: of the model's file.
        digest: of the model.
        settings: how to pick.
        run: that the results belong to.
        executor: scores the micrographs.
        masks: whether to write masks of contamination.
        pixel_sizes: groups of micrographs by pixel size, for the record.
        fingerprints: by name, of the kept peaks of each micrograph: only such are read again.
    """

    picker: Picker
    model: Model
    path: Path
    digest: str
    settings: PickSettings
    run: PickRun
    executor: Executor
    masks: bool = False
    pixel_sizes: Sequence[Mapping[str, Any]] = ()
    fingerprints: Dict[str, str] = field(default_factory=dict)

    @classmethod
    def plan(
        cls,
        path: Path,
        settings: PickSettings,
        run: PickRun,
        executor: Executor,
        masks: bool = False,
        pixel_sizes: Sequence[Mapping[str, Any]] = (),
    ) -> PickJob:
        """Derive from the model and the diameter what the settings leave open."""
        model = load_model(path)
        # whoever scores loads the model again, on a device of its own
        picker = Picker.of_model(model, settings, torch.device("cpu"))
        if masks and not model.knows_contamination:
            log.warning("There are no masks: %s knows no contamination.", path)
            masks = False
        return cls(picker, model, path, model.digest, settings, run, executor, masks, pixel_sizes)

    def pick(self, micrographs: Sequence[Micrograph]) -> PickedMicrographs:
        """Pick in micrographs, of which only those without kept peaks are scored."""
        failures, scored, pending = self._sort(micrographs)
        changed = bool(pending) or not self.run.holds_all_of(micrographs, self.record())
        if changed:
            self.run.begin(micrographs, pending, self.record())
        for micrograph in scored:
            self.write_coordinates(micrograph)
            self._write_missing_mask(micrograph)
        failures.update(self.score(pending))
        return PickedMicrographs(failures, len(scored), changed)

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
        scored = {m: self._has_peaks(m) for m in writable}
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

    def record(self) -> Mapping[str, Any]:
        """Return what is known of the run when it begins."""
        return {
            "model": str(self.path.absolute()),
            "digest": self.digest,
            "device": self.executor.describe(),
            "training": self.model.training.to_dict(),
            "threshold": self.picker.threshold,
            "diameter": self.picker.diameter,
            "edge": self.picker.cut.border,
            "separation": self.picker.min_distance,
            "contamination": self.picker.cut.contamination,
            "pixel_sizes": list(self.pixel_sizes),
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

    def estimate(self, micrographs: Sequence[Micrograph]) -> Dict[str, float]:
        """Estimate how good the picks of scored micrographs are, if scores are calibrated."""
        uncertainty = self.model.training.score_uncertainty
        if uncertainty is None:
            return {}
        cut = self.picker.cut.of_all_scores
        scores = [cut.choose(self._peaks_of(m)).score for m in micrographs]
        threshold = self.picker.threshold
        curve = estimate_precision_recall(scores, uncertainty, [threshold])
        return curve.at(threshold).summary()

    def picks_of(self, micrograph: Micrograph) -> Coordinates:
        """Return the picks of a scored micrograph."""
        return self.picker.choose(self._peaks_of(micrograph))

    def contamination_of(self, micrograph: Micrograph) -> Optional[Contamination]:
        """Say what is contamination in a scored micrograph; None where the model knows none."""
        return self.picker.cut.contamination_of(self._peaks_of(micrograph))

    def _write_missing_mask(self, micrograph: Micrograph) -> None:
        if self.masks and not self.run.mask_path(micrograph.name).exists():
            self.run.write_mask(self._peaks_of(micrograph), micrograph.name)

    def _peaks_of(self, micrograph: Micrograph) -> MicrographPeaks:
        peaks = self.run.kept_peaks(micrograph.name)
        if peaks is None or peaks.fingerprint != self.fingerprints[micrograph.name]:
            path = self.run.peaks_path(micrograph.name)
            raise PupickError(f"{path} has disappeared or was replaced: pick again.")
        return peaks

    def write_coordinates(self, micrograph: Micrograph) -> None:
        """Write the picks of a scored micrograph."""
        self.run.write_coordinates(self.picks_of(micrograph), micrograph.name)
