# SPDX-License-Identifier: GPL-3.0-or-later
"""The picks of several pickers, some of which may be picking runs, whose scores are log-odds."""

from __future__ import annotations

from pathlib import Path
from typing import List, Optional, Sequence, Tuple

from ..coordinates import Picks, read_picks
from ..coordinates.rescale import rescale_to_pixel_size
from ..errors import UsageError
from ..evaluation.combine import PickSet
from ..files.atomic import PathLike
from ..picking.peaks_file import MicrographPeaks
from ..settings import ALL_PICKS, PicksSettings
from .layout import holds_own_picks
from .pick_run import PickRun, holds_pick_run

# REPIC's result, which it puts beside the folders of the pickers
_OF_REPICS_RESULT = "*_constraint_matrix.pickle"


def read_sets(
    sources: Sequence[PathLike],
    pixel_size: Optional[float] = None,
    settings: PicksSettings = ALL_PICKS,
) -> List[PickSet]:
    """Read the picks of several pickers.

    Args:
        sources: a file or a folder for each picker; a single folder without picks of its own stands
            for its folders, as REPIC has them, one for each picker.
        pixel_size: Å/px of the micrographs, see `read_picks`; None for that of a picking run among
            the sources, if there is one. Picks whose file states another one are converted to it.
        settings: how files of picks are read.

    Raises:
        UsageError: a source holds no picks, or there is only one.
        OSError: one cannot be read.
    """
    folders = [Path(source) for source in sources]
    if len(folders) == 1 and folders[0].is_dir() and not holds_own_picks(folders[0]):
        folders = sorted(path for path in folders[0].iterdir() if _is_of_a_picker(path))
    if len(folders) < 2:
        raise UsageError(
            f"{', '.join(map(str, sources))}: give the picks of two pickers or more, or a folder "
            "with a folder for each."
        )
    run = _first_run(folders)
    if pixel_size is None and run is not None:
        pixel_size = run[1].pixel_size
    return [
        PickSet(folder.name, _read(folder, pixel_size, settings), _calibrated(folder))
        for folder in folders
    ]


def _read(source: Path, pixel_size: Optional[float], settings: PicksSettings) -> Picks:
    picks = read_picks(source, "auto", pixel_size, settings)
    if pixel_size is None:
        return picks
    return rescale_to_pixel_size(picks, pixel_size, f"picks of {source.name}")


def _is_of_a_picker(path: Path) -> bool:
    return path.is_dir() and next(path.glob(_OF_REPICS_RESULT), None) is None


def _calibrated(source: Path) -> bool:
    return holds_pick_run(source) and PickRun(source).is_calibrated


def diameter_px(sources: Sequence[PathLike]) -> Optional[float]:
    """Return the particle's diameter, px of the micrographs, if a picking run among these says it.

    Raises:
        PupickError: a file of the run is damaged.
    """
    found = _first_run([Path(source) for source in sources])
    return None if found is None else found[0].diameter / found[1].pixel_size


def _first_run(folders: Sequence[Path]) -> Optional[Tuple[PickRun, MicrographPeaks]]:
    """Return the first picking run among these that has peaks, and those of a micrograph of it."""
    for run in (PickRun(folder) for folder in folders if holds_pick_run(folder)):
        peaks = next((peaks for _, peaks in run.peaks()), None)
        if peaks is not None:
            return run, peaks
    return None
