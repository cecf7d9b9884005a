# SPDX-License-Identifier: GPL-3.0-or-later
"""`pupick session`: commands one after the other in one process, for programs that have many."""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import Any, Callable, Sequence

from ..files.lifeline import lines_of_parent
from .options import FAILURE

Main = Callable[[Sequence[str]], int]


def add_session(commands: Any, main: Main) -> None:
    """Add the command, which has others carried out by `main`."""
    text = (
        "Carry out commands that come in on the standard input, each as a JSON list of arguments "
        "in a line, until it closes. For programs: starting costs more than many commands."
    )
    parser = commands.add_parser("session", description=text)
    parser.add_argument(
        "--answers", type=int, required=True, metavar="N", help="open file that exit codes go to"
    )
    parser.set_defaults(run=lambda options: _session(options, main), renamed=(), error_file=None)


def _session(options: argparse.Namespace, main: Main) -> int:
    with os.fdopen(options.answers, "w", encoding="utf-8") as answers:
        for line in lines_of_parent():
            code = _carry_out(json.loads(line), main)
            # this process may be ended as soon as it has answered
            sys.stdout.flush()
            print(code, file=answers, flush=True)
    return FAILURE


def _carry_out(arguments: Sequence[str], main: Main) -> int:
    try:
        return main(arguments)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else FAILURE
