# SPDX-License-Identifier: GPL-3.0-or-later
"""Finding the micrographs that the user means."""

from __future__ import annotations

import glob
import logging
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Dict, Iterable, List, Mapping, Optional, Sequence, Set

from ..errors import UsageError
from ..runs.layout import is_own_mask
from .cryosparc import is_exposures, read_exposures
from .exposures import other_images
from .micrograph import CS_FILE, GIVEN, STAR_FILE, Micrograph
from .mrc import check_pixel_size
from .pixel_sizes import same_pixel_size
from .star import read_micrograph_names
from .text_list import StatedPixelSize, is_text_list, read_text_list

_READABLE = re.compile(r"\.(mrcs?(\.(gz|bz2))?|tiff?)$", re.IGNORECASE)

log = logging.getLogger(__name__)


def find_micrographs(
    sources: Sequence[str], pixel_size: Optional[float] = None
) -> List[Micrograph]:
    """List the micrographs in `sources`, in that order, each file once.

    Only a STAR file may have several names for one file, each of which is a micrograph to RELION
    and Scipion.

    No image is opened, so ten thousand take a second, and one that cannot be read, or a link whose
    file is gone, is reported only when it is.

    Args:
        sources: each one is
            - a file;
            - a folder: the .mrc, .mrcs, .tif and .tiff files right in it (MRC also .gz and .bz2),
              sorted by name, hidden ones left out;
            - a pattern such as `"Micrographs/*.mrc"`, where `**` stands for any folders: the files
              of these types that it fits, sorted, but for masks of picking runs;
            - a STAR file with the column rlnMicrographName (RELION 3.0 and later): names are
              relative to the current folder, or else to the STAR file's folder or one above it;
            - cryoSPARC's file of exposures (.cs), with the same rule for names;
            - a text file with a name in each line, or a table with a column called path or file,
              and the same rule for names; micrographs.tsv of a run also has the pixel sizes that
              were stated for it.
            Of several images of one exposure in a folder or a pattern, such as RELION's X.mrc,
            X_noDW.mrc and X_PS.mrc, only the micrograph is taken. Files that are given one by one
            are all taken, and so is what a list names.
        pixel_size: Å/px of all micrographs, in place of what lists and headers say.

    Raises:
        UsageError: a source is missing or has no micrographs, a STAR file has no such column, or
            the pixel size is not positive.
    """
    if pixel_size is not None:
        check_pixel_size(pixel_size)
    found: List[Micrograph] = []
    files: Set[str] = set()
    _warn_of_other_images([str(source) for source in sources if os.path.isfile(source)])
    for source in sources:
        listed = list(dict.fromkeys(_expand(str(source))))
        real = _real_paths([os.fspath(micrograph.path) for micrograph in listed])
        found += [micrograph for micrograph, file in zip(listed, real) if file not in files]
        files.update(real)
    if not found:
        raise UsageError("no micrographs given: name files, folders, patterns or a list")
    micrographs = _name_apart(found)
    return micrographs if pixel_size is None else _with_pixel_size(micrographs, pixel_size)


def _with_pixel_size(micrographs: Sequence[Micrograph], pixel_size: float) -> List[Micrograph]:
    """Give micrographs a pixel size (Å/px), and say if a list of them has another."""
    others = [
        micrograph
        for micrograph in micrographs
        if micrograph.pixel_size and not same_pixel_size(micrograph.pixel_size, pixel_size)
    ]
    if others:
        log.warning(
            "The %s has %.4g Å/px for %d micrographs, such as %s: %.4g Å/px as given is used.",
            "list" if others[0].pixel_size_from == GIVEN else others[0].pixel_size_from,
            others[0].pixel_size,
            len(others),
            others[0].name,
            pixel_size,
        )
    return [replace(m, pixel_size=pixel_size, pixel_size_from=GIVEN) for m in micrographs]


def _warn_of_other_images(paths: Sequence[str]) -> None:
    """Say that files given one by one, as a shell makes them of a pattern, show the same twice."""
    doubles = other_images(paths)
    if doubles:
        log.warning(
            "%d of the files, such as %s, are other images of the same exposures: every particle "
            "comes more than once. Give the folder, or the pattern in quotes, to leave them out.",
            len(doubles),
            min(doubles),
        )


