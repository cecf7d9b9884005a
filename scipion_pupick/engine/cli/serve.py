# SPDX-License-Identifier: GPL-3.0-or-later
"""`pupick serve`."""

from __future__ import annotations

import argparse
import shlex
import sys
import webbrowser
from pathlib import Path
from typing import Any, List

from scipion_pupick import engine

from ..runs.layout import CORRECTIONS
from .options import SUCCESS, add_command, add_computer


def add_serve(commands: Any) -> None:
    """Add the command."""
    parser = add_command(
        commands, "serve", "Correct picks in the web browser, and train on that.", _serve
    )
    parser.add_argument("folder", metavar="RUN_FOLDER", help="that pupick pick has written to")
    parser.add_argument(
        "--port",
        type=int,
        metavar="N",
        help="of this computer, for its own browsers and ssh; default: the first free one from "
        "8417 on",
    )
    parser.add_argument(
        "--open", action="store_true", help="open the page in this computer's web browser"
    )
    add_computer(parser)


def _serve(options: argparse.Namespace) -> int:
    def train(output: Path) -> List[str]:
        return [
            *(sys.executable, "-m", engine.__name__, "train", "--corrected", options.folder),
            *("--output", str(output), "--device", options.device),
            *("--threads", str(options.threads)),
        ]

    def next_step(model: Path) -> str:
        names = [str(options.folder), str(model), f"{model.parent}-picked"]
        folder, file, output = map(shlex.quote, names)
        return f"pupick pick --again {folder} --model {file} --output {output}"

    def opened(address: str, page: Path) -> None:
        port = address.partition("/#")[0].rpartition(":")[2]
        print(f"Correct the picks in a web browser: {address}")
        print(
            "On another computer than this one, first type there, with your own user and computer:"
            f"\n    ssh -L {port}:127.0.0.1:{port} user@computer"
        )
        print("Ctrl-C ends it; what has been corrected is saved at once.", flush=True)
        if options.open:
            webbrowser.open(page.absolute().as_uri())

    try:
        engine.serve(options.folder, train, next_step, opened, options.port)
    except KeyboardInterrupt:
        print(f"\nStopped. The corrections lie in {Path(options.folder) / CORRECTIONS}.")
    return SUCCESS
