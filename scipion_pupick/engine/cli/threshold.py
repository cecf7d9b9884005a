# SPDX-License-Identifier: GPL-3.0-or-later
"""`pupick threshold`."""

from __future__ import annotations

import argparse
from typing import Any

from scipion_pupick import engine

from .options import SUCCESS, add_command, add_output


def add_threshold(commands: Any) -> None:
    """Add the command."""
    parser = add_command(
        commands, "threshold", "Apply another threshold to finished picks.", _threshold
    )
    parser.add_argument("folder", metavar="RUN_FOLDER", help="that pupick pick has written to")
    choice = parser.add_mutually_exclusive_group(required=True)
    for name, unit, text in (
        ("threshold", "SCORE", "log-odds from which on a peak is picked"),
        ("precision", "SHARE", "estimated share of particles among the picks, such as 0.9"),
        ("per-micrograph", "N", "picks a micrograph, on average over all"),
    ):
        choice.add_argument(f"--{name}", type=float, metavar=unit, help=text)
    add_output(parser, "folder for picks.star and a STAR file a micrograph; may be RUN_FOLDER")


def _threshold(options: argparse.Namespace) -> int:
    result = engine.threshold(
        options.folder, options.output, options.threshold, options.precision, options.per_micrograph
    )
    print(result.summary())
    return SUCCESS
