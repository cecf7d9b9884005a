# SPDX-License-Identifier: GPL-3.0-or-later
"""RELION's files to what the engine takes."""

from __future__ import annotations

from pathlib import Path
from typing import List, Optional, Sequence

from scipion_pupick.engine import (
    Micrograph,
    MicrographError,
    Picks,
    UsageError,
    find_micrographs,
    match_names,
    read_picks,
    read_pixel_size,
    require_pixel_size,
)
from scipion_pupick.engine.micrographs.pixel_sizes import same_pixel_size
from scipion_pupick.engine.runs.layout import MODEL
from scipion_pupick.engine.settings import GENERAL, PicksSettings, make_settings

from .parameters import Options

NO_MODEL = "none"


def read_micrographs(star: str, pixel_size: Optional[float]) -> List[Micrograph]:
    """List the micrographs of a STAR file, under the names that it has.

    Args:
        star: path, such as CtfFind/job003/micrographs_ctf.star.
        pixel_size: Å/px, in place of the STAR file's.

    Raises:
        UsageError: it is no such file, none of its micrographs exists, or a pixel size is missing.
    """
    if not star.endswith(".star"):
        raise UsageError(f"{star}: input micrographs have to be a STAR file")
    micrographs = find_micrographs([star], pixel_size)
    for micrograph in micrographs:
        if micrograph.pixel_size is None and _lacks_pixel_size(micrograph):
            raise UsageError(
                f"{star}: it has no rlnMicrographPixelSize for {micrograph.name}, nor has the "
                "header of that: give the parameter pixel_size (Å/px)"
            )
    return micrographs


def _lacks_pixel_size(micrograph: Micrograph) -> bool:
    """Whether the file is fine but for its pixel size; picking reports files that are not."""
    try:
        return read_pixel_size(micrograph.path) is None
    except MicrographError:
        return False


def read_labels(options: Options, micrographs: Sequence[Micrograph]) -> Picks:
    """Read the particles to train on, from coordinates, particles, or both.

    Returns:
        Centres in px of the micrographs, under the names of the files they come from.

    Raises:
        UsageError: a file cannot be read, or there is no particle in any of these micrographs.
    """
    sources = [source for source in (options.coordinates, options.particles) if source]
    pixel_size = common_pixel_size(micrographs) if options.particles else None
    settings = make_settings(PicksSettings, options.values)
    labels = read_picks(sources, pixel_size=pixel_size, settings=settings)
    if not any(len(coordinates) for coordinates in labels.values()):
        raise UsageError(
            f"{' and '.join(sources)}: there is no particle: pick at least one by hand, better "
            "10 to 100"
        )
    if not match_names(labels, micrographs):
        raise UsageError(
            f"{' and '.join(sources)}: the particles are of other micrographs, such as "
            f"{next(iter(labels))}, than {options.micrographs}, such as {micrographs[0].name}"
        )
    return labels


def read_negatives(options: Options, micrographs: Sequence[Micrograph]) -> Optional[Picks]:
    """Read the places that are no particles; None where none are given.

    Returns:
        Centres in px of the micrographs, under the names of the files they come from.

    Raises:
        UsageError: a file cannot be read.
    """
    source = options.values.get("negatives")
    if not source:
        return None
    sizes = _pixel_sizes(micrographs)
    pixel_size = sizes[0] if _are_one(sizes) else None
    settings = make_settings(PicksSettings, options.values).of_negatives
    return read_picks(source, pixel_size=pixel_size, settings=settings)


def common_pixel_size(micrographs: Sequence[Micrograph]) -> Optional[float]:
    """Return the pixel size (Å/px) by which origins of particles, in Å, become px."""
    sizes = _pixel_sizes(micrographs)
    if sizes and not _are_one(sizes):
        raise UsageError(
            f"the micrographs' pixel sizes go from {min(sizes):g} to {max(sizes):g} Å/px, so the "
            "particles' origins have no clear scale: give coordinates (--in_coords) instead"
        )
    return sizes[0] if sizes else None


def _pixel_sizes(micrographs: Sequence[Micrograph]) -> List[float]:
    """Å/px of the micrographs, but for those whose file would have to tell and cannot be read."""
    sizes = []
    for micrograph in micrographs:
        try:
            sizes.append(require_pixel_size(micrograph))
        except MicrographError:
            continue
    return sizes


def _are_one(sizes: Sequence[float]) -> bool:
    return len(sizes) > 0 and same_pixel_size(min(sizes), max(sizes))


def find_start(text: str) -> Optional[Path]:
    """Find a model to start a training from; none for the text `none`.

    Raises:
        UsageError: it is not there.
    """
    return None if text == NO_MODEL else find_model(text)


def find_model(text: str) -> Path:
    """Find a model by its file, the folder of the job that trained it, or the name `general`.

    Raises:
        UsageError: it is not there.
    """
    if text == GENERAL:
        return Path(GENERAL)
    path = Path(text) / MODEL if Path(text).is_dir() else Path(text)
    if not path.is_file():
        raise UsageError(
            f"{path}: there is no such model: give the folder of a training job that has "
            "succeeded, such as External/job005, or a model file"
        )
    return path
