# SPDX-License-Identifier: GPL-3.0-or-later
"""Is anything lost or doubled when runs are killed? Kill some many times, and compare all files.

Example::

    python benchmarks/reliability/killed_runs.py --work killed

Each experiment runs a command once to its end, and once killed at random moments. Both folders must
hold the same files, byte for byte but for seconds and what was used again.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, List, Sequence

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.common.machine import ROOT, describe_machine, describe_side  # noqa: E402

PUPICK = [sys.executable, "-m", "scipion_pupick.engine"]
EXAMPLE = ROOT / "examples" / "empiar10017"
# keys of JSON files that tell how a run went, not what it found
UNLIKE = ("seconds", "reused")
# when files were written
INDEX = ".index.jsonl"
KILL = -9


@dataclass(frozen=True)
class Lives:
    """How the processes of a command lived.

    Attributes:
        seconds: of each.
        killed: how many did not end by themselves before.
        refused: how many were told that another run is at work.
    """

    seconds: List[float]
    killed: int = 0
    refused: int = 0


def run_killed(command: Sequence[str], kills: int, longest: float, seed: int = 0) -> Lives:
    """Run a command that is killed at random moments, and then to its end.

    Args:
        command: of pupick, with its output folder.
        kills: how often.
        longest: after how many seconds it is killed at the latest.
        seed: of the moments.

    Raises:
        CalledProcessError: in the end it fails otherwise than by a bad micrograph.
    """
    moments = random.Random(seed)  # noqa: S311 - no secret
    seconds, killed = [], 0
    for _ in range(kills):
        started = time.monotonic()
        process = subprocess.Popen(
            [*PUPICK, *command], stdout=sys.stderr, stderr=subprocess.DEVNULL
        )
        try:
            process.wait(moments.uniform(0.0, longest))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        killed += process.returncode == KILL
        seconds.append(time.monotonic() - started)
    started = time.monotonic()
    _finish(command)
    return Lives([*seconds, time.monotonic() - started], killed)


def run_together(command: Sequence[str]) -> Lives:
    """Start a command twice at the same moment, and run it to its end."""
    started = time.monotonic()
    both = [_start(command, subprocess.PIPE) for _ in range(2)]
    errors = [process.communicate()[1] for process in both]
    _finish(command)
    refused = sum("is in use by another run" in error for error in errors)
    return Lives([time.monotonic() - started], refused=refused)


def _start(command: Sequence[str], errors: int) -> subprocess.Popen[str]:
    return subprocess.Popen([*PUPICK, *command], stdout=sys.stderr, stderr=errors, encoding="utf-8")


def _finish(command: Sequence[str]) -> None:
    process = _start(command, subprocess.DEVNULL)
    if process.wait() not in (0, 1):
        raise subprocess.CalledProcessError(process.returncode, command)


def contents(folder: Path) -> Dict[str, Any]:
    """Return what every file of a run holds, but for what tells only how the run went."""
    found: Dict[str, Any] = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        content: Any = path.read_bytes()
        if path.suffix == ".json":
            # the fitted model lies in the folder
            values = json.loads(content.decode().replace(str(folder.absolute()), ""))
            content = values
            if isinstance(values, dict):
                content = {key: value for key, value in values.items() if key not in UNLIKE}
        if path.name == "training.tsv":
            content = _without_seconds(content.decode())
        if path.name not in ("report.html", INDEX):
            found[str(path.relative_to(folder))] = content
    return found


def _without_seconds(table: str) -> List[List[str]]:
    header, *rows = (line.split("\t") for line in table.splitlines())
    kept = [i for i, name in enumerate(header) if name not in UNLIKE]
    return [[row[i] for i in kept] for row in (header, *rows)]


def simulated(folder: Path, count: int, side: int) -> Path:
    """Simulate micrographs, and return their folder."""
    size = (str(side), str(side))
    _finish(["simulate", "--output", str(folder), "--count", str(count), "--size", *size])
    return folder / "micrographs"


def many(folder: Path) -> Path:
    """Return a folder with 10,000 names of 100 tiny micrographs, of which 1 % are broken."""
    images = sorted(simulated(folder / "tiny", 100, 128).glob("*.mrc"))
    names = folder / "10000"
    names.mkdir(exist_ok=True)
    for index in range(10_000):
        name = names / f"m{index:05d}.mrc"
        if index % 100 == 50:
            name.write_bytes(b"no image")
        elif not name.exists():
            os.link(images[index % 100], name)
    return names


def pick_command(micrographs: Path) -> List[str]:
    """Pick with the general model, fitted to the micrographs."""
    diameter = ("--diameter", "180", "--pixel-size", "7.5")
    return ["pick", "--micrographs", str(micrographs), "--model", "general", *diameter]


def train_command(work: Path) -> List[str]:
    """Train from the default start on 100 labels of real micrographs."""
    sources = ("--micrographs", str(EXAMPLE / "micrographs"))
    labels = ("--picks", str(EXAMPLE / "picks_100.star"), "--diameter", "180")
    return ["train", *sources, *labels, "--particles-per-micrograph", "300"]


@dataclass(frozen=True)
class Experiment:
    """A command, and what is done to it.

    Attributes:
        command: makes it, in a folder for its input.
        kills: how often it is killed; 0: two processes at once.
        longest: after how many seconds it is killed at the latest.
    """

    command: Callable[[Path], List[str]]
    kills: int
    longest: float


EXPERIMENTS = {
    "pick": Experiment(lambda work: pick_command(simulated(work / "60", 60, 512)), 20, 8.0),
    "together": Experiment(lambda work: pick_command(simulated(work / "60", 60, 512)), 0, 0.0),
    "train": Experiment(train_command, 10, 40.0),
    "many": Experiment(lambda work: pick_command(many(work)), 20, 40.0),
}


def measure(name: str, experiment: Experiment, work: Path) -> bool:
    """Carry out an experiment, print what happened, and say whether all files are alike."""
    work.mkdir(parents=True, exist_ok=True)
    command = [*experiment.command(work), "--device", "cpu", "--output"]
    whole = run_killed([*command, str(work / name / "whole")], 0, 0.0)
    disturbed = [*command, str(work / name / "disturbed")]
    if experiment.kills:
        lives = run_killed(disturbed, experiment.kills, experiment.longest)
    else:
        lives = run_together(disturbed)
    one, other = (contents(work / name / folder) for folder in ("whole", "disturbed"))
    unlike = [path for path in sorted({*one, *other}) if one.get(path) != other.get(path)]
    print(
        f"| {name} | {whole.seconds[-1]:.0f} | {lives.killed} | {lives.refused} | "
        f"{sum(lives.seconds):.0f} | {len(one)} | {len(unlike)} |",
        flush=True,
    )
    if unlike:
        print(f"\nDiffer: {', '.join(unlike[:10])}\n")
    if not one:
        print("\nNo run has written anything: see what it said above.\n")
    return bool(one) and not unlike


def main() -> int:
    """Carry out the experiments that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--work", type=Path, required=True, help="empty folder for all runs")
    parser.add_argument("--only", default=",".join(EXPERIMENTS), help="default: %(default)s")
    options = parser.parse_args()
    print(json.dumps({**describe_machine(), **describe_side(Path(sys.executable), ROOT)}))
    print("\n| experiment | s, whole | killed | refused | s, disturbed | files | that differ |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    names = options.only.split(",")
    alike = [measure(name, EXPERIMENTS[name], options.work) for name in names]
    return 0 if all(alike) else 1


if __name__ == "__main__":
    sys.exit(main())
