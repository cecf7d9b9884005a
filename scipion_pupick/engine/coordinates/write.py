# SPDX-License-Identifier: GPL-3.0-or-later
"""Writing picks, to one file or to a file a micrograph."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Dict, Mapping, Optional

from ..errors import UsageError
from ..files.atomic import PathLike, atomic_write, holds, write_text
from ..micrographs.cryosparc import Exposure
from .file_names import files_of_micrographs
from .formats import FORMATS, Text, Written, format_named
from .table import Picks, have_pixel_sizes, join_coordinates


def write_picks(
    picks: Picks,
    path: PathLike,
    format: Optional[str] = None,
    box_size: Optional[float] = None,
    exposures: Optional[Mapping[str, Exposure]] = None,
) -> None:
    """Write all picks to one file; it appears whole or not at all.

    STAR gives a table of particles, which says its micrographs' names but has no optics; RELION's
    own jobs take files of one micrograph (`write_picks_folder`). Tables of several micrographs
    have no row for one without picks. Where no pick has a score there is no column of scores.

    Args:
        picks: centres in px of the micrograph.
        path: the file.
        format: one of `FORMATS`; None to go by the extension.
        box_size: side of the boxes in px, for box and cbox.
        exposures: the micrographs by the picks' names, whose sizes cs needs.

    Raises:
        UsageError: the format is unknown, needs a box size or the micrographs, or is one of files
            with one micrograph each and there are several; or a name cannot be written.
        OSError: the file cannot be written.
    """
    path = Path(path)
    name = _format_of(path) if format is None else format
    kind = format_named(name)
    written = Written(box_size, exposures or {})
    if kind.text_of_all is not None:
        text = kind.text_of_all(picks, written)
    elif len(picks) > 1:
        raise UsageError(
            f"{path}: a {name} file holds one micrograph, not {len(picks)}: write one file a "
            "micrograph"
        )
    else:
        every_pick = join_coordinates(list(picks.values()))
        text = kind.text_of_one("", every_pick, replace(written, with_scores=every_pick.has_scores))
    _write(path, text)


def _write(path: Path, content: Text) -> None:
    if isinstance(content, str):
        write_text(path, content)
    else:
        with atomic_write(path) as temporary:
            temporary.write_bytes(content)


def _refuse_others(contents: Mapping[Path, Text]) -> None:
    for path, content in contents.items():
        wanted = content.encode("utf-8", "surrogateescape") if isinstance(content, str) else content
        if os.path.lexists(path) and not holds(path, wanted):
            raise UsageError(
                f"{path} is there already, and would be overwritten: give another folder.",
                setting="output",
            )


def _format_of(path: Path) -> str:
    extension = path.suffix.lower()
    for name, kind in reversed(list(FORMATS.items())):
        if extension in kind.extensions:
            return name
    raise UsageError(f"{path}: the extension tells no format; give one of {', '.join(FORMATS)}")


def write_picks_folder(
    picks: Picks,
    folder: PathLike,
    format: str = "star",
    suffix: str = "",
    box_size: Optional[float] = None,
    exposures: Optional[Mapping[str, Exposure]] = None,
    replace_others: bool = True,
) -> Dict[str, Path]:
    """Write one file a micrograph, also for a micrograph without picks.

    The folder part of a micrograph's name is mirrored below `folder`, so that equal file names
    from different folders stay apart; nothing is written outside `folder`.

    Args:
        picks: centres in px of the micrograph.
        folder: where the files go.
        format: one of `FORMATS`; STAR files are as RELION's automatic picking writes them.
        suffix: what stands between the micrograph's name and the extension, such as "_autopick".
        box_size: side of the boxes in px, for box and cbox.
        exposures: the micrographs by the picks' names, whose sizes cs needs.
        replace_others: whether to replace files that hold something else.

    Returns:
        The file of each micrograph.

    Raises:
        UsageError: the format is unknown or needs a box size, or two micrographs would share a
            file, or one is in the way; nothing has been written then.
        OSError: a file cannot be written.
    """
    kind = format_named(format)
    if "/" in suffix:
        raise UsageError(f"the suffix of files may not have a /: {suffix!r}")
    written = Written(
        box_size,
        exposures or {},
        any(coordinates.has_scores for coordinates in picks.values()),
        have_pixel_sizes(picks),
    )
    files = files_of_micrographs(picks, Path(folder), suffix + (kind.ending or kind.extensions[0]))
    texts = {
        name: kind.text_of_one(name, coordinates, written) for name, coordinates in picks.items()
    }
    if not replace_others:
        _refuse_others({file: texts[name] for name, file in files.items()})
    for name, file in files.items():
        _write(file, texts[name])
    return files
