# SPDX-License-Identifier: GPL-3.0-or-later
"""`pupick combine`."""

from __future__ import annotations

import argparse
from typing import Any

from scipion_pupick import engine

from ..coordinates import FORMATS
from ..errors import UsageError
from ..settings import CombineSettings, PicksSettings, make_settings
from .argument_types import text_file
from .options import (
    SUCCESS,
    add_box_size,
    add_command,
    add_files_of_picks,
    add_picks_settings,
    add_settings,
)


def add_combine(commands: Any) -> None:
    """Add the command."""
    parser = add_command(
        commands, "combine", "Combine the picks of several pickers into one set.", _combine
    )
    parser.add_argument(
        "sources",
        nargs="+",
        metavar="SOURCE",
        help="a file or a folder of picks for each picker, or one folder with a folder for each, "
        "as REPIC has them",
    )
    _add_rules(parser.add_mutually_exclusive_group())
    add_settings(parser, CombineSettings, ["within"])
    size = parser.add_argument_group("size of the particle")
    size.add_argument(
        "--diameter", type=float, metavar="Å", help="of the particle; default: a picking run's"
    )
    size.add_argument(
        "--pixel-size", type=float, metavar="Å/px", help="of the micrographs; default: a run's"
    )
    parser.add_argument(
        "--output",
        required=True,
        metavar="PATH",
        type=text_file,
        help="file to write, or folder with --per-micrograph or --to repic",
    )
    parser.add_argument(
        "--to",
        metavar="FORMAT",
        help=f"{', '.join(FORMATS)}; default: by the file's name. repic writes the sets as they "
        "are, for REPIC to combine",
    )
    add_box_size(parser)
    add_files_of_picks(parser)
    add_picks_settings(parser)


def _add_rules(group: Any) -> None:
    for name, text in (
        ("union", "particles that any picker found; the default"),
        ("intersection", "particles that all pickers found"),
        ("minus", "particles that the first picker found and no other"),
    ):
        group.add_argument(
            f"--{name}", dest="rule", action="store_const", const=name, default="union", help=text
        )
    group.add_argument(
        "--vote", type=int, metavar="K", help="particles that K pickers or more found"
    )


def _combine(options: argparse.Namespace) -> int:
    sets = engine.read_sets(
        options.sources, options.pixel_size, make_settings(PicksSettings, vars(options))
    )
    if options.to == _REPIC:
        engine.write_for_repic(sets, options.output, options.box_size)
        print(f"{len(sets)} sets of picks written to {options.output} for REPIC")
        return SUCCESS
    values = vars(options) if options.vote is None else {**vars(options), "rule": "vote"}
    result = engine.combine(
        sets,
        _diameter_px(options),
        make_settings(CombineSettings, values),
        options.output,
        options.to,
        options.box_size,
        options.per_micrograph,
        options.micrographs,
    )
    print(f"{result.summary()}; written to {options.output}")
    return SUCCESS


def _diameter_px(options: argparse.Namespace) -> float:
    if options.diameter is not None and options.pixel_size is not None:
        return float(options.diameter / options.pixel_size)
    found = engine.diameter_px(options.sources)
    if found is None or options.diameter is not None:
        raise UsageError(
            "How wide the particle is in px has to be known: give its diameter and the "
            "micrographs' pixel size.",
            setting=("diameter", "pixel_size"),
        )
    return found


_REPIC = "repic"
