# SPDX-License-Identifier: GPL-3.0-or-later
"""What a selection of particles, such as one of 2D classes, has rejected.

A particle that was not selected is rejected only if its class was: where a class was selected,
something else than its look has left the particle out. RELION's list of the class averages that
were selected names such classes also where none of their particles is left. And a class with hardly
a particle, as classification leaves some, was not looked at.
"""

from __future__ import annotations

import glob
import logging
import re
from pathlib import Path
from typing import Collection, Dict, List, Optional, Sequence, Tuple, Union

import numpy as np

from ..errors import UsageError
from ..files.atomic import PathLike
from ..files.star import read_blocks
from ..settings import ALL_PICKS, PicksSettings
from .file_names import without_affixes
from .join import join_picks
from .relion import ParticleRows, read_particle_rows
from .table import Picks

log = logging.getLogger(__name__)

# of the mean number of particles of a class
_LEAST_SHARE_OF_A_CLASS = 0.1
_ITERATION = re.compile(r"run_(?:ct\d+_)?it(\d+)_data\.star")
_LAST = re.compile(r"(run_data|particles)\.star")

# of a Select job of RELION
_CLASS_AVERAGES = "class_averages.star"

_Key = Union[str, Tuple[str, float, float]]


def read_rejected(
    selected: Sequence[PathLike],
    selected_from: Sequence[PathLike],
    pixel_size: Optional[float] = None,
    settings: PicksSettings = ALL_PICKS,
) -> Picks:
    """Read the particles that a selection has rejected.

    Args:
        selected: STAR files of the particles that were selected, patterns of such, or folders of
            the jobs that have written them.
        selected_from: STAR files with all particles and their classes, as run_it025_data.star or
            particles.star, or the folders of the jobs that have written them. Of a folder's
            iterations, it is the one that class_averages.star or job.star beside the selected
            particles name; where neither does, the last.
        pixel_size: Å/px of the micrographs, for origins in Å, see `read_picks`.
        settings: what to drop from names; a low score leaves none out.

    Returns:
        Centres in px of the micrographs: particles that were not selected, of classes of which
        none was; those of classes with hardly a particle are left out. Without classes, all that
        were not selected.

    Raises:
        UsageError: a file is no table of particles, or none of the selected ones is in one of
            `selected_from`.
    """
    files = [find_particles(path) for source in selected for path in _paths(str(source))]
    kept = {key for file in files for key in _keys(read_particle_rows(file, pixel_size))}
    paths = [_particles_of_job(Path(source), files) for source in selected_from]
    averages = [average for file in files for average in _selected_averages(file)]
    parts = [_rejected_of(path, kept, averages, pixel_size) for path in paths]
    affixes = settings.affixes
    return join_picks(
        {without_affixes(name, affixes): c} for part in parts for name, c in part.items()
    )


def _paths(source: str) -> List[Path]:
    """Return the files of a pattern, or what is named."""
    found = [] if Path(source).exists() else glob.glob(source, recursive=True)
    return [Path(path) for path in sorted(found) or [source]]


def _selected_averages(selected: Path) -> List[str]:
    """Return the class averages, such as 000001@Class2D/..., that lie with selected particles."""
    path = selected.parent / _CLASS_AVERAGES
    blocks = read_blocks(path) if path.is_file() else {}
    column = "rlnReferenceImage"
    return [image for table in blocks.values() if column in table for image in table.texts(column)]


def _classes_of(path: Path, averages: Sequence[str]) -> List[int]:
    """Return the numbers of those class averages that are of a table of particles."""
    numbered = [(average.partition("@")[0], _data_of(average)) for average in averages]
    return [
        int(number)
        for number, data in numbered
        if number.isdecimal() and data.name == path.name and _is_named(path.parent, data.parent)
    ]


def _data_of(average: str) -> Path:
    """Return the table of particles of the iteration that a class average is of."""
    return Path(re.sub(r"_classes\.mrcs$", "_data.star", average.partition("@")[2]))


def _is_named(folder: Path, inside: Path) -> bool:
    """Whether a path inside a project may mean this folder, which may be given by an alias."""
    return inside.name in (folder.name, folder.resolve().name)


def _particles_of_job(source: Path, selected: Sequence[Path]) -> Path:
    """Find the particles of a job, as they were when a selection was made from them.

    Args:
        source: the job's folder; a file is itself.
        selected: files of the selected particles.

    Raises:
        UsageError: there are none.
    """
    if not source.is_dir():
        return source
    named = [path for file in selected for path in _named_beside(file)]
    here = {path.name for path in named if _is_named(source, path.parent)}
    known = sorted(name for name in here if (source / name).is_file())
    if known:
        return source / max(known, key=_iteration_of)
    particles, iterations = find_particles(source), _iterations(source)
    if particles.name in iterations[1:]:
        log.warning(
            "%s: nothing beside the selected particles says from which of its %d iterations they "
            "were selected, so the last is taken, %s. If it was another, name its file.",
            source,
            len(iterations),
            particles.name,
        )
    return particles


