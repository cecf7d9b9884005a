# SPDX-License-Identifier: GPL-3.0-or-later
"""`pupick suggest`."""

from __future__ import annotations

import argparse
import shlex
from typing import Any

from scipion_pupick import engine

from ..settings import SUGGESTED_PICKS
from .options import SUCCESS, add_box_size, add_command, add_output


def add_suggest(commands: Any) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "suggest",
        "Name the areas to correct first, in the micrographs that the model doubts most.",
        _suggest,
    )
    parser.add_argument("folder", metavar="RUN_FOLDER", help="that pupick pick has written to")
    add_output(parser, "folder for a file of picks a micrograph")
    parser.add_argument(
        "--count",
        type=int,
        default=SUGGESTED_PICKS,
        metavar="N",
        help="picks to look at, in up to six micrographs; default: %(default)s",
    )
    parser.add_argument(
        "--to",
        metavar="FORMAT",
        default="star",
        help="as of convert, but for cryoSPARC's; default: %(default)s",
    )
    add_box_size(parser)


def _suggest(options: argparse.Namespace) -> int:
    result = engine.suggest(
        *(options.folder, options.output, options.count, options.to), box_size=options.box_size
    )
    print(result.summary())
    print(
        f"Written to {options.output}. Correct the files there: remove what is no particle, and "
        "add what was missed in these areas. Then train on that: pupick train "
        f"--corrected {shlex.quote(options.output)} --done changed --output FOLDER"
    )
    return SUCCESS
