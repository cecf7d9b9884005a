# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line `pupick`: arguments in, one engine function, a summary out."""

from __future__ import annotations

import argparse
import atexit
import gc
import io
import logging
import os
import signal
import sys
from contextlib import redirect_stderr, redirect_stdout
from types import FrameType
from typing import NoReturn, Optional, Sequence, Set

import scipion_pupick

from ..errors import PupickError, UsageError
from ..settings import make_settings
from .combine import add_combine
from .convert import add_convert
from .demo import add_demo
from .evaluate import add_evaluate
from .model import add_model
from .options import FAILURE, USAGE, given_settings, note_error, option_of
from .pick import add_pick
from .preprocess import add_preprocess
from .pretrain import add_pretrain
from .report import add_report
from .serve import add_serve
from .session import add_session
from .simulate import add_simulate
from .suggest import add_suggest
from .threshold import add_threshold
from .train import add_train
from .watch import add_watch

COMMANDS = (
    add_preprocess,
    add_train,
    add_pick,
    add_watch,
    add_threshold,
    add_suggest,
    add_report,
    add_serve,
    add_evaluate,
    add_convert,
    add_combine,
    add_model,
    add_simulate,
    add_pretrain,
    add_demo,
)

log = logging.getLogger("pupick")

_OBJECTS_BETWEEN_LOOKS = 50_000


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Run `pupick`.

    Args:
        arguments: of the command line, without the program's name; None for the process's own.

    Returns:
        Exit code: 0, 1 (something failed) or 2 (it was called wrongly).
    """
    # threads that spin while they wait cost more than they save where cores are shared
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # SciPy's minimisers hand matrices of five rows to a BLAS, whose other threads spin meanwhile
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # a process that ends need not look for garbage among all that PyTorch has made: 0.4 s
    atexit.register(gc.freeze)
    # nor one that starts after each few hundred objects: 0.2 s
    gc.set_threshold(_OBJECTS_BETWEEN_LOOKS)
    options = make_parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[_make_handler()])
    signal.signal(signal.SIGTERM, _interrupt)
    for old, new in options.renamed:
        log.warning("pupick %s: %s is called %s now.", options.command, old, new)
    try:
        return int(options.run(options))
    except PupickError as error:
        log.error("pupick %s: %s", options.command, error.worded(option_of))
        note_error(error, options.error_file)
        return USAGE if isinstance(error, UsageError) else FAILURE
    except OSError as error:
        log.error("pupick %s: %s", options.command, error)
        return FAILURE
    except KeyboardInterrupt:
        log.error("pupick %s: stopped; call it again to continue.", options.command)
        return FAILURE


def check_arguments(arguments: Sequence[str], kind: type) -> None:
    """Refuse arguments that make no sense, without doing anything.

    Args:
        arguments: of the command line, from the name of the command on.
        kind: dataclass of the settings of the command.

    Raises:
        UsageError: one is not known, has no value, or has one that makes no sense.
    """
    said = io.StringIO()
    try:
        with redirect_stderr(said), redirect_stdout(said):
            options = make_parser().parse_args(arguments)
    except SystemExit as stop:
        reason = said.getvalue().strip().rpartition("error: ")[2]
        raise UsageError(reason if stop.code else "they only ask for help") from stop
    make_settings(kind, given_settings(options))


def _make_handler() -> logging.Handler:
    """Return what writes the log to the standard error stream, each warning once.

    What is wrong with a micrograph is met whenever it is read: to fit, to pick, and for the report.
    """
    handler = logging.StreamHandler(sys.stderr)
    said: Set[str] = set()

    def is_new(record: logging.LogRecord) -> bool:
        text = record.getMessage()
        repeated = record.levelno == logging.WARNING and text in said
        if record.levelno == logging.WARNING:
            said.add(text)
        return not repeated

    handler.addFilter(is_new)
    return handler


def _interrupt(number: int, frame: Optional[FrameType]) -> NoReturn:
    raise KeyboardInterrupt


def make_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        prog="pupick",
        description="Find particles in cryo-EM micrographs, having learned from a few picks.",
    )
    parser.add_argument("--version", action="version", version=scipion_pupick.__version__)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for add in COMMANDS:
        add(commands)
    add_session(commands, main)
    return parser
