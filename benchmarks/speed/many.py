# SPDX-License-Identifier: GPL-3.0-or-later
"""What calls on thousands of micrographs cost: ten more, none, and lists of a million picks.

    python benchmarks/speed/many.py --work FOLDER [--micrographs 10000]

The micrographs are stand-ins: names of ten small simulated ones, with peaks that are prepared
instead of found, so that all takes minutes. The figures go to FOLDER/many.json.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any, Dict, List, Optional

# a script sees only its own folder
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.common.machine import ROOT, describe_machine, describe_side
from benchmarks.common.measure import Step, run
from benchmarks.speed.fill_run import MODEL, NAMES, PIXEL_SIZE, RUN, SIDE
from scipion_pupick.engine import write_text

DIAMETER = 150.0
FILES = 10
ADDED = 10
# in a micrograph: a million in ten thousand
CHOSEN = 100
FIRST, FEW, FEW_RUN = "first.txt", "few", "few_run"
PUPICK = [sys.executable, "-m", "scipion_pupick.engine"]


def prepare(work: Path, count: int) -> None:
    """Make the micrographs, a model and the run on all but the last ten of them."""
    command = ["simulate", "--output", "sim", "--count", str(FILES), "--diameter", str(DIAMETER)]
    command += ["--size", str(SIDE), str(SIDE), "--pixel-size", str(PIXEL_SIZE)]
    run(Step("simulate", [*PUPICK, *command], output="sim"), work)
    images = sorted((work / "sim" / "micrographs").glob("*.mrc"))
    for folder in (NAMES, FEW):
        (work / folder).mkdir()
    names = [f"m{index:06d}.mrc" for index in range(count + ADDED)]
    for index, name in enumerate(names):
        os.link(images[index % FILES], work / NAMES / name)
    for name in names[count:]:
        os.link(work / NAMES / name, work / FEW / name)
    write_text(work / FIRST, "".join(f"{NAMES}/{name}\n" for name in names[:count]))
    command = ["train", "--micrographs", "sim/micrographs", "--picks", "sim/particles.star"]
    command += ["--diameter", str(DIAMETER), "--particles-per-micrograph", "20", "--epochs", "1"]
    command += ["--steps", "2", "--output", "training", "--device", "cpu", "--threads", "1"]
    run(Step("train", [*PUPICK, *command], output="training"), work)
    shutil.copy2(work / "training" / MODEL, work / MODEL)
    fill = Path(__file__).with_name("fill_run.py")
    run(Step("fill", [sys.executable, str(fill), str(work), str(count)]), work)


def steps() -> List[Step]:
    """List the commands that are measured, in the order in which they must run."""
    threshold = ["threshold", RUN, "--per-micrograph", str(CHOSEN), "--output", "chosen"]
    picks = "chosen/picks.star"
    evaluate = ["evaluate", "--picks", picks, "--reference", "picks.csv", "--tolerance", "5"]
    return [
        Step("torch", [sys.executable, "-c", "import torch"]),
        pick("ten alone", FEW, FEW_RUN, "--no-report"),
        pick("first lists", FIRST, RUN, "--no-report"),
        pick("nothing to do", FIRST, RUN, "--no-report"),
        pick("ten more", NAMES, RUN, "--no-report"),
        pick("report", NAMES, RUN),
        Step("threshold", [*PUPICK, *threshold]),
        Step("convert", [*PUPICK, "convert", picks, "--output", "picks.csv"]),
        Step("evaluate", [*PUPICK, *evaluate]),
    ]


def pick(name: str, micrographs: str, output: str, *more: str) -> Step:
    """Return the command that picks in some micrographs."""
    command = ["pick", "--micrographs", micrographs, "--model", MODEL, "--output", output]
    return Step(name, [*PUPICK, *command, "--device", "cpu", "--threads", "1", *more])


def main(arguments: Optional[List[str]] = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, required=True, help="folder for all that is written")
    parser.add_argument("--micrographs", type=int, default=10_000)
    parser.add_argument("--only", help="of the commands, with commas between; default: all")
    options = parser.parse_args(arguments)
    options.work = options.work.resolve()
    if not (options.work / MODEL).is_file():
        options.work.mkdir(parents=True, exist_ok=True)
        prepare(options.work, options.micrographs)
    machine = {**describe_machine(), **describe_side(Path(sys.executable), ROOT)}
    results: Dict[str, Any] = {"machine": machine, "micrographs": options.micrographs}
    for step in steps():
        if options.only and step.name not in options.only.split(","):
            continue
        results[step.name] = asdict(run(step, options.work))
        cost = results[step.name]
        print(f"{step.name}: {cost['cpu_s']:.1f} CPU s, {cost['peak_mb']:.0f} MiB", flush=True)
        write_text(options.work / "many.json", json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
