# SPDX-License-Identifier: GPL-3.0-or-later
"""A picking run whose picks a person has corrected, as labels to train on from its model."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Collection, Dict, Mapping, Optional

from ..coordinates import Picks, read_picks
from ..coordinates.assign_picks import assign_to_micrographs
from ..coordinates.corrections import (
    Corrections,
    find_corrections,
    labels_of_corrections,
    read_corrections,
    with_left_confirmed,
)
from ..coordinates.table import join_picks
from ..errors import PupickError, UsageError
from ..files.atomic import PathLike
from ..settings import CorrectionSettings
from .layout import COORDINATES, CORRECTIONS
from .pick_run import PickRun, read_pick_run
from .train_run import read_labels

log = logging.getLogger(__name__)

# manual pickers round positions, and people move picks a little
_SAME_PICK_DIAMETERS = 0.1


@dataclass(frozen=True)
class CorrectedRun:
    """A picking run and what a person has said of its picks.

    Attributes:
        run: that picked.
        corrections: by micrograph name; picks that were left are confirmed where the micrograph is
            done.
    """

    run: PickRun
    corrections: Corrections

    @property
    def negatives(self) -> Picks:
        """What was removed, by micrograph name."""
        return labels_of_corrections(self.corrections)[1]

    @property
    def particles(self) -> Picks:
        """What was added and confirmed, and the labels that the model was trained on before."""
        before = read_labels(self.run.model.parent)
        return join_picks([labels_of_corrections(self.corrections)[0], before])

    def summary(self) -> str:
        """Say in a line what was corrected."""
        kept = self.corrections.values()
        return (
            f"{sum(len(c.removed) for c in kept)} picks removed, "
            f"{sum(len(c.added) for c in kept)} added and "
            f"{sum(len(c.confirmed) for c in kept)} confirmed in {len(kept)} micrographs"
        )


def read_corrected_run(
    folder: PathLike,
    corrected: Optional[Picks] = None,
    settings: Optional[CorrectionSettings] = None,
) -> CorrectedRun:
    """Read what a person has said of the picks of a run.

    Args:
        folder: of the run, as `pick` has written it.
        corrected: picks as the person has left them, by micrograph name, px of the micrographs;
            None for the run's own corrections.json or, without that, the files of coordinates in
            its folder as they are now.
        settings: which micrographs are done; None for the defaults.

    Raises:
        UsageError: it is no such folder, or nothing was corrected.
        PupickError: a file in it is damaged, or the model that picked is gone.
        OSError: a file cannot be read.
    """
    run = read_pick_run(folder)
    if not run.model.is_file():
        raise PupickError(
            f"{run.folder}: the model that picked is no longer at {run.model}: pick again."
        )
    peaks = dict(run.peaks())
    picked = {name: run.cut.choose(kept) for name, kept in peaks.items()}
    same = {
        name: _SAME_PICK_DIAMETERS * run.diameter / kept.pixel_size for name, kept in peaks.items()
    }
    found = _corrections(run, corrected, picked, same, (settings or CorrectionSettings()).done)
    result = CorrectedRun(
        run,
        {
            name: with_left_confirmed(correction, picked[name], same[name])
            for name, correction in found.items()
            if name in picked and not correction.is_empty
        },
    )
    if not result.corrections:
        raise UsageError(
            f"{run.folder}: no pick was removed, added or confirmed: correct the picks of a few "
            "micrographs, or name the files of the corrected picks.",
            setting=("corrected", "corrections"),
        )
    log.info("%s: %s.", run.folder, result.summary())
    return result


def _corrections(
    run: PickRun,
    corrected: Optional[Picks],
    picked: Picks,
    same: Mapping[str, float],
    done: str,
) -> Corrections:
    """Read the corrections that lie with a run, or find them by its picks before and after."""
    if corrected is None and (run.folder / CORRECTIONS).is_file():
        return read_corrections(run.folder / CORRECTIONS)
    given = read_picks(run.folder / COORDINATES) if corrected is None else corrected
    assigned = assign_to_micrographs(given, run.micrographs, "corrected picks")
    after = {name: coordinates for name, coordinates in assigned.items() if name in picked}
    changed = find_corrections(picked, after, same)
    of_done: Dict[str, Collection[str]] = {"none": (), "changed": changed, "all": after}
    return find_corrections(picked, after, same, of_done[done])
