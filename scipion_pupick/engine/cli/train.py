# SPDX-License-Identifier: GPL-3.0-or-later
"""`pupick train`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from scipion_pupick import engine

from ..coordinates import FORMATS
from ..runs.layout import MODEL
from ..settings import GENERAL, TrainSettings, make_settings
from .options import (
    add_command,
    add_computer,
    add_failures,
    add_micrographs,
    add_output,
    add_picks_settings,
    add_settings,
    find,
    given_settings,
    read_picks,
    report_failures,
)


def add_train(commands: Any) -> None:
    """Add the command."""
    parser = add_command(commands, "train", "Train a model on micrographs and picks.", _train)
    add_micrographs(parser)
    parser.add_argument(
        "--picks",
        nargs="+",
        required=True,
        metavar="FILE",
        help=f"hand picks: files ({', '.join(FORMATS)}) or a folder of them",
    )
    add_output(parser, "folder for the model, its log and checkpoint; a stopped run continues")
    add_failures(parser)
    parser.add_argument(
        "--overwrite", action="store_true", help="forget another training in the same folder"
    )
    parser.add_argument(
        "--negatives", nargs="+", metavar="FILE", help="places that hold no particle, as --picks"
    )
    _add_start(parser.add_mutually_exclusive_group())
    add_picks_settings(parser)
    add_settings(parser, TrainSettings)
    add_computer(parser)


def _add_start(group: Any) -> None:
    group.add_argument(
        "--start",
        metavar="MODEL",
        default=GENERAL,
        help="model to start from; default: the general one that comes with pupick",
    )
    group.add_argument(
        "--from-scratch",
        action="store_const",
        dest="start",
        const=None,
        help="start from random weights, as the paper does",
    )


def _train(options: argparse.Namespace) -> int:
    settings = make_settings(TrainSettings, given_settings(options))
    micrographs = find(options)
    negatives = None
    if options.negatives:
        negatives = read_picks(options, options.negatives)
    model = engine.train(
        micrographs,
        read_picks(options, options.picks),
        options.output,
        settings,
        negatives=negatives,
        start=options.start,
        overwrite=options.overwrite,
        device=options.device,
        threads=options.threads,
    )
    print(f"Model written to {Path(options.output) / MODEL}")
    failures = model.training.failed_micrographs
    return report_failures(failures, len(micrographs), options.failures)
