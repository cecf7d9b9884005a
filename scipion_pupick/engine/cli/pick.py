# SPDX-License-Identifier: GPL-3.0-or-later
"""`pupick pick`."""

from __future__ import annotations

import argparse
import re
from contextlib import nullcontext
from typing import Any, ContextManager, List, Optional

from scipion_pupick import engine

from ..settings import PickSettings, make_settings
from .options import (
    SUCCESS,
    add_command,
    add_computer,
    add_failures,
    add_micrographs,
    add_output,
    add_settings,
    find,
    report_failures,
)


def add_pick(commands: Any) -> None:
    """Add the command."""
    parser = add_command(
        commands, "pick", "Pick particles with the general or a trained model.", _pick
    )
    add_picking(parser)
    parser.add_argument(
        "--fit-only",
        action="store_true",
        help="fit the general model to these micrographs and pick nothing; calls on others with "
        "the same folder then use it",
    )
    add_computers(parser).add_argument(
        "--part",
        metavar="I/N",
        type=_part,
        help="score only the I-th of N shares of the micrographs, beside other calls for the "
        "others; a last call without this option gathers them",
    )


def add_picking(parser: argparse.ArgumentParser) -> None:
    """Add what to pick in, with what, and where the picks go."""
    add_micrographs(parser)
    parser.add_argument(
        "--model",
        required=True,
        metavar="FILE",
        help="written by pupick train, or `general`, which needs no training but --diameter",
    )
    add_output(parser, "folder for picks.star, a STAR file a micrograph, and all scores")
    add_failures(parser)
    add_settings(parser, PickSettings)
    parser.add_argument(
        "--masks",
        action="store_true",
        help="also write where ice, carbon and dirt lie: masks/NAME.mrc, 1 on contamination",
    )
    parser.add_argument(
        "--no-report", action="store_true", help="do not write report.html at the end"
    )


def add_computers(parser: argparse.ArgumentParser) -> Any:
    """Add who picks, and return the group of what excludes each other."""
    add_computer(parser, several=True)
    group = parser.add_argument_group("many computers").add_mutually_exclusive_group()
    group.add_argument(
        "--cluster",
        metavar="FILE",
        help="dask-jobqueue's configuration (YAML): --workers jobs of SLURM, PBS, LSF or SGE pick",
    )
    group.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="address or scheduler file of a Dask scheduler, whose workers pick",
    )
    return group


def _pick(options: argparse.Namespace) -> int:
    settings = make_settings(PickSettings, vars(options))
    micrographs = find(options)
    if options.fit_only:
        return _fit(options, micrographs, settings)
    if options.part:
        return _pick_part(options, micrographs, settings)
    with chosen_executor(options) as executor:
        result = engine.pick(
            micrographs,
            options.model,
            options.output,
            settings,
            options.device,
            options.threads,
            report=not options.no_report,
            workers=options.workers,
            executor=executor,
            masks=options.masks,
        )
    print(result.summary())
    return report_failures(result.failures, len(micrographs), options.failures)


def _fit(
    options: argparse.Namespace, micrographs: List[engine.Micrograph], settings: PickSettings
) -> int:
    path = engine.fit(
        micrographs, options.output, settings, options.model, options.device, options.threads
    )
    print(f"The fitted model is {path}")
    return SUCCESS


def _part(text: str) -> str:
    """Take a part such as 3/16.

    Raises:
        ArgumentTypeError: it is written otherwise.
    """
    if not re.fullmatch("[0-9]+/[0-9]+", text):
        raise argparse.ArgumentTypeError(f"{text!r}: give 3/16 for the third of sixteen shares")
    return text


def _pick_part(
    options: argparse.Namespace, micrographs: List[engine.Micrograph], settings: PickSettings
) -> int:
    number, count = map(int, options.part.split("/"))
    result = engine.pick_part(
        engine.Part(number, count),
        micrographs,
        options.model,
        options.output,
        settings,
        options.device,
        options.threads,
        options.workers,
    )
    print(result.summary())
    return report_failures(result.failures, result.micrographs, options.failures)


def chosen_executor(options: argparse.Namespace) -> ContextManager[Optional[engine.Executor]]:
    """Return what scores on other computers, if these are asked for."""
    if options.cluster:
        return engine.start_cluster(options.cluster, options.workers, options.device).opened()
    if options.scheduler:
        return engine.connect(options.scheduler, options.device).opened()
    return nullcontext()
