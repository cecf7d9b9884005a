# SPDX-License-Identifier: GPL-3.0-or-later
"""What is won when 2D classes and corrections go back into the model.

    python benchmarks/loop/loop.py --work bench --data empiar10017 --maps maps

- `classes`: any set. The general model picks the micrographs to train on,
  RELION 3.1 extracts and classifies the picks, the classes most of whose members are particles are
  selected, and what is selected and rejected is trained on: all of it; with `--variants`, also of
  the selected those with a score of 0 or more; beside these, only classes that are clearly bad; and
  only classes that are clearly good or bad. A look at a class counts as a click.
- `selection`: the same, but the truth stands for the classification, with a share of each side on
  the wrong one.
- `corrections`: any set. A person removes wrong picks of the general model and adds missed
  particles, micrograph by micrograph, until the clicks are used up. The training is told how many
  particles a micrograph holds by what is done, if that is enough.

Beside each stand the general model and as many random labels as there are clicks, or 100.
A row a cell is kept as JSON, so that the script can be stopped and called again.
"""

from __future__ import annotations

import argparse
import csv
import sys
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np

# a script sees only its own folder
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.common.cells import Row, Store, figures, score
from benchmarks.common.labels import RANDOM, draw_labels
from benchmarks.common.picking_sets import (
    REAL_SETS,
    PickingSet,
    real_set,
    short_name,
    simulated_kind,
)
from benchmarks.common.relion_classes import ClassSettings
from benchmarks.loop.by_classes import select_classes
from benchmarks.loop.by_corrections import as_corrected, as_suggested, is_right
from scipion_pupick.engine import (
    OptimizerSettings,
    Picks,
    PickSettings,
    TrainSettings,
    flatten_picks,
    group_picks,
    pick,
    train,
)
from scipion_pupick.engine.coordinates.area import Area
from scipion_pupick.engine.coordinates.corrections import Corrections, labels_of_corrections
from scipion_pupick.engine.runs.corrected_count import particles_by_corrections
from scipion_pupick.engine.runs.pick_run import read_pick_run
from scipion_pupick.engine.settings import GENERAL, LEAST_SCORE

RANDOM_LABELS = 100
# Two thirds of the box are the particle, 16 px of it: enough to tell it from junk, and the coarse
# steps of rotation and shift that go with that.
CLASS_BOX, CLASS_TURN, CLASS_SHIFT, MOST_POSES = 24, 20.0, 2, 100
# Of large sets: enough particles for forty classes.
MANY_TRAIN, MANY_TEST = 30, 10
SURE_SCORE = 0.0
CPU: Dict[str, Any] = {"device": "cpu", "threads": 1}
COLUMNS = (
    *(
        "set",
        "what",
        "wrong",
        "threshold",
        "seed",
        "clicks",
        "labels",
        "negatives",
        "told",
        "wrong_labels",
        "wrong_negatives",
    ),
    *("ap", "precision_90", "best_f1", "own_precision", "own_recall", "own_f1", "train_cpu"),
    *("date", "machine", "revision"),
)


@dataclass(frozen=True)
class Cell:
    """What is trained on, and what it costs a person.

    Attributes:
        what: has made the labels.
        clicks: that they cost.
        labels: picks to train on; None for the general model as it is.
        negatives: places that are no particle.
        wrong: share of each that is on the wrong side; None where nothing was put there.
        threshold: of the picks that were classified; None for the general model's own.
        told: how many particles a micrograph holds, as corrections tell; None where nothing does.
        seed: of the training, and of random labels.
    """

    what: str
    clicks: int
    labels: Optional[Picks] = None
    negatives: Optional[Picks] = None
    wrong: Optional[float] = None
    threshold: Optional[float] = None
    told: Optional[float] = None
    seed: int = 0


def general_picks(picking_set: PickingSet, work: Path, threshold: Optional[float] = None) -> Picks:
    """Picks of the general model in the micrographs to train on; None: at its own threshold."""
    settings = PickSettings(diameter=picking_set.diameter, threshold=threshold)
    micrographs = picking_set.micrographs(picking_set.train)
    return dict(pick(micrographs, GENERAL, work / "picked", settings, report=False, **CPU).picks)


