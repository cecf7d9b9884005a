# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading and writing picks in any of the formats, one file or many."""

from __future__ import annotations

import glob
import os
import re
from pathlib import Path
from typing import Callable, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple, Union

from ..errors import UsageError
from ..files.atomic import PathLike, write_text
from ..files.text import read_text
from ..runs.layout import PICKS, holds_own_picks
from .boxes import box_text, cbox_text, read_box, read_cbox
from .delimited import CSV, TOPAZ, read_table, table_text
from .file_names import PICK_SUFFIXES, files_of_micrographs, micrograph_of_file
from .relion import CoordinateFiles, coordinates_text, particles_text, read_relion
from .table import Coordinates, Picks, join_coordinates

Sources = Union[PathLike, Sequence[PathLike]]

# the first extension is the one that files are written with
EXTENSIONS: Mapping[str, Tuple[str, ...]] = {
    "star": (".star",),
    "topaz": (".txt", ".tsv", ".tab"),
    "box": (".box",),
    "cbox": (".cbox",),
    "csv": (".csv",),
}
FORMATS = tuple(EXTENSIONS)

_ONE_MICROGRAPH: Mapping[str, Callable[[Coordinates, Optional[float]], str]] = {
    "box": box_text,
    "cbox": cbox_text,
}

# files of RELION's jobs that stand beside the files of coordinates but hold none themselves
_JOB_FILES = (
    "autopick.star",
    "manualpick.star",
    "job.star",
    "job_pipeline.star",
    "default_pipeline.star",
    "RELION_OUTPUT_NODES.star",
    "micrographs_selected.star",
    "local_selection.star",
    "note.txt",
)
_RELION_3_LIST = re.compile(r"coords_suffix(_.+)\.(star|box)")


def detect_format(path: PathLike) -> str:
    """Tell the format of a file of picks by its extension, and where that may mislead by content.

    Returns:
        One of `FORMATS`.

    Raises:
        UsageError: the file is missing or its format cannot be told.
    """
    path = Path(path)
    extension = path.suffix.lower()
    text = read_text(path)
    for format in ("box", "cbox", "csv"):
        if extension in EXTENSIONS[format]:
            return format
    if re.match(rf"\s*{TOPAZ.micrograph}\b", text):
        return "topaz"
    if re.search(r"(?m)^data_", text) or (extension == ".star" and not text.strip()):
        boxes = all(re.search(rf"(?m)^_{c}\b", text) for c in ("CoordinateX", "Width"))
        return "cbox" if boxes else "star"
    raise UsageError(
        f"{path}: is not a table of picks of a known format; the formats are {', '.join(FORMATS)}"
    )


def read_picks(sources: Sources, format: str = "auto", pixel_size: Optional[float] = None) -> Picks:
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

    Returns:
        Centres in px of the micrograph. Files of micrographs without picks give empty entries; a
        table of several micrographs without rows gives no entry.

    Raises:
        UsageError: a source is missing, is no table of picks, or has a value that makes no sense.
    """
    if format not in ("auto", *FORMATS):
        raise UsageError(f"unknown format {format!r}: give auto or one of {', '.join(FORMATS)}")
    picks: Picks = {}
    named_after: Dict[str, Path] = {}
    for path, root, suffixes in _files(sources, format):
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
        for name, coordinates in contents.items():
            known = [picks[name]] if name in picks else []
            picks[name] = join_coordinates([*known, coordinates])
    return picks


def _read_file(path: Path, format: str, pixel_size: Optional[float]) -> Union[Picks, Coordinates]:
    if format == "auto":
        format = detect_format(path)
    if format == "box":
        return read_box(path)
    if format == "cbox":
        return read_cbox(path)
    if format != "star":
        return read_table(path, TOPAZ if format == "topaz" else CSV)
    contents = read_relion(path, pixel_size)
    if isinstance(contents, CoordinateFiles):
        return {name: _read_listed(file, path, pixel_size) for name, file in contents.paths.items()}
    return contents


def _read_listed(file: Path, listed_in: Path, pixel_size: Optional[float]) -> Coordinates:
    contents = _read_file(file, "auto", pixel_size)
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


def _files_in_folder(folder: Path, format: str) -> List[Path]:
    if format in ("auto", "star") and holds_own_picks(folder):
        return [folder / PICKS]
    extensions = {e for name in FORMATS if format in ("auto", name) for e in EXTENSIONS[name]}
    files = [
        path
        for path in _without_copies(sorted(folder.rglob("*")))
        if path.suffix.lower() in extensions
        and path.name not in _JOB_FILES
        and not path.name.startswith((".", "coords_suffix_"))
        and path.is_file()
    ]
    if not files:
        raise UsageError(
            f"{folder}: has no file of picks ({', '.join(sorted(extensions))}) in it or below"
        )
    return files


def write_picks(
    picks: Picks, path: PathLike, format: Optional[str] = None, box_size: Optional[float] = None
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

    Raises:
        UsageError: the format is unknown, needs a box size, or is one of files with one
            micrograph each and there are several; or a name cannot be written.
        OSError: the file cannot be written.
    """
    path = Path(path)
    format = _output_format(path, format)
    if format in _ONE_MICROGRAPH:
        if len(picks) > 1:
            raise UsageError(
                f"{path}: a {format} file holds one micrograph, not {len(picks)}: write one file "
                "a micrograph"
            )
        text = _ONE_MICROGRAPH[format](join_coordinates(list(picks.values())), box_size)
    elif format == "star":
        text = particles_text(picks)
    else:
        text = table_text(picks, TOPAZ if format == "topaz" else CSV)
    write_text(path, text)


def _output_format(path: Path, format: Optional[str]) -> str:
    if format is None:
        extension = path.suffix.lower()
        format = next((name for name in FORMATS if extension in EXTENSIONS[name]), None)
        if format is None:
            raise UsageError(
                f"{path}: the extension tells no format; give one of {', '.join(FORMATS)}"
            )
    _check_format(format)
    return format


def _check_format(format: str) -> None:
    if format not in FORMATS:
        raise UsageError(f"unknown format {format!r}: give one of {', '.join(FORMATS)}")


def write_picks_folder(
    picks: Picks,
    folder: PathLike,
    format: str = "star",
    suffix: str = "",
    box_size: Optional[float] = None,
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

    Returns:
        The file of each micrograph.

    Raises:
        UsageError: the format is unknown or needs a box size, or two micrographs would share a
            file; nothing has been written then.
        OSError: a file cannot be written.
    """
    _check_format(format)
    if "/" in suffix:
        raise UsageError(f"the suffix of files may not have a /: {suffix!r}")
    with_scores = any(coordinates.has_scores for coordinates in picks.values())
    ending = suffix + EXTENSIONS[format][0]
    files = files_of_micrographs(picks, Path(folder), ending)
    texts = {
        name: _micrograph_text(name, coordinates, format, with_scores, box_size)
        for name, coordinates in picks.items()
    }
    for name, file in files.items():
        write_text(file, texts[name])
    return files


def _micrograph_text(
    name: str,
    coordinates: Coordinates,
    format: str,
    with_scores: bool,
    box_size: Optional[float],
) -> str:
    if format in _ONE_MICROGRAPH:
        return _ONE_MICROGRAPH[format](coordinates, box_size)
    if format == "star":
        return coordinates_text(coordinates, with_scores)
    return table_text({name: coordinates}, TOPAZ if format == "topaz" else CSV)
