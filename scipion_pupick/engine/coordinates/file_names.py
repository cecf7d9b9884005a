# SPDX-License-Identifier: GPL-3.0-or-later
"""How a micrograph's name and the file that holds its picks follow from one another."""

from __future__ import annotations

import os
import re
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Dict, Iterable, List, Sequence

from ..errors import UsageError
from ..files.atomic import PathLike
from ..micrographs.micrograph import IMAGE_EXTENSIONS
from ..micrographs.name_matching import PICK_SUFFIXES

# folders and a file that begin with a letter, a number or _ and have nothing unusual in them
_PLAIN_NAME = re.compile(r"(?:\w[\w.\- ]*/)*\w[\w.\- ]*")
# EMAN2 keeps what it knows of a micrograph in info/NAME_info.json
_EMAN_ENDING = "_info.json"


def micrograph_of_file(path: Path, root: Path, suffixes: Sequence[str] = PICK_SUFFIXES) -> str:
    """Return the name, without an extension, of the micrograph whose picks the file holds.

    Args:
        path: a file in or below `root`.
        root: the folder from which the micrographs' own folders are mirrored.
        suffixes: what may stand between the micrograph's name and the extension.
    """
    stem = path.name[: -len(path.suffix)] if path.suffix else path.name
    if path.name.endswith(_EMAN_ENDING):
        stem = path.name[: -len(_EMAN_ENDING)]
    for suffix in suffixes:
        if stem.endswith(suffix) and stem != suffix:
            stem = stem[: -len(suffix)]
            break
    relative = Path(os.path.abspath(path)).relative_to(os.path.abspath(root))
    return relative.with_name(stem).as_posix()


def without_affixes(name: str, affixes: Sequence[str]) -> str:
    """Return a micrograph's name without what a file of picks puts before or behind it.

    Args:
        name: with or without folders and the extension of an image.
        affixes: texts to take off once each, where they are, in this order.
    """
    if not affixes:
        return name
    folder, slash, file = name.replace("\\", "/").rpartition("/")
    extension = PurePosixPath(file).suffix
    stem = file[: -len(extension)] if extension.lower() in IMAGE_EXTENSIONS else file
    ending = file[len(stem) :]
    for affix in affixes:
        if stem.startswith(affix):
            stem = stem[len(affix) :] or stem
        elif stem.endswith(affix):
            stem = stem[: -len(affix)] or stem
    return folder + slash + stem + ending


def files_of_micrographs(names: Iterable[str], folder: Path, ending: str) -> Dict[str, Path]:
    """Return the file for each micrograph's picks (see `file_of_micrograph`) by its name.

    Raises:
        UsageError: two micrographs would share a file, or a name has no file part.
    """
    names = list(names)
    refuse_shared_files(names, folder, ending)
    return {name: file_of_micrograph(name, folder, ending) for name in names}


def refuse_shared_files(names: Sequence[str], folder: Path, ending: str) -> None:
    """Check that micrographs have files of their own.

    Raises:
        UsageError: two would share one, or a name has no file part.
    """
    for name, owner in names_with_files_of_others(names).items():
        raise UsageError(
            f"micrographs {owner} and {name} would both be written to "
            f"{file_of_micrograph(name, folder, ending)}: if they are the same exposure, leave "
            "one out, by a pattern that takes the other only; if not, take each on its own, "
            "into folders of their own"
        )


def names_with_files_of_others(names: Iterable[str]) -> Dict[str, str]:
    """Return the micrographs whose picks an earlier one has the file of, and that one, by name.

    Raises:
        UsageError: a name has no file part.
    """
    owners: Dict[str, str] = {}
    found = {name: owners.setdefault(path_below(name), name) for name in names}
    return {name: owner for name, owner in found.items() if owner != name}


def names_a_file(name: str) -> bool:
    """Whether a file can be named after a micrograph."""
    try:
        path_below(name)
    except UsageError:
        return False
    return True


def file_of_micrograph(name: str, folder: Path, ending: str) -> Path:
    """Return the file for a micrograph's picks: its own folders, mirrored below `folder`.

    The leading / of an absolute name is dropped, and a .. never leads out of `folder`.

    Args:
        name: the micrograph's name; the extension of an image is dropped.
        folder: where the files go.
        ending: the suffix and extension of the file, such as "_pupick.star".

    Raises:
        UsageError: the name has no file part, or a control character.
    """
    return Path(name_below(name, folder, ending))


def name_below(name: str, folder: PathLike, ending: str) -> str:
    """Return what `file_of_micrograph` does as a text, which is quicker for thousands of files."""
    return os.path.join(folder, f"{path_below(name)}{ending}")


# asked for again and again, with several endings
@lru_cache(maxsize=2**16)
def path_below(name: str) -> str:
    """Return a micrograph's name without what leads out of a folder, and without its extension.

    Raises:
        UsageError: the name has no file part, or a control character.
    """
    if _PLAIN_NAME.fullmatch(name):
        stem, dot, extension = name.rpartition(".")
        return stem if dot and f".{extension.lower()}" in IMAGE_EXTENSIONS else name
    parts: List[str] = []
    for part in PurePosixPath(name).parts:
        if part == "..":
            parts = parts[:-1]
        elif part != "/":
            parts.append(part.lstrip("/"))
    if not parts or name.endswith(("/", "/..", "/.")):
        raise UsageError(f"the micrograph's name {name!r} has no file part to name a file after")
    if any(character < " " or character == "\x7f" for character in name):
        raise UsageError(
            f"the micrograph's name {name!r} has a line break or another control character, which "
            "no file is named after: rename it, or write one file for all"
        )
    extension = PurePosixPath(parts[-1]).suffix
    if extension.lower() in IMAGE_EXTENSIONS:
        parts[-1] = parts[-1][: -len(extension)]
    return "/".join(filter(None, parts))
