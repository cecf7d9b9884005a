# SPDX-License-Identifier: GPL-3.0-or-later
"""`pupick model`."""

from __future__ import annotations

import argparse
import json
from typing import Any

from scipion_pupick import engine

from .options import SUCCESS, add_command


def add_model(commands: Any) -> None:
    """Add the command."""
    parser = add_command(commands, "model", "Look at a model file.", _model)
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    show = actions.add_parser("show", help="print what a model file says of itself, as JSON")
    show.add_argument("file", metavar="FILE")


def _model(options: argparse.Namespace) -> int:
    print(json.dumps(engine.show_model(options.file), indent=2))
    return SUCCESS
