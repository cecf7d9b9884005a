# SPDX-License-Identifier: GPL-3.0-or-later
"""`pupick evaluate`."""

from __future__ import annotations

import argparse
import math
from typing import TYPE_CHECKING, Any

from scipion_pupick import engine

from ..errors import UsageError
from ..files.json_files import write_json
from ..micrographs import say_pixel_sizes
from ..settings import EvaluateSettings, make_settings
from .argument_types import single_file
from .options import (
    SUCCESS,
    add_command,
    add_computer,
    add_micrographs,
    add_picks_settings,
    add_settings,
    find,
    read_picks,
    read_unfiltered,
)

if TYPE_CHECKING:
    from ..evaluation.evaluate import Evaluation


def add_evaluate(commands: Any) -> None:
    """Add the command."""
    parser = add_command(commands, "evaluate", "Compare picks with reference particles.", _evaluate)
    parser.add_argument("--picks", nargs="+", required=True, metavar="FILE", help="scored picks")
    parser.add_argument(
        "--reference", nargs="+", required=True, metavar="FILE", help="particles that are there"
    )
    add_settings(parser, EvaluateSettings)
    add_picks_settings(parser)
    add_micrographs(parser, required=False)
    parser.add_argument(
        "--table", metavar="FILE", type=single_file, help="write precision and recall by threshold"
    )
    parser.add_argument(
        "--summary", metavar="FILE", type=single_file, help="write the numbers as JSON"
    )
    parser.add_argument(
        "--plot",
        metavar="FILE",
        help="draw precision against recall, and both and F1 against the threshold (.png, .svg, "
        ".pdf)",
    )
    parser.add_argument(
        "--model",
        metavar="FILE",
        help="also score all regions with this model and give the average precision over regions; "
        "needs --micrographs",
    )
    add_computer(parser)


def _evaluate(options: argparse.Namespace) -> int:
    settings = make_settings(EvaluateSettings, vars(options))
    if options.model and not options.micrographs:
        raise UsageError("Regions are scored in micrographs: give them.", "micrographs")
    micrographs = find(options) if options.micrographs else None
    reference = read_unfiltered(options, options.reference)
    evaluation = engine.evaluate(
        read_picks(options, options.picks),
        reference,
        settings.tolerance,
        settings.border,
        micrographs,
        options.table,
        options.plot,
    )
    regions = ""
    if options.model and micrographs:
        say_pixel_sizes(micrographs)
        value = engine.evaluate_regions(
            options.model,
            reference,
            micrographs,
            border=settings.border,
            device=options.device,
            threads=options.threads,
        )
        regions = f"\naverage precision over regions {value:.3f}"
    print(_describe(evaluation) + regions)
    if options.summary:
        write_json(options.summary, evaluation.summary())
    return SUCCESS


def _describe(evaluation: Evaluation) -> str:
    curve = evaluation.curve
    precision, recall, f1 = curve.of_all
    counts = (
        f"{evaluation.picks} picks, {evaluation.reference} reference particles: "
        f"F1 {f1:.3f} (precision {precision:.3f}, recall {recall:.3f})\n"
    )
    if not evaluation.picks:
        return f"{counts}There is no pick, so there are no ranking and no distances."
    at_recall = curve.precision_at(0.9)
    distance = "no pick hits a reference particle"
    if evaluation.hits:
        distance = f"mean distance of the hits {evaluation.localisation_error:.2f} px"
    if curve.lacks_scores:
        return f"{counts}The picks have no scores, so there is no ranking.\n{distance}"
    return (
        f"{counts}"
        f"ranking: average precision {curve.average_precision:.3f}; best possible F1 "
        f"{curve.best_f1:.3f}, at score {curve.best_threshold:.2f}; precision at 90 % recall "
        f"{'not reached' if math.isnan(at_recall) else f'{at_recall:.3f}'}\n"
        f"{distance}"
    )
