# SPDX-License-Identifier: GPL-3.0-or-later
"""The picks of several pickers, some of which may be picking runs, whose scores are log-odds."""

from __future__ import annotations

from pathlib import Path
from typing import List, Optional, Sequence, Tuple

from ..coordinates import Picks, read_picks
from ..coordinates.file_names import without_affixes
from ..coordinates.rescale import rescale_to_pixel_size
from ..coordinates.table import with_empty
from ..errors import UsageError
from ..evaluation.combine import PickSet
from ..files.atomic import PathLike
from ..picking.peaks_file import MicrographPeaks
from ..settings import ALL_PICKS, PicksSettings
from .applied_threshold import run_of_threshold
from .layout import PICKS, holds_own_picks
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
            for its folders, as REPIC has them, one for each picker. A picking run, or the folder of
            another threshold, or picks.star in either, names all micrographs that it has picked in.
        pixel_size: Å/px of the micrographs, see `read_picks`; None for that of a picking run among
            the sources, if there is one. Picks whose file states another one are converted to it.
        settings: how files of picks are read.

    Raises:
        UsageError: a source holds no picks, or there is only one.
        PupickError: a file of a picking run is damaged.
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
    if pixel_size is not None:
        picks = rescale_to_pixel_size(picks, pixel_size, f"picks of {source.name}")
    names = [without_affixes(name, settings.affixes) for name in _picked_in(source)]
    return with_empty(picks, names)


def _picked_in(source: Path) -> List[str]:
    """Names of the micrographs that a run has picked in, of which its list has those with picks."""
    run, folder = _run_of(source), PickRun(_folder_of(source))
    micrographs = () if run is None else run.micrographs
    return [m.name for m in micrographs if folder.coordinates_path(m.name).is_file()]


def _run_of(source: Path) -> Optional[PickRun]:
    """Return the run whose picks a folder, or the list in it, has, at whatever threshold."""
    folder = _folder_of(source)
    return PickRun(folder) if holds_pick_run(folder) else run_of_threshold(PickRun(folder))


def _folder_of(source: Path) -> Path:
    return source.parent if source.name == PICKS else source


def _is_of_a_picker(path: Path) -> bool:
    return path.is_dir() and next(path.glob(_OF_REPICS_RESULT), None) is None


def _calibrated(source: Path) -> bool:
    run = _run_of(source)
    return run is not None and run.is_calibrated


def diameter_px(sources: Sequence[PathLike]) -> Optional[float]:
    """Return the particle's diameter, px of the micrographs, if a picking run of these says it.

    The run of another threshold's folder counts, too.

    Raises:
        PupickError: a file of the run is damaged.
    """
    found = _first_run([Path(source) for source in sources])
    return None if found is None else found[0].diameter / found[1].pixel_size


def _first_run(folders: Sequence[Path]) -> Optional[Tuple[PickRun, MicrographPeaks]]:
    """Return the first picking run of these that has peaks, and those of a micrograph of it."""
    for run in filter(None, map(_run_of, folders)):
        peaks = next((peaks for _, peaks in run.peaks()), None)
        if peaks is not None:
            return run, peaks
    return None
