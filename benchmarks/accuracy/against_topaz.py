# SPDX-License-Identifier: GPL-3.0-or-later
"""pupick and Topaz on the same micrographs with the same labels: how well they pick.

    python benchmarks/accuracy/against_topaz.py --work FOLDER --data EMPIAR-10017 --maps MAPS

See benchmarks/README.md. A row for each cell goes to FOLDER/against-topaz, the table of all that
are there to FOLDER/against-topaz.md; a stopped run continues.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Iterator, List, Optional, Sequence

# a script sees only its own folder
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.accuracy.pickers import Topaz, run_pupick
from benchmarks.common.cells import Row, Store, conditions_of, rows_with, set_names, summary
from benchmarks.common.labels import (
    CLEAREST,
    FEW_MICROGRAPHS,
    RANDOM,
    TooFewParticlesError,
    draw_labels,
)
from benchmarks.common.machine import ROOT
from benchmarks.common.markdown import shown, table
from benchmarks.common.picking_sets import PickingSet, add_set_options, find_sets
from benchmarks.common.topaz_environment import topaz_command
from scipion_pupick.engine import write_text

KINDS = (RANDOM, CLEAREST, FEW_MICROGRAPHS)
PACKAGED = ("resnet8_u32", "resnet16_u64")
TRAINED = "resnet8"
NO_LABELS = "none"
NUMBER_ONLY = "number only"  # no labels, but how many particles a micrograph holds
UNLABELED = (NO_LABELS, NUMBER_ONLY)


@dataclass(frozen=True)
class Cell:
    """One training, if there are labels, and one picking.

    Attributes:
        program: pupick or topaz.
        labels: how many.
        kind: of labels, see `labels.draw_labels`, or what is known without any.
        seed: of the choice of labels, and of pupick's training.
        variant: by how much pupick's diameter is wrong; Topaz's packaged model, or its steps.
    """

    program: str
    labels: int
    kind: str
    seed: int
    variant: str


def parse(arguments: Optional[List[str]]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_set_options(parser)
    parser.add_argument("--labels", default="0,10,100,1000", help="numbers, with commas between")
    parser.add_argument("--kinds", default=",".join(KINDS), help="of labels, with commas between")
    parser.add_argument("--side", choices=("topaz", "pupick", "both"), default="both")
    parser.add_argument("--seeds", type=int, default=5, help="choices of labels")
    parser.add_argument("--diameters", default="1,0.8,1.25", help="given to pupick / the true one")
    parser.add_argument("--topaz-seeds", type=int, default=1, help="choices of labels, for Topaz")
    parser.add_argument("--topaz-steps", type=int, default=200, help="of Topaz's training")
    parser.add_argument("--topaz-models", default=",".join(PACKAGED), help="for no labels")
    parser.add_argument("--topaz-venv", type=Path, default=ROOT / ".venv-topaz")
    parser.add_argument("--table-only", action="store_true", help="of the cells that are there")
    return parser.parse_args(arguments)


def topaz_cells(options: argparse.Namespace) -> Iterator[Cell]:
    """Topaz's: the packaged models without labels, a training with them."""
    for count in map(int, options.labels.split(",")):
        if count == 0:
            for model in options.topaz_models.split(","):
                yield Cell("topaz", 0, NO_LABELS, 0, model)
            continue
        for kind in options.kinds.split(","):
            for seed in range(1, options.topaz_seeds + 1):
                yield Cell("topaz", count, kind, seed, f"{options.topaz_steps} steps")


def pupick_cells(options: argparse.Namespace) -> Iterator[Cell]:
    """pupick's: wrong diameters without labels and with random ones only."""
    for factor in options.diameters.split(","):
        for count in map(int, options.labels.split(",")):
            if count == 0:
                yield from (Cell("pupick", 0, kind, 0, factor) for kind in UNLABELED)
                continue
            for kind in options.kinds.split(",") if factor == "1" else [RANDOM]:
                for seed in range(1, options.seeds + 1):
                    yield Cell("pupick", count, kind, seed, factor)


