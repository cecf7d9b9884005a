# SPDX-License-Identifier: GPL-3.0-or-later
"""What is won when 2D classes and corrections go back into the model.

    python benchmarks/loop/loop.py --work bench --data empiar10017 --maps maps

- `selection`: simulated sets with junk. The general model picks the micrographs to train on; what
  2D classification would select of its picks, and what it would reject, is trained on. The truth
  stands for the classification, with a share of each side on the wrong one.
- `corrections`: any set. A person removes wrong picks of the general model and adds missed
  particles, micrograph by micrograph, until the clicks are used up; beside as many random labels.

A row a cell is kept as JSON, so that the script can be stopped and called again.
"""

from __future__ import annotations

import argparse
import csv
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import numpy as np

# a script sees only its own folder
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.common import picking_sets
from benchmarks.common.cells import Row, Store, figures, score
from benchmarks.common.labels import RANDOM, draw_labels
from benchmarks.common.picking_sets import (
    REAL_SETS,
    PickingSet,
    real_set,
    short_name,
    simulated_set,
)
from scipion_pupick.engine import (
    Coordinates,
    Picks,
    PickSettings,
    TrainSettings,
    flatten_picks,
    group_picks,
    pick,
    train,
)
from scipion_pupick.engine.evaluation.matching import match_points
from scipion_pupick.engine.settings import GENERAL, LEAST_SCORE
from scipion_pupick.engine.simulation import SimulationSettings

JUNK_COVERAGE, MORE_CRYSTALS = 0.1, 2
CPU: Dict[str, Any] = {"device": "cpu", "threads": 1}
COLUMNS = (
    *("set", "what", "wrong", "clicks", "labels", "negatives", "wrong_labels", "wrong_negatives"),
    *("ap", "precision_90", "best_f1", "own_precision", "own_recall", "own_f1", "train_cpu"),
    *("machine", "revision"),
)


def junky_settings(random: np.random.Generator) -> SimulationSettings:
    """As of the other benchmarks, with three times the junk and more ice crystals."""
    settings = picking_sets.micrograph_settings(random)
    contamination = settings.contamination
    return replace(
        settings,
        crowding=replace(settings.crowding, junk_coverage=JUNK_COVERAGE),
        contamination=replace(contamination, crystals=contamination.crystals + MORE_CRYSTALS),
    )


def general_picks(picking_set: PickingSet, work: Path) -> Picks:
    """Picks of the general model in the micrographs to train on, at its own threshold."""
    settings = PickSettings(diameter=picking_set.diameter)
    micrographs = picking_set.micrographs(picking_set.train)
    return dict(pick(micrographs, GENERAL, work / "picked", settings, report=False, **CPU).picks)


def is_right(picking_set: PickingSet, name: str, picks: Coordinates) -> np.ndarray:
    """Tell which picks (n,) of a micrograph are particles."""
    truth = picking_set.particles[name]
    return match_points(picks.xy, truth.xy, picking_set.tolerance, picks.score) >= 0


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


