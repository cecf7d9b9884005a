# SPDX-License-Identifier: GPL-3.0-or-later
"""Score a part of the micrographs, for a run that many computers work on without a scheduler."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Sequence

from ..adaptation.fit import is_fitted
from ..device import memory_errors_explained, use_devices
from ..errors import UsageError
from ..files.atomic import PathLike
from ..micrographs import Micrograph
from ..networks.model_file import model_path
from ..runs.executors import executor_on
from ..runs.parts import Part
from ..runs.pick_job import PickJob
from ..runs.pick_run import PickRun
from ..settings import PickSettings
from .fit import load_for


@dataclass(frozen=True)
class PartResult:
    """How scoring a part of the micrographs went.

    Attributes:
        part: of all micrographs.
        micrographs: how many it has.
        reused: how many of them had been scored before.
        failures: reason by micrograph name.
    """

    part: Part
    micrographs: int
    reused: int
    failures: Dict[str, str]

    def summary(self) -> str:
        """Say in one line what was done, and what is left to do."""
        done = self.micrographs - len(self.failures)
        text = f"{self.part}: {done} of {self.micrographs} micrographs are scored"
        text += f", {self.reused} of them before" if self.reused else ""
        text += f"; {len(self.failures)} failed" if self.failures else ""
        return f"{text[0].upper()}{text[1:]}. A call for all micrographs gathers all parts."


@memory_errors_explained()
def pick_part(
    part: Part,
    micrographs: Sequence[Micrograph],
    model: PathLike,
    output: PathLike,
    settings: PickSettings = PickSettings(),
    device: str = "auto",
    threads: int = 0,
    workers: int = 0,
) -> PartResult:
    """Score a part of the micrographs of a run, beside others who score the other parts.

    No list is written: `pick` on all micrographs, when the parts are done, finds their scores and
    scores what is missing. Arguments as in `pick`, but for the part.

    Raises:
        UsageError: the model or a device cannot be used, there is no micrograph, somebody works on
            the part or on the whole, or the general model was not fitted to the micrographs yet,
            so that parts would pick unlike each other.
        PupickError: the memory does not suffice.
        OSError: a result cannot be written.
    """
    devices = use_devices(device, threads)
    loaded = load_for(micrographs, model, settings)
    run = PickRun(Path(output))
    path = model_path(model)
    if loaded.scale.diameter is None:
        path = run.adapted_model
        scale = loaded.scale.of(settings.diameter)
        number = settings.particles_per_micrograph
        if not is_fitted(loaded, scale, micrographs, number, path):
            raise UsageError(
                f"The general model has not been fitted to these micrographs in {run.folder}: do "
                "so once, before any part is picked.",
                setting="fit_only",
            )
    names = [micrograph.name for micrograph in micrographs]
    unwritable = run.unwritable(names)
    run.refuse_other_files(name for name in names if name not in unwritable)
    with executor_on(devices, workers, threads).opened() as executor, part.owned(run):
        job = PickJob.plan(path, settings, run, executor)
        share = part.share_of(micrographs)
        picked = job.score_missing(share)
    return PartResult(part, len(share), picked.reused, picked.failures)