def run_cell(cell: Cell, on: PickingSet, folder: Path, options: argparse.Namespace) -> Row:
    """The figures of one cell."""
    labels = draw_labels(on, cell.labels, cell.kind, cell.seed) if cell.labels else None
    if cell.program == "pupick":
        counted = cell.kind != NO_LABELS
        return run_pupick(on, folder, labels, cell.seed, float(cell.variant), counted)
    command = topaz_command(options.topaz_venv.resolve())
    topaz = Topaz(command, on, options.work / "topaz" / on.name, options.topaz_steps)
    return topaz.run(labels, TRAINED if labels else cell.variant, folder)


def run_cells(options: argparse.Namespace) -> None:
    """All that is asked for and not there yet."""
    sides = ("topaz", "pupick") if options.side == "both" else (options.side,)
    for on in find_sets(options):
        for side in sides:
            python = {"python": options.topaz_venv / "bin" / "python"} if side == "topaz" else {}
            store = Store(options.work / "against-topaz", **python)
            for cell in {"topaz": topaz_cells, "pupick": pupick_cells}[side](options):
                key = {"set": on.name, **asdict(cell)}
                folder = options.work / "runs" / store.name_of(key)
                try:
                    store.cell(key, lambda c=cell, s=on, f=folder: run_cell(c, s, f, options))  # type: ignore[misc]
                except TooFewParticlesError as error:
                    print(f"{folder.name}: left out, {error}", flush=True)


def markdown(rows: Sequence[Row]) -> str:
    """All sets as Markdown."""
    parts = ["# pupick and Topaz\n"]
    for name in set_names(rows):
        parts += [f"\n## {name}\n\n", set_table(rows_with(rows, set=name))]
    parts += ["\n## Commands\n\n", commands(rows), "\n## Conditions\n\n", conditions_of(rows)]
    return "".join(parts)


def commands(rows: Sequence[Row]) -> str:
    """Those of the first run of each kind."""
    first = {
        (row["program"], row["labels"] > 0, row["kind"] == NUMBER_ONLY, row["variant"]): row
        for row in reversed(rows)
    }
    lines = [f"- `{shown(words.split())}`\n" for row in first.values() for words in row["commands"]]
    return "".join(lines)


def set_table(rows: Sequence[Row]) -> str:
    """A line for each number and kind of labels, program and variant; means over seeds."""
    head = ["labels", "program", "AP", "best F1", "precision at 90 % recall", "F1 at its threshold"]
    head += ["CPU s to train", "to pick", "seeds"]
    groups = sorted(
        {(row["labels"], KINDS_ORDER[row["kind"]], row["program"], row["variant"]) for row in rows},
        key=lambda group: (group[0], group[1], group[2], group[3] != "1", group[3]),
    )
    lines = []
    for labels, order, program, variant in groups:
        kind = list(KINDS_ORDER)[order]
        matching = rows_with(rows, labels=labels, kind=kind, program=program, variant=variant)
        lines.append(
            [
                "0" if kind == NO_LABELS else f"{labels} {kind}",
                program if variant == "1" else f"{program}, {words(program, variant)}",
                *(summary(matching, name) for name in ("ap", "f1", "precision_90", "own_f1")),
                *(summary(matching, name, 0) for name in ("train_cpu", "pick_cpu")),
                str(len(matching)),
            ]
        )
    return table(head, lines) + "\n"


KINDS_ORDER = {kind: index for index, kind in enumerate((*UNLABELED, *KINDS))}


def words(program: str, variant: str) -> str:
    """A variant for readers."""
    return f"diameter x {variant}" if program == "pupick" else variant


def main(arguments: Optional[List[str]] = None) -> None:
    options = parse(arguments)
    options.work = options.work.resolve()
    if not options.table_only:
        run_cells(options)
    text = markdown(Store(options.work / "against-topaz").rows())
    write_text(options.work / "against-topaz.md", text)
    print(text)


if __name__ == "__main__":
    main()
