# SPDX-License-Identifier: GPL-3.0-or-later
"""The paper's experiments: objectives, autoencoder and π, as `--recipe paper` trains.

    python benchmarks/paper/experiments.py --work FOLDER --data EMPIAR-10017 --shapes SHAPES.npz

See benchmarks/README.md. A line for each cell is added to FOLDER/cells.csv; a stopped run goes on.
"""

from __future__ import annotations

import argparse
import logging
import subprocess
import sys
import time
from pathlib import Path
from typing import Dict, List, Optional

import torch

# a script sees only its own folder
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.paper.cells_file import Row, add_row, curve_text, read_rows
from benchmarks.paper.grid import CHOICES, SETS, Cell, groups
from benchmarks.paper.measures import particle_figures, region_ap, score_maps
from benchmarks.paper.sets import PreparedSet, find_set, with_some_labels
from scipion_pupick.engine import TrainSettings, make_settings
from scipion_pupick.engine.networks.scoring import make_scorer
from scipion_pupick.engine.training.fit import fit
from scipion_pupick.engine.training.progress import Progress, network_of_state
from scipion_pupick.engine.training.task import TrainingTask

STEPS = 2000
STEPS_AN_EPOCH = 50
MEASURED_AT = (100, 250, 500, 1000, 1500, 2000, 3000, 4000, 6000, 8000, 10000)
CPU = torch.device("cpu")

log = logging.getLogger("experiments")


def parser_of(description: Optional[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, required=True, help="folder for all that is written")
    parser.add_argument("--data", type=Path, required=True, help="folder of EMPIAR-10017")
    parser.add_argument("--shapes", type=Path, required=True, help="shapes of proteins (.npz)")
    parser.add_argument("--sets", default=",".join(SETS), help="names, with commas between")
    parser.add_argument("--choices", type=int, default=len(CHOICES), help="of labels")
    return parser


def parse(arguments: Optional[List[str]]) -> argparse.Namespace:
    parser = parser_of(__doc__)
    parser.add_argument("--groups", default="", help="only groups with this text in their names")
    parser.add_argument("--steps", type=int, default=STEPS, help="updates of each training")
    parser.add_argument("--part", default="1/1", help="I/N: each N-th cell only, from the I-th on")
    parser.add_argument("--cells", type=int, help="end after so many")
    parser.add_argument("--list", action="store_true", help="only say which cells are there")
    return parser.parse_args(arguments)


def run_cell(cell: Cell, on: PreparedSet, steps: int, revision: str) -> Row:
    """Train and test once."""
    started = time.process_time()
    values = {
        "diameter": on.diameter,
        "recipe": "paper",
        "objective": cell.method,
        "autoencoder": cell.gamma,
        "seed": cell.choice,
        "epochs": -(-steps // STEPS_AN_EPOCH),
        "steps": STEPS_AN_EPOCH,
    }
    settings = make_settings(TrainSettings, values).training
    images = with_some_labels(on, cell.labels, cell.choice)
    particles = cell.pi_factor * on.particles_per_image
    points: Dict[int, float] = {}

    def measure(progress: Progress) -> None:
        done = len(progress.history) * STEPS_AN_EPOCH
        if done in MEASURED_AT or done == settings.epochs * STEPS_AN_EPOCH:
            scorer = make_scorer(network_of_state(progress.average, settings), CPU)
            points[done] = region_ap(score_maps(scorer, on), on)

    progress = fit(TrainingTask(images, (), particles, settings, CPU), after_epoch=measure)
    scorer = make_scorer(network_of_state(progress.average, settings), CPU)
    found = particle_figures(score_maps(scorer, on), on)
    return Row(
        *(cell.set, cell.method, cell.labels, cell.choice, cell.gamma, cell.pi_factor),
        steps=max(points),
        region_ap=points[max(points)],
        particle_ap=found.average_precision,
        best_f1=found.best_f1,
        cpu_s=round(time.process_time() - started, 1),
        curve=curve_text(points),
        revision=revision,
    )


def revision_of_source() -> str:
    """Of the repository that this file is in."""
    folder = Path(__file__).parent
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def list_groups(options: argparse.Namespace, table: Path) -> None:
    """Print how many cells of each group are there."""
    done = {row.cell for row in read_rows(table) if row.steps >= options.steps}
    for name, cells in groups(options.sets.split(","), CHOICES[: options.choices]):
        print(f"{sum(cell in done for cell in cells):4d} of {len(cells):4d}  {name}")


def main(arguments: Optional[List[str]] = None) -> None:
    options = parse(arguments)
    table = options.work / "cells.csv"
    if options.list:
        list_groups(options, table)
        return
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(1)
    first, parts = map(int, options.part.split("/"))
    asked = [
        cell
        for name, cells in groups(options.sets.split(","), CHOICES[: options.choices])
        if options.groups in name
        for cell in cells
    ][first - 1 :: parts]
    prepared: Dict[str, PreparedSet] = {}
    revision, computed = revision_of_source(), 0
    for cell in asked:
        if any(r.cell == cell and r.steps >= options.steps for r in read_rows(table)):
            continue
        if options.cells is not None and computed >= options.cells:
            return
        if cell.set not in prepared:
            prepared[cell.set] = find_set(cell.set, options.data, options.shapes, options.work)
        row = run_cell(cell, prepared[cell.set], options.steps, revision)
        add_row(table, row)
        computed += 1
        log.info("%s: region AP %.3f, %.0f CPU s", cell, row.region_ap, row.cpu_s)


if __name__ == "__main__":
    main()
