# SPDX-License-Identifier: GPL-3.0-or-later
"""Scipion's sets to the engine's files and tables, and back.

A micrograph's name in the engine is the path of its file from the project's folder, so that two
micrographs of one base name stay apart.
"""

from __future__ import annotations

import os
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Iterable, Iterator, List, Mapping, Optional, Sequence, Tuple

import numpy as np
import pyworkflow.object as pwobj
from pwem.objects import Coordinate, EMSet, Micrograph, SetOfCoordinates, SetOfMicrographs
from pyworkflow.protocol import Protocol, getProtocolFromDb

from . import engine
from .assignment import AssignedPicks, Assignment, Key, key_of
from .constants import (
    BOX_PER_DIAMETER,
    CLASS_NUMBER,
    CORRECTED,
    DIAMETER_PX,
    FIGURE_OF_MERIT,
    PSI,
    RADIUS_PX,
    SCORE,
)
from .engine import (
    Coordinates,
    Cut,
    MicrographPeaks,
    PickRun,
    Picks,
    UsageError,
    find_rejected,
    read_json,
    read_pick_run,
    write_text,
)
from .engine.coordinates.relion import NO_SCORE
from .engine.files.atomic import PathLike
from .engine.files.star import Columns, star_text
from .engine.runs.pick_run import holds_pick_run
from .engine.runs.suggested import holds_suggestion
from .particles import PlacedItem, micrographs_of, placed_items

# of particles that suit their micrographs
DIAMETERS_PER_MICROGRAPH = 25

# folder of a picking run in which the engine keeps all peaks
PICKING = "pupick"
# that of picks that were suggested to be looked at
SUGGESTION_FOLDER = "suggestion"
# file in the first that says what the run was asked for
PICKING_RECORD = "run.json"


def box_size(diameter: float, pixel_size: float) -> int:
    """Return an even side, px, of a box for a particle of `diameter` (Å)."""
    return 2 * round(BOX_PER_DIAMETER * diameter / pixel_size / 2)


def guessed_diameter(micrographs: SetOfMicrographs) -> float:
    """Guess a diameter (Å) by the size of the micrographs, where nothing is known of particles."""
    width, height = micrographs.getDim()[:2]
    return float(min(width, height) * micrographs.getSamplingRate() / DIAMETERS_PER_MICROGRAPH)


def to_angstrom(value: float, unit: int, pixel_size: float) -> float:
    """Return the diameter in Å for a value in one of `DIAMETER_UNITS`."""
    if unit == DIAMETER_PX:
        return value * pixel_size
    return 2 * value * pixel_size if unit == RADIUS_PX else value


@contextmanager
def _opened(items: EMSet) -> Iterator[EMSet]:
    """Open a set afresh, to see what another process has added to it by now."""
    fresh = type(items)(filename=items.getFileName())
    # the file of a set to which nothing was ever added has no tables
    if fresh.hasProperty("self"):
        fresh.loadAllProperties()
    try:
        yield fresh
    finally:
        fresh.close()


def size_now(items: EMSet) -> int:
    """Count what a set holds now, which another process may be adding to."""
    with _opened(items) as fresh:
        return int(fresh.getSize())


def read_micrographs(micrographs: SetOfMicrographs) -> List[Micrograph]:
    """Read the micrographs that a set holds now, which another process may be adding to."""
    with _opened(micrographs) as fresh:
        return [micrograph.clone() for micrograph in fresh]


def is_closed(pointer: pwobj.Pointer) -> bool:
    """Whether nothing is going to be added any more to the set that a form points to."""
    items = pointer.get()
    with _opened(items) as fresh:
        if fresh.getSize():
            return bool(fresh.isStreamClosed())
    # the file of an empty set does not say; what makes it knows
    maker = pointer.getObjValue()
    if not isinstance(maker, Protocol):
        return bool(items.isStreamClosed())
    return not getProtocolFromDb(os.getcwd(), maker.getDbPath(), maker.getObjId()).isActive()