def _named_beside(selected: Path) -> List[Path]:
    """Return what was selected from, as paths inside the project, by the files beside a selection.

    The averages go first: they are written with the particles, a job's options before.
    """
    averages = [_data_of(average) for average in _selected_averages(selected)]
    by_job = None if averages else _named_by_job(selected)
    return averages if by_job is None else [by_job]


def _iteration_of(name: str) -> int:
    found = _ITERATION.fullmatch(name)
    return int(found[1]) if found else 0


def _iterations(folder: Path) -> List[str]:
    """Names of the tables of particles of a job's iterations, the last one last."""
    names = sorted(path.name for path in folder.iterdir() if _ITERATION.fullmatch(path.name))
    return sorted(names, key=_iteration_of)


def _rejected_of(
    path: Path, kept: Collection[_Key], averages: Sequence[str], pixel_size: Optional[float]
) -> Picks:
    rows = read_particle_rows(path, pixel_size)
    is_kept = np.array([key in kept for key in _keys(rows)], dtype=bool)
    if not is_kept.any():
        raise UsageError(
            f"{path}: none of the selected particles is in it: give the job that these were "
            "selected from.",
            setting=("picks", "selected_from"),
        )
    is_rejected = find_rejected(is_kept, rows.classes, _classes_of(path, averages))
    log.info(
        "%s: %d particles, %d selected, %d rejected; %d are neither.",
        path,
        len(is_kept),
        is_kept.sum(),
        is_rejected.sum(),
        (~is_kept & ~is_rejected).sum(),
    )
    return rows.picks(is_rejected)


def find_particles(source: Path) -> Path:
    """Find the particles of a job by its folder: those of its last iteration; a file is itself.

    Raises:
        UsageError: there are none.
    """
    if not source.is_dir():
        return source
    last = sorted(path.name for path in source.iterdir() if _LAST.fullmatch(path.name))
    iterations = _iterations(source)
    if not last and not iterations:
        raise UsageError(
            f"{source}: has no run_data.star, run_it..._data.star or table of particles: give the "
            "folder of the job that the particles were selected from.",
            setting="selected_from",
        )
    return source / (last or iterations)[-1]


def find_selected_from(selected: Path) -> Path:
    """Find what a Select job of RELION has selected from, as its job.star says.

    Args:
        selected: the particles of the job, in its folder.

    Raises:
        UsageError: the job does not say so.
    """
    inside = _named_by_job(selected)
    if inside is None:
        raise UsageError(
            f"{selected.parent}: no job.star in it says what the particles were selected from: "
            "name that job.",
            setting="selected_from",
        )
    return find_particles(_project_of(selected, inside) / inside)


def _named_by_job(selected: Path) -> Optional[Path]:
    """Return what a Select job has selected from, as a path inside the project, if it says so."""
    job = selected.parent / "job.star"
    options = _job_options(job) if job.is_file() else {}
    value = options.get("fn_data") or options.get("fn_model")
    return Path(re.sub(r"_(model|optimiser)\.star$", "_data.star", value)) if value else None


def _job_options(job: Path) -> Dict[str, str]:
    table = read_blocks(job).get("joboptions_values")
    columns = ("rlnJobOptionVariable", "rlnJobOptionValue")
    if table is None or not all(column in table for column in columns):
        return {}
    return dict(zip(*(table.words(column) for column in columns)))


def _project_of(file: Path, inside: Path) -> Path:
    """Find the folder that a path in a job starts at, from anywhere."""
    candidates = [Path(), *file.resolve().parents]
    return next((folder for folder in candidates if (folder / inside).exists()), Path())


def _keys(rows: ParticleRows) -> List[_Key]:
    """What tells each particle from others, in files before and after a selection."""
    if rows.images is not None:
        return list(rows.images)
    places = zip(rows.names, np.round(rows.x, 1).tolist(), np.round(rows.y, 1).tolist())
    return list(places)


def find_rejected(
    is_kept: np.ndarray, classes: Optional[np.ndarray], selected_classes: Collection[int] = ()
) -> np.ndarray:
    """Tell which particles (n,) were not selected and are of a class that was rejected as a whole.

    Args:
        is_kept: (n,) whether each particle was selected.
        classes: (n,) number of its class; None where there are no classes.
        selected_classes: numbers of classes that are known to have been selected, with or without
            a particle that was.
    """
    if classes is None or not len(classes):
        return ~is_kept
    numbers, index, sizes = np.unique(classes, return_inverse=True, return_counts=True)
    selected = np.bincount(index, weights=is_kept) > 0
    selected |= np.isin(numbers, list(selected_classes))
    is_empty = sizes < _LEAST_SHARE_OF_A_CLASS * sizes.mean()
    return np.asarray(~is_kept & ~(selected | is_empty)[index])
