# SPDX-License-Identifier: GPL-3.0-or-later
"""Records (JSON) of what a run was asked for and what it has found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict, Mapping

from ..errors import PupickError
from .atomic import PathLike, write_text

# bytes; a record of 100 000 micrographs has some 10 million
_LONGEST = 2**28


def write_json(path: PathLike, record: Mapping[str, Any]) -> None:
    """Write a record, whole or not at all."""
    write_text(path, json.dumps(record, indent=2) + "\n")


def json_values(record: Mapping[str, Any]) -> Dict[str, Any]:
    """Return a record as it comes out of a file: tuples are lists there."""
    return parse_object(json.dumps(record))


def read_json(path: PathLike) -> Dict[str, Any]:
    """Read what `write_json` has written.

    Raises:
        PupickError: the file is damaged, or no file.
        OSError: it cannot be read.
    """
    try:
        return parse_object(read_record(Path(path)))
    except ValueError as error:
        raise PupickError(f"{path} is damaged ({error}): delete it and start again.") from error


def read_record(path: Path, errors: str = "strict") -> str:
    """Read the text of a record; what waits for ever or fills the memory is not read.

    Args:
        path: of the file.
        errors: what becomes of bytes that are no UTF-8, as of `bytes.decode`.

    Raises:
        ValueError: it is no file, too long, or not UTF-8.
        OSError: it cannot be read, or is not there.
    """
    if path.exists() and not path.is_file():
        raise ValueError("not a file")
    if path.stat().st_size > _LONGEST:
        raise ValueError(f"{path.stat().st_size} bytes are too many")
    return path.read_bytes().decode("utf-8", errors)


def parse_object(text: str) -> Dict[str, Any]:
    """Return the JSON object that a text is.

    Raises:
        ValueError: it is none.
    """
    try:
        value = json.loads(text)
    except RecursionError as error:
        raise ValueError("brackets inside brackets, too deep") from error
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    return value
