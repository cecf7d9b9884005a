# SPDX-License-Identifier: GPL-3.0-or-later
"""`pupick pick`."""

from __future__ import annotations

import argparse
from typing import Any, List

from scipion_pupick import engine

from ..settings import PickSettings, make_settings
from .options import (
    SUCCESS,
    add_command,
    add_computer,
    add_failures,
    add_micrographs,
    add_output,
    add_settings,
    find,
    report_failures,
)


def add_pick(commands: Any) -> None:
    """Add the command."""
    parser = add_command(commands, "pick", "Pick particles with a trained model.", _pick)
    add_micrographs(parser)
    parser.add_argument(
        "--model",
        required=True,
        metavar="FILE",
        help="written by pupick train, or `general`, which needs no training but --diameter",
    )
    add_output(parser, "folder for picks.star, a STAR file a micrograph, and all scores")
    add_failures(parser)
    add_settings(parser, PickSettings)
    parser.add_argument(
        "--no-report", action="store_true", help="do not write report.html at the end"
    )
    parser.add_argument(
        "--fit-only",
        action="store_true",
        help="fit the general model to these micrographs and pick nothing; calls on others with "
        "the same folder then use it",
    )
    add_computer(parser, several=True)


def _pick(options: argparse.Namespace) -> int:
    settings = make_settings(PickSettings, vars(options))
    micrographs = find(options)
    if options.fit_only:
        return _fit(options, micrographs, settings)
    result = engine.pick(
        micrographs,
        options.model,
        options.output,
        settings,
        options.device,
        options.threads,
        report=not options.no_report,
        workers=options.workers,
    )
    print(result.summary())
    return report_failures(result.failures, len(micrographs), options.failures)


def _fit(
    options: argparse.Namespace, micrographs: List[engine.Micrograph], settings: PickSettings
) -> int:
    path = engine.fit(
        micrographs, options.output, settings, options.model, options.device, options.threads
    )
    print(f"The fitted model is {path}")
    return SUCCESS
