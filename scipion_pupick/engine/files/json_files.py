# SPDX-License-Identifier: GPL-3.0-or-later
"""Records (JSON) of what a run was asked for and what it has found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict, Mapping

from ..errors import PupickError
from .atomic import PathLike, write_text


def write_json(path: PathLike, record: Mapping[str, Any]) -> None:
    """Write a record, whole or not at all."""
    write_text(path, json.dumps(record, indent=2) + "\n")


def read_json(path: PathLike) -> Dict[str, Any]:
    """Read what `write_json` has written.

    Raises:
        PupickError: the file is damaged.
        OSError: it cannot be read.
    """
    try:
        return dict(json.loads(Path(path).read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise PupickError(f"{path} is damaged ({error}): delete it and start again.") from error
