# SPDX-License-Identifier: GPL-3.0-or-later
"""Folders that say which parts of a picking run are being scored; only their locks lie in them."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Iterator

from ..files.lock import LOCK, refuse_if_owned
from .layout import PARTS


def part_folder(run: Path, number: int, count: int) -> Path:
    """Return the folder of a part of the run in a folder, numbered from 1."""
    return run / PARTS / f"{number}_of_{count}"


@contextmanager
def no_part_at_work(run: Path) -> Iterator[None]:
    """Let the owner of a run's folder work on the run as a whole; tidy up after parts that ended.

    A part takes its own lock before it looks for an owner of the run, and so does the owner the
    other way round: of two that come at once, neither can overlook the other.

    Raises:
        UsageError: a part is being scored; says which.
    """
    parts = run / PARTS
    for folder in sorted(parts.glob("*_of_*")):
        refuse_if_owned(folder)
    yield
    for folder in parts.glob("*_of_*"):
        (folder / LOCK).unlink(missing_ok=True)
        _remove_if_empty(folder)
    _remove_if_empty(parts)


def _remove_if_empty(folder: Path) -> None:
    with suppress(OSError):
        folder.rmdir()
