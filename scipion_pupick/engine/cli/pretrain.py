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
OFFERED = ("particles", "epochs", "learning_rate", "seed")


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
    parser.add_argument(
        "--proteins", metavar="FILE", help="real proteins, beside phantoms (NumPy archive)"
    )
    parser.add_argument(
        "--labelled",
        nargs=3,
        action="append",
        default=[],
        metavar=("MICROGRAPHS", "PICKS", "DIAMETER"),
        help="real micrographs with all their picks, and the diameter in Å; may be repeated",
    )
    parser.add_argument(
        "--start", metavar="MODEL", help="general model to go on from; default: random weights"
    )
    add_computer(parser)


def _pretrain(options: argparse.Namespace) -> int:
    settings = make_settings(PretrainSettings, vars(options))
    labelled = [_labelled_set(*each) for each in options.labelled]
    engine.make_general_model(
        options.output,
        settings,
        options.device,
        options.threads,
        options.proteins,
        labelled,
        options.start,
    )
    print(f"Model written to {Path(options.output) / GENERAL_MODEL}")
    return SUCCESS


def _labelled_set(micrographs: str, picks: str, diameter: str) -> engine.LabelledSet:
    found = engine.find_micrographs([micrographs])
    try:
        width = float(diameter)
    except ValueError:
        width = 0.0
    if not width > 0:
        raise engine.UsageError(f"The diameter of {micrographs} is {diameter!r}: give it in Å.")
    return engine.LabelledSet(micrographs, found, engine.read_picks([picks]), width)
