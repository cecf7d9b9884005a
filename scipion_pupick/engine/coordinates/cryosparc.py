# SPDX-License-Identifier: GPL-3.0-or-later
"""Picks in cryoSPARC's .cs files: NumPy's format, a record for each particle.

A place is a fraction of the micrograph's width and height. As in cryoSPARC's own examples, which
bring crYOLO's picks into it, y counts from the first row of the file, and nothing is turned. Where
another program has turned the micrographs upside down, it has to be counted from the last row.
"""

from __future__ import annotations

import io
import logging
import math
from pathlib import Path
from typing import Any, Dict, Iterable, List, Mapping, Optional, Sequence, Tuple

import numpy as np
import numpy.typing as npt

from ..errors import MicrographError, UsageError
from ..files.cs_tables import (
    Records,
    fields_of,
    numbers_of,
    read_records,
    require_fields,
    shapes_of,
    texts_of,
)
from ..micrographs import Micrograph, Shape, image_shape
from ..micrographs.cryosparc import EXPOSURE_PATH, UID, Exposure, new_uid
from .table import Coordinates, Picks, flatten_picks, group_picks

PATH, SHAPE = "location/micrograph_path", "location/micrograph_shape"
X_FRACTION, Y_FRACTION = "location/center_x_frac", "location/center_y_frac"
MICROGRAPH_UID = "location/micrograph_uid"
PICK_SCORE = "pick_stats/ncc_score"

SHIFTS = ("alignments3D/shift", "alignments2D/shift")

_OF_OTHERS = (
    "The %s of %d micrographs, such as %s, are of images of %d x %d px, by their .cs file; the "
    "micrograph has %d x %d px. "
)
_FITTED = _OF_OTHERS + "Their coordinates are converted."
_OTHER_IMAGE = _OF_OTHERS + "Their coordinates are not converted, as that is another image."
# a program that bins rounds width and height
_BINNED_ALIKE = 0.01

log = logging.getLogger(__name__)


def read_cs(path: Path, from_last_row: bool = False) -> Picks:
    """Read particles of cryoSPARC: centres in px, the scores of its pickers, and their records.

    Args:
        path: a table of particles, or the passthrough file of a job where the places are.
        from_last_row: whether y counts from the last row of the micrograph's file.

    Raises:
        UsageError: it is no such file, has no places, or a value makes no sense.
    """
    records = read_records(path)
    _require_places(path, records)
    heights, widths = shapes_of(path, records, SHAPE).T
    x_fraction, y_fraction = (_fractions(path, records, name) for name in (X_FRACTION, Y_FRACTION))
    if from_last_row:
        y_fraction = 1 - y_fraction
    score = np.full(len(records), np.nan)
    if PICK_SCORE in fields_of(records):
        score = np.asarray(numbers_of(path, records, PICK_SCORE), dtype=np.float64)
    names = texts_of(path, records, PATH)
    _say_that_shifts_stay(path, records)
    # a fraction has 24 bits, which tell a place to some thousandth of a pixel
    x, y = np.round(x_fraction * widths, 3), np.round(y_fraction * heights, 3)
    return group_picks(names, x, y, score, records)


def _say_that_shifts_stay(path: Path, records: Records) -> None:
    """Say that particles lie where they were picked; public programs apply shifts differently."""
    shifts = [name for name in SHIFTS if name in fields_of(records) and np.any(records[name])]
    if shifts:
        log.warning(
            "%s: %s is not applied: particles are taken where they were picked. To have them where "
            "they were aligned, extract them again in cryoSPARC, recentred, and give that job's "
            "file.",
            path,
            shifts[0],
        )


def fit_shapes(picks: Picks, matched: Mapping[str, Micrograph], what: str) -> Picks:
    """Convert picks of cryoSPARC to px of micrographs that are of another size than it has said.

    A place is a fraction of a micrograph, so it is the same of one that was binned. Where width
    and height do not change alike, it is another image, and nothing is converted. Either is said
    in the log.

    Args:
        picks: by name; those that come from elsewhere stay as they are.
        matched: the micrograph of each name.
        what: the picks are, for the log.
    """
    fitted = dict(picks)
    said: Dict[str, List[Tuple[str, Shape, Shape]]] = {}
    for name, coordinates in picks.items():
        stated = _stated_shape(coordinates)
        shape = None if stated is None else _shape_of(matched[name])
        if stated is None or shape is None or shape == stated:
            continue
        height, width = shape[0] / stated[0], shape[1] / stated[1]
        alike = math.isclose(height, width, rel_tol=_BINNED_ALIKE)
        said.setdefault(_FITTED if alike else _OTHER_IMAGE, []).append((name, stated, shape))
        if alike:
            fitted[name] = coordinates.scaled(math.sqrt(height * width))
    for text, cases in said.items():
        name, stated, shape = cases[0]
        log.warning(text, what, len(cases), name, *stated[::-1], *shape[::-1])
    return fitted


