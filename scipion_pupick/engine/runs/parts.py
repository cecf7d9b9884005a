# SPDX-License-Identifier: GPL-3.0-or-later
"""Picking runs on parts of the micrographs, side by side, that become one run on all of them."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator

from ..files.atomic import make_folder
from .layout import ADAPTED_MODEL, FAILED, MICROGRAPHS, PICK_RECORD
from .pick_run import PickRun

_OF_THE_RUN = (ADAPTED_MODEL, MICROGRAPHS, FAILED, PICK_RECORD)


@contextmanager
def part_of(whole: PickRun, folder: Path) -> Iterator[PickRun]:
    """Let the block pick in some of a run's micrographs, in a folder of its own.

    A folder has one owner; so several parts can be picked at once. When the block ends well, what
    it has found is moved to the run on all micrographs, which will find the scores. The general
    model as the run has fitted it, if it has, is that of the part, too.

    Args:
        whole: the run on all micrographs.
        folder: for the part, on the same file system; it is removed in the end.

    Raises:
        PupickError: the list of micrographs of the part is damaged.
        OSError: something cannot be moved.
    """
    part = PickRun(folder)
    if whole.adapted_model.exists():
        make_folder(folder)
        shutil.copy2(whole.adapted_model, part.adapted_model)
    yield part
    names = [micrograph.name for micrograph in part.micrographs]
    unwritable = part.unwritable(names)
    writable = (name for name in names if name not in unwritable)
    moves = [(part.peaks_path(name), whole.peaks_path(name)) for name in writable]
    moves += [(part.folder / name, whole.folder / name) for name in _OF_THE_RUN]
    for source, target in moves:
        if source.is_file():
            make_folder(target.parent)
            os.replace(source, target)
    shutil.rmtree(folder, ignore_errors=True)
