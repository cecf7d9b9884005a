# SPDX-License-Identifier: GPL-3.0-or-later
"""Is anything lost or doubled when runs are killed? Kill one many times, and compare all files.

Example::

    python benchmarks/reliability/killed_runs.py work -- pick --micrographs in --model general

The command is given without --output. It runs once to its end, and once killed at random moments;
both folders must hold the same files, byte for byte but for seconds and what was used again.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Dict, List, Sequence

PUPICK = [sys.executable, "-m", "scipion_pupick.engine"]
# keys of pick.json that tell how a run went, not what it found
UNLIKE = ("seconds", "reused")


def run_killed(command: Sequence[str], kills: int, longest: float, seed: int = 0) -> List[float]:
    """Run a command that is killed at random moments, and then to its end.

    Args:
        command: of pupick, with its output folder.
        kills: how often.
        longest: after how many seconds it is killed at the latest.
        seed: of the moments.

    Returns:
        The seconds that each process lived.

    Raises:
        CalledProcessError: in the end it fails otherwise than by a bad micrograph.
    """
    moments, lived = random.Random(seed), []  # noqa: S311 - no secret
    for _ in range(kills):
        started = time.monotonic()
        process = subprocess.Popen([*PUPICK, *command], stderr=subprocess.DEVNULL)
        try:
            process.wait(moments.uniform(0.0, longest))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        lived.append(time.monotonic() - started)
    done = subprocess.run([*PUPICK, *command], stderr=subprocess.DEVNULL, check=False)
    if done.returncode not in (0, 1):
        raise subprocess.CalledProcessError(done.returncode, command)
    return lived


def contents(folder: Path) -> Dict[str, Any]:
    """Return what every file of a run holds, but for what tells only how the run went."""
    found: Dict[str, Any] = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        content: Any = path.read_bytes()
        if path.suffix == ".json":
            content = {k: v for k, v in json.loads(content).items() if k not in UNLIKE}
        if path.name != "report.html":
            found[str(path.relative_to(folder))] = content
    return found


def main() -> int:
    """Compare, and say which files differ."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("work", type=Path, help="folder for both runs")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("command", nargs="+", help="of pupick, without --output, after --")
    options = parser.parse_args()
    started = time.monotonic()
    run_killed([*options.command, "--output", str(options.work / "whole")], 0, 0.0)
    whole = time.monotonic() - started
    killed = [*options.command, "--output", str(options.work / "killed")]
    lived = run_killed(killed, options.kills, whole)
    one, other = (contents(options.work / name) for name in ("whole", "killed"))
    unlike = [name for name in sorted({*one, *other}) if one.get(name) != other.get(name)]
    print(f"{whole:.1f} s whole; killed {len(lived)} times after {min(lived):.1f} s or later")
    print(f"{len(one)} files, {len(unlike)} differ: {', '.join(unlike[:10]) or 'none'}")
    return 1 if unlike else 0


if __name__ == "__main__":
    sys.exit(main())
