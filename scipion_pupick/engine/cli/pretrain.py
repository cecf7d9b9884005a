# SPDX-License-Identifier: GPL-3.0-or-later
"""`pupick pretrain`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from scipion_pupick import engine

from ..runs.layout import GENERAL_MODEL
from ..settings import PretrainSettings, make_settings
from .options import SUCCESS, add_command, add_computer, add_output, add_settings

# those of a training that the general model is made with are chosen, but for these
OFFERED = ("particles", "epochs", "seed")


def add_pretrain(commands: Any) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "pretrain",
        "Make the general model from simulated micrographs of random particles.",
        _pretrain,
    )
    add_output(parser, "folder for micrographs, log and model; a stopped run continues")
    add_settings(parser, PretrainSettings, OFFERED)
    add_computer(parser)


def _pretrain(options: argparse.Namespace) -> int:
    settings = make_settings(PretrainSettings, vars(options))
    engine.make_general_model(options.output, settings, options.device, options.threads)
    print(f"Model written to {Path(options.output) / GENERAL_MODEL}")
    return SUCCESS
