# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading picks from files, patterns and folders."""

from __future__ import annotations

import glob
import logging
import os
import re
from pathlib import Path
from typing import Dict, Iterator, List, Optional, Sequence, Tuple, Union

import numpy as np

from ..errors import UsageError
from ..files.atomic import PathLike
from ..micrographs.name_matching import PICK_SUFFIXES
from ..runs.layout import PICKS, holds_own_picks
from ..settings import ALL_PICKS, PicksSettings
from .boxes import USUAL_CONFIDENCE
from .cryosparc import UID
from .file_names import micrograph_of_file, without_affixes
from .formats import FORMATS, Contents, detect_format
from .join import join_picks
from .relion import CoordinateFiles
from .table import Coordinates, Picks, join_coordinates

log = logging.getLogger(__name__)

Sources = Union[PathLike, Sequence[PathLike]]

# files of RELION's jobs that stand beside the files of coordinates but hold none themselves
_JOB_FILES = (
    "autopick.star",
    "class_averages.star",
    "manualpick.star",
    "job.star",
    "job_pipeline.star",
    "default_pipeline.star",
    "RELION_OUTPUT_NODES.star",
    "micrographs_selected.star",
    "local_selection.star",
    "note.txt",
)
# of REPIC, beside the picks that it agrees on
_RUN_TIME = "_runtime.tsv"
_RELION_3_LIST = re.compile(r"coords_suffix(_.+)\.(star|box)")


def read_picks(
    sources: Sources,
    format: str = "auto",
    pixel_size: Optional[float] = None,
    settings: PicksSettings = ALL_PICKS,
) -> Picks:
    """Read picks from files, patterns (`*`, `?`, `**`) and folders, in any mixture.

    Names of micrographs are kept as the files have them. A file of one micrograph that does not
    say its name is named after the file: its path below the folder given (or the folder that all
    given files share), without extension and without RELION's suffixes such as _autopick. Tables
    which name the same micrograph add to each other.

    Args:
        sources: one or more files, patterns or folders; folders are searched with all below them.
        format: one of `FORMATS`, or "auto" to tell each file's by itself.
        pixel_size: Å/px of the micrographs, needed only for refined particles whose origins are
            in Å when the particles' file does not have rlnMicrographPixelSize.
        settings: which picks to leave out by their score, and what to drop from names.

    Returns:
        Centres in px of the micrograph. Files of micrographs without picks give empty entries; a
        table of several micrographs without rows gives no entry.

    Raises:
        UsageError: a source is missing, is no table of picks, or has a value that makes no sense.
    """
    if format not in ("auto", *FORMATS):
        raise UsageError(f"unknown format {format!r}: give auto or one of {', '.join(FORMATS)}")
    parts: List[Picks] = []
    named_after: Dict[str, Path] = {}
    files = list(_files(sources, format))
    for path, root, suffixes in files:
        contents = _read_file(path, format, pixel_size)
        if isinstance(contents, Coordinates):
            name = micrograph_of_file(path, root, suffixes)
            if name in named_after:
                raise UsageError(
                    f"{named_after[name]} and {path} are both of micrograph {name}: give a "
                    "pattern that takes one of them"
                )
            named_after[name] = path
            contents = {name: contents}
        parts += [{without_affixes(name, settings.affixes): c} for name, c in contents.items()]
    picks = join_picks(parts)
    _refuse_doubles(picks, [path for path, _, _ in files])
    if settings.least_score is None:
        _warn_of_low_confidence(picks, [path for path, _, _ in files])
    return {name: found.at_least(settings.least_score) for name, found in picks.items()}


def _warn_of_low_confidence(picks: Picks, files: Sequence[Path]) -> None:
    """Say that .cbox files hold boxes that crYOLO itself takes for none."""
    if not any(path.suffix.lower() == ".cbox" for path in files):
        return
    scores = np.concatenate([coordinates.score for coordinates in picks.values()])
    low = int((scores < USUAL_CONFIDENCE).sum())
    if low:
        log.warning(
            "%d of the %d boxes read have a confidence below %g, which crYOLO itself leaves out "
            "of its picks. They are taken; to leave them out, give a least score.",
            low,
            len(scores),
            USUAL_CONFIDENCE,
        )


def _refuse_doubles(picks: Picks, files: Sequence[Path]) -> None:
    """Refuse particles of cryoSPARC that are given twice, as by two files of one job."""
    for name, coordinates in picks.items():
        if coordinates.record is not None and UID in (coordinates.record.dtype.names or ()):
            uids = coordinates.record[UID].tolist()
            count = len(set(zip(uids, coordinates.x.tolist(), coordinates.y.tolist())))
            if count < len(coordinates):
                tables = ", ".join(str(file) for file in files if file.suffix == ".cs")
                raise UsageError(
                    f"{tables}: {len(coordinates) - count} particles of {name} are given "
                    "twice (the same uid and place): give one .cs file of the job, not all of them"
                )


