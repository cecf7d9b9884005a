# SPDX-License-Identifier: GPL-3.0-or-later
"""`pupick convert`."""

from __future__ import annotations

import argparse
from typing import Any

from scipion_pupick import engine

from ..coordinates import FORMATS
from ..settings import PicksSettings, make_settings
from .argument_types import text_file
from .options import (
    SUCCESS,
    add_box_size,
    add_command,
    add_files_of_picks,
    add_picks_settings,
    add_pixel_size,
)


def add_convert(commands: Any) -> None:
    """Add the command."""
    parser = add_command(commands, "convert", "Convert picks between formats.", _convert)
    parser.add_argument("sources", nargs="+", metavar="SOURCE", help="files, patterns or folders")
    parser.add_argument(
        "--output",
        required=True,
        metavar="PATH",
        type=text_file,
        help="file to write, or folder with --per-micrograph",
    )
    *others, last = FORMATS
    formats = f"{', '.join(others)} or {last}"
    parser.add_argument("--to", metavar="FORMAT", help=f"{formats}; default: by the file's name")
    parser.add_argument(
        "--from",
        dest="from_",
        default="auto",
        metavar="FORMAT",
        help=f"{formats}; default: %(default)s, by the file's content",
    )
    add_box_size(parser)
    add_files_of_picks(parser)
    parser.add_argument(
        "--scale",
        type=float,
        default=1.0,
        metavar="FACTOR",
        help="multiply coordinates, as from binned to unbinned micrographs; default: %(default)g",
    )
    parser.add_argument(
        "--corrected",
        action="store_true",
        help="the sources are picking runs whose picks were corrected: write their picks without "
        "what was removed, and with what was added",
    )
    add_pixel_size(parser)
    add_picks_settings(parser)


def _convert(options: argparse.Namespace) -> int:
    if options.corrected:
        found = engine.join_picks([engine.read_corrected_picks(run) for run in options.sources])
    else:
        settings = make_settings(PicksSettings, vars(options))
        found = engine.read_picks(options.sources, options.from_, options.pixel_size, settings)
    picks = engine.convert_picks(
        found,
        options.output,
        options.to,
        options.box_size,
        options.per_micrograph,
        options.scale,
        options.micrographs,
    )
    count = sum(len(coordinates) for coordinates in picks.values())
    print(f"{count} picks in {len(picks)} micrographs written to {options.output}")
    return SUCCESS
