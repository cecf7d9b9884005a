# SPDX-License-Identifier: GPL-3.0-or-later
"""What pupick and Topaz cost on the same micrographs: CPU seconds, wall seconds and memory.

    python benchmarks/speed/speed.py --work FOLDER --data DATA [--only pick] [--side pupick]

See benchmarks/README.md. The figures go to FOLDER/speed.json and FOLDER/speed.md.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any, Dict, List, Optional

# a script sees only its own folder
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.common.machine import ROOT, describe_machine, describe_side
from benchmarks.common.measure import Step, median_cost, run
from benchmarks.common.topaz_environment import topaz_command
from benchmarks.speed import steps
from benchmarks.speed.datasets import simulated_set, training_set
from benchmarks.speed.report import markdown
from scipion_pupick.engine import write_text

STAGES = ("preprocess", "pick", "train")
CORES = 2

Results = Dict[str, Dict[str, Any]]


def parse(arguments: Optional[List[str]]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, required=True, help="folder for all that is written")
    parser.add_argument("--data", type=Path, help="folder of EMPIAR-10017, for the training")
    parser.add_argument("--only", default=",".join(STAGES), help="stages, with commas between")
    parser.add_argument("--side", choices=("topaz", "pupick", "both"), default="both")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--micrographs", type=int, default=10, help="simulated ones")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--topaz-venv", type=Path, default=ROOT / ".venv-topaz")
    options = parser.parse_args(arguments)
    options.stages = options.only.split(",")
    unknown = sorted(set(options.stages) - set(STAGES))
    if unknown:
        parser.error(f"--only {','.join(unknown)}: the stages are {', '.join(STAGES)}")
    if "train" in options.stages and options.data is None:
        parser.error("--data: the training needs it (or leave the training out with --only)")
    return options


def topaz_steps(options: argparse.Namespace, names: List[str], training: List[str]) -> List[Step]:
    """Topaz's commands for the stages asked for, in the order in which they must run."""
    topaz = topaz_command(options.topaz_venv.resolve())
    files = [f"{steps.SIMULATED}/{name}" for name in names]
    measured = [steps.topaz_start(topaz)]
    scales = [(scale, 1) for scale in steps.SCALES] + [(steps.RECOMMENDED_SCALE, CORES)]
    for scale, threads in scales if names else []:
        measured.append(steps.topaz_preprocess(topaz, files, scale, threads))
        if "pick" in options.stages:
            measured.append(steps.topaz_extract(topaz, names, scale, threads))
    if training:
        inputs = [f"{steps.TRAIN_SET}/{name}" for name in training]
        run(steps.topaz_training_set(topaz, inputs), options.work)
        measured += [steps.topaz_train(topaz, 1), steps.topaz_train(topaz, CORES)]
    return measured


def pupick_steps(options: argparse.Namespace, names: List[str], training: List[str]) -> List[Step]:
    """The same for pupick."""
    pupick = str(Path(sys.executable).with_name("pupick"))
    measured = [steps.pupick_start(pupick)]
    sets = ((steps.SIMULATED, len(names)), (steps.SIMULATED_MANY, len(names) * steps.COPIES))
    if "preprocess" in options.stages:
        measured += [steps.pupick_preprocess(pupick, *micrographs, 1) for micrographs in sets]
    if "pick" in options.stages:
        measured += [steps.pupick_pick(pupick, *micrographs, 1) for micrographs in sets]
        measured.append(steps.pupick_pick(pupick, *sets[1], CORES))
    if training:
        measured += [steps.pupick_train(pupick, options.seed, threads) for threads in (1, CORES)]
    return measured


def measure(step: Step, side: Dict[str, Any], options: argparse.Namespace) -> Dict[str, Any]:
    """Run `step` several times; gives what is kept of it in the results."""
    print(f"{step.name} ...", end=" ", flush=True)
    costs = [run(step, options.work) for _ in range(options.repeats)]
    median = median_cost(costs)
    print(f"{median['cpu_s']:.1f} CPU s, {median['wall_s']:.1f} s, {median['peak_mb']:.0f} MiB")
    entry = {**asdict(step), "seed": options.seed, **side}
    if step.name.startswith("pupick/train/"):
        entry["regions"] = scored_regions(options.work / step.output / "training.tsv")
    return {**entry, "median": median, "runs": [asdict(cost) for cost in costs]}


def scored_regions(log: Path) -> int:
    """How many regions pupick's training has scored, from the log that it writes."""
    with log.open(encoding="utf-8", newline="") as stream:
        return sum(round(float(row["regions"])) for row in csv.DictReader(stream, delimiter="\t"))


def measure_side(name: str, options: argparse.Namespace, results: Results) -> None:
    """Measure one program and put its figures into `results`, on disk after each command."""
    small = bool({"preprocess", "pick"} & set(options.stages))
    names = simulated_set(options.work, options.micrographs, options.seed) if small else []
    train = "train" in options.stages
    training = training_set(options.data, options.work, options.seed) if train else []
    if name == "topaz":
        measured = topaz_steps(options, names, training)
        python = options.topaz_venv / "bin" / "python"
    else:
        measured = pupick_steps(options, names, training)
        python = Path(sys.executable)
    side = {**describe_machine(), **describe_side(python, ROOT)}
    for step in measured:
        results[step.name] = measure(step, side, options)
        write_text(options.work / "speed.json", json.dumps(results, indent=1))


def main(arguments: Optional[List[str]] = None) -> None:
    options = parse(arguments)
    options.work.mkdir(parents=True, exist_ok=True)
    options.work = options.work.resolve()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    kept = options.work / "speed.json"
    results: Results = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}
    for name in ("topaz", "pupick") if options.side == "both" else (options.side,):
        measure_side(name, options, results)
    text = markdown(results)
    write_text(options.work / "speed.md", text)
    print(text)


if __name__ == "__main__":
    main()
