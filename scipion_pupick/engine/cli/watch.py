# SPDX-License-Identifier: GPL-3.0-or-later
"""`pupick watch`."""

from __future__ import annotations

import argparse
from typing import Any

from scipion_pupick import engine

from ..settings import PickSettings, WatchSettings, make_settings
from .options import SUCCESS, add_command, add_settings, report_failures
from .pick import add_computers, add_picking, chosen_executor


def add_watch(commands: Any) -> None:
    """Add the command."""
    text = "Pick micrographs as they come in, until told to stop."
    parser = add_command(commands, "watch", text, _watch)
    add_picking(parser)
    add_settings(parser, WatchSettings)
    add_computers(parser)


def _watch(options: argparse.Namespace) -> int:
    until = make_settings(WatchSettings, vars(options))
    with chosen_executor(options) as executor:
        result = engine.watch(
            options.micrographs,
            options.model,
            options.output,
            make_settings(PickSettings, vars(options)),
            until,
            options.pixel_size,
            options.device,
            options.threads,
            options.workers,
            report=not options.no_report,
            executor=executor,
            masks=options.masks,
        )
    if result is None:
        print("No micrograph has come.")
        return SUCCESS
    print(result.summary())
    total = len(result.picks) + len(result.failures)
    return report_failures(result.failures, total, options.failures)
