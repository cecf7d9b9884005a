# SPDX-License-Identifier: GPL-3.0-or-later
"""Picking in parts of the micrographs, side by side, that becomes one run on all of them."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator, List, Sequence

from ..errors import UsageError
from ..files.atomic import make_folder
from ..files.lock import only_owner, refuse_if_owned
from ..micrographs import Micrograph
from .layout import ADAPTED_MODEL, FAILED, MICROGRAPHS, PICK_RECORD
from .part_folders import part_folder
from .pick_run import PickRun

_OF_THE_RUN = (ADAPTED_MODEL, MICROGRAPHS, FAILED, PICK_RECORD)


@dataclass(frozen=True)
class Part:
    """One of the parts into which the micrographs of a run are dealt out.

    Attributes:
        number: of the part, from 1.
        count: of all parts.
    """

    number: int
    count: int

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.count:
            raise UsageError(
                f"There is no part {self.number} of {self.count}: parts are numbered from 1.",
                setting="part",
            )

    def __str__(self) -> str:
        return f"part {self.number} of {self.count}"

    def share_of(self, micrographs: Sequence[Micrograph]) -> List[Micrograph]:
        """Return every micrograph of this part."""
        return list(micrographs[self.number - 1 :: self.count])

    @contextmanager
    def owned(self, run: PickRun) -> Iterator[None]:
        """Let the block score the part's micrographs for a run that others score for, too.

        Raises:
            UsageError: somebody else works on the part, or on the run as a whole.
            OSError: nothing can be written there.
        """
        folder = part_folder(run.folder, self.number, self.count)
        make_folder(folder)
        with only_owner(folder, f"pupick pick, {self}"):
            refuse_if_owned(run.folder)
            yield


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
