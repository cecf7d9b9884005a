# SPDX-License-Identifier: GPL-3.0-or-later
"""Picks in RELION's STAR files: particle tables, files of one micrograph, and lists of these."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Dict, Iterable, Iterator, Mapping, Optional, Sequence, Tuple, Union

import numpy as np

from ..errors import UsageError
from ..files.star import (
    Column,
    Columns,
    StarTable,
    check_star_names,
    loop_head,
    loop_rows,
    read_blocks,
    star_text,
)
from ..files.text import FloatArray
from ..micrographs.relion_pixel_sizes import (
    DETECTOR,
    GROUP,
    IMAGE_NAME,
    MAGNIFICATION,
    MICROGRAPH_PIXEL_SIZE,
    PIXEL_SIZES,
    detector_pixel_sizes,
    positive,
    stated_values,
)
from ..micrographs.relion_pixel_sizes import MICROGRAPH_NAME as NAME
from .table import (
    Coordinates,
    Picks,
    flatten_picks,
    group_picks,
    have_pixel_sizes,
    refuse_depths,
)

logger = logging.getLogger(__name__)

FILES = "rlnMicrographCoordinates"
X, Y, Z = "rlnCoordinateX", "rlnCoordinateY", "rlnCoordinateZ"
TOMOGRAM = ("rlnTomoName", "rlnTomoParticleName", "rlnCenteredCoordinateXAngst")
SCORE = "rlnAutopickFigureOfMerit"
CLASS_NUMBER = "rlnClassNumber"

# what RELION writes as a figure of merit where a pick was set by hand
NO_SCORE = -999.0

# the version that RELION 3.1 and 4 write and all later ones read
VERSION = "\n# version 30001\n"

# of a table of picks
PARTICLES_END = "\n\n"

# RELION leaves its list of picks with 0 bytes when nothing was picked
LISTS = ("autopick.star", "manualpick.star")


@dataclass(frozen=True)
class CoordinateFiles:
    """A list of micrographs' names and their files of coordinates (RELION 4 and 5)."""

    paths: Dict[str, Path]


Contents = Union[Picks, Coordinates, CoordinateFiles]


@dataclass(frozen=True, eq=False)
class ParticleRows:
    """A table of particles, row by row.

    Attributes:
        names: of the micrographs.
        x: (n,) columns, px of the micrographs.
        y: (n,) rows, px of the micrographs.
        images: of the particles; None where the table has none.
        classes: (n,) numbers of their classes; None where the table has none.
        pixel_sizes: Å/px that x and y are of, by micrograph, where the file says it.
    """

    names: Sequence[str]
    x: FloatArray
    y: FloatArray
    images: Optional[Sequence[str]]
    classes: Optional[np.ndarray]
    pixel_sizes: Mapping[str, float]

    def picks(self, which: np.ndarray) -> Picks:
        """Return some of the particles, by a mask (n,), without scores."""
        names = [name for name, is_wanted in zip(self.names, which) if is_wanted]
        x, y = self.x[which], self.y[which]
        picks = group_picks(names, x, y, np.full(len(names), np.nan))
        return _with_pixel_sizes(picks, self.pixel_sizes)


def read_particle_rows(path: Path, pixel_size: Optional[float] = None) -> ParticleRows:
    """Read a table of particles, each with its class and its image where it has them.

    Args:
        path: of the STAR file.
        pixel_size: Å/px of the micrographs, for origins in Å; see `read_picks`.

    Raises:
        UsageError: the file is no such table, or a value in it makes no sense.
    """
    blocks = read_blocks(path)
    table = _table_of_picks(path, blocks)
    table.require([NAME])
    optics = blocks.get("optics")
    origin_x, origin_y = _origins(table, optics, pixel_size)
    return ParticleRows(
        table.texts(NAME),
        table.numbers(X) - origin_x,
        table.numbers(Y) - origin_y,
        table.texts(IMAGE_NAME) if IMAGE_NAME in table else None,
        table.numbers(CLASS_NUMBER) if CLASS_NUMBER in table else None,
        _stated_pixel_sizes(table, optics),
    )


def read_relion(path: Path, pixel_size: Optional[float] = None) -> Contents:
    """Read what a STAR file says about picks.

    Args:
        path: a table of particles, of picks of one micrograph, or a list of such files.
        pixel_size: Å/px of the micrographs, for origins in Å; see `read_picks`.

    Returns:
        Picks if the rows name their micrographs, Coordinates if the file is one micrograph's, or
        the list of files; x and y in px of the micrograph with the origins taken off.

    Raises:
        UsageError: the file is no such file, or a value in it makes no sense.
    """
    blocks = read_blocks(path)
    if not blocks:
        return {} if path.name in LISTS else Coordinates.empty()
    for table in blocks.values():
        if NAME in table and FILES in table:
            return CoordinateFiles(_listed_files(table))
    table = _table_of_picks(path, blocks)
    origin_x, origin_y = _origins(table, blocks.get("optics"), pixel_size)
    x, y = table.numbers(X) - origin_x, table.numbers(Y) - origin_y
    score = _scores(table)
    pixel_sizes = _stated_pixel_sizes(table, blocks.get("optics"))
    if NAME in table:
        return _with_pixel_sizes(group_picks(table.texts(NAME), x, y, score), pixel_sizes)
    return Coordinates(x, y, score, pixel_size=pixel_sizes.get(""))


