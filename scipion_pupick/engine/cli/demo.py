# SPDX-License-Identifier: GPL-3.0-or-later
"""`pupick demo`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from scipion_pupick import engine

from ..runs.layout import PICKS
from .options import SUCCESS, add_command, add_computer


def add_demo(commands: Any) -> None:
    """Add the command."""
    parser = add_command(
        commands, "demo", "Train on real micrographs, pick others, say how good it is.", _demo
    )
    parser.add_argument(
        "--examples",
        default="examples/empiar10017",
        metavar="FOLDER",
        help="example micrographs and picks; default: %(default)s",
    )
    parser.add_argument("--output", default="demo", metavar="FOLDER", help="default: %(default)s")
    add_computer(parser)


def _demo(options: argparse.Namespace) -> int:
    result = engine.demo(options.examples, options.output, options.device, options.threads)
    print(result.picked.summary())
    precision, recall, f1 = result.at_threshold.curve.of_all
    ranking = result.evaluation.curve
    print(f"Compared with an expert's {result.evaluation.reference} labels:")
    print(f"  picks at the model's threshold: F1 {f1:.3f}", end=" ")
    print(f"(precision {precision:.3f}, recall {recall:.3f})")
    print(f"  ranking of all peaks: average precision {ranking.average_precision:.3f}", end=" ")
    print(f"(best possible F1 {ranking.best_f1:.3f})")
    print(f"Coordinates: {Path(options.output) / 'pick' / PICKS}")
    print(f"Picture of the picks: {result.picture}")
    print(f"Report, to be opened in a browser: {result.report}")
    return SUCCESS
