# SPDX-License-Identifier: GPL-3.0-or-later
"""What processes tell each other: one JSON object in a line."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any, Dict, Mapping, Optional

from ...errors import MicrographError, PupickError, UsageError
from ...micrographs import Micrograph
from ..score_micrographs import Scored

ERRORS = {kind.__name__: kind for kind in (MicrographError, UsageError, PupickError)}


def micrograph_to_dict(micrograph: Micrograph) -> Dict[str, Any]:
    """Describe a micrograph."""
    return {**asdict(micrograph), "path": str(micrograph.path)}


def micrograph_from_dict(values: Mapping[str, Any]) -> Micrograph:
    """Undo `micrograph_to_dict`."""
    return Micrograph(**{**values, "path": Path(values["path"])})


def error_to_dict(error: Exception) -> Dict[str, Any]:
    """Describe an error that the user can act on."""
    settings = error.settings if isinstance(error, PupickError) else ()
    kind = next((name for name in ERRORS if type(error).__name__ == name), PupickError.__name__)
    return {"kind": kind, "text": str(error), "settings": list(settings)}


def error_from_dict(values: Mapping[str, Any]) -> PupickError:
    """Undo `error_to_dict`."""
    return ERRORS[values["kind"]](values["text"], values["settings"])


def scored_to_dict(scored: Scored) -> Dict[str, Any]:
    """Describe how scoring a micrograph went."""
    error = None if scored.error is None else error_to_dict(scored.error)
    return {"name": scored.name, "fingerprint": scored.fingerprint, "error": error}


def scored_from_dict(values: Mapping[str, Any]) -> Scored:
    """Undo `scored_to_dict`."""
    error: Optional[Mapping[str, Any]] = values["error"]
    return Scored(
        values["name"], values["fingerprint"], None if error is None else error_from_dict(error)
    )
