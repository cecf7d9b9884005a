# SPDX-License-Identifier: GPL-3.0-or-later
"""What a training job trains on: picks, selections of 2D classes, and picks that were corrected."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, List, Mapping, Optional, Sequence

from scipion_pupick.engine import (
    CorrectedRun,
    CorrectionSettings,
    Micrograph,
    Picks,
    PicksSettings,
    UsageError,
    find_selected_from,
    make_settings,
    read_corrected_run,
    read_picks,
    read_rejected,
)
from scipion_pupick.engine.coordinates.assign_picks import join_in_micrographs
from scipion_pupick.engine.runs.corrected_run import holds_corrections
from scipion_pupick.engine.settings import GENERAL

from .inputs import common_pixel_size, find_start, read_labels, read_negatives
from .outputs import ENGINE_FOLDER, LISTS
from .parameters import Options
from .written import edited_files

log = logging.getLogger(__name__)

AUTO = "auto"


@dataclass(frozen=True)
class TrainingInputs:
    """What a training job trains on.

    Attributes:
        picks: particles, px of the micrographs, under the names of some file.
        negatives: places that are none, in the same form; None where none are given.
        start: model to start from; None for random weights.
        settings: of the training, by name: those of the job, and what corrections tell.
    """

    picks: Picks
    negatives: Optional[Picks]
    start: Optional[Path]
    settings: Mapping[str, Any]


def read_training_inputs(options: Options, micrographs: Sequence[Micrograph]) -> TrainingInputs:
    """Read all that a job was told to train on.

    Raises:
        PupickError: a file cannot be read or is none of these, or there is no particle.
    """
    given = options.coordinates or options.particles
    picks = [read_labels(options, micrographs)] if given else []
    negatives = read_negatives(options, micrographs)
    all_negatives = [] if negatives is None else [negatives]
    if options.values.get("selected_from"):
        all_negatives.append(_rejected(options, micrographs))
    settings: Mapping[str, Any] = options.values
    start = settings.get("start", GENERAL)
    if settings.get("corrected"):
        corrected = _corrected(options)
        picks.append(corrected.particles)
        all_negatives.append(corrected.negatives)
        start = settings.get("start", str(corrected.run.model))
        settings = corrected.settings_with(settings)
    return TrainingInputs(
        join_in_micrographs(picks, micrographs, "picks"),
        join_in_micrographs(all_negatives, micrographs, "negatives") if all_negatives else None,
        find_start(start),
        settings,
    )


def _rejected(options: Options, micrographs: Sequence[Micrograph]) -> Picks:
    """Read the particles of classes that the job of the input particles has rejected."""
    if not options.particles:
        raise UsageError(
            "selected_from needs the particles that were selected: give the particles.star of the "
            "Select job as input particles (--in_parts)"
        )
    named = options.values["selected_from"]
    sources: List[Path] = [
        find_selected_from(Path(options.particles)) if name == AUTO else Path(name)
        for name in named.split(",")
    ]
    chosen = make_settings(PicksSettings, options.values)
    return read_rejected([options.particles], sources, common_pixel_size(micrographs), chosen)


def _corrected(options: Options) -> CorrectedRun:
    """Read what was changed in the coordinates of another job of pupick."""
    folder = Path(options.values["corrected"])
    run = folder / ENGINE_FOLDER
    lists = [folder / name for name in LISTS.values() if (folder / name).is_file()]
    if not run.is_dir() or not lists:
        raise UsageError(
            f"{folder}: is no job of pupick with picks, or has not ended: give the folder of one, "
            "such as External/job006, whose picks were corrected"
        )
    in_browser = holds_corrections(run)
    edited = edited_files(folder) if in_browser else []
    if edited:
        log.warning(
            "%d files of coordinates, such as %s, were changed, but corrections were made in the "
            "browser, too: only those are learned.",
            len(edited),
            edited[0],
        )
    corrected = None if in_browser else read_picks(lists[-1])
    return read_corrected_run(run, corrected, make_settings(CorrectionSettings, options.values))