def _read_file(path: Path, format: str, pixel_size: Optional[float]) -> Union[Picks, Coordinates]:
    contents = _contents(path, format, pixel_size)
    if isinstance(contents, CoordinateFiles):
        return {name: _read_listed(file, path, pixel_size) for name, file in contents.paths.items()}
    return contents


def _contents(path: Path, format: str, pixel_size: Optional[float]) -> Contents:
    name = detect_format(path) if format == "auto" else format
    return FORMATS[name].read(path, pixel_size)


def _read_listed(file: Path, listed_in: Path, pixel_size: Optional[float]) -> Coordinates:
    contents = _contents(file, "auto", pixel_size)
    if isinstance(contents, CoordinateFiles):
        raise UsageError(
            f"{file}: is listed in {listed_in} as one micrograph's picks, but is a list itself"
        )
    if isinstance(contents, Coordinates):
        return contents
    if len(contents) > 1:
        raise UsageError(
            f"{file}: is listed in {listed_in} as one micrograph's picks, but has those of "
            f"{len(contents)} micrographs"
        )
    return join_coordinates(list(contents.values()))


def _files(sources: Sources, format: str) -> Iterator[Tuple[Path, Path, Sequence[str]]]:
    """Return each file to read, and what names it after its micrograph: root and suffixes."""
    if isinstance(sources, (str, os.PathLike)):
        sources = [sources]
    single: List[Path] = []
    for source in sources:
        path = Path(source)
        relion_3_list = _RELION_3_LIST.fullmatch(path.name)
        if path.is_dir():
            yield from ((file, path, PICK_SUFFIXES) for file in _files_in_folder(path, format))
        elif relion_3_list and path.is_file():
            suffix = relion_3_list[1]
            yield from ((file, path.parent, [suffix]) for file in _files_with(path, suffix))
        elif path.is_file():
            single.append(path)
        else:
            single.extend(_matches(os.fspath(source)))
    if not sources:
        raise UsageError("no file of picks was given")
    if single:
        root = Path(os.path.commonpath([os.path.dirname(os.path.abspath(file)) for file in single]))
        yield from ((file, root, PICK_SUFFIXES) for file in single)


def _matches(pattern: str) -> List[Path]:
    found = sorted(Path(match) for match in glob.glob(pattern, recursive=True))
    files = _without_copies([path for path in found if path.is_file()])
    if not files:
        raise UsageError(f"{pattern}: no such file or folder, and no file matches it as a pattern")
    return files


def _files_with(path: Path, suffix: str) -> List[Path]:
    """Find the files that RELION 3.1's coords_suffix_*.star stands for: all with its suffix."""
    below = sorted(path.parent.rglob(f"*{glob.escape(suffix)}.*"))
    files = [file for file in below if file.suffix in (".star", ".box") and file.name != path.name]
    if not files:
        raise UsageError(f"{path}: there is no file *{suffix}.star in its folder or below")
    return files


def _without_copies(files: Sequence[Path]) -> List[Path]:
    """Leave out what lies with pupick's list of all picks: the same, in a file a micrograph."""
    lists = {file for file in files if file.name == PICKS and holds_own_picks(file.parent)}
    folders = {file.parent for file in lists}
    return [file for file in files if file in lists or folders.isdisjoint(file.parents)]


def _holds_picks(path: Path) -> bool:
    """Say whether a file in a folder has picks, where its extension leaves that open."""
    kinds = [kind for kind in FORMATS.values() if path.suffix.lower() in kind.extensions]
    return all(kind.is_file is None or kind.is_file(path) for kind in kinds)


def _is_run_time(path: Path) -> bool:
    """Say whether a file holds the seconds that REPIC took for the picks in the file beside it."""
    name = path.name
    return name.endswith(_RUN_TIME) and path.with_name(f"{name[: -len(_RUN_TIME)]}.box").exists()


def _files_in_folder(folder: Path, format: str) -> List[Path]:
    if format in ("auto", "star") and holds_own_picks(folder):
        return [folder / PICKS]
    extensions = {
        extension
        for name, kind in FORMATS.items()
        if format in ("auto", name)
        for extension in kind.extensions
    }
    files = [
        path
        for path in _without_copies(sorted(folder.rglob("*")))
        if path.suffix.lower() in extensions
        and path.name not in _JOB_FILES
        and not path.name.startswith((".", "coords_suffix_"))
        and path.is_file()
        and not _is_run_time(path)
        and _holds_picks(path)
    ]
    if not files:
        raise UsageError(
            f"{folder}: has no file of picks ({', '.join(sorted(extensions))}) in it or below"
        )
    return files
