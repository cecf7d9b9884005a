# SPDX-License-Identifier: GPL-3.0-or-later
"""`pupick report`."""

from __future__ import annotations

import argparse
from typing import Any

from scipion_pupick import engine

from .argument_types import single_file
from .options import SUCCESS, add_command, add_computer, add_pixel_size


def add_report(commands: Any) -> None:
    """Add the command."""
    parser = add_command(
        commands, "report", "Write an HTML file to look at picks and a training.", _report
    )
    parser.add_argument(
        "folder", metavar="RUN_FOLDER", help="that pupick pick or pupick train has written to"
    )
    parser.add_argument(
        "--reference",
        nargs="+",
        metavar="FILE",
        help="known particles to show; default: the labels that the model was trained on",
    )
    add_pixel_size(parser)
    parser.add_argument(
        "--output",
        metavar="FILE",
        type=single_file,
        help="HTML file; default: report.html in the folder",
    )
    parser.add_argument(
        "--no-score-maps", action="store_true", help="leave score maps out, which is quicker"
    )
    add_computer(parser)


def _report(options: argparse.Namespace) -> int:
    reference = None
    if options.reference:
        reference = engine.read_picks(options.reference, pixel_size=options.pixel_size)
    path = engine.report(
        options.folder,
        options.output,
        reference,
        options.device,
        options.threads,
        score_maps=not options.no_score_maps,
    )
    print(f"Report written to {path}")
    return SUCCESS