def as_classified(
    picking_set: PickingSet, picks: Picks, wrong: float, most: int, seed: int
) -> Tuple[Picks, Picks]:
    """Picks that 2D classification would select and reject, at most so many of each.

    Args:
        picking_set: that knows the truth.
        picks: of its micrographs to train on.
        wrong: share of each side that comes to lie on the other.
        most: of each side that is kept, at random.
        seed: of what is random.
    """
    random = np.random.default_rng(seed)
    names, every = flatten_picks(picks)
    right = np.concatenate([is_right(picking_set, name, c) for name, c in picks.items()])
    selected = right ^ (random.random(len(right)) < wrong)
    sides = []
    for side in (selected, ~selected):
        rows = np.sort(random.permutation(np.flatnonzero(side))[:most])
        part = every.select(rows)
        sides.append(group_picks([names[i] for i in rows], part.x, part.y, part.score))
    return sides[0], sides[1]


def measure(picking_set: PickingSet, work: Path, cell: Cell) -> Row:
    """Train, unless there are no labels, and pick the test micrographs.

    They are picked at the threshold that is chosen by itself, and, for the ranking, at the lowest.
    """
    model: Path = Path(GENERAL)
    labels, negatives = cell.labels, cell.negatives
    started = time.process_time()
    if labels is not None:
        optimizer = OptimizerSettings(seed=cell.seed) if cell.seed else OptimizerSettings()
        settings = TrainSettings(
            picking_set.diameter, particles_per_micrograph=cell.told, training=optimizer
        )
        micrographs = picking_set.micrographs(picking_set.train)
        train(micrographs, labels, work / "model", settings, negatives=negatives, **CPU)
        model = work / "model" / "model.safetensors"
    cost = time.process_time() - started
    diameter = picking_set.diameter if labels is None else None
    test = picking_set.micrographs(picking_set.test)
    curves = {}
    for name, threshold in (("own", None), ("all", LEAST_SCORE)):
        wanted = PickSettings(threshold=threshold, diameter=diameter)
        found = pick(test, model, work / "test", wanted, report=False, **CPU)
        curves[name] = score(picking_set, dict(found.picks))
    precision, recall, f1 = curves["own"].curve.of_all
    return {
        **figures(curves["all"]),
        **{"own_precision": precision, "own_recall": recall, "own_f1": f1, "train_cpu": cost},
        "told": cell.told,
        **described(picking_set, labels or {}, negatives or {}),
    }


def described(picking_set: PickingSet, labels: Picks, negatives: Picks) -> Row:
    """How many labels and negatives there are, and how many of each are wrong."""
    hits = [
        sum(int(is_right(picking_set, name, picks).sum()) for name, picks in side.items())
        for side in (labels, negatives)
    ]
    numbers = [sum(map(len, side.values())) for side in (labels, negatives)]
    return {
        "labels": numbers[0],
        "negatives": numbers[1],
        "wrong_labels": numbers[0] - hits[0],
        "wrong_negatives": hits[1],
    }


def run_cells(picking_set: PickingSet, cells: Sequence[Cell], work: Path, store: Store) -> None:
    """Measure the cells that are not there yet."""
    for cell in cells:
        key = {"set": picking_set.name, "what": cell.what, "clicks": cell.clicks}
        more = {"wrong": cell.wrong, "threshold": cell.threshold, "seed": cell.seed or None}
        key.update({name: value for name, value in more.items() if value is not None})
        folder = work / store.name_of(key)
        store.cell(key, partial(measure, picking_set, folder, cell))


def random_labels(picking_set: PickingSet, clicks: int, seed: int = 0) -> Cell:
    """As many labels as clicks, at random of the particles to train on."""
    labels = draw_labels(picking_set, clicks, RANDOM, seed)
    return Cell("random labels", clicks, labels, seed=seed)


def run_classes(picking_set: PickingSet, options: argparse.Namespace, store: Store) -> None:
    """The general model, 100 random labels, and one round through 2D classes of RELION."""
    work = options.work / "loop" / picking_set.name
    threshold = options.threshold
    folder = work / ("classes" if threshold is None else f"classes{threshold:+g}")
    picked = general_picks(picking_set, folder, threshold)
    settings = ClassSettings(
        picking_set.diameter,
        classes=options.classes,
        iterations=options.iterations,
        scale=CLASS_BOX,
        psi_step=CLASS_TURN,
        shift=CLASS_SHIFT,
        ctf=options.ctf,
        most_poses=MOST_POSES,
    )
    found = select_classes(picking_set, picked, folder / "relion", settings)
    sides = found.selected, found.rejected
    sure = {name: here.at_least(SURE_SCORE) for name, here in found.selected.items()}
    ways = {"2D classes": sides}
    if options.variants:
        ways["2D classes, sure"] = sure, found.rejected
        ways["2D classes, sure and clear"] = sure, found.clearly_bad
        ways["2D classes, clearly good and clear"] = found.clearly_good, found.clearly_bad
    cells = [Cell(GENERAL, 0)]
    for seed in options.seeds:
        cells.append(random_labels(picking_set, RANDOM_LABELS, seed))
        cells += [
            Cell(way, found.looked_at, *of, threshold=threshold, seed=seed)
            for way, of in ways.items()
        ]
    run_cells(picking_set, cells, work, store)


