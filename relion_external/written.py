# SPDX-License-Identifier: GPL-3.0-or-later
"""Which files of coordinates of a picking job people have changed since pupick wrote them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Dict, List, Mapping

from scipion_pupick.engine import read_json, write_json

_RECORD = "picking_job.json"
_DIGESTS = "files"
# of files that people had changed, and that other parameters have replaced
ASIDE = ".edited"


def read_request(folder: Path) -> Dict[str, Any]:
    """Read what the picks in the folder of a job were chosen by; nothing where none were."""
    return {name: value for name, value in _read(folder).items() if name != _DIGESTS}


def read_digests(folder: Path) -> Dict[str, str]:
    """Read the digests of the files of coordinates of a job, by file; earlier jobs have none."""
    return dict(_read(folder).get(_DIGESTS, {}))


def write_request(folder: Path, request: Mapping[str, Any], digests: Mapping[str, str]) -> None:
    """Write what picks were chosen by, and the digests of their files."""
    write_json(folder / _RECORD, {**request, _DIGESTS: digests})


def forget_request(folder: Path) -> None:
    """Remove the record, so that a job that is killed now writes all files anew."""
    write_request(folder, {}, read_digests(folder))


def _read(folder: Path) -> Dict[str, Any]:
    path = folder / _RECORD
    return read_json(path) if path.is_file() else {}


def digest_of(text: str) -> str:
    """Digest of a file of coordinates as pupick writes it."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def is_edited(file: Path, digests: Mapping[str, str]) -> bool:
    """Whether a file is there, and is not as pupick wrote it, as far as that is known."""
    known = digests.get(str(file))
    return known is not None and file.is_file() and digest_of(file.read_text()) != known


def set_aside(file: Path) -> None:
    """Give a file another name, which no file has."""
    number, aside = 1, file.with_name(f"{file.name}{ASIDE}")
    while aside.exists():
        number += 1
        aside = file.with_name(f"{file.name}{ASIDE}-{number}")
    file.replace(aside)


def edited_files(folder: Path) -> List[Path]:
    """List the files of coordinates of a job that people have changed."""
    digests = read_digests(folder)
    return [Path(file) for file in digests if is_edited(Path(file), digests)]
