# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that appear whole or not at all."""

from __future__ import annotations

import errno
import os
import re
import shutil
import stat
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Callable, Iterable, Iterator, List, Optional, Union

from ..errors import UsageError

PathLike = Union[str, "os.PathLike[str]"]

# names of `atomic_write`'s temporary files
_TEMPORARY = re.compile(r"\..{1,30}\.[0-9a-f]{32}(\.[^.]+)?", re.DOTALL)
# where devices and open files lie
_NO_PLAIN_FILES = ("/dev/", "/proc/")
_OPEN_FILES = re.compile(r"/dev/fd/|/proc/[^/]+/fd/")
# as Linux follows
_MOST_LINKS = 40


@contextmanager
def atomic_write(path: PathLike) -> Iterator[Path]:
    """Return a temporary path beside `path`, renamed to `path` when the block ends well.

    Missing parent folders are made. If the block raises (disk full, abort), the temporary file
    is deleted and whatever stood at `path` stays as it was. A link is followed: the file that it
    leads to is replaced. What is no file, such as /dev/stdout or a pipe, is written to.

    Raises:
        OSError: the folder or the file cannot be written.
    """
    path = str(Path(path))
    if is_device(path):
        # no file can be made beside a device
        with _temporary(path, path, tempfile.gettempdir(), _move_into) as temporary:
            yield Path(temporary)
        return
    target = os.path.realpath(path) if os.path.islink(path) else path
    if os.path.islink(target):
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
    folder = os.path.dirname(target)
    # looking is faster than trying to make it
    if folder and not os.path.isdir(folder):
        os.makedirs(folder, exist_ok=True)
    with _temporary(path, target, folder, os.replace) as temporary:
        yield Path(temporary)


@contextmanager
def _temporary(
    path: str, target: str, folder: str, finish: Callable[[str, str], None]
) -> Iterator[str]:
    """Return a temporary path, handed on when the block ends well, and deleted if it does not.

    Args:
        path: of the file to name in an error.
        target: where the content is to come to lie.
        folder: of the temporary path.
        finish: moves the one to the other.
    """
    temporary = os.path.join(folder, _temporary_name(os.path.basename(target)))
    is_left = True
    try:
        yield temporary
        finish(temporary, target)
        is_left = False
    except OSError as error:
        if error.filename in (None, temporary):
            error.filename = path
        raise
    finally:
        if is_left:
            with suppress(OSError):
                os.unlink(temporary)


def is_device(path: PathLike) -> bool:
    """Whether what is written to a path goes on to a device, a pipe or an open file.

    /dev/stdout may lead to a file, which the shell has opened: replacing that by another would
    not be what was asked for.
    """
    for _ in range(_MOST_LINKS):
        if str(Path(path).parent) == "/dev" or _OPEN_FILES.match(str(path)):
            return os.path.exists(path)
        if not os.path.islink(path):
            break
        path = os.path.join(os.path.dirname(path), os.readlink(path))
    return os.path.exists(path) and not (os.path.isfile(path) or os.path.isdir(path))


def _move_into(source: str, device: str) -> None:
    # a file behind /dev/stdout may hold what was written before
    with open(source, "rb") as content, open(device, "ab", buffering=0) as sink:
        shutil.copyfileobj(content, sink)
    os.unlink(source)


def remove_leftovers(folder: Path, recursively: bool = False) -> None:
    """Delete the temporary files of writers that were killed; nobody else may be writing."""
    pattern = "**/.*.*" if recursively else ".*.*"
    for path in folder.glob(pattern):
        if _TEMPORARY.fullmatch(path.name):
            path.unlink(missing_ok=True)


def file_status(path: PathLike) -> List[int]:
    """Size and time of change (ns), to tell a file from another in its place; empty if gone."""
    try:
        status = os.stat(path)
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
    """Write `text` (UTF-8) to `path`, whole or not at all; a file that holds it already is left.

    Names of files that are no valid UTF-8 are written as the bytes that they are.
    """
    content = text.encode("utf-8", "surrogateescape")
    size = _plain_size(path)
    if size is None:
        with atomic_write(path) as temporary:
            temporary.write_bytes(content)
    elif size != len(content) or not holds(path, content):
        _replace_plain(os.fspath(path), content)


def _plain_size(path: PathLike) -> Optional[int]:
    """Return the size of a file, -1 where there is none; None for a link or what is no file.

    One look is all that it takes for the thousands of files that a run writes.
    """
    if str(path).startswith(_NO_PLAIN_FILES):
        return None
    try:
        status = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return -1
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def _replace_plain(path: str, content: bytes) -> None:
    """Do what `atomic_write` does for a path that leads to a file or to nothing."""
    folder = os.path.dirname(path)
    with _temporary(path, path, folder, os.replace) as temporary:
        try:
            _write_new(temporary, content)
        except FileNotFoundError:
            os.makedirs(folder, exist_ok=True)
            _write_new(temporary, content)


def _write_new(path: str, content: bytes) -> None:
    # without a buffer, which would be copied
    with open(path, "xb", buffering=0) as file:
        rest = memoryview(content)
        while rest:
            rest = rest[file.write(rest) :]


def _temporary_name(name: str) -> str:
    stem, suffix = os.path.splitext(name)
    return f".{stem[:30]}.{os.urandom(16).hex()}{suffix if len(suffix) > 1 else ''}"


def holds(path: PathLike, content: bytes) -> bool:
    """Whether a file can be read and holds this, and nothing else."""
    try:
        with open(path, "rb") as file:
            return file.read() == content
    except OSError:
        return False


def append_line(path: Path, line: str) -> None:
    """Add a line (UTF-8) to a file, which is made where needed; only a kill may cut it off.

    What a kill has left without an end is ended first, so that no line is lost with it.
    """
    content = line.encode("utf-8", "surrogateescape") + b"\n"
    with path.open("a+b", buffering=0) as file:
        if file.tell():
            file.seek(-1, os.SEEK_END)
            content = content if file.read(1) == b"\n" else b"\n" + content
        file.write(content)
