# SPDX-License-Identifier: GPL-3.0-or-later
"""`pupick preprocess`."""

from __future__ import annotations

import argparse
from typing import Any

from scipion_pupick import engine

from ..micrographs import say_pixel_sizes
from ..settings import PreprocessSettings, make_settings
from .options import (
    add_command,
    add_failures,
    add_micrographs,
    add_output,
    add_settings,
    add_threads,
    find,
    report_failures,
)


def add_preprocess(commands: Any) -> None:
    """Add the command."""
    parser = add_command(
        commands, "preprocess", "Write micrographs downsampled and normalised.", _preprocess
    )
    add_micrographs(parser)
    add_settings(parser, PreprocessSettings)
    add_threads(parser)
    add_output(parser, "folder to write to")
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="replace files in the folder that were not written by this command",
    )
    add_failures(parser)


def _preprocess(options: argparse.Namespace) -> int:
    settings = make_settings(PreprocessSettings, vars(options))
    micrographs = find(options)
    say_pixel_sizes(micrographs)
    result = engine.preprocess(
        micrographs,
        settings.diameter,
        options.output,
        settings.diameter_px,
        settings.normalisation,
        options.threads,
        options.overwrite,
    )
    print(f"{len(result.written)} micrographs written to {options.output}")
    return report_failures(result.failures, len(micrographs), options.failures)
