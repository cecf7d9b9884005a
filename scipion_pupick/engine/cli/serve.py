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

from ..errors import AlreadyServedError
from ..runs.kept_settings import kept_settings
from ..runs.layout import CORRECTED, CORRECTIONS, MICROGRAPHS, OPENING_PAGE
from ..runs.pick_run import read_pick_run
from .options import SUCCESS, add_command, add_computer, option_of


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
        "--open",
        action="store_true",
        help="open the page in this computer's web browser; if it is served already, that is all",
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
        return pick_again(Path(options.folder), model)

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

    page = Path(options.folder) / CORRECTED / OPENING_PAGE
    try:
        engine.serve(options.folder, train, next_step, opened, options.port)
    except KeyboardInterrupt:
        print(f"\nStopped. The corrections lie in {Path(options.folder) / CORRECTIONS}.")
        run = shlex.quote(options.folder)
        print(f"To write the corrected picks: pupick convert {run} --corrected --output PATH.star")
    except AlreadyServedError:
        if not (options.open and page.is_file()):
            raise
        webbrowser.open(page.absolute().as_uri())
    return SUCCESS


def pick_again(folder: Path, model: Path) -> str:
    """Return the command that picks the micrographs of a run with a new model, as it was picked.

    The list of the run has the pixel sizes that were stated for it.
    """
    words = ["pupick", "pick", "--micrographs", str(folder.absolute() / MICROGRAPHS)]
    words += ["--model", str(model.absolute()), "--output", f"{model.parent.absolute()}-picked"]
    for name, value in kept_settings(read_pick_run(folder)).items():
        words += [option_of(name), f"{value:.12g}"]
    return " ".join(map(shlex.quote, words))
