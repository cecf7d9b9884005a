# SPDX-License-Identifier: GPL-3.0-or-later
"""The executable `pupick-topaz`: reads the arguments, then loads what the command needs.

It puts pupick behind the part of Topaz's command line that other programs call. Such programs hand
over downsampled images and coordinates in px of these, and know neither a diameter nor a pixel
size. So here the pixel size of every image is 1 (Å/px), and a diameter in px stands for one in Å.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from importlib import import_module
from types import FrameType
from typing import NoReturn, Optional, Sequence

from scipion_pupick.engine import PupickError, UsageError

from .arguments import make_parser
from .real_topaz import OTHER_COMMANDS, run_topaz
from .relion_job import find_job, said_in_job

SUCCESS, FAILURE, USAGE = 0, 1, 2

MODULES = {
    "train": "train",
    "extract": "extract",
    "preprocess": "preprocess",
    "normalize": "preprocess",
}

# by the engine's names of what they set
OPTIONS = {"diameter": "--diameter", "particles_per_micrograph": "-n"}

log = logging.getLogger("pupick")


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Run `pupick-topaz`.

    Args:
        arguments: of the command line, without the program's name; None for the process's own.

    Returns:
        Exit code: 0, 1 (something failed) or 2 (it was called wrongly).
    """
    given = sys.argv[1:] if arguments is None else arguments
    if given and given[0] in OTHER_COMMANDS:
        return run_topaz(given)
    options = make_parser().parse_args(given)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    signal.signal(signal.SIGTERM, _interrupt)
    name = f"pupick-topaz {options.command}"
    for option in options.ignored:
        log.warning("%s: %s has no meaning here and is ignored.", name, option)
    _limit_array_threads()
    with said_in_job(find_job(getattr(options, "output", None))):
        return _run(name, options)


def _run(name: str, options: argparse.Namespace) -> int:
    try:
        failures = import_module(f"{__package__}.{MODULES[options.command]}").run(options)
    except UsageError as error:
        log.error("%s: %s", name, error.worded(lambda setting: OPTIONS.get(setting, "")))
        return USAGE
    except (PupickError, OSError, MemoryError) as error:
        log.error("%s: %s", name, error)
        return FAILURE
    except KeyboardInterrupt:
        log.error("%s: stopped.", name)
        return FAILURE
    if failures:
        log.error("%s: failed micrographs: %d; the reasons stand above.", name, failures)
        return FAILURE
    return SUCCESS


def _limit_array_threads() -> None:
    """Let NumPy multiply matrices on one core; it reads this when it is loaded.

    RELION starts as many of these processes as the user gave it cores, and for products as small
    as those of one micrograph more threads mostly wait for each other.
    """
    for library in ("OPENBLAS", "MKL"):
        os.environ[f"{library}_NUM_THREADS"] = "1"


def _interrupt(number: int, frame: Optional[FrameType]) -> NoReturn:
    raise KeyboardInterrupt
