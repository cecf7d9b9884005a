# SPDX-License-Identifier: GPL-3.0-or-later
"""Finding the micrographs that the user means."""

from __future__ import annotations

import glob
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Dict, Iterable, List, Optional, Sequence, Set

from ..errors import UsageError
from .micrograph import Micrograph
from .mrc import check_pixel_size
from .star import read_micrograph_names

_READABLE = re.compile(r"\.(mrcs?(\.(gz|bz2))?|tiff?)$", re.IGNORECASE)


def find_micrographs(
    sources: Sequence[str], pixel_size: Optional[float] = None
) -> List[Micrograph]:
    """List the micrographs in `sources`, in that order, each file once.

    Only a STAR file may have several names for one file, each of which is a micrograph to RELION
    and Scipion.

    No image is opened, so ten thousand take a second, and one that cannot be read is reported only
    when it is.

    Args:
        sources: each one is
            - a file;
            - a folder: the .mrc, .mrcs, .tif and .tiff files right in it (MRC also .gz and .bz2),
              sorted by name, hidden ones left out;
            - a pattern such as `"Micrographs/*.mrc"`, where `**` stands for any folders: the files
              of these types that it fits, sorted;
            - a STAR file with the column rlnMicrographName (RELION 3.0 and later): names are
              relative to the current folder, or else to the STAR file's folder or one above it.
        pixel_size: Å/px of all micrographs, in place of what STAR files and headers say.

    Raises:
        UsageError: a source is missing or has no micrographs, a STAR file has no such column, or
            the pixel size is not positive.
    """
    if pixel_size is not None:
        check_pixel_size(pixel_size)
    found: List[Micrograph] = []
    files: Set[str] = set()
    for source in sources:
        listed = {
            micrograph: os.path.realpath(micrograph.path) for micrograph in _expand(str(source))
        }
        found += [micrograph for micrograph, file in listed.items() if file not in files]
        files.update(listed.values())
    if not found:
        raise UsageError("no micrographs given: name files, folders, patterns or a STAR file")
    micrographs = _name_apart(found)
    if pixel_size is not None:
        return [replace(micrograph, pixel_size=pixel_size) for micrograph in micrographs]
    return micrographs


def _expand(source: str) -> List[Micrograph]:
    if os.path.isdir(source):
        return _from_paths(_list_folder(source), f"{source}: no micrographs in this folder")
    if os.path.isfile(source):
        return _from_star(source) if source.lower().endswith(".star") else [_micrograph(source)]
    if glob.has_magic(source):
        matches = sorted(path for path in glob.glob(source, recursive=True) if os.path.isfile(path))
        return _from_paths(matches, f"{source}: no micrographs fit this pattern")
    raise UsageError(f"{source}: no such file or folder of micrographs")


def _list_folder(folder: str) -> List[str]:
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if entry.is_file()]
    except OSError as error:
        raise UsageError(f"{folder}: cannot be listed ({error.strerror})") from error
    return [os.path.join(folder, name) for name in sorted(names) if not name.startswith(".")]


def _from_paths(paths: Iterable[str], complaint: str) -> List[Micrograph]:
    files: Dict[str, str] = {}
    for path in paths:
        if _READABLE.search(path):
            files.setdefault(os.path.realpath(path), path)
    if not files:
        raise UsageError(
            f"{complaint} (.mrc, .mrcs, .mrc.gz, .mrc.bz2, .tif or .tiff); for files in folders "
            "below, give a pattern such as 'folder/**/*.mrc'"
        )
    return [_micrograph(path) for path in files.values()]


def _micrograph(path: str) -> Micrograph:
    return Micrograph(Path(path), Path(path).as_posix())


def _from_star(star: str) -> List[Micrograph]:
    pixel_sizes = read_micrograph_names(Path(star))
    folder = Path(star).absolute().parent
    bases = (Path(), folder, *folder.parents)
    paths = {name: _resolve(name, bases) for name in pixel_sizes}
    if not any(paths.values()):
        raise UsageError(
            f"{star}: none of its {len(paths)} micrographs exists, such as {next(iter(paths))!r}: "
            "work in the RELION project's folder"
        )
    return [
        Micrograph(paths[name] or Path(name), name, pixel_size)
        for name, pixel_size in pixel_sizes.items()
    ]


def _resolve(name: str, bases: Iterable[Path]) -> Optional[Path]:
    """Return the first base's file of this name; None if there is none in any."""
    return next((base / name for base in bases if os.path.isfile(base / name)), None)


def _name_apart(micrographs: Iterable[Micrograph]) -> List[Micrograph]:
    """Call micrographs by their paths where two projects have the same name for different ones."""
    named: Dict[str, Micrograph] = {}
    for micrograph in micrographs:
        name = micrograph.name
        if name in named:
            name = Path(os.path.abspath(micrograph.path)).as_posix()
        named[name] = replace(micrograph, name=name)
    return list(named.values())