def write_micrographs(micrographs: Iterable[Micrograph], pixel_size: float, path: PathLike) -> None:
    """Write the list of micrographs (STAR) that the engine's commands take."""
    names = [micrograph.getFileName() for micrograph in micrographs]
    # the name does not come first, for a row that begins with "data_" would open a block
    columns: Columns = {
        "rlnMicrographPixelSize": np.full(len(names), pixel_size),
        "rlnMicrographName": names,
    }
    write_text(path, star_text({"micrographs": columns}))


def engine_micrographs(micrographs: SetOfMicrographs) -> List[engine.Micrograph]:
    """Describe micrographs by where their files really are, to find them in files of picks."""
    pixel_size = micrographs.getSamplingRate()
    return [
        engine.Micrograph(Path(os.path.realpath(m.getFileName())), m.getFileName(), pixel_size)
        for m in micrographs
    ]


def read_coordinates(items: EMSet, micrographs: Iterable[Micrograph]) -> AssignedPicks:
    """Read a set of coordinates, particles or classes under the engine's names.

    Scores are NaN where a coordinate has none.
    """
    # a set gives the same object again and again, with other values
    present = [micrograph.clone() for micrograph in micrographs]
    with _opened(items) as fresh:
        placed = list(placed_items(fresh, _pixel_size(present)))
    return _assigned(placed, _assignment(items, present))


def picked_in(items: SetOfCoordinates, micrographs: Iterable[Micrograph]) -> List[str]:
    """Return the files of those micrographs in which a set was picked, with or without a find."""
    made_on = read_micrographs(items.getMicrographs())
    assignment = Assignment.of(made_on, micrographs)
    paths = (assignment.path_of(key_of(micrograph)) for micrograph in made_on)
    run = run_of(items)
    failed = {} if run is None else run.failures
    return [path for path in paths if path is not None and path not in failed]


def read_negatives(
    items: EMSet, selected: EMSet, micrographs: Iterable[Micrograph]
) -> AssignedPicks:
    """Read the places without a particle: coordinates, or what a selection has rejected.

    Args:
        items: coordinates; or particles or classes, of which those that were not selected count.
        selected: particles, if some of `items` were selected.
        micrographs: that both may be of.
    """
    if isinstance(items, SetOfCoordinates):
        return read_coordinates(items, micrographs)
    # a set gives the same object again and again, with other values
    present = [micrograph.clone() for micrograph in micrographs]
    with _opened(items) as fresh, _opened(selected) as chosen:
        placed = list(placed_items(fresh, _pixel_size(present)))
        of_particles = not isinstance(selected, SetOfCoordinates)
        ids = {item.item_id for item in placed_items(chosen, 1.0)} if of_particles else set()
    is_kept = np.array([item.item_id in ids for item in placed], bool)
    classes = [item.class_id for item in placed]
    known = None if None in classes else np.array(classes)
    rejected = [placed[i] for i in np.flatnonzero(find_rejected(is_kept, known))]
    return _assigned(rejected, _assignment(items, present))


def _pixel_size(micrographs: Sequence[Micrograph]) -> float:
    return float(micrographs[0].getSamplingRate() or 1.0) if micrographs else 1.0


def _assigned(placed: Iterable[PlacedItem], assignment: Assignment) -> AssignedPicks:
    rows: Dict[str, List[Tuple[float, float, float]]] = {}
    left_out: Dict[str, int] = {}
    for item in placed:
        path = assignment.path_of(item.key)
        if path is None:
            left_out[item.key[1]] = left_out.get(item.key[1], 0) + 1
        else:
            rows.setdefault(path, []).append((*item.xy, item.score))
    picks = {path: Coordinates(*np.array(values).T) for path, values in rows.items()}
    return AssignedPicks(picks, left_out)


def _assignment(items: EMSet, micrographs: Iterable[Micrograph]) -> Assignment:
    made_on = micrographs_of(items)
    return Assignment.of([] if made_on is None else read_micrographs(made_on), micrographs)


