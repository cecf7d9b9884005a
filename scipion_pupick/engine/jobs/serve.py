# SPDX-License-Identifier: GPL-3.0-or-later
"""Serve a page to this computer's browsers, in which people correct the picks of a run."""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager
from html import escape
from pathlib import Path
from typing import Callable, Iterator, Optional, Sequence

from ..errors import UsageError
from ..files.atomic import PathLike, make_folder
from ..files.lock import only_owner
from ..reporting.correcting.access import Gate
from ..reporting.correcting.desk import Desk
from ..reporting.correcting.requests import CorrectionPage
from ..reporting.correcting.server import listen
from ..reporting.correcting.training import Training
from ..runs.layout import CORRECTED, OPENING_PAGE

FIRST_PORT = 8417
_PORTS = 20
_HIGHEST_PORT = 2**16 - 1
_OPENING = '<!DOCTYPE html><meta charset="utf-8"><script>location.replace("{}")</script>\n'


class AlreadyServedError(UsageError):
    """Another program serves the page of this run."""


def serve(
    run: PathLike,
    train: Callable[[Path], Sequence[str]],
    next_step: Callable[[Path], str],
    opened: Callable[[str, Path], object],
    port: Optional[int] = None,
) -> None:
    """Serve the page until the program is interrupted.

    Corrections are written to `corrections.json` in the run's folder, trainings to `corrected`.

    Args:
        run: folder that `pick` has written to; it may be picking still.
        train: program and arguments that train on the corrections, into a folder.
        next_step: what to do with a new model, for people.
        opened: called with the page's address, and with a file that only this user can read and
            that leads there, once the page can be opened.
        port: to listen at; None for the first that is free from 8417 on.

    Raises:
        UsageError: there is no such run, or its picks are being corrected already
            (AlreadyServedError).
        PupickError: a file of the run is damaged.
        OSError: the folder cannot be written, or the port is in use.
    """
    ports = _ports(port)
    folder = Path(run)
    desk = Desk(folder)
    make_folder(folder / CORRECTED)
    training = Training(folder, train, next_step)
    gate = Gate()
    with _only_server(folder):
        server = listen(ports, gate, CorrectionPage(gate, desk, training))
        with server, _opening_page(folder / CORRECTED / OPENING_PAGE, server.address) as page:
            try:
                opened(server.address, page)
                server.serve_forever()
            finally:
                training.stop()


@contextmanager
def _only_server(folder: Path) -> Iterator[None]:
    with ExitStack() as stack:
        try:
            stack.enter_context(only_owner(folder / CORRECTED, "pupick serve"))
        except UsageError as error:
            reason = str(error).rpartition(":")[0]
            raise AlreadyServedError(
                f"The picks of {folder} are being corrected already: open the address that was "
                f"printed there, or end that program first. {reason}."
            ) from error
        yield


def _ports(port: Optional[int]) -> Sequence[int]:
    if port is None:
        return (*range(FIRST_PORT, FIRST_PORT + _PORTS), 0)
    if not 0 <= port <= _HIGHEST_PORT:
        raise UsageError(f"There is no port {port}: give one up to {_HIGHEST_PORT}.", "port")
    return (port,)


@contextmanager
def _opening_page(path: Path, address: str) -> Iterator[Path]:
    """Keep the address in a file: the arguments of a browser are seen by all users."""
    path.unlink(missing_ok=True)
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(file, "w", encoding="utf-8") as page:
        page.write(_OPENING.format(escape(address)))
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)
