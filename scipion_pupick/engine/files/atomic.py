# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import uuid
from contextlib import contextmanager
from pathlib import Path
from typing import Iterable, Iterator, List, Union

from ..errors import UsageError

PathLike = Union[str, "os.PathLike[str]"]


@contextmanager
def atomic_write(path: PathLike) -> Iterator[Path]:
    """Return a temporary path beside `path`, renamed to `path` when the block ends well.

    Missing parent folders are made. If the block raises (disk full, abort), the temporary file
    is deleted and whatever stood at `path` stays as it was.

    Raises:
        OSError: the folder or the file cannot be written.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.stem[:30]}.{uuid.uuid4().hex}{target.suffix}")
    try:
        yield temporary
        os.replace(temporary, target)
    except OSError as error:
        if error.filename in (None, str(temporary)):
            error.filename = str(target)
        raise
    finally:
        temporary.unlink(missing_ok=True)


def file_status(path: Path) -> List[int]:
    """Size and time of change (ns), to tell a file from another in its place; empty if gone."""
    try:
        status = path.stat()
    except OSError:
        return []
    return [status.st_size, status.st_mtime_ns]


def refuse_overwriting(inputs: Iterable[Path], outputs: Iterable[Path]) -> None:
    """Check that no file to be written is one that is read.

    Raises:
        UsageError: one is.
    """
    sources = {path.resolve() for path in inputs}
    for path in outputs:
        if path.resolve() in sources:
            raise UsageError(f"{path} would overwrite what is read from it: give another folder.")


def make_folder(path: PathLike) -> None:
    """Make a folder for results, unless it is there.

    Raises:
        UsageError: a file is in its place.
        OSError: it cannot be made.
    """
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise UsageError(f"{path}: a file is in the place of this folder: give another.") from error


def write_text(path: PathLike, text: str) -> None:
    """Write `text` (UTF-8) to `path`, whole or not at all."""
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
