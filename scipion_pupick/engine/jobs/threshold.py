# SPDX-License-Identifier: GPL-3.0-or-later
"""Apply another threshold to finished picks."""

from __future__ import annotations

import logging
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Dict, Optional, Sequence

import numpy as np

from ..calibration.precision_recall_estimate import (
    ESTIMATES,
    EstimatedCurve,
    estimate_precision_recall,
)
from ..calibration.thresholds import threshold_of_count, threshold_of_precision
from ..coordinates import Picks
from ..errors import UsageError
from ..files.atomic import PathLike
from ..picking.cut import Contamination
from ..runs import applied_threshold, threshold_record
from ..runs.pick_result import contamination_record, say_contamination
from ..runs.pick_run import PickRun, read_pick_run
from ..settings import LEAST_SCORE

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ThresholdResult:
    """What a threshold gives.

    Attributes:
        picks: by micrograph name, px of the micrographs.
        threshold: log-odds that was applied.
        quality: estimate at this threshold, a single row; None where there is no peak.
        contamination: by micrograph name; empty for a model that knows none.
    """

    picks: Picks
    threshold: float
    quality: Optional[EstimatedCurve]
    contamination: Dict[str, Contamination] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """Number of picks."""
        return sum(len(coordinates) for coordinates in self.picks.values())

    def summary(self) -> str:
        """Say in two lines what was found, and how good it may be."""
        text = (
            f"{self.count} particles in {len(self.picks)} micrographs "
            f"(log-odds {self.threshold:.2f} or more)"
        ) + say_contamination(self.contamination.values())
        at = self.quality
        if at is None or not self.count:
            return text
        return (
            f"{text}\nestimated precision {at.precision:.0%} ({at.precision_low:.0%} to "
            f"{at.precision_high:.0%}), recall {at.recall:.0%} ({at.recall_low:.0%} to "
            f"{at.recall_high:.0%})"
        )


def threshold(
    run: PathLike,
    output: PathLike,
    threshold: Optional[float] = None,
    precision: Optional[float] = None,
    per_micrograph: Optional[float] = None,
) -> ThresholdResult:
    """Apply a threshold to the peaks that a picking run has kept, and write the picks.

    In the output folder come to lie `picks.star` and `micrographs/`, as `pick` writes them, and
    `threshold.json`. The folder of the run may be given again: its picks are replaced then.

    Args:
        run: folder that `pick` has written to.
        output: folder, made where needed.
        threshold: log-odds from which on a peak is picked.
        precision: instead: the lowest threshold with at least this estimated precision, 0 to 1.
        per_micrograph: instead: the threshold that gives so many picks a micrograph, on average.

    Raises:
        UsageError: there is no such run, not one of the three can be applied, people have changed
            the picks of the run that would be replaced, or all of some micrographs is confirmed
            there and the threshold is lower.
        OSError: a result cannot be written.
    """
    picked = read_pick_run(run)
    # without masks, which for thousands of micrographs take as much memory as all else
    candidates = {name: picked.cut.candidates(peaks) for name, peaks in picked.all_peaks()}
    scores = [clean.coordinates.score for clean in candidates.values()]
    score = _choose(threshold, precision, per_micrograph, scores, picked.score_uncertainty)
    done = {*candidates, *picked.failures}
    missing = sum(m.name not in done for m in picked.micrographs)
    if missing:
        log.warning("%d micrographs have not been picked yet: %s", missing, picked.folder)
    picks = {name: clean.coordinates.at_least(score) for name, clean in candidates.items()}
    contamination = {
        name: Contamination(clean.usable, clean.dropped(score))
        for name, clean in candidates.items()
        if clean.usable is not None
    }
    candidates.clear()
    exact = estimate_precision_recall(scores, picked.score_uncertainty, thresholds=[score])
    at = exact.at(score) if any(map(len, scores)) else None
    result = ThresholdResult(picks, score, at, contamination)
    target = PickRun(Path(output))
    threshold_record.refuse_to_replace(target, picked, score)
    with target.owned([m for m in picked.micrographs if m.name in picks], "pupick threshold"):
        _write(result, picked, target)
    return result


def _choose(
    threshold: Optional[float],
    precision: Optional[float],
    per_micrograph: Optional[float],
    scores: Sequence[np.ndarray],
    uncertainty: float,
) -> float:
    wishes = [value for value in (threshold, precision, per_micrograph) if value is not None]
    if len(wishes) != 1 or not math.isfinite(wishes[0]):
        raise UsageError(
            "Give one of a threshold, a precision and a number per micrograph, as a number.",
            setting=("threshold", "precision", "per_micrograph"),
        )
    if precision is not None:
        quality = estimate_precision_recall(scores, uncertainty)
        return threshold_of_precision(quality, precision)
    if per_micrograph is not None:
        return threshold_of_count(scores, per_micrograph)
    if wishes[0] < LEAST_SCORE:
        raise UsageError(
            f"The threshold is {wishes[0]:g}: give {LEAST_SCORE:g} or more, since lower scores "
            "are not kept.",
            setting="threshold",
        )
    return wishes[0]


def _write(result: ThresholdResult, run: PickRun, output: PickRun) -> None:
    threshold_record.refuse_if_edited(output, result.picks)
    known = threshold_record.writable_names(run) | threshold_record.names_before(output)
    threshold_record.forget_other_coordinates(output, result.picks, known)
    findings = {
        "threshold": result.threshold,
        "picks": result.count,
        **contamination_record(result.contamination.values()),
    }
    record = {"run": str(run.folder), "micrographs": len(result.picks), **findings}
    # before the first file, so that those of a killed call are not taken for edited ones
    applied_threshold.write_threshold_record(output, record)
    rows = threshold_record.write_all_coordinates(output, result.picks)
    if threshold_record.is_same(output, run):
        of_run = {**run.record, **findings}
        if result.quality is not None and "estimate" in run.record:
            of_run["estimate"] = result.quality.summary()
        output.write_record(of_run)
        threshold_record.write_contamination(run, result.contamination)
        log.info(
            "A report in %s keeps the threshold from before, until `pupick report`.", output.folder
        )
    estimate = {} if result.quality is None else asdict(result.quality)
    estimated = {name: float(estimate[name]) for name in ESTIMATES if name in estimate}
    applied_threshold.write_threshold_record(output, {**record, **estimated})
    # last, for it stands for the whole
    threshold_record.write_picks(output, rows)