def run_selection(picking_set: PickingSet, options: argparse.Namespace, store: Store) -> None:
    """The general model, 100 random labels, and one round with the truth for classes."""
    work = options.work / "loop" / picking_set.name
    picked = general_picks(picking_set, work)
    cells = [Cell(GENERAL, 0), random_labels(picking_set, RANDOM_LABELS)]
    for wrong in options.wrong:
        sides = as_classified(picking_set, picked, wrong, options.most, 0)
        cells.append(Cell("selected and rejected", 0, *sides, wrong))
        cells.append(Cell("selected", 0, sides[0], None, wrong))
    run_cells(picking_set, cells, work, store)


def run_corrections(picking_set: PickingSet, options: argparse.Namespace, store: Store) -> None:
    """AP against the number of clicks, beside as many random labels."""
    work = options.work / "loop" / picking_set.name
    picked = general_picks(picking_set, work)
    run = read_pick_run(work / "picked")
    cells = [Cell(GENERAL, 0)]
    for clicks in options.clicks:
        corrected = as_corrected(picking_set, picked, clicks)
        whole: Dict[str, Optional[Area]] = {n: None for n, c in corrected.items() if c.done}
        ways: Dict[str, Tuple[Corrections, Dict[str, Optional[Area]]]] = {}
        ways["corrected"] = corrected, whole
        if options.suggest:
            ways["suggested"] = as_suggested(picking_set, run, clicks)
        for seed in options.seeds:
            cells.append(random_labels(picking_set, clicks, seed))
            for way, (said, looked_at) in ways.items():
                told = particles_by_corrections(run, run.peaks(), said, looked_at)
                labels = labels_of_corrections(said)
                cells.append(Cell(way, clicks, *labels, told=told, seed=seed))
    run_cells(picking_set, cells, work, store)


PARTS = {"classes": run_classes, "selection": run_selection, "corrections": run_corrections}


def write_table(store: Store, path: Path, machine: str) -> None:
    """All rows that are there, as CSV."""
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(COLUMNS)
        for row in ({**row, "machine": machine} for row in store.rows()):
            row["best_f1"] = row["f1"]
            values: List[object] = [row.get(name, "") for name in COLUMNS]
            table.writerow([f"{v:.3f}" if isinstance(v, float) else v for v in values])


def main() -> None:
    """Measure what was asked for and is not there yet."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, required=True, help="folder for all that is written")
    parser.add_argument("--data", type=Path, required=True, help="folder of EMPIAR-10017")
    parser.add_argument("--maps", type=Path, required=True, help="folder of density maps (MRC)")
    parser.add_argument(
        "--sets", default="groel-junk,empiar10017,empiar10947", help="names, with commas between"
    )
    parser.add_argument("--only", default="classes,corrections", help="and selection")
    parser.add_argument("--threshold", type=float, help="of picks to be classified; default: own")
    parser.add_argument("--classes", type=int, default=40)
    parser.add_argument("--iterations", type=int, default=18, help="of the classification")
    parser.add_argument("--ctf", action="store_true", help="the classification corrects it")
    parser.add_argument("--wrong", type=float, nargs="+", default=[0.0, 0.1])
    parser.add_argument("--clicks", type=int, nargs="+", default=[20, 50, 100, 200])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="of trainings")
    parser.add_argument("--variants", action="store_true", help="other choices of classes too")
    parser.add_argument("--suggest", action="store_true", help="corrections of suggested picks too")
    parser.add_argument("--most", type=int, default=200, help="of the picks of each side")
    parser.add_argument("--table", type=Path, help="CSV to write at the end")
    parser.add_argument("--machine", default="", help="its name in that CSV")
    options = parser.parse_args()
    store = Store(options.work / "loop" / "cells")
    maps = {short_name(path): path for path in sorted(options.maps.glob("*.mrc"))}
    for name in options.sets.split(","):
        if name in REAL_SETS:
            picking_set = real_set(options.data, name)
        else:
            folder = options.work / "many-sets"
            picking_set = simulated_kind(folder, name, maps, MANY_TRAIN, MANY_TEST)
        for part in options.only.split(","):
            PARTS[part](picking_set, options, store)
    if options.table:
        write_table(store, options.table, options.machine)


if __name__ == "__main__":
    main()
