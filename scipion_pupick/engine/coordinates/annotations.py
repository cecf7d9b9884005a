# SPDX-License-Identifier: GPL-3.0-or-later
"""Picks set by hand: EMAN2's JSON, and the VGG Image Annotator's CSV and JSON (Topaz's GUI)."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Sequence, Tuple, Union

import numpy as np

from ..errors import UsageError
from ..files.text import lines_of, parse_number, read_text
from .table import Coordinates, Picks, group_picks

_VIA_COLUMNS = ("filename", "region_shape_attributes")
_VIA_PROJECT = "_via_img_metadata"
# of the annotator's shapes: which numbers give the centre, and the sides that go with a corner
_CENTRES = {
    "point": ("cx", "cy"),
    "circle": ("cx", "cy"),
    "ellipse": ("cx", "cy"),
    "rect": ("x", "y", "width", "height"),
}

_Row = Tuple[str, float, float, float]


def is_annotation_text(text: str) -> bool:
    """Say whether a text is JSON with the boxes of EMAN2 or the regions of the annotator."""
    return re.match(r"\s*{", text) is not None and any(
        word in text for word in ('"boxes"', '"boxes_3d"', '"regions"')
    )


def is_via_table(text: str) -> bool:
    """Say whether a text is a table (CSV) of the VGG Image Annotator."""
    header = next(lines_of(text), "").replace('"', "").lstrip("#").split(",")
    return all(column in header for column in _VIA_COLUMNS)


def read_annotations(path: Path) -> Union[Picks, Coordinates]:
    """Read the picks of a JSON file: centres in px, and scores if it has them.

    Returns:
        Coordinates of EMAN2's info file, which is named after its micrograph, or the picks of the
        annotator's images.

    Raises:
        UsageError: the file is neither, or a value makes no sense, or the boxes are a tomogram's.
    """
    content = _parse_json(path)
    if isinstance(content, dict) and isinstance(content.get(_VIA_PROJECT), dict):
        content = content[_VIA_PROJECT]
    if isinstance(content, dict) and _is_via(content):
        return _read_via(path, content)
    is_info = path.stem.endswith("_info")
    if not isinstance(content, dict) or not (is_info or {"boxes", "boxes_3d"} & content.keys()):
        raise UsageError(
            f"{path}: this JSON is neither EMAN2's (boxes) nor the VGG Image Annotator's "
            "(regions), so it holds no picks"
        )
    return _read_eman(path, content)


def _parse_json(path: Path) -> Any:
    try:
        return json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise UsageError(f"{path}, line {error.lineno}: is not JSON ({error.msg})") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path}: is not JSON that can be read: make it anew") from error


def _read_eman(path: Path, content: Mapping[str, Any]) -> Coordinates:
    """Read boxes [x, y, kind] or [x, y, kind, score], whose x and y are the centre."""
    boxes = content.get("boxes", [])
    if not isinstance(boxes, list):
        raise UsageError(f"{path}: boxes is {boxes!r:.40}, not a list")
    if content.get("boxes_3d"):
        raise UsageError(
            f"{path}: boxes_3d are of a tomogram; pupick takes particles in micrographs only"
        )
    rows = [_eman_box(path, number, box) for number, box in enumerate(boxes, 1)]
    x, y, score = np.array(rows, dtype=np.float64).reshape(-1, 3).T
    return Coordinates(x, y, score)


def _eman_box(path: Path, number: int, box: Any) -> Tuple[float, float, float]:
    place = f"{path}, box {number}"
    if not isinstance(box, list) or len(box) < 2:
        raise UsageError(f"{place}: is {box!r:.40}, not [x, y, ...]")
    if len(box) > 2 and not isinstance(box[2], str):
        raise UsageError(
            f"{place}: has a z ({box[2]!r:.20}), so it is of a tomogram; pupick takes particles "
            "in micrographs only"
        )
    score = _number(box[3]) if len(box) > 3 else float("nan")
    return _position(place, "x", box[0]), _position(place, "y", box[1]), score


def _number(value: Any) -> float:
    """Return a value of JSON as a finite number, or NaN if it is none."""
    is_text_or_number = isinstance(value, (int, float, str)) and not isinstance(value, bool)
    number = parse_number(str(value)) if is_text_or_number else float("nan")
    return number if np.isfinite(number) else float("nan")


def _position(place: str, name: str, value: Any) -> float:
    number = _number(value)
    if np.isnan(number):
        raise UsageError(f"{place}: {name} is {value!r:.40}, not a number")
    return number


def _is_via(content: Mapping[str, Any]) -> bool:
    return bool(content) and all(
        isinstance(image, dict) and "filename" in image and "regions" in image
        for image in content.values()
    )


def _read_via(path: Path, images: Mapping[str, Any]) -> Picks:
    empty: List[str] = []
    rows: List[_Row] = []
    for image in images.values():
        name, regions = str(image["filename"]), image["regions"]
        # version 1 of the annotator has a dictionary of regions
        regions = list(regions.values()) if isinstance(regions, dict) else regions
        if not isinstance(regions, list) or not all(isinstance(r, dict) for r in regions):
            raise UsageError(f"{path}: the regions of {name} are not a list of regions")
        empty += [name]
        for number, region in enumerate(regions, 1):
            shape, kept = region.get("shape_attributes"), region.get("region_attributes")
            rows.append((name, *_via_region(f"{path}, region {number} of {name}", shape, kept)))
    return _grouped(empty, rows)


def read_via_table(path: Path) -> Picks:
    """Read the picks of a table (CSV) of the VGG Image Annotator.

    Raises:
        UsageError: a row is short or has a region that is no point, circle, ellipse or rectangle.
    """
    rows: List[_Row] = []
    names: List[str] = []
    for place, fields in _via_rows(path):
        name, shape = fields["filename"], _json_field(place, fields["region_shape_attributes"])
        names.append(name)
        # an image without a region has one row, whose shape is empty
        if shape:
            kept = _json_field(place, fields.get("region_attributes") or "{}")
            rows.append((name, *_via_region(place, shape, kept)))
    return _grouped(names, rows)


def _via_rows(path: Path) -> Iterator[Tuple[str, Dict[str, str]]]:
    reader = csv.reader(io.StringIO(read_text(path)))
    try:
        header = [field.lstrip("#") for field in next(reader, [])]
        if not set(_VIA_COLUMNS) <= set(header):
            raise UsageError(
                f"{path}, line 1: a table of the VGG Image Annotator needs the columns "
                f"{', '.join(_VIA_COLUMNS)}; its header has {', '.join(header) or 'nothing'}"
            )
        for row in reader:
            place = f"{path}, line {reader.line_num}"
            if any(row):
                if len(row) < len(header):
                    raise UsageError(
                        f"{place}: has {len(row)} fields where the header has {len(header)}"
                    )
                yield place, dict(zip(header, row))
    except csv.Error as error:
        raise UsageError(f"{path}, line {reader.line_num}: {error}") from error


def _json_field(place: str, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{place}: {text[:60]!r} is not JSON") from error


def _via_region(place: str, shape: Any, kept: Any) -> Tuple[float, float, float]:
    """Return the centre of a region and its score."""
    name = shape.get("name") if isinstance(shape, dict) else None
    if not isinstance(name, str) or name not in _CENTRES:
        raise UsageError(
            f"{place}: is a {name or 'region without a shape'}; particles have to be points, "
            "circles, ellipses or rectangles"
        )
    numbers = [_position(place, part, shape.get(part)) for part in _CENTRES[name]]
    x, y, width, height = (*numbers, 0.0, 0.0)[:4]
    score = kept.get("score") if isinstance(kept, dict) else None
    return x + width / 2, y + height / 2, _number(score)


def _grouped(names: Sequence[str], rows: Sequence[_Row]) -> Picks:
    """Sort rows into images; those without a row are there, too."""
    x, y, score = np.array([row[1:] for row in rows], dtype=np.float64).reshape(-1, 3).T
    found = group_picks([row[0] for row in rows], x, y, score)
    return {name: found.get(name, Coordinates.empty()) for name in dict.fromkeys(names)}


def eman_text(coordinates: Coordinates) -> str:
    """Write picks as EMAN2 keeps them in its folder `info`; x and y are a box's centre."""
    boxes: List[List[Any]] = []
    for x, y, score in zip(coordinates.x, coordinates.y, coordinates.score):
        box: List[Any] = [float(f"{x:.9g}"), float(f"{y:.9g}"), "manual"]
        boxes.append(box if np.isnan(score) else [*box[:2], "auto", float(f"{score:.9g}")])
    return json.dumps({"boxes": boxes}, indent=0) + "\n"