@dataclass(frozen=True)
class CoordinateCounts:
    """How many coordinates of a set belong to some micrographs.

    Attributes:
        total: all coordinates.
        left_out: number of those of each micrograph that is not given, by its name.
        unclear: names that several micrographs have, and for which nothing tells which is meant.
    """

    total: int
    left_out: Mapping[str, int]
    unclear: Sequence[str]

    @property
    def assigned(self) -> int:
        """Number of coordinates of micrographs that are given."""
        return self.total - sum(self.left_out.values())


def count_coordinates(items: EMSet, micrographs: Iterable[Micrograph]) -> CoordinateCounts:
    """Count the coordinates of a set, without reading each where it is one of coordinates."""
    if not items.getSize():
        return CoordinateCounts(0, {}, [])
    assignment = _assignment(items, micrographs)
    numbers = _numbers(items)
    left_out: Dict[str, int] = {}
    for key, number in numbers.items():
        if assignment.path_of(key) is None:
            left_out[key[1]] = left_out.get(key[1], 0) + number
    unclear = sorted({name for _, name in numbers} & assignment.unclear)
    return CoordinateCounts(sum(numbers.values()), left_out, unclear)


def _numbers(items: EMSet) -> Mapping[Key, int]:
    """Count the items of each micrograph, by its id and name."""
    if not isinstance(items, SetOfCoordinates):
        with _opened(items) as fresh:
            return Counter(item.key for item in placed_items(fresh, 1.0))
    rows = items.aggregate(["COUNT"], "_micId", ["_micId", "_micName"])
    return {(int(row["_micId"]), str(row["_micName"])): int(row["COUNT"]) for row in rows}


def count(picks: Picks) -> int:
    """Count the picks of all micrographs."""
    return sum(map(len, picks.values()))


def places(picks: Picks) -> Dict[str, List[Tuple[float, float]]]:
    """Return where picks are, to compare them with others: sorted, px, without empty ones."""
    pairs = {
        name: sorted((_kept(x), _kept(y)) for x, y in p.xy.tolist()) for name, p in picks.items()
    }
    return {name: where for name, where in pairs.items() if where}


def _kept(number: float) -> float:
    """Return what is left of a number in a file of picks."""
    return float(f"{number:.9g}")


def append_picks(
    picks: Coordinates, micrograph: Micrograph, output: SetOfCoordinates, scored: bool = True
) -> None:
    """Add the picks of one micrograph to a set.

    Args:
        picks: px of the micrograph; Scipion keeps whole pixels.
        micrograph: that they are of.
        output: set to add to; all that it holds must have scores, or none.
        scored: keep the scores, for Scipion and for RELION.
    """
    for x, y, score in zip(picks.x.tolist(), picks.y.tolist(), picks.score.tolist()):
        coordinate = Coordinate(x=round(x), y=round(y))
        coordinate.setMicrograph(micrograph)
        if scored:
            _set_score(coordinate, NO_SCORE if np.isnan(score) else score)
        output.append(coordinate)


def _set_score(coordinate: Coordinate, score: float) -> None:
    # RELION's plugin passes scores on only if all three of its columns are there
    setattr(coordinate, SCORE, pwobj.Float(score))
    setattr(coordinate, FIGURE_OF_MERIT, pwobj.Float(score))
    setattr(coordinate, CLASS_NUMBER, pwobj.Integer(0))
    setattr(coordinate, PSI, pwobj.Float(0.0))


def kept_peaks(folder: PathLike, micrograph: Micrograph) -> Optional[MicrographPeaks]:
    """Read all peaks that a picking run has kept of a micrograph; None if it failed there.

    Args:
        folder: the engine's output folder of the run.
        micrograph: of the run.
    """
    return PickRun(Path(folder)).kept_peaks(micrograph.getFileName())


