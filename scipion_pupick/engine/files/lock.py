# SPDX-License-Identifier: GPL-3.0-or-later
"""One owner of a folder: a lock that a killed run cannot leave behind, on network disks too.

Two means together, for neither suffices alone. `flock` is released by the system however a run
ends, also between containers that share a host's name; but some network file systems know it on
each computer alone, or not at all. So the owner also writes who it is into the file and touches it
every few seconds. A lock whose file is not touched any more belongs to nobody. Clocks of computers
differ: times are compared only as the disk itself gives them.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import socket
import threading
import time
import uuid
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Iterator, Optional

from ..errors import FolderInUseError
from .json_files import parse_object

try:
    import fcntl
except ImportError:  # not a POSIX system
    fcntl = None  # type: ignore[assignment]

log = logging.getLogger(__name__)

LOCK = ".pupick.lock"
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
BEAT_SECONDS = 5.0
# network disks may show a change this much later
SILENCE_SECONDS = 30.0
_NOT_SUPPORTED = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)


@dataclass(frozen=True)
class Owner:
    """Who works in a folder.

    Attributes:
        host: name of the computer.
        pid: of the process there.
        since: when it began, for people.
        work: what it does, for people.
        system: that runs on the computer, from one start to the next.
        token: of this owner alone.
    """

    host: str
    pid: int
    since: str
    work: str
    system: str
    token: str

    @classmethod
    def here(cls, work: str) -> Owner:
        """Return this process as an owner."""
        since = time.strftime("%Y-%m-%d %H:%M:%S")
        token = uuid.uuid4().hex
        return cls(socket.gethostname(), os.getpid(), since, work, _system(), token)

    def __str__(self) -> str:
        """Say who it is."""
        return f"{self.work} (process {self.pid} on {self.host}, since {self.since})"


@contextmanager
def only_owner(folder: Path, work: str, lock: str = LOCK) -> Iterator[None]:
    """Keep other runs of pupick out of a folder while the block runs.

    A lock that a killed run has left is taken over: at once where the system says that it ended,
    else when its file has not been touched for half a minute.

    Args:
        folder: that exists.
        work: what is done in it, for the message of the run that comes second.
        lock: name of the lock; owners of different locks do not keep each other out.

    Raises:
        FolderInUseError: another run works in the folder; says which.
        OSError: nothing can be written there.
    """
    path, owner = folder / lock, Owner.here(work)
    file = _take(path, owner)
    ended = threading.Event()
    beat = threading.Thread(target=_beat, args=(file, ended), daemon=True)
    beat.start()
    try:
        yield
    finally:
        ended.set()
        beat.join()
        if _is_ours(path, file):
            path.unlink()
        os.close(file)


def refuse_if_owned(folder: Path) -> None:
    """Refuse to work in a folder while another run owns it, as far as the system can tell.

    Raises:
        FolderInUseError: it does; says which.
    """
    try:
        file = os.open(folder / LOCK, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        if _flock(file, shared=True) is False:
            raise _refusal(folder, _read(file))
    finally:
        os.close(file)


def _take(path: Path, owner: Owner) -> int:
    """Return the open file of the lock, which is ours then."""
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        with ExitStack() as unless_taken:
            unless_taken.callback(os.close, file)
            exclusive = _flock(file)
            # a run that ended meanwhile has removed the file that was opened
            if exclusive is not False and _is_ours(path, file):
                _wait_for_silence(path, file, exclusive is True)
                _write(file, owner)
                _make_sure(path, file, owner, exclusive is True)
                unless_taken.pop_all()
                return file
            if exclusive is False and _is_ours(path, file):
                raise _refusal(path.parent, _read(file))


def _flock(file: int, shared: bool = False) -> Optional[bool]:
    """Lock the file: whether that went well; None where the file system does not know how."""
    if fcntl is None:
        return None
    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _NOT_SUPPORTED:
            return None
        if error.errno in (errno.EAGAIN, errno.EACCES):
            return False
        raise
    return True


def _is_ours(path: Path, file: int) -> bool:
    """Whether the open file is the one that lies there."""
    try:
        return os.path.samestat(path.stat(), os.fstat(file))
    except FileNotFoundError:
        return False


def _wait_for_silence(path: Path, file: int, exclusive: bool) -> None:
    """Make sure that the owner in the file, if there is one, is not at work.

    Raises:
        FolderInUseError: it is.
    """
    owner = _read(file)
    if owner is None or (exclusive and owner.system == _system()):
        return
    if _age(path) > SILENCE_SECONDS:
        return
    log.info("%s was locked by %s: looking whether that is at work.", path.parent, owner)
    before, until = path.stat().st_mtime_ns, time.monotonic() + SILENCE_SECONDS
    while time.monotonic() < until:
        time.sleep(BEAT_SECONDS / 5)
        if not _is_ours(path, file):
            return
        if path.stat().st_mtime_ns != before:
            raise _refusal(path.parent, owner)


def _make_sure(path: Path, file: int, owner: Owner, exclusive: bool) -> None:
    """Where the system keeps nobody else out, see whether somebody came at the same moment.

    Raises:
        FolderInUseError: somebody did, and wrote last.
    """
    if exclusive:
        return
    time.sleep(BEAT_SECONDS / 5)
    found = _read(file)
    if found != owner:
        raise _refusal(path.parent, found)


def _system() -> str:
    """Name the running system; containers and clusters may give many computers one name."""
    try:
        return BOOT_ID.read_text(encoding="utf-8").strip()
    except OSError:
        return socket.gethostname()


def _age(path: Path) -> float:
    """Seconds since the file was touched, by the clock of the disk that it lies on."""
    probe = path.with_name(f"{path.name}.{uuid.uuid4().hex}")
    try:
        probe.touch()
        return probe.stat().st_mtime - path.stat().st_mtime
    finally:
        probe.unlink(missing_ok=True)


def _refusal(folder: Path, owner: Optional[Owner]) -> FolderInUseError:
    return FolderInUseError(
        f"{folder} is in use by another run of pupick, {owner or 'which has just begun'}: wait "
        "until that has ended, or give another folder.",
        setting="output",
    )


def _read(file: int) -> Optional[Owner]:
    """Return the owner that the file names; None where it names none."""
    with suppress(ValueError, LookupError):
        record = parse_object(os.pread(file, 4096, 0).decode())
        return Owner(**{name: record[name] for name in Owner.__annotations__})
    return None


def _write(file: int, owner: Owner) -> None:
    content = json.dumps(asdict(owner)).encode()
    os.ftruncate(file, 0)
    os.pwrite(file, content, 0)
    os.utime(file)


def _beat(file: int, ended: threading.Event) -> None:
    """Touch the file until the owner ends, so that other computers see that it is at work."""
    while not ended.wait(BEAT_SECONDS):
        with suppress(OSError):
            os.utime(file)