def _stated_shape(coordinates: Coordinates) -> Optional[Shape]:
    """Return (ny, nx) of the micrograph that picks were read as px of; None if they say none."""
    record = coordinates.record
    if record is None or not len(record):
        return None
    height, width = record[SHAPE][0].tolist()
    return int(height), int(width)


def _shape_of(micrograph: Micrograph) -> Optional[Shape]:
    """Return (ny, nx) of a micrograph; None of one that cannot be read, as is reported later."""
    try:
        return image_shape(micrograph.path)
    except MicrographError:
        return None


def has_places(path: Path) -> bool:
    """Say whether a .cs file has the places of particles; a job has others beside it.

    Raises:
        UsageError: it cannot be read.
    """
    return X_FRACTION in fields_of(read_records(path))


def _require_places(path: Path, records: Records) -> None:
    advice = (
        "give the file of the same job that has them, mostly the one with passthrough in its name"
    )
    if EXPOSURE_PATH in fields_of(records):
        advice = "it lists micrographs, not particles"
    require_fields(path, records, (PATH, SHAPE, X_FRACTION, Y_FRACTION), advice)


def _fractions(path: Path, records: Records, name: str) -> npt.NDArray[np.float64]:
    values = numbers_of(path, records, name).astype(np.float64)
    # beyond this it is pixels, or nothing
    wrong = ~((values > -1) & (values < 2))
    if wrong.any():
        row = int(np.argmax(wrong))
        raise UsageError(
            f"{path}, record {row + 1}: {name} is {values[row]:g}, not a fraction of the micrograph"
        )
    return values


def cs_bytes(picks: Picks, exposures: Mapping[str, Exposure], from_last_row: bool = False) -> bytes:
    """Write particles as cryoSPARC's .cs file.

    Particles that were read from such a file keep their number and all that stood with them.

    Args:
        picks: centres in px of the micrograph.
        exposures: the micrograph of each name, unless the picks come from a .cs file.
        from_last_row: whether y counts from the last row of the micrograph's file.

    Raises:
        UsageError: a micrograph's size is not known.
    """
    names, rows = flatten_picks(picks)
    records = rows.record
    if records is None or exposures:
        records = _new_records(names, rows, _known(picks, exposures))
    records = records.copy()
    heights, widths = records[SHAPE].astype(np.float64).reshape(-1, 2).T
    y_fraction = rows.y / heights
    records[X_FRACTION] = rows.x / widths
    records[Y_FRACTION] = 1 - y_fraction if from_last_row else y_fraction
    if PICK_SCORE in fields_of(records):
        records[PICK_SCORE] = rows.score
    content = io.BytesIO()
    np.save(content, records, allow_pickle=False)
    return content.getvalue()


def _known(picks: Picks, exposures: Mapping[str, Exposure]) -> Dict[str, Exposure]:
    """Return the micrograph of each name that has picks."""
    known = dict(exposures)
    for name, coordinates in picks.items():
        if name not in known and len(coordinates):
            raise UsageError(
                f"cryoSPARC's files give places as fractions of the micrograph, and the size of "
                f"{name} is not known: give the micrographs, or their .cs file of exposures",
                setting="micrographs",
            )
    return known


def _new_records(
    names: Sequence[str], rows: Coordinates, exposures: Mapping[str, Exposure]
) -> Records:
    length = max([1, *(len(exposure.path.encode()) for exposure in exposures.values())])
    fields: List[Tuple[Any, ...]] = [
        (UID, "<u8"), (MICROGRAPH_UID, "<u8"), ("location/exp_group_id", "<u4"),
        (PATH, f"S{length}"), (SHAPE, "<u4", (2,)), (X_FRACTION, "<f4"), (Y_FRACTION, "<f4"),
    ]  # fmt: skip
    if rows.has_scores:
        fields.append((PICK_SCORE, "<f4"))
    records: Records = np.zeros(len(names), dtype=np.dtype(fields))
    of_rows = [exposures[name] for name in names]
    records[MICROGRAPH_UID] = np.array([exposure.uid for exposure in of_rows], dtype=np.uint64)
    records[PATH] = [exposure.path.encode() for exposure in of_rows]
    records[SHAPE] = np.array([exposure.shape for exposure in of_rows]).reshape(-1, 2)
    records[UID] = _old_or_new_uids(names, rows)
    return records


def _old_or_new_uids(names: Sequence[str], rows: Coordinates) -> npt.NDArray[np.uint64]:
    if rows.record is not None and UID in fields_of(rows.record):
        return np.asarray(rows.record[UID], dtype=np.uint64)
    places: Iterable[str] = (
        f"{name} {i} {x:.9g} {y:.9g}" for i, (name, x, y) in enumerate(zip(names, rows.x, rows.y))
    )
    return np.array([new_uid(place) for place in places], dtype=np.uint64)
