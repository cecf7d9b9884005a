# SPDX-License-Identifier: GPL-3.0-or-later
"""`pupick train`."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Mapping, Optional, Sequence

from scipion_pupick import engine

from ..coordinates import FORMATS
from ..coordinates.assign_picks import join_in_micrographs
from ..errors import UsageError
from ..runs.layout import MODEL
from ..settings import GENERAL, CorrectionSettings, PicksSettings, TrainSettings, make_settings
from .options import (
    add_command,
    add_computer,
    add_failures,
    add_micrographs,
    add_output,
    add_picks_settings,
    add_settings,
    find,
    given_settings,
    read_picks,
    read_unfiltered,
    report_failures,
)

# stands for the model that suits what is trained on
_UNSAID = ""


def add_train(commands: Any) -> None:
    """Add the command."""
    parser = add_command(commands, "train", "Train a model on micrographs and picks.", _train)
    add_micrographs(parser, required=False)
    parser.add_argument(
        "--picks",
        nargs="+",
        metavar="FILE",
        help=f"hand picks, or selected particles: files ({', '.join(FORMATS)}) or a folder of them",
    )
    add_output(parser, "folder for the model, its log and checkpoint; a stopped run continues")
    add_failures(parser)
    parser.add_argument(
        "--overwrite", action="store_true", help="forget another training in the same folder"
    )
    parser.add_argument(
        "--negatives", nargs="+", metavar="FILE", help="places that hold no particle, as --picks"
    )
    parser.add_argument(
        "--selected-from",
        nargs="+",
        metavar="JOB",
        help="RELION's 2D classification that the picks were selected from, folder or data STAR "
        "file: particles of rejected classes are negatives",
    )
    _add_corrected(parser.add_argument_group("corrected picks"))
    _add_start(parser.add_mutually_exclusive_group())
    add_picks_settings(parser)
    add_settings(parser, TrainSettings, optional=("diameter",))
    add_computer(parser)


def _add_corrected(group: Any) -> None:
    group.add_argument(
        "--corrected",
        metavar="FOLDER",
        help="picking run whose picks were corrected, or folder of those that suggest has written: "
        "its model learns what was removed and added; "
        "its micrographs and diameter are taken where none are given",
    )
    group.add_argument(
        "--corrections",
        nargs="+",
        metavar="FILE",
        help="the corrected picks, as --picks; default: corrections.json of the run, or its files "
        "of coordinates as they are now",
    )
    add_settings(group, CorrectionSettings)


def _add_start(group: Any) -> None:
    group.add_argument(
        "--start",
        metavar="MODEL",
        default=_UNSAID,
        help="model to start from; default: the general one that comes with pupick, or the one "
        "whose picks were corrected",
    )
    group.add_argument(
        "--from-scratch",
        action="store_const",
        dest="start",
        const=None,
        help="start from random weights, as the paper does",
    )


def _train(options: argparse.Namespace) -> int:
    request = _request(options)
    model = engine.train(
        request.micrographs,
        request.picks,
        options.output,
        make_settings(TrainSettings, request.settings),
        negatives=request.negatives,
        start=request.start,
        overwrite=options.overwrite,
        device=options.device,
        threads=options.threads,
    )
    print(f"Model written to {Path(options.output) / MODEL}")
    failures = model.training.failed_micrographs
    return report_failures(failures, len(request.micrographs), options.failures)


@dataclass(frozen=True)
class _Request:
    """What is trained on, from where, and how."""

    micrographs: Sequence[engine.Micrograph]
    picks: engine.Picks
    negatives: Optional[engine.Picks]
    start: Optional[str]
    settings: Mapping[str, Any]


def _request(options: argparse.Namespace) -> _Request:
    """Read what the options name, and take the rest from the run that was corrected."""
    _refuse_missing(options)
    picks = [read_picks(options, options.picks)] if options.picks else []
    negatives = [read_unfiltered(options, options.negatives)] if options.negatives else []
    if options.selected_from:
        chosen = make_settings(PicksSettings, vars(options))
        sources = options.picks, options.selected_from, options.pixel_size
        negatives.append(engine.read_rejected(*sources, chosen))
    usual = GENERAL
    settings = given_settings(options)
    micrographs = find(options) if options.micrographs else []
    if options.corrected:
        corrected = _corrected_run(options)
        picks.append(corrected.particles)
        negatives.append(corrected.negatives)
        usual = str(corrected.run.model)
        settings = corrected.settings_with(settings)
        micrographs = micrographs or list(corrected.run.micrographs)
    return _Request(
        micrographs,
        join_in_micrographs(picks, micrographs, "picks"),
        join_in_micrographs(negatives, micrographs, "negatives") if negatives else None,
        usual if options.start == _UNSAID else options.start,
        settings,
    )


def _corrected_run(options: argparse.Namespace) -> engine.CorrectedRun:
    corrected = read_unfiltered(options, options.corrections) if options.corrections else None
    settings = make_settings(CorrectionSettings, vars(options))
    return engine.read_corrected_run(options.corrected, corrected, settings)


def _refuse_missing(options: argparse.Namespace) -> None:
    """Refuse arguments of which one needs another.

    Raises:
        UsageError: one is missing.
    """
    if not options.corrected:
        names = ("micrographs", "picks", "diameter")
        missing = [name for name in names if getattr(options, name) is None]
        if missing:
            raise UsageError(
                "Micrographs, picks and a diameter have to be given, unless a run whose picks were "
                "corrected is; the missing ones follow.",
                setting=missing,
            )
        if options.corrections:
            raise UsageError(
                "Corrected picks need the run that had picked.",
                setting=("corrections", "corrected"),
            )
        if make_settings(CorrectionSettings, vars(options)) != CorrectionSettings():
            raise UsageError(
                "Which micrographs are done is said of corrected picks: name the run that had "
                "picked.",
                setting=("done", "corrected"),
            )
    if options.selected_from and not options.picks:
        raise UsageError(
            "The selected particles have to be given, too.", setting=("selected_from", "picks")
        )
