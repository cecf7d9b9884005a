# SPDX-License-Identifier: GPL-3.0-or-later
"""`pupick simulate`."""

from __future__ import annotations

import argparse
from typing import Any, Dict, Sequence, Tuple

from scipion_pupick import engine

from ..errors import UsageError
from .options import SUCCESS, add_command, add_output


def add_simulate(commands: Any) -> None:
    """Add the command."""
    parser = add_command(
        commands, "simulate", "Simulate micrographs whose particles are known.", _simulate
    )
    add_output(parser, "folder for the micrographs and particles.star; a stopped run continues")
    parser.add_argument(
        "--maps",
        nargs="+",
        default=(),
        metavar="MRC",
        help="density maps, taken in turn; default: another random phantom in each micrograph",
    )
    parser.add_argument(
        "--count", type=int, default=10, metavar="N", help="micrographs; default: %(default)d"
    )
    parser.add_argument(
        "--size",
        type=int,
        nargs=2,
        default=(512, 512),
        metavar=("NX", "NY"),
        help="of each, px; default: 512 512",
    )
    parser.add_argument(
        "--pixel-size", type=float, metavar="Å/px", help="default: a particle 24 px wide"
    )
    parser.add_argument(
        "--diameter", type=float, metavar="Å", help="of the particle, Å; default: the map's"
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="of every random choice; default: 0"
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="remove another simulation in the same folder"
    )
    parser.add_argument(
        "--set",
        nargs="+",
        default=(),
        type=_assignment,
        metavar="NAME=VALUE",
        help="fix what is drawn at random for each micrograph, such as defocus=15000 (Å), dose=40 "
        "(electrons/Å²), snr=0.2, b_factor=100 (Å²), ice.thickness=400 (Å), crowding.coverage=0.1, "
        "contamination.carbon=0.3, microscope.voltage=300 (kV); a wrong name lists all",
    )


def _assignment(text: str) -> Tuple[str, float]:
    name, _, value = text.partition("=")
    try:
        return name, float(value)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a name, = and a number") from None


def _once(assignments: Sequence[Tuple[str, float]]) -> Dict[str, float]:
    fixed = dict(assignments)
    if len(fixed) < len(assignments):
        raise UsageError("--set gives a name twice: give each once.")
    return fixed


def _simulate(options: argparse.Namespace) -> int:
    result = engine.simulate(
        options.output,
        options.maps,
        options.count,
        (options.size[1], options.size[0]),
        options.pixel_size,
        options.diameter,
        options.seed,
        fixed=_once(options.set),
        overwrite=options.overwrite,
    )
    count = sum(len(coordinates) for coordinates in result.particles.values())
    print(f"{count} particles in {len(result.files)} micrographs written to {options.output}")
    return SUCCESS
