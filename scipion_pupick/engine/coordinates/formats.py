# SPDX-License-Identifier: GPL-3.0-or-later
"""The formats of picks in one table; a new one is added here."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Callable, Mapping, Optional, Sequence, Tuple, Union

from ..errors import UsageError
from ..files.atomic import PathLike
from ..files.star import is_blocks
from ..files.text import read_text
from .boxes import box_text, cbox_text, is_cbox_text, read_box, read_cbox
from .delimited import CSV, TOPAZ, Layout, is_topaz_text, read_table, table_text
from .relion import CoordinateFiles, coordinates_text, particles_text, read_relion
from .table import Coordinates, Picks

Contents = Union[Picks, Coordinates, CoordinateFiles]


@dataclass(frozen=True)
class Format:
    """How picks stand in files of one format.

    Attributes:
        extensions: of its files; new files get the first.
        read: returns the picks of a file, given the micrographs' pixel size (Å/px) if it is known:
            of named micrographs, of the one that the file is named after, or a list of other files.
        text_of_one: text of a file with the picks of one micrograph, given its name, its picks,
            whether to write scores, and the side of boxes (px) where the format has them.
        text_of_all: text of a file with the picks of all micrographs; None where a file holds one.
        told_by_extension: whether a file with one of the extensions is of this format, whatever it
            holds.
        is_text: whether a text that no extension tells is of this format.
        may_be_empty: whether a file without content is one of a micrograph without picks, as its
            extension says.
    """

    extensions: Tuple[str, ...]
    read: Callable[[Path, Optional[float]], Contents]
    text_of_one: Callable[[str, Coordinates, bool, Optional[float]], str]
    text_of_all: Optional[Callable[[Picks], str]] = None
    told_by_extension: bool = False
    is_text: Callable[[str], bool] = lambda text: False
    may_be_empty: bool = False


def _table(layout: Layout, *extensions: str, **how_to_tell: Any) -> Format:
    return Format(
        extensions=extensions,
        read=lambda path, pixel_size: read_table(path, layout),
        text_of_one=lambda name, picks, scores, side: table_text({name: picks}, layout),
        text_of_all=partial(table_text, layout=layout),
        **how_to_tell,
    )


# a text that could be of several is of the last of these
FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        "star": Format(
            extensions=(".star",),
            read=read_relion,
            text_of_one=lambda name, picks, scores, side: coordinates_text(picks, scores),
            text_of_all=particles_text,
            is_text=is_blocks,
            may_be_empty=True,
        ),
        "topaz": _table(TOPAZ, ".txt", ".tsv", ".tab", is_text=is_topaz_text),
        "box": Format(
            extensions=(".box",),
            read=lambda path, pixel_size: read_box(path),
            text_of_one=lambda name, picks, scores, side: box_text(picks, side),
            told_by_extension=True,
        ),
        "cbox": Format(
            extensions=(".cbox",),
            read=lambda path, pixel_size: read_cbox(path),
            text_of_one=lambda name, picks, scores, side: cbox_text(picks, side),
            told_by_extension=True,
            is_text=is_cbox_text,
        ),
        "csv": _table(CSV, ".csv", told_by_extension=True),
    }
)


def format_named(name: str) -> Format:
    """Return a format by its name.

    Raises:
        UsageError: there is none of that name.
    """
    if name not in FORMATS:
        raise UsageError(f"unknown format {name!r}: give one of {', '.join(FORMATS)}")
    return FORMATS[name]


def detect_format(path: PathLike) -> str:
    """Tell the format of a file of picks by its extension, and where that may mislead by content.

    Returns:
        The name of one of `FORMATS`.

    Raises:
        UsageError: the file is missing or its format cannot be told.
    """
    path = Path(path)
    extension, text = path.suffix.lower(), read_text(path)
    tests: Sequence[Callable[[Format], bool]] = (
        lambda format: format.told_by_extension and extension in format.extensions,
        lambda format: format.is_text(text),
        lambda format: format.may_be_empty and extension in format.extensions and not text.strip(),
    )
    for test in tests:
        for name, format in reversed(list(FORMATS.items())):
            if test(format):
                return name
    raise UsageError(
        f"{path}: is not a table of picks of a known format; the formats are {', '.join(FORMATS)}"
    )