def picking_folder(coordinates: SetOfCoordinates) -> Optional[Path]:
    """Return the engine's output folder of the picking run that wrote a set; None for others."""
    folder = Path(coordinates.getFileName()).parent / "extra" / PICKING
    return folder if folder.is_dir() else None


def corrigible_folder(coordinates: SetOfCoordinates) -> Optional[Path]:
    """Return the folder that says what the picks of a set were before they were corrected.

    It is that of the picking run, or of the suggestion, that wrote the set; None for others.
    """
    folder = Path(coordinates.getFileName()).parent / "extra" / SUGGESTION_FOLDER
    return folder if holds_suggestion(folder) else picking_folder(coordinates)


def run_of(coordinates: SetOfCoordinates) -> Optional[PickRun]:
    """Read what the engine says of the run that wrote a set; None of other sets."""
    folder = picking_folder(coordinates)
    return None if folder is None or not holds_pick_run(folder) else read_pick_run(folder)


def uncertainty_of(coordinates: SetOfCoordinates) -> float:
    """Return the standard error of the scores (log-odds) that a run's model states, or 0."""
    run = run_of(coordinates)
    return 0.0 if run is None else run.score_uncertainty


def is_corrected(coordinates: SetOfCoordinates) -> bool:
    """Whether people have changed which picks of its run a set holds."""
    return bool(getattr(coordinates, CORRECTED, False))


def has_scores(coordinates: SetOfCoordinates) -> bool:
    """Whether coordinates have scores of pupick, or could have had if there were any."""
    first = coordinates.getFirstItem()
    return hasattr(first, SCORE) if first is not None else _ranking_folder(coordinates) is not None


def _ranking_folder(coordinates: SetOfCoordinates) -> Optional[Path]:
    """Return the folder of the run whose peaks a set was chosen from by score alone."""
    return None if is_corrected(coordinates) else picking_folder(coordinates)


def ranking_run(coordinates: SetOfCoordinates) -> Optional[PickRun]:
    """Read what the engine says of the run whose peaks a set was chosen from by score alone."""
    return None if is_corrected(coordinates) else run_of(coordinates)


def ranked_picks(
    coordinates: SetOfCoordinates, micrographs: Optional[SetOfMicrographs] = None
) -> Dict[int, Coordinates]:
    """Return all that is known to be ranked by score, by the id of its micrograph.

    Of a set that a picking run of pupick wrote these are all peaks that the run has kept, also
    those below its threshold; of any other set the coordinates that it holds, and so of one that
    lies beside those of its run, but was corrected or changed by hand.

    Args:
        coordinates: with scores.
        micrographs: that they are of; None for those that the set names.

    Raises:
        UsageError: the coordinates have no scores, or some of them have none.
    """
    chosen = [m.clone() for m in micrographs or coordinates.getMicrographs()]
    folder = _ranking_folder(coordinates)
    if folder is not None and has_scores(coordinates):
        record = read_json(folder / PICKING_RECORD)
        # runs of older versions say nothing of contamination, nor do their models
        cut = Cut(-np.inf, float(record["edge"]), float(record.get("contamination", 1.0)))
        kept = {m.getObjId(): kept_peaks(folder, m) for m in chosen}
        picks_by_id = {i: cut.choose(peaks) for i, peaks in kept.items() if peaks is not None}
    else:
        picks = read_coordinates(coordinates, chosen).picks
        picks_by_id = {
            m.getObjId(): picks.get(m.getFileName(), Coordinates.empty()) for m in chosen
        }
    _refuse_unscored(picks_by_id.values())
    return picks_by_id


def _refuse_unscored(picks: Iterable[Coordinates]) -> None:
    missing = np.concatenate([np.isnan(each.score) for each in picks] or [np.empty(0, bool)])
    if missing.all() and len(missing):
        raise UsageError("The coordinates have no scores: give those that pupick has picked.")
    if missing.any():
        raise UsageError(
            f"Some of the coordinates have scores, and others ({missing.sum()} of {len(missing)}) "
            "have none: give those that pupick has picked, or import only those with scores."
        )