def _refuse_tomograms(table: StarTable) -> None:
    """Refuse particles of tomograms (RELION 4 and 5), and places with a depth."""
    tomogram = next((column for column in TOMOGRAM if column in table), None)
    if tomogram is not None:
        raise UsageError(
            f"{table.path}: block data_{table.block} is of tomograms ({tomogram}); pupick takes "
            "particles in micrographs only"
        )
    if Z in table:
        refuse_depths(str(table.path), Z, table.numbers(Z, missing_allowed=True))


def _table_of_picks(path: Path, blocks: Mapping[str, StarTable]) -> StarTable:
    for table in blocks.values():
        _refuse_tomograms(table)
    for table in blocks.values():
        if X in table and Y in table:
            if table.block == "particles" or IMAGE_NAME in table:
                table.require([NAME, X, Y])
            return table
    found = ", ".join(
        f"data_{table.block} ({', '.join(table.columns) or 'no column'})"
        for table in blocks.values()
    )
    raise UsageError(
        f"{path}: picks need the columns {X} and {Y} (and {NAME} if they are of several "
        f"micrographs), or {NAME} and {FILES} for a list of files; the file has {found}"
    )


def _listed_files(table: StarTable) -> Dict[str, Path]:
    """Find the listed files, whose paths start at the project's folder, from anywhere."""
    paths: Dict[str, Path] = {}
    for row, (name, listed) in enumerate(zip(table.texts(NAME), table.texts(FILES))):
        candidates = [Path(listed)] + [up / listed for up in table.path.resolve().parents]
        found = next((candidate for candidate in candidates if candidate.is_file()), None)
        if found is None:
            raise UsageError(
                f"{table.place(row)}: the coordinate file {listed} of micrograph {name} is not "
                "there, neither from here nor from a folder above the list"
            )
        if name in paths:
            raise UsageError(f"{table.place(row)}: micrograph {name} is listed twice")
        paths[name] = found
    return paths


def _scores(table: StarTable) -> FloatArray:
    if SCORE not in table:
        return np.full(len(table), np.nan)
    score = table.numbers(SCORE, missing_allowed=True)
    return np.where(score == NO_SCORE, np.nan, score)


def _origins(
    table: StarTable, optics: Optional[StarTable], pixel_size: Optional[float]
) -> Tuple[FloatArray, FloatArray]:
    """Return the refined shifts in px of the micrograph; the centre is the coordinate less these.

    RELION before 3.1 has them in px of the extracted particle, whose size stands in a detector's
    pixel size and a magnification; without these or the micrographs' pixel size, particles are
    taken to be extracted without rescaling.
    """
    in_angstrom = "rlnOriginXAngst" in table and "rlnOriginYAngst" in table
    unit = "Angst" if in_angstrom else ""
    columns = (f"rlnOriginX{unit}", f"rlnOriginY{unit}")
    x, y = (table.numbers(name) if name in table else np.zeros(len(table)) for name in columns)
    if not (x.any() or y.any()):
        return x, y
    if not in_angstrom:
        binning = _binning_before_3_1(table, pixel_size)
        return x * binning, y * binning
    size = _pixel_sizes(table, optics, pixel_size)
    return x / size, y / size


def _binning_before_3_1(table: StarTable, pixel_size: Optional[float]) -> FloatArray:
    """Return how many px of the micrograph a pixel of each extracted particle is wide, (n,)."""
    sizes = detector_pixel_sizes(table)
    if pixel_size is None or sizes is None:
        if sizes is not None:
            logger.warning(
                "%s: origins are taken for px of the micrographs; give the micrographs' pixel size "
                "if the particles were rescaled",
                table.path,
            )
        return np.ones(len(table))
    wrong = np.isnan(sizes)
    if wrong.any():
        raise UsageError(
            f"{table.place(int(wrong.argmax()))}: {DETECTOR} and {MAGNIFICATION} must be positive"
        )
    return sizes / pixel_size


def _pixel_sizes(
    table: StarTable, optics: Optional[StarTable], pixel_size: Optional[float]
) -> FloatArray:
    """Return for each row the pixel size, (n,) Å/px, of what its coordinates are px of.

    That is what the file states of the micrograph, which need not be the one that is given.
    """
    if pixel_size is not None:
        sizes, source = np.full(len(table), pixel_size), "the given pixel size"
    else:
        sizes, source = _recorded_pixel_sizes(table, optics)
    if not (sizes > 0).all():
        raise UsageError(f"{table.path}: {source} must be positive, not {sizes.min():g}")
    stated = stated_values(table, optics, MICROGRAPH_PIXEL_SIZE)
    return sizes if stated is None else np.where(positive(stated) > 0, stated, sizes)


