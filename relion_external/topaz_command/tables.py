# SPDX-License-Identifier: GPL-3.0-or-later
"""Picks of images as the texts that `topaz extract` writes, in whole px."""

from __future__ import annotations

import csv
import io
import json
from typing import Callable, Dict, Iterator, Mapping, Tuple

from scipion_pupick.engine import Coordinates

HEADER = "image_name\tx_coord\ty_coord\tscore\n"
STAR_HEAD = (
    "data_images\n\nloop_\n_rlnAutopickFigureOfMerit #1\n_rlnMicrographName #2\n"
    "_rlnCoordinateX #3\n_rlnCoordinateY #4\n"
)
VIA_COLUMNS = (
    "filename",
    "file_size",
    "file_attributes",
    "region_count",
    "region_id",
    "region_shape_attributes",
    "region_attributes",
)


def table_text(picks: Mapping[str, Coordinates]) -> str:
    """Write picks by image name as Topaz's table, with a header even without a pick."""
    rows = [
        f"{name}\t{x}\t{y}\t{score}\n"
        for name, coordinates in picks.items()
        for x, y, score in rows_of(coordinates)
    ]
    return HEADER + "".join(rows)


def rows_of(found: Coordinates) -> Iterator[Tuple[int, int, str]]:
    """Return x, y and score of each pick as they are written."""
    for x, y, score in zip(found.x, found.y, found.score):
        yield round(x), round(y), f"{score:.9g}"


def star_text(file_name: str, found: Coordinates, width: int) -> str:
    """Write the picks of an image as a table of particles."""
    rows = [f"{score}\t{file_name}\t{x}\t{y}\n" for x, y, score in rows_of(found)]
    return STAR_HEAD + "".join(rows)


def csv_text(file_name: str, found: Coordinates, width: int) -> str:
    """Write the picks of an image as a table of the VGG Image Annotator, which shows PNGs."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(VIA_COLUMNS)
    for i, (x, y, score) in enumerate(rows_of(found)):
        place = json.dumps({"name": "point", "cx": x, "cy": y}, separators=(",", ":"))
        value = json.dumps({"score": score}, separators=(",", ":"))
        table.writerow(
            [f"{file_name.rpartition('.')[0]}.png", -1, "{}", len(found), i, place, value]
        )
    return text.getvalue()


def json_text(file_name: str, found: Coordinates, width: int) -> str:
    """Write the picks of an image as EMAN2 keeps them in its folder `info`."""
    return json.dumps({"boxes": [[x, y, "manual"] for x, y, _ in rows_of(found)]}, indent=0)


def box_text(file_name: str, found: Coordinates, width: int) -> str:
    """Write the picks of an image as boxes of a width (px), where Topaz's have the width 0."""
    half = width // 2
    rows = [f"{x - half}\t{y - half}\t{width}\t{width}\n" for x, y, _ in rows_of(found)]
    return "".join(rows)


Writer = Callable[[str, Coordinates, int], str]

WRITERS: Dict[str, Writer] = {
    "coord": lambda file_name, found, width: table_text({file_name.rpartition(".")[0]: found}),
    "star": star_text,
    "csv": csv_text,
    "json": json_text,
    "box": box_text,
}
