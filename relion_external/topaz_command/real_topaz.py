# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands of Topaz that pupick has no part in, such as denoising, done by Topaz itself."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Sequence

TOPAZ = "PUPICK_TOPAZ"
OTHER_COMMANDS = (
    *("convert", "denoise", "denoise3d", "downsample", "gui", "particle_stack"),
    *("precision_recall_curve", "segment", "split", "train_test_split"),
)


def run_topaz(arguments: Sequence[str]) -> int:
    """Call the Topaz that the environment variable PUPICK_TOPAZ names.

    Returns:
        Its exit code; 2 if there is no such program.
    """
    named = os.environ.get(TOPAZ, "")
    found = shutil.which(named)
    if not named or found is None or _is_this(found):
        reason = f"{TOPAZ} is {named!r}, which is no Topaz" if named else f"{TOPAZ} is not set"
        sys.stderr.write(
            f"pupick-topaz {arguments[0]}: pupick trains and picks, and leaves {arguments[0]} to "
            f"Topaz, but {reason}: set this environment variable to the path of Topaz "
            "where RELION is started.\n"
        )
        return 2
    code = subprocess.run([found, *arguments], check=False).returncode
    return code if code >= 0 else 128 - code


def _is_this(program: str) -> bool:
    """Whether a program is this one, which would call itself for ever."""
    return Path(program).resolve() == Path(sys.argv[0]).resolve()