def _expand(source: str) -> List[Micrograph]:
    if os.path.isdir(source):
        return _from_paths(_list_folder(source), f"{source}: no micrographs in this folder")
    # of a link whose file is gone, reading says so
    if os.path.isfile(source) or os.path.islink(source):
        return _from_file(source)
    if glob.has_magic(source):
        matches = sorted(path for path in glob.glob(source, recursive=True) if _is_no_folder(path))
        return _from_paths(matches, f"{source}: no micrographs fit this pattern")
    raise UsageError(f"{source}: no such file or folder of micrographs")


def _is_no_folder(path: str) -> bool:
    return not os.path.isdir(path)


def _list_folder(folder: str) -> List[str]:
    try:
        names = [name for name in sorted(os.listdir(folder)) if not name.startswith(".")]
    except OSError as error:
        raise UsageError(f"{folder}: cannot be listed ({error.strerror})") from error
    paths = [os.path.join(folder, name) for name in names if _READABLE.search(name)]
    return [path for path in paths if _is_no_folder(path)]


def _from_paths(paths: Iterable[str], complaint: str) -> List[Micrograph]:
    files: Dict[str, str] = {}
    readable = [p for p in paths if _READABLE.search(p) and not is_own_mask(p)]
    for file, path in zip(_real_paths(readable), readable):
        files.setdefault(file, path)
    if not files:
        raise UsageError(
            f"{complaint} (.mrc, .mrcs, .mrc.gz, .mrc.bz2, .tif or .tiff); for files in folders "
            "below, give a pattern such as 'folder/**/*.mrc'"
        )
    left_out = other_images(list(files.values()))
    if left_out:
        log.warning(
            "%d other images of the same exposures, such as %s, are left out. To pick in them, "
            "name them one by one or in a list.",
            len(left_out),
            min(left_out),
        )
    return [_micrograph(path) for path in files.values() if path not in left_out]


def _real_paths(paths: Iterable[str]) -> List[str]:
    """Return what `os.path.realpath` does of each path, which follows all its folders anew."""
    folders: Dict[str, str] = {}
    real: List[str] = []
    for path in paths:
        folder, name = os.path.split(path)
        if name in ("", ".", "..") or os.path.islink(path):
            real.append(os.path.realpath(path))
            continue
        if folder not in folders:
            folders[folder] = os.path.realpath(folder)
        real.append(os.path.join(folders[folder], name))
    return real


def _micrograph(path: str) -> Micrograph:
    file = Path(path)
    return Micrograph(file, file.as_posix())


def _from_file(source: str) -> List[Micrograph]:
    path = Path(source)
    if path.suffix.lower() == ".star":
        return _from_names(path, _stated(read_micrograph_names(path), STAR_FILE))
    if is_exposures(source):
        pixel_sizes = {exposure.path: exposure.pixel_size for exposure in read_exposures(path)}
        return _from_names(path, _stated(pixel_sizes, CS_FILE))
    if not _READABLE.search(source) and is_text_list(path):
        return _from_names(path, read_text_list(path))
    return [_micrograph(source)]


def _stated(pixel_sizes: Mapping[str, Optional[float]], source: str) -> Dict[str, StatedPixelSize]:
    return {name: (size, source if size else "") for name, size in pixel_sizes.items()}


def _from_names(listed_in: Path, pixel_sizes: Mapping[str, StatedPixelSize]) -> List[Micrograph]:
    """Find the files of names in a list, with pixel sizes (Å/px) where the list has them."""
    folder = listed_in.absolute().parent
    bases = (Path(), folder, *folder.parents)
    paths = {name: _resolve(name, bases) for name in pixel_sizes}
    if not any(paths.values()):
        raise UsageError(
            f"{listed_in}: none of its {len(paths)} micrographs exists, such as "
            f"{next(iter(paths))!r}: {_work_where(listed_in)}"
        )
    return [
        Micrograph(paths[name] or Path(name), name, *stated) for name, stated in pixel_sizes.items()
    ]


def _work_where(listed_in: Path) -> str:
    if listed_in.suffix.lower() == ".star":
        return "work in the RELION project's folder"
    if is_exposures(listed_in.name):
        return "work in the folder of the cryoSPARC project"
    return "give a list with the path of a micrograph in each line"


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
            micrograph = replace(micrograph, name=name)
        named[name] = micrograph
    return list(named.values())
