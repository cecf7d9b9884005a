# SPDX-License-Identifier: GPL-3.0-or-later
"""What one command costs: CPU seconds, wall seconds and memory of the whole process."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Dict, List

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class CommandError(Exception):
    """A measured command did not end with exit code 0."""


@dataclass(frozen=True)
class Step:
    """One command to be measured.

    Attributes:
        name: side/stage/variant, unique.
        command: program and arguments, run in the work folder.
        threads: the cap given to the numerical libraries; the command has the same as an option.
        output: file or folder that it writes, in the work folder; deleted before every run, so
            that nothing can be taken over from an earlier one. Empty: it writes none.
        micrographs: how many it goes through.
        regions: how many regions (crops) it scores in training, where known beforehand.
    """

    name: str
    command: List[str]
    threads: int = 1
    output: str = ""
    micrographs: int = 0
    regions: int = 0


@dataclass(frozen=True)
class Cost:
    """Cost of one run. `peak_mb` (MiB) is the resident memory of the largest process."""

    user_s: float
    system_s: float
    cpu_s: float
    wall_s: float
    peak_mb: float


def run(step: Step, work: Path) -> Cost:
    """Run the command of `step` in the folder `work`; its output goes to `work`/log.txt.

    The memory figure cannot be smaller than what this process itself has used (Linux hands the
    mark on to a child), so this process must stay small: micrographs are made in another one.

    Raises:
        CommandError: it failed, or wrote results of fewer micrographs than it was given.
    """
    remove(work, step.output)
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    environment.update({name: str(step.threads) for name in THREAD_VARIABLES})
    log = work / "log.txt"
    with log.open("wb") as stream:
        start = time.perf_counter()
        process = subprocess.Popen(
            step.command, cwd=work, env=environment, stdout=stream, stderr=subprocess.STDOUT
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        end = log.read_text(errors="replace")[-2000:]
        raise CommandError(f"{step.name}: exit code {process.returncode}\n{end}")
    found = micrographs_written(work / step.output) if step.micrographs else 0
    if found != step.micrographs:
        raise CommandError(f"{step.name}: wrote {found} micrographs out of {step.micrographs}")
    cpu = usage.ru_utime + usage.ru_stime
    return Cost(usage.ru_utime, usage.ru_stime, cpu, wall, usage.ru_maxrss / 1024)


def micrographs_written(output: Path) -> int:
    """Of how many micrographs there are images or picks: files of a folder, names in a table."""
    if output.is_dir():
        stems = {path.stem for path in output.rglob("*") if path.suffix in (".mrc", ".star")}
        return len(stems - {"picks"})
    rows = output.read_text(encoding="utf-8").splitlines()[1:]
    return len({row.split("\t")[0] for row in rows})


def remove(work: Path, output: str) -> None:
    """Delete the file or the folder `output` of `work`, if there is one."""
    path = work / output
    if output and path.is_dir():
        shutil.rmtree(path)
    elif output:
        path.unlink(missing_ok=True)


def median_cost(costs: List[Cost]) -> Dict[str, float]:
    """The median of each figure over several runs."""
    rows = [asdict(cost) for cost in costs]
    return {name: statistics.median(row[name] for row in rows) for name in rows[0]}