def _recorded_pixel_sizes(table: StarTable, optics: Optional[StarTable]) -> Tuple[FloatArray, str]:
    for column in PIXEL_SIZES:
        if column not in table and optics is not None and column in optics:
            optics.require([GROUP, column])
            table.require([GROUP])
        sizes = stated_values(table, optics, column)
        if sizes is None:
            continue
        if column != MICROGRAPH_PIXEL_SIZE:
            logger.warning(
                "%s: origins in Å are converted with %s, which is the micrograph's pixel size "
                "only if nothing was binned; give the micrograph's pixel size if it was",
                table.path,
                column,
            )
        return sizes, column
    raise UsageError(
        f"{table.path}: the origins are in Å but there is no pixel size "
        f"({', '.join(PIXEL_SIZES)}): give the micrograph's pixel size in Å"
    )


def _stated_pixel_sizes(table: StarTable, optics: Optional[StarTable]) -> Dict[str, float]:
    """Find the pixel sizes of the picks' micrographs that are stated; "" where none is named."""
    stated = stated_values(table, optics, MICROGRAPH_PIXEL_SIZE)
    if stated is None:
        return {}
    sizes = positive(stated).tolist()
    names = table.texts(NAME) if NAME in table else [""] * len(sizes)
    return {name: size for name, size in zip(names, sizes) if size > 0}


def _with_pixel_sizes(picks: Picks, sizes: Mapping[str, float]) -> Picks:
    if not sizes:
        return picks
    return {
        name: replace(coordinates, pixel_size=sizes.get(name))
        for name, coordinates in picks.items()
    }


def particles_text(picks: Picks, with_scores: Optional[bool] = None) -> str:
    """Write the picks of all micrographs as one table `data_particles`.

    Args:
        picks: by micrograph.
        with_scores: write the column of scores; None to write it if a pick has one.

    The pixel sizes of the micrographs have a column where that of each is known.

    Raises:
        UsageError: a micrograph's name cannot be written.
    """
    if with_scores is None:
        with_scores = any(coordinates.has_scores for coordinates in picks.values())
    if not have_pixel_sizes(picks):
        return "".join(particles_parts(picks.items(), with_scores))
    names, every = flatten_picks(picks)
    check_star_names(names)
    columns: Dict[str, Column] = {X: every.x, Y: every.y, NAME: names}
    columns.update(pick_columns(every, with_scores))
    filled = [c for c in picks.values() if len(c)]
    sizes = np.array([c.pixel_size for c in filled], np.float64)
    columns[MICROGRAPH_PIXEL_SIZE] = np.repeat(sizes, list(map(len, filled)))
    return VERSION + star_text({"particles": columns})


def particles_parts(picks: Iterable[Tuple[str, Coordinates]], with_scores: bool) -> Iterator[str]:
    """Write one table `data_particles` piece by piece: its head, each micrograph's rows, its end.

    The name does not come first, for a row that begins with "data_" would open a block.

    Args:
        picks: name of each micrograph, and its picks.
        with_scores: write the column of scores.

    Raises:
        UsageError: a micrograph's name cannot be written.
    """
    yield particles_head(with_scores)
    for name, coordinates in picks:
        yield particle_rows(name, coordinates, with_scores)
    yield PARTICLES_END


def particles_head(with_scores: bool) -> str:
    """Write what stands above the rows of a table of particles."""
    names = [X, Y, NAME, *pick_columns(Coordinates.empty(), with_scores)]
    return f"{VERSION}\n{loop_head('particles', names)}"


def particle_rows(name: str, coordinates: Coordinates, with_scores: bool) -> str:
    """Write the rows of one micrograph in a table of all; each begins with the line's end before.

    Raises:
        UsageError: the micrograph's name cannot be written.
    """
    check_star_names([name])
    columns: Dict[str, Column] = {X: coordinates.x, Y: coordinates.y, NAME: name}
    return loop_rows({**columns, **pick_columns(coordinates, with_scores)})


def coordinates_text(
    coordinates: Coordinates, with_scores: bool, with_pixel_size: bool = False
) -> str:
    """Write one micrograph's picks as RELION's automatic picking does.

    Args:
        coordinates: the picks.
        with_scores: write the column of scores; all files of a set should have the same columns.
        with_pixel_size: write the column of the micrograph's pixel size, which each pick then has.
    """
    columns: Dict[str, Column] = {X: coordinates.x, Y: coordinates.y}
    columns.update(pick_columns(coordinates, with_scores))
    if with_pixel_size:
        columns[MICROGRAPH_PIXEL_SIZE] = np.full(len(coordinates), coordinates.pixel_size, float)
    return VERSION + star_text({"": columns})


def pick_columns(coordinates: Coordinates, with_scores: bool) -> Columns:
    """Return the columns that stand behind places, and names, of picks."""
    # RELION's JoinStar wants the same columns everywhere; 0 is what its own Topaz job writes
    columns: Dict[str, Column] = {}
    if with_scores:
        score = coordinates.score
        columns[SCORE] = np.where(np.isnan(score), NO_SCORE, score)
    return {**columns, CLASS_NUMBER: "0", "rlnAnglePsi": "0"}
