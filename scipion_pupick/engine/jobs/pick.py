# SPDX-License-Identifier: GPL-3.0-or-later
"""Pick particles in micrographs with a trained model."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, Sequence

from ..coordinates import Picks
from ..device import memory_errors_explained, use_device
from ..errors import UsageError
from ..files.atomic import PathLike
from ..micrographs import Micrograph, say_pixel_sizes
from ..networks.model import load_model
from ..networks.model_file import model_path
from ..preprocessing.working_image import require_scale
from ..runs.pick_job import PickJob
from ..runs.pick_run import PickRun
from ..settings import PickSettings
from .fit import fit_model
from .report import try_report

log = logging.getLogger(__name__)

_NOTHING_FOUND = (
    "No particle was found in any of %d micrographs. Check the pixel size, which is said above, "
    "the diameter (%g Å) and the threshold (%.2f)."
)
_FEW_FOUND = (
    "There are fewer particles than micrographs: %d in %d. Check the pixel size, which is said "
    "above, the diameter (%g Å) and the threshold (%.2f)."
)


@dataclass(frozen=True)
class PickResult:
    """What picking has found.

    Attributes:
        picks: by micrograph name, px of the micrographs.
        failures: reason by micrograph name.
        reused: micrographs whose kept scores could be used again.
        threshold: log-odds that was applied.
        seconds: wall time.
        estimate: expected true and false picks, precision and recall with the ends of their 95 %
            intervals; empty for a model whose scores are not calibrated.
    """

    picks: Picks
    failures: Dict[str, str]
    reused: int
    threshold: float
    seconds: float
    estimate: Dict[str, float] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """Number of picks."""
        return sum(len(coordinates) for coordinates in self.picks.values())

    def summary(self) -> str:
        """Say in one line what was found."""
        text = (
            f"{self.count} particles in {len(self.picks)} micrographs "
            f"(log-odds {self.threshold:.2f} or more) in {self.seconds:.1f} s"
        )
        if self.estimate and self.count:
            text += (
                f"; about {100 * self.estimate['precision']:.0f} % of them are right "
                f"({100 * self.estimate['precision_low']:.0f} to "
                f"{100 * self.estimate['precision_high']:.0f} %), and they are about "
                f"{100 * self.estimate['recall']:.0f} % of all particles "
                f"({100 * self.estimate['recall_low']:.0f} to "
                f"{100 * self.estimate['recall_high']:.0f} %)"
            )
        if self.reused:
            text += f"; kept scores of {self.reused} micrographs used again"
        return text + (f"; {len(self.failures)} micrographs failed" if self.failures else "")


@memory_errors_explained()
def pick(
    micrographs: Sequence[Micrograph],
    model: PathLike,
    output: PathLike,
    settings: PickSettings = PickSettings(),
    device: str = "auto",
    threads: int = 0,
    report: bool = True,
) -> PickResult:
    """Pick particles, and write them as STAR files.

    The files of a run are named in `runs.layout`. All peaks are kept, so that the same call with
    another threshold or border scores nothing again; called again, only micrographs that are new
    or changed, or all if the model is another, are scored. The general model is first fitted.

    Args:
        micrographs: to pick in; they stream through, whatever their number.
        model: path of a model file, or `general`.
        output: folder, made where needed.
        settings: how to pick.
        device: see `device.choose_device`.
        threads: see `device.set_threads`.
        report: write `report.html` at the end.

    Returns:
        The picks and what failed. Micrographs that cannot be used are listed there, not raised.

    Raises:
        UsageError: the model or the device cannot be used, no micrograph was given, or the name
            of one cannot be written.
        PupickError: the memory does not suffice.
        OSError: a result cannot be written.
    """
    started = time.monotonic()
    if not micrographs:
        raise UsageError("There is no micrograph to pick in.")
    processor = use_device(device, threads)
    sizes = say_pixel_sizes(micrographs)
    run = PickRun(Path(output))
    loaded = load_model(model)
    require_scale(micrographs, loaded.scale.of(settings.diameter))
    with run.owned(micrographs, "pupick pick"):
        path = fit_model(loaded, micrographs, settings, run, processor) or model_path(model)
        if report:
            _warn_of_others(micrographs, run)
        job = PickJob.plan(path, settings, run, processor, sizes.record())
        picked = job.pick(micrographs)
        usable = [m for m in micrographs if m.name not in picked.failures]
        result = PickResult(
            picks={m.name: job.picks_of(m) for m in usable},
            failures=picked.failures,
            reused=picked.reused,
            threshold=job.picker.threshold,
            seconds=time.monotonic() - started,
            estimate=job.estimate(usable),
        )
        _end(result, job, picked.changed, report)
    _say_if_few(result, job.picker.diameter)
    return result


def _say_if_few(result: PickResult, diameter: float) -> None:
    """Say what to check where hardly anything was found at a diameter (Å)."""
    micrographs = len(result.picks)
    if micrographs and not result.count:
        log.warning(_NOTHING_FOUND, micrographs, diameter, result.threshold)
    elif result.count < micrographs:
        log.warning(_FEW_FOUND, result.count, micrographs, diameter, result.threshold)


def _end(result: PickResult, job: PickJob, changed: bool, report: bool) -> None:
    """Write what stands for the whole run; a call that had nothing to do writes nothing."""
    job.run.end(result.picks, result.failures)
    if changed:
        job.run.write_record({**_findings(result), **job.record()})
    if report and (changed or not job.run.report.is_file()):
        try_report(job.run.folder, job.device)


def _warn_of_others(micrographs: Sequence[Micrograph], run: PickRun) -> None:
    """Say that micrographs of an earlier call, which are not in this one, are left out."""
    others = run.picked_before(micrographs)
    if others:
        log.warning(
            "%d micrographs that were picked here before, such as %s, are not given now: the list "
            "of picks and the report leave them out. Give all micrographs in each call; only new "
            "ones are scored.",
            len(others),
            min(others),
        )


def _findings(result: PickResult) -> Dict[str, Any]:
    return {
        "micrographs": len(result.picks),
        "failed": len(result.failures),
        "picks": result.count,
        "reused": result.reused,
        "estimate": result.estimate,
        "seconds": round(result.seconds, 2),
    }
