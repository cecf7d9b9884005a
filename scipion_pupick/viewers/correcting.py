# SPDX-License-Identifier: GPL-3.0-or-later
"""The page in which picks are corrected: a program beside Scipion, which ends with it."""

from __future__ import annotations

import atexit
import shlex
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Optional

from ..engine.runs.layout import CORRECTED, OPENING_PAGE
from ..plugin import Plugin

PATIENCE_SECONDS = 60.0
LOOK_SECONDS = 0.1


def open_correcting(run: Path) -> Optional[str]:
    """Open the page for a run's picks in the web browser, and serve it until Scipion is closed.

    Args:
        run: folder of the engine's run.

    Returns:
        What is wrong; None where the page has been opened.
    """
    page = run / CORRECTED / OPENING_PAGE
    before = _changed(page)
    with tempfile.TemporaryFile("w+") as said:
        program = subprocess.Popen(
            [*shlex.split(Plugin.getProgram()), "serve", str(run), "--open"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=said,
            env=Plugin.getEnviron(),
        )
        atexit.register(program.terminate)
        until = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < until:
            if program.poll() is not None:
                said.seek(0)
                return said.read().strip().rpartition("\n")[2] if program.returncode else None
            if _changed(page) not in (None, before):
                return None
            time.sleep(LOOK_SECONDS)
    program.terminate()
    return f"The page has not been served within {PATIENCE_SECONDS:.0f} s."


def _changed(path: Path) -> Optional[int]:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return None
