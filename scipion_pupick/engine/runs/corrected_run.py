# SPDX-License-Identifier: GPL-3.0-or-later
"""A picking run whose picks a person has corrected, as labels to train on from its model."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Callable, Collection, Dict, Mapping, Optional, Tuple

from ..coordinates import Coordinates, Picks, read_picks
from ..coordinates.assign_picks import assign_to_micrographs
from ..coordinates.corrections import (
    Correction,
    Corrections,
    corrected_picks,
    corrections_of,
    find_corrections,
    labels_of_corrections,
    read_corrections,
    with_left_confirmed,
    without_added,
    without_removed,
)
from ..coordinates.join import join_picks
from ..coordinates.table import join_coordinates
from ..coordinates.transform import moving_settings
from ..errors import PupickError, UsageError
from ..files.atomic import PathLike
from ..picking.peaks_file import MicrographPeaks
from ..settings import TOLERANCE_DIAMETERS, CorrectionSettings, LabelSettings, make_settings
from .corrected_count import looked_at_of_run, particles_by_corrections
from .earlier_labels import earlier_labels
from .edited_files import edited_files
from .layout import CORRECTIONS
from .pick_run import PickRun, read_pick_run
from .suggested import Suggested, holds_suggestion, read_suggested

log = logging.getLogger(__name__)

# manual pickers round positions, and people move picks a little
_SAME_PICK_DIAMETERS = 0.1
_WHAT = "corrected picks"


@dataclass(frozen=True)
class CorrectedRun:
    """A picking run and what a person has said of its picks.

    Attributes:
        run: that picked.
        corrections: by micrograph name; picks that were left are confirmed where the micrograph is
            done.
        earlier_labels: that the model was trained on, by micrograph name, without those that were
            removed now.
        earlier_negatives: of that training, without those that were added or confirmed now.
        particles_per_micrograph: about how many a micrograph holds, by the parts that were looked
            at wholly; None where these hold too few.
    """

    run: PickRun
    corrections: Corrections
    earlier_labels: Picks
    earlier_negatives: Picks
    particles_per_micrograph: Optional[float] = None

    @property
    def negatives(self) -> Picks:
        """What was removed, and the negatives that the model was trained on before."""
        return join_picks([labels_of_corrections(self.corrections)[1], self.earlier_negatives])

    @property
    def particles(self) -> Picks:
        """What was added and confirmed, and the labels that the model was trained on before."""
        return join_picks([labels_of_corrections(self.corrections)[0], self.earlier_labels])

    @property
    def settings(self) -> Dict[str, Any]:
        """Settings of a training that need not be given then, by name."""
        known = {"diameter": self.run.diameter}
        if self.particles_per_micrograph is not None:
            known["particles_per_micrograph"] = self.particles_per_micrograph
        return known

    def settings_with(self, given: Mapping[str, Any]) -> Dict[str, Any]:
        """Return the settings of a training on this, by name; what is given counts more.

        Raises:
            UsageError: picks are to be scaled, swapped, mirrored or shifted; it would move
                corrected ones, which are in px of their micrographs already.
        """
        moving = moving_settings(make_settings(LabelSettings, given))
        if moving:
            raise UsageError(
                "Corrected picks are px of their micrographs already, and would be moved with the "
                "others: convert the other picks first (`pupick convert` with a scale), or leave "
                "this out.",
                setting=("corrected", *moving),
            )
        return {**self.settings, **given}

    @property
    def has_only_added(self) -> bool:
        """Whether all particles are such that the model had missed."""
        added = sum(len(c.added) for c in self.corrections.values())
        return 0 < added == sum(map(len, self.particles.values()))

    def summary(self) -> str:
        """Say in a line what was corrected."""
        kept = self.corrections.values()
        return (
            f"{sum(len(c.removed) for c in kept)} picks removed, "
            f"{sum(len(c.added) for c in kept)} added and "
            f"{sum(len(c.confirmed) for c in kept)} confirmed in {len(kept)} micrographs"
        )


def holds_corrections(folder: Path) -> bool:
    """Whether something was said of the picks of a run in the browser.

    Raises:
        PupickError: the file of corrections is damaged.
    """
    return any(not correction.is_empty for correction in _read_corrections(folder).values())


def _read_corrections(folder: Path) -> Corrections:
    path = folder / CORRECTIONS
    return read_corrections(path) if path.is_file() else {}


def read_corrected_run(
    folder: PathLike,
    corrected: Optional[Picks] = None,
    settings: Optional[CorrectionSettings] = None,
) -> CorrectedRun:
    """Read what a person has said of the picks of a run.

    Args:
        folder: of the run, as `pick` has written it; or one that `suggest` has written, of whose
            picks alone something is said then.
        corrected: picks as the person has left them, by micrograph name, px of the micrographs;
            None for the run's own corrections.json or, without that, the files of coordinates in
            the folder as they are now.
        settings: which micrographs are done; None for the defaults.

    Raises:
        UsageError: it is no such folder, or nothing was corrected.
        PupickError: a file in it is damaged, or the model that picked is gone.
        OSError: a file cannot be read.
    """
    suggested = read_suggested(folder) if holds_suggestion(Path(folder)) else None
    run = read_pick_run(folder if suggested is None else suggested.run)
    if not run.model.is_file():
        raise PupickError(
            f"{run.folder}: the model that picked is no longer at {run.model}: pick again."
        )
    done = (settings or CorrectionSettings()).done
    if suggested is None:
        result = _of_run(run, corrected, done)
    else:
        result = _of_suggested(run, suggested, corrected, done)
    if not result.corrections:
        raise UsageError(
            f"{folder}: no pick was removed, added or confirmed: correct the picks of a few "
            "micrographs, or name the files of the corrected picks.",
            setting=("corrected", "corrections"),
        )
    log.info("%s: %s.", folder, result.summary())
    if result.particles_per_micrograph is not None:
        log.info(
            "By the parts that were looked at wholly, a micrograph holds about %.0f particles: the "
            "training is told so, unless another number is given.",
            result.particles_per_micrograph,
        )
    if result.has_only_added:
        log.warning(
            "%s: of the particles only those that were added are learned, which the model had "
            "missed; alone they can make it worse. If you looked at every pick of the micrographs "
            "that you changed, say that these are done: what you left is learned then, too.",
            folder,
        )
    return result


def read_corrected_picks(folder: PathLike) -> Picks:
    """Read the picks of a run as they are after what people have said of them.

    These are the picks of the run without those that were removed, with what was added and, where
    they lie below the threshold, those that were confirmed. What was added has no score.

    Args:
        folder: of the run; its corrections.json or, without that, its files of coordinates count.

    Returns:
        Picks by micrograph name, px.

    Raises:
        UsageError: it is no such folder.
        PupickError: a file in it is damaged.
        OSError: a file cannot be read.
    """
    run = read_pick_run(folder)
    shown = _picks_of_run(run, dict(run.peaks()))
    found = _corrections(run, None, shown, "none")
    return {
        name: corrected_picks(picks, found.get(name, Correction()), shown.same[name])
        for name, picks in shown.picks.items()
    }


@dataclass(frozen=True)
class _Shown:
    """What a person was shown.

    Attributes:
        picks: by micrograph name, px.
        diameters: of the particle, px; by micrograph name.
    """

    picks: Picks
    diameters: Mapping[str, float]

    @property
    def same(self) -> Dict[str, float]:
        """Nearer than this (px), two positions are the same pick; by micrograph name."""
        return {name: _SAME_PICK_DIAMETERS * d for name, d in self.diameters.items()}

    def complete(self, corrections: Corrections) -> Corrections:
        """Return what was said of these picks, those that were left confirmed where all is done."""
        return {
            name: with_left_confirmed(correction, self.picks[name], self.same[name])
            for name, correction in corrections.items()
            if name in self.picks and not correction.is_empty
        }


def _of_run(run: PickRun, corrected: Optional[Picks], done: str) -> CorrectedRun:
    """Read what was said of the picks of a run."""
    peaks = dict(run.peaks())
    shown = _picks_of_run(run, peaks)
    corrections = shown.complete(_corrections(run, corrected, shown, done))
    looked_at = looked_at_of_run(run, peaks, corrections, shown.same)
    count = particles_by_corrections(run, peaks.items(), corrections, looked_at)
    return CorrectedRun(run, corrections, *_labels_left(run, corrections, shown), count)


def _of_suggested(
    run: PickRun, suggested: Suggested, corrected: Optional[Picks], done: str
) -> CorrectedRun:
    """Read what was said of picks that were suggested."""
    shown = _suggested_picks(run, suggested)
    found = _changes_of_suggested(run, suggested, corrected, shown, done)
    corrections = shown.complete(found)
    looked_at = suggested.looked_at(corrections)
    count = particles_by_corrections(run, run.peaks(), corrections, looked_at)
    return CorrectedRun(run, corrections, *_labels_left(run, corrections, shown), count)


def _picks_of_run(run: PickRun, peaks: Mapping[str, MicrographPeaks]) -> _Shown:
    picked = {name: run.cut.choose(kept) for name, kept in peaks.items()}
    return _Shown(picked, {name: _diameter(run, kept) for name, kept in peaks.items()})


def _suggested_picks(run: PickRun, suggested: Suggested) -> _Shown:
    peaks = {name: run.kept_peaks(name) for name in suggested.shown}
    diameters = {name: _diameter(run, kept) for name, kept in peaks.items() if kept is not None}
    return _Shown({name: suggested.shown[name] for name in diameters}, diameters)


def _diameter(run: PickRun, peaks: MicrographPeaks) -> float:
    return run.diameter / peaks.pixel_size


def _labels_left(run: PickRun, corrections: Corrections, shown: _Shown) -> Tuple[Picks, Picks]:
    """Read the labels and negatives that the model was trained on, but for what was said now."""
    labels, negatives = earlier_labels(run.model, run.micrographs)
    return (
        _left(labels, without_removed, corrections, shown),
        _left(negatives, without_added, corrections, shown),
    )


def _left(
    before: Picks,
    without: Callable[[Coordinates, Correction, float], Coordinates],
    corrections: Corrections,
    shown: _Shown,
) -> Picks:
    left = {
        name: without(coordinates, corrections[name], TOLERANCE_DIAMETERS * shown.diameters[name])
        for name, coordinates in before.items()
        if name in corrections
    }
    return {**before, **left}


def _corrections(run: PickRun, corrected: Optional[Picks], shown: _Shown, done: str) -> Corrections:
    """Read the corrections that lie with a run, or find them by its picks before and after."""
    if corrected is not None:
        return _changes(shown, assign_to_micrographs(corrected, run.micrographs, _WHAT), done)
    said = _of_file(run, shown)
    if not said:
        return _changes(shown, _picks_as_they_are(run, shown), done)
    edited = edited_files(run, run.read_index(), shown.picks)
    if edited:
        log.warning(
            "%d files of coordinates, such as %s, were changed, but corrections were made in the "
            "browser, too: only those in %s are read.",
            len(edited),
            run.coordinates_path(edited[0]),
            run.folder / CORRECTIONS,
        )
    return _with_done(said, shown, done)


def _of_file(run: PickRun, shown: _Shown) -> Corrections:
    """Read the corrections in a file of a run; those of which something is said."""
    found = corrections_of(_read_corrections(run.folder), run.micrographs)
    said = {name: correction for name, correction in found.items() if not correction.is_empty}
    lost = [name for name in said if name not in shown.picks]
    if lost:
        log.warning(
            "%s: the corrections of %d micrographs, such as %s, are left out: the run has no picks "
            "of them now.",
            run.folder / CORRECTIONS,
            len(lost),
            lost[0],
        )
    return {name: correction for name, correction in said.items() if name in shown.picks}


def _picks_as_they_are(run: PickRun, shown: _Shown) -> Picks:
    """Read the files of coordinates of a run; a micrograph whose file is gone was not looked at."""
    files = {name: run.coordinates_path(name) for name in shown.picks}
    return {
        name: join_coordinates(list(read_picks(path).values()) or [Coordinates.empty()])
        for name, path in files.items()
        if path.is_file()
    }


def _with_done(said: Corrections, shown: _Shown, done: str) -> Corrections:
    """Return corrections of which those that the settings name are done as well."""
    of_done = _done_by(done, said, shown.picks)
    return {
        name: replace(correction, done=correction.done or name in of_done)
        for name, correction in {**{name: Correction() for name in of_done}, **said}.items()
    }


def _done_by(done: str, changed: Collection[str], every: Collection[str]) -> Collection[str]:
    """Names of the micrographs that are done, of those that were changed and all."""
    of_done: Dict[str, Collection[str]] = {"none": (), "changed": changed, "all": every}
    return of_done[done]


def _changes_of_suggested(
    run: PickRun, suggested: Suggested, corrected: Optional[Picks], shown: _Shown, done: str
) -> Corrections:
    """Find what has become of picks that were suggested; of others nothing is said."""
    if corrected is None:
        return _changes(shown, suggested.as_they_are(), done)
    after = assign_to_micrographs(corrected, run.micrographs, _WHAT)
    if done == "all":
        # a set of picks does not say which micrographs have none left
        after = {name: after.get(name, Coordinates.empty()) for name in shown.picks}
    return _changes(shown, after, done)


def _changes(shown: _Shown, corrected: Picks, done: str) -> Corrections:
    """Find what was changed in the micrographs that a person was shown."""
    after = {name: kept for name, kept in corrected.items() if name in shown.picks}
    changed = find_corrections(shown.picks, after, shown.same)
    return find_corrections(shown.picks, after, shown.same, _done_by(done, changed, after))
