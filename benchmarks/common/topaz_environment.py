# SPDX-License-Identifier: GPL-3.0-or-later
"""A virtual environment with Topaz in it, apart from pupick's own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import List

TORCH = "torch==2.13.0"
TORCHVISION = "torchvision==0.28.0"
TOPAZ = "topaz-em==0.3.20"
LAUNCHER = Path(__file__).with_name("run_topaz.py")


def topaz_command(environment: Path) -> List[str]:
    """How to start the Topaz of `environment`, which is made first where it does not exist.

    Raises:
        subprocess.CalledProcessError: pip could not install it (its own words are on the terminal).
    """
    python = environment / "bin" / "python"
    if not (environment / "bin" / "topaz").exists():
        install(environment, python)
    torchvision_works = subprocess.run(
        [str(python), "-c", "import torchvision"], check=False, capture_output=True
    )
    if torchvision_works.returncode == 0:
        return [str(environment / "bin" / "topaz")]
    return [str(python), str(LAUNCHER)]


def install(environment: Path, python: Path) -> None:
    """Make `environment` and install Topaz and the torch that it is measured with."""
    pip = [str(python), "-m", "pip", "install"]
    subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
    subprocess.run([*pip, TORCH], check=True)
    # Without its dependencies, which could name another build of torch than the one just chosen.
    subprocess.run([*pip, "--no-deps", TORCHVISION], check=True)
    subprocess.run([*pip, TOPAZ], check=True)
