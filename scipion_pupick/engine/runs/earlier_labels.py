# SPDX-License-Identifier: GPL-3.0-or-later
"""What a model was trained on, as labels of other micrographs that are the same files."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Dict, Iterable, Mapping, Sequence, Tuple

from ..coordinates import Picks
from ..coordinates.assign_picks import join_by_micrograph
from ..micrographs import Micrograph, match_names
from .lists import read_micrographs
from .train_folder import read_labels, read_negatives

log = logging.getLogger(__name__)


def earlier_labels(model: Path, micrographs: Sequence[Micrograph]) -> Tuple[Picks, Picks]:
    """Read the labels that a model was trained on, so far as they are of some micrographs.

    A micrograph is the same where it is the same file; names alone may be those of another session.
    Where the file of the training is gone or not known, the names decide.

    Args:
        model: file in the folder of its training; labels of other models are not known.
        micrographs: that are picked with it.

    Returns:
        Particles and places without one, px, by the names of `micrographs`.

    Raises:
        PupickError: a file of the training is damaged.
        OSError: a file cannot be read.
    """
    labels, negatives = read_labels(model.parent), read_negatives(model.parent)
    known = read_micrographs(model.parent) if labels or negatives else ()
    files = {micrograph.name: micrograph.path for micrograph in known}
    same = _same_micrographs({**labels, **negatives}, files, micrographs)
    left_out = [name for name in labels if name not in same]
    if left_out:
        log.warning(
            "%d labels that %s was trained on are left out: their %d micrographs, such as %s, are "
            "not among those picked here. To train on them, too, give their micrographs and %s.",
            sum(len(labels[name]) for name in left_out),
            model,
            len(left_out),
            files.get(left_out[0], left_out[0]),
            model.parent,
        )
    return _of(labels, same), _of(negatives, same)


def _of(labels: Picks, same: Mapping[str, Micrograph]) -> Picks:
    return join_by_micrograph(labels, {name: same[name] for name in labels if name in same})


def _same_micrographs(
    names: Iterable[str], files: Mapping[str, Path], micrographs: Sequence[Micrograph]
) -> Dict[str, Micrograph]:
    """Return which micrograph each name was of, by its file."""
    by_file = {os.path.realpath(micrograph.path): micrograph for micrograph in micrographs}
    there = {name for name in names if name in files and files[name].exists()}
    same = {name: by_file.get(os.path.realpath(files[name])) for name in there}
    found = {name: micrograph for name, micrograph in same.items() if micrograph is not None}
    taken = {micrograph.name for micrograph in found.values()}
    free = [micrograph for micrograph in micrographs if micrograph.name not in taken]
    return {**found, **match_names([name for name in names if name not in there], free)}
