# SPDX-License-Identifier: GPL-3.0-or-later
"""The paper's experiments: objectives, autoencoder and π, from random weights.

    python benchmarks/paper/experiments.py --work FOLDER --data EMPIAR-10017 --maps MAPS

See benchmarks/README.md. A row for each cell goes to FOLDER/paper, the table of all that are there
to FOLDER/paper.md; a stopped run continues.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Iterator, List, Optional, Sequence

# a script sees only its own folder
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.common.cells import (
    Row,
    Store,
    conditions_of,
    figures,
    rows_with,
    score,
    set_names,
    summary,
)
from benchmarks.common.labels import RANDOM, draw_labels
from benchmarks.common.markdown import table
from benchmarks.common.picking_sets import PickingSet, add_set_options, find_sets
from scipion_pupick.engine import (
    OptimizerSettings,
    PickSettings,
    TrainSettings,
    evaluate_regions,
    pick,
    train,
    write_text,
)
from scipion_pupick.engine.settings import LEAST_SCORE, OBJECTIVES

EXPERIMENTS = ("objectives", "autoencoder", "pi")
GAMMAS = ("0", "1", "10/N")
PI_FACTORS = (0.5, 0.75, 1.0, 1.25, 1.5)
GE_BINOMIAL = "ge-binomial"
HELD_OUT = 0.2  # of the labels, to choose the best epoch by; none where that is less than 10


@dataclass(frozen=True)
class Cell:
    """One training.

    Attributes:
        objective: its name.
        labels: how many.
        seed: of the choice of labels and of the training.
        gamma: weight of the autoencoder, in words of GAMMAS.
        pi_factor: by which π is wrong.
        network: its name; conv3 is the paper's.
        epochs: of the training.
        tiles: in a batch, and as many mosaics.
    """

    objective: str
    labels: int
    seed: int
    gamma: str = "0"
    pi_factor: float = 1.0
    network: str = "conv3"
    epochs: int = 12
    tiles: int = 8


def parse(arguments: Optional[List[str]]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_set_options(parser)
    parser.add_argument("--only", default=",".join(EXPERIMENTS), help="experiments")
    parser.add_argument("--labels", default="10,100,1000", help="numbers of labels")
    parser.add_argument("--seeds", type=int, default=10, help="choices of labels")
    parser.add_argument("--network", default="conv3", help="conv3 is the paper's")
    known = OptimizerSettings()
    parser.add_argument("--epochs", type=int, default=known.epochs, help="of 50 batches")
    parser.add_argument("--tiles", type=int, default=known.tiles, help="and mosaics in a batch")
    parser.add_argument("--table-only", action="store_true", help="of the cells that are there")
    return parser.parse_args(arguments)


def cells(options: argparse.Namespace) -> Iterator[Cell]:
    """The trainings of the experiments asked for, one seed after the other."""
    asked = options.only.split(",")
    for seed in range(1, options.seeds + 1):
        for count in map(int, options.labels.split(",")):
            first = Cell(GE_BINOMIAL, count, seed, network=options.network)
            first = replace(first, epochs=options.epochs, tiles=options.tiles)
            if "objectives" in asked:
                yield from (replace(first, objective=objective) for objective in OBJECTIVES)
            if "autoencoder" in asked:
                yield from (replace(first, gamma=gamma) for gamma in GAMMAS)
            if "pi" in asked:
                yield from (replace(first, pi_factor=factor) for factor in PI_FACTORS)


def run_cell(cell: Cell, on: PickingSet, folder: Path) -> Row:
    """Train and test once, with one thread; the CPU seconds are those of the training."""
    gamma = 10 / cell.labels if cell.gamma == "10/N" else float(cell.gamma)
    training = OptimizerSettings(
        network=cell.network,
        objective=cell.objective,
        autoencoder=gamma,
        epochs=cell.epochs,
        mosaics=cell.tiles,
        tiles=cell.tiles,
        seed=cell.seed,
    )
    particles = cell.pi_factor * on.particles_per_micrograph
    settings = TrainSettings(on.diameter, particles, held_out=HELD_OUT, training=training)
    labels = draw_labels(on, cell.labels, RANDOM, cell.seed)
    started = time.process_time()
    train(on.micrographs(on.train), labels, folder, settings, start=None, overwrite=True, threads=1)
    cpu = time.process_time() - started
    model = folder / "model.safetensors"
    test = on.micrographs(on.test)
    picks = folder / "picks"
    default = pick(test, model, picks, threads=1)
    every = pick(test, model, picks, PickSettings(threshold=LEAST_SCORE), threads=1)
    regions = evaluate_regions(model, on.test_particles, test, border=on.border, threads=1)
    return {
        **figures(score(on, dict(every.picks))),
        "own_f1": score(on, dict(default.picks)).curve.of_all[2],
        "region_ap": regions,
        "train_cpu": cpu,
    }


def markdown(rows: Sequence[Row]) -> str:
    """All experiments as Markdown."""
    parts = ["# The paper's experiments\n"]
    for name in set_names(rows):
        tables = experiment_tables(rows_with(rows, set=name))
        parts += [f"\n## {name}\n", *tables] if tables else []
    return "".join([*parts, "\n## Conditions\n\n", conditions_of(rows)])


def experiment_tables(rows: Sequence[Row]) -> List[str]:
    """The three experiments on one set; what was not measured is left out."""
    plain = rows_with(rows, gamma="0", pi_factor=1.0)
    binomial = rows_with(rows, objective=GE_BINOMIAL)
    groups = (
        ("objective", "objective", tuple(OBJECTIVES), plain),
        ("autoencoder γ (GE-binomial)", "gamma", GAMMAS, rows_with(binomial, pi_factor=1.0)),
        ("π / true π (GE-binomial)", "pi_factor", PI_FACTORS, rows_with(binomial, gamma="0")),
    )
    return [comparison(*group) for group in groups if len({row[group[1]] for row in group[3]}) > 1]


def comparison(title: str, name: str, values: Sequence[Any], rows: Sequence[Row]) -> str:
    """Average precision by the values of a setting (rows) and the number of labels (columns)."""
    counts = sorted({row["labels"] for row in rows})
    head = [title]
    for count in counts:
        head += [f"particle AP, {count} labels", f"region AP, {count} labels", "seeds"]
    lines = []
    for value in values:
        line = [str(value)]
        for count in counts:
            matching = rows_with(rows, **{name: value, "labels": count})
            line += [summary(matching, "ap"), summary(matching, "region_ap"), str(len(matching))]
        lines.append(line)
    return "\n" + table(head, lines) + "\n"


def main(arguments: Optional[List[str]] = None) -> None:
    options = parse(arguments)
    options.work = options.work.resolve()
    store = Store(options.work / "paper")
    for on in [] if options.table_only else find_sets(options):
        for cell in cells(options):
            key = {"set": on.name, **asdict(cell)}
            folder = options.work / "paper-models" / store.name_of(key)
            store.cell(key, lambda c=cell, s=on, f=folder: run_cell(c, s, f))  # type: ignore[misc]
    text = markdown(store.rows())
    write_text(options.work / "paper.md", text)
    print(text)


if __name__ == "__main__":
    main()
