# SPDX-License-Identifier: GPL-3.0-or-later
"""The job that names the areas to correct first, for RELION's manual picker."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Dict

from scipion_pupick import engine
from scipion_pupick.engine import UsageError
from scipion_pupick.engine.runs.pick_run import holds_pick_run
from scipion_pupick.engine.runs.suggested import Suggested, holds_suggestion, read_suggested
from scipion_pupick.engine.settings import SUGGESTED_PICKS

from . import versions
from .outputs import (
    ENGINE_FOLDER,
    coordinate_files,
    project_path,
    write_chosen_micrographs,
    write_coordinates,
    write_list,
    write_nodes,
)
from .parameters import Options

log = logging.getLogger(__name__)

MICROGRAPHS = "micrographs.star"


def suggest(options: Options) -> None:
    """Choose areas of a picking job, and write the picks in them for the manual picker.

    Called again, it leaves the picks to what people have made of them.

    Raises:
        PupickError: it is no picking job of pupick, or there is nothing to look at.
        OSError: a file cannot be written.
    """
    folder = project_path(Path(options.output))
    version = options.values.get("relion_version") or versions.detect_version(folder)
    home = folder / ENGINE_FOLDER
    if holds_suggestion(home):
        log.info("Picks have been suggested before: they stay, for they may have been corrected.")
    else:
        engine.suggest(_run_of(options), home, options.values.get("count", SUGGESTED_PICKS))
    suggested = read_suggested(home)
    files = coordinate_files(list(suggested.shown), folder, version)
    listed = folder / MICROGRAPHS
    write_chosen_micrographs(options.micrographs, suggested.shown.keys(), listed)
    _write_coordinates(suggested, files, version)
    picks = write_list(files, str(listed), folder, version)
    nodes = [(picks, versions.COORDINATES), (listed, versions.MICROGRAPHS)]
    write_nodes(nodes, folder, version)
    for name in suggested.reasons:
        log.info("%s: %s", name, suggested.what(name))
    log.info(
        "Correct them with Display; then give a training job the parameter corrected = %s", folder
    )


def _run_of(options: Options) -> Path:
    """Return the engine's folder of the job whose coordinates were given.

    Raises:
        UsageError: the job is none of pupick.
    """
    job = Path(options.coordinates or "").parent
    if not holds_pick_run(job / ENGINE_FOLDER):
        raise UsageError(
            f"{options.coordinates}: is not of a picking job of pupick: give the coordinates of "
            "one, such as External/job006/autopick.star"
        )
    return job / ENGINE_FOLDER


def _write_coordinates(suggested: Suggested, files: Dict[str, Path], version: str) -> None:
    for name, file in files.items():
        if not file.is_file():
            write_coordinates(suggested.shown[name], file, version)
