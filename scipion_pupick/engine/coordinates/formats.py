# SPDX-License-Identifier: GPL-3.0-or-later
"""The formats of picks in one table; a new one is added here."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Callable, Mapping, Optional, Sequence, Tuple, Union

from ..errors import UsageError
from ..files.atomic import PathLike
from ..files.cs_tables import is_records
from ..files.star import is_blocks
from ..files.text import read_start, read_text
from ..micrographs.cryosparc import Exposure
from .annotations import (
    eman_text,
    is_annotation_text,
    is_via_table,
    read_annotations,
    read_via_table,
)
from .boxes import box_text, cbox_text, is_cbox_text, read_box, read_cbox
from .cryosparc import cs_bytes, has_places, read_cs
from .delimited import CSV, TOPAZ, Layout, is_table_text, read_table, table_text
from .relion import CoordinateFiles, coordinates_text, particles_text, read_relion
from .table import Coordinates, Picks

Contents = Union[Picks, Coordinates, CoordinateFiles]
Text = Union[str, bytes]


@dataclass(frozen=True)
class Written:
    """What formats need beside picks.

    Attributes:
        box_size: side of boxes in px, for box and cbox.
        exposures: the micrographs by the picks' names, for cs.
        with_scores: whether to write a column of scores.
        with_pixel_size: whether to write a column of the micrographs' pixel sizes, for star.
    """

    box_size: Optional[float] = None
    exposures: Mapping[str, Exposure] = field(default_factory=dict)
    with_scores: bool = True
    with_pixel_size: bool = False


@dataclass(frozen=True)
class Format:
    """How picks stand in files of one format.

    Attributes:
        what: the files are, in a user's words.
        extensions: of its files; new files get the first.
        read: returns the picks of a file, given the micrographs' pixel size (Å/px) if it is known:
            of named micrographs, of the one that the file is named after, or a list of other files.
        text_of_one: text of a file with the picks of one micrograph, given its name, its picks,
            and what the format needs beside them.
        text_of_all: text of a file with the picks of all micrographs; None where a file holds one.
        ending: of a file of one micrograph; None for the first extension.
        told_by_extension: whether a file with one of the extensions is of this format, whatever it
            holds.
        is_text: whether a text that no extension tells is of this format.
        may_be_empty: whether a file without content is one of a micrograph without picks, as its
            extension says.
        is_file: whether a file found in a folder, with one of the extensions, is of this format;
            None if files of other things have other extensions.
    """

    what: str
    extensions: Tuple[str, ...]
    read: Callable[[Path, Optional[float]], Contents]
    text_of_one: Callable[[str, Coordinates, Written], Text]
    text_of_all: Optional[Callable[[Picks, Written], Text]] = None
    ending: Optional[str] = None
    told_by_extension: bool = False
    is_text: Callable[[str], bool] = lambda text: False
    may_be_empty: bool = False
    is_file: Optional[Callable[[Path], bool]] = None


def _table(what: str, layout: Layout, extensions: Tuple[str, ...], **more: Any) -> Format:
    return Format(
        what=what,
        extensions=extensions,
        text_of_one=lambda name, picks, written: table_text({name: picks}, layout),
        text_of_all=lambda picks, written: table_text(picks, layout),
        **more,
    )


def _cs(what: str, from_last_row: bool, **more: Any) -> Format:
    return Format(
        what=what,
        extensions=(".cs",),
        is_file=has_places,
        read=lambda path, pixel_size: read_cs(path, from_last_row),
        text_of_one=lambda name, picks, written: cs_bytes(
            {name: picks}, written.exposures, from_last_row
        ),
        text_of_all=lambda picks, written: cs_bytes(picks, written.exposures, from_last_row),
        **more,
    )


def _read_csv(path: Path, pixel_size: Optional[float]) -> Contents:
    return read_via_table(path) if is_via_table(read_text(path)) else read_table(path)


# a text that could be of several is of the last of these
FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        "star": Format(
            what="RELION STAR, from 3.0",
            extensions=(".star",),
            read=read_relion,
            text_of_one=lambda name, picks, written: coordinates_text(
                picks, written.with_scores, written.with_pixel_size
            ),
            text_of_all=lambda picks, written: particles_text(picks),
            is_text=is_blocks,
            may_be_empty=True,
        ),
        "topaz": _table(
            "table of image_name, x_coord, y_coord, score",
            TOPAZ,
            (".txt", ".tsv", ".tab", ".coord"),
            read=lambda path, pixel_size: read_table(path),
            is_text=is_table_text,
        ),
        "box": Format(
            what="EMAN .box",
            extensions=(".box",),
            read=lambda path, pixel_size: read_box(path),
            text_of_one=lambda name, picks, written: box_text(picks, written.box_size),
            told_by_extension=True,
        ),
        "cbox": Format(
            what="crYOLO .cbox",
            extensions=(".cbox",),
            read=lambda path, pixel_size: read_cbox(path),
            text_of_one=lambda name, picks, written: cbox_text(picks, written.box_size),
            told_by_extension=True,
            is_text=is_cbox_text,
        ),
        "csv": _table(
            "micrograph,x,y,score",
            CSV,
            (".csv",),
            read=_read_csv,
            told_by_extension=True,
            is_text=is_via_table,
        ),
        "eman2": Format(
            what="EMAN2 _info.json, or VGG Image Annotator",
            extensions=(".json",),
            read=lambda path, pixel_size: read_annotations(path),
            text_of_one=lambda name, picks, written: eman_text(picks),
            ending="_info.json",
            told_by_extension=True,
            is_text=is_annotation_text,
            is_file=lambda path: is_annotation_text(read_text(path)),
        ),
        "cs-from-last-row": _cs(
            "cryoSPARC .cs of micrographs turned upside down", from_last_row=True
        ),
        "cs": _cs("cryoSPARC .cs", from_last_row=False, told_by_extension=True),
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
    extension = path.suffix.lower()
    if is_records(read_start(path)):
        return "cs"
    for name, format in FORMATS.items():
        if format.told_by_extension and extension in format.extensions:
            return name
    text = read_text(path)
    tests: Sequence[Callable[[Format], bool]] = (
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