def as_corrected(picking_set: PickingSet, picks: Picks, clicks: int) -> Tuple[Picks, Picks]:
    """Particles and negatives after so many clicks, micrograph by micrograph.

    Wrong picks are removed and missed particles added, in turn; where all of a micrograph is
    right, what was left is confirmed without a click.
    """
    particles: Picks = {}
    negatives: Picks = {}
    for name, picked in picks.items():
        if clicks <= 0:
            break
        truth, right = picking_set.particles[name], is_right(picking_set, name, picked)
        match = match_points(truth.xy, picked.xy, picking_set.tolerance, np.zeros(len(truth)))
        wrong, missed = picked.select(~right), truth.select(match < 0)
        removed = wrong.select(np.arange(len(wrong)) < (clicks + 1) // 2)
        added = missed.select(np.arange(len(missed)) < clicks - len(removed))
        removed = wrong.select(np.arange(len(wrong)) < clicks - len(added))
        clicks -= len(removed) + len(added)
        whole = len(removed) == len(wrong) and len(added) == len(missed)
        kept = picked.select(right) if whole else Coordinates.empty()
        particles[name] = Coordinates(*np.concatenate([rows(added), rows(kept)]).T)
        negatives[name] = removed
    return particles, negatives


def rows(coordinates: Coordinates) -> np.ndarray:
    """Rows (n, 3) of x, y and score."""
    return np.column_stack([coordinates.x, coordinates.y, coordinates.score])


def measure(
    picking_set: PickingSet, work: Path, labels: Optional[Picks], negatives: Optional[Picks]
) -> Row:
    """Train, unless there are no labels, and pick the test micrographs.

    They are picked at the threshold that is chosen by itself, and, for the ranking, at the lowest.
    """
    model: Path = Path(GENERAL)
    started = time.process_time()
    if labels is not None:
        settings = TrainSettings(picking_set.diameter)
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


def run_selection(picking_set: PickingSet, options: argparse.Namespace, store: Store) -> None:
    """The general model, 100 random labels, and one round of the loop."""
    work = options.work / "loop" / picking_set.name
    picked = general_picks(picking_set, work)
    cells: Dict[Tuple[str, float], Tuple[Optional[Picks], Optional[Picks]]] = {
        ("general", 0.0): (None, None),
        ("random 100", 0.0): (draw_labels(picking_set, 100, RANDOM, 0), None),
    }
    for wrong in options.wrong:
        sides = as_classified(picking_set, picked, wrong, options.most, 0)
        cells["selected and rejected", wrong] = sides
        cells["selected", wrong] = (sides[0], None)
    for (what, wrong), (labels, negatives) in cells.items():
        folder = work / f"{what}-{wrong}".replace(" ", "-")
        key = {"set": picking_set.name, "what": what, "wrong": wrong}
        store.cell(key, partial(measure, picking_set, folder, labels, negatives))


def run_corrections(picking_set: PickingSet, options: argparse.Namespace, store: Store) -> None:
    """AP against the number of clicks, beside as many random labels."""
    work = options.work / "loop" / picking_set.name
    picked = general_picks(picking_set, work)
    cells: Dict[Tuple[str, int], Tuple[Optional[Picks], Optional[Picks]]] = {
        ("general", 0): (None, None)
    }
    for clicks in options.clicks:
        cells["corrected", clicks] = as_corrected(picking_set, picked, clicks)
        cells["random labels", clicks] = (draw_labels(picking_set, clicks, RANDOM, 0), None)
    for (what, clicks), (labels, negatives) in cells.items():
        folder = work / f"{what}-{clicks}".replace(" ", "-")
        key = {"set": picking_set.name, "what": what, "clicks": clicks}
        store.cell(key, partial(measure, picking_set, folder, labels, negatives))


def write_table(store: Store, path: Path) -> None:
    """All rows that are there, as CSV."""
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(COLUMNS)
        for row in store.rows():
            values: List[object] = [row.get(name, "") for name in COLUMNS]
            table.writerow([f"{v:.3f}" if isinstance(v, float) else v for v in values])


def main() -> None:
    """Measure what was asked for and is not there yet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder for all that is written")
    parser.add_argument("--data", type=Path, required=True, help="folder of EMPIAR-10017")
    parser.add_argument("--maps", type=Path, required=True, help="folder of density maps (MRC)")
    parser.add_argument(
        "--sets", default="groel,empiar10017,empiar10947", help="names, with commas between"
    )
    parser.add_argument("--only", default="selection,corrections")
    parser.add_argument("--wrong", type=float, nargs="+", default=[0.0, 0.1])
    parser.add_argument("--clicks", type=int, nargs="+", default=[20, 50, 100, 200])
    parser.add_argument("--most", type=int, default=200, help="of the picks of each side")
    parser.add_argument("--table", type=Path, help="CSV to write at the end")
    options = parser.parse_args()
    store = Store(options.work / "loop" / "cells")
    maps = {short_name(path): path for path in sorted(options.maps.glob("*.mrc"))}
    for name in options.sets.split(","):
        if name in REAL_SETS:
            picking_set = real_set(options.data, name)
        else:
            folder = options.work / "junk-sets" / name
            picking_set = simulated_set(folder, maps[name], junky_settings)
        for part, run in (("selection", run_selection), ("corrections", run_corrections)):
            if part in options.only.split(",") and (part == "corrections" or name not in REAL_SETS):
                run(picking_set, options, store)
    if options.table:
        write_table(store, options.table)


if __name__ == "__main__":
    main()
