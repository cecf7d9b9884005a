# SPDX-License-Identifier: GPL-3.0-or-later
"""Images as Topaz is given them: in tables, folders and lists, and named by their stems."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Dict, List, Sequence

from scipion_pupick.engine import Micrograph, UsageError, find_micrographs
from scipion_pupick.engine.files.atomic import PathLike
from scipion_pupick.engine.files.text import read_text

PIXEL_SIZE = 1.0


def read_image_list(source: PathLike) -> List[Micrograph]:
    """Read a table of images (columns image_name and path, tabs or blanks between), or a folder.

    Raises:
        UsageError: there is no such table or folder, a column or a field is missing, or two images
            have one name.
    """
    path = Path(source)
    if path.is_dir():
        return find_micrographs([str(path)], PIXEL_SIZE)
    lines = [line for line in read_text(path).splitlines() if line.strip()]
    delimiter = "\t" if lines and "\t" in lines[0] else " "
    rows = csv.reader(lines, delimiter=delimiter, skipinitialspace=True)
    header = next(rows, [])
    missing = {"image_name", "path"} - set(header)
    if missing:
        raise UsageError(
            f"{path}: a table of images needs the columns image_name and path; its header has "
            f"{', '.join(header) or 'nothing'}."
        )
    name_column, path_column = header.index("image_name"), header.index("path")
    images: Dict[str, Micrograph] = {}
    for row in rows:
        if len(row) <= max(name_column, path_column):
            raise UsageError(f"{path}: the row {delimiter.join(row)!r} has too few fields.")
        name = row[name_column]
        if name in images:
            raise UsageError(f"{path}: two images have the name {name!r}: rename one.")
        images[name] = Micrograph(Path(row[path_column]), name, PIXEL_SIZE)
    return [*images.values()]


def stems(images: Sequence[Micrograph]) -> Dict[str, str]:
    """Name images as Topaz does, by their files without folder and extension.

    Returns:
        The stem by micrograph name.

    Raises:
        UsageError: two images have one stem.
    """
    owners: Dict[str, Micrograph] = {}
    for image in images:
        other = owners.setdefault(image.path.stem, image)
        if other is not image:
            raise UsageError(
                f"{other.path} and {image.path} have one name: take each in a call of its own."
            )
    return {image.name: stem for stem, image in owners.items()}
