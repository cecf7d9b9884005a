# SPDX-License-Identifier: GPL-3.0-or-later
"""Sentences for summaries: how good picks are expected to be, which micrographs are out of line,
and what a model was fitted to.

The engine has worked the numbers out; here they get words.
"""

from __future__ import annotations

from pathlib import PurePath
from typing import List, Mapping

from ..engine import PickRun, PupickError, WorkingScale, read_out_of_line, show_model
from ..engine.settings import GENERAL

MOST_NAMED = 5  # micrographs


def expected_quality(estimate: Mapping[str, float]) -> str:
    """Word an estimate of the engine, with its 95 % intervals; empty where there is none."""
    if not estimate:
        return ""
    precision, recall = (_share(estimate, name) for name in ("precision", "recall"))
    return f"expected precision {precision}, recall {recall}"


def _share(estimate: Mapping[str, float], name: str) -> str:
    value, low, high = (100 * estimate[key] for key in (name, f"{name}_low", f"{name}_high"))
    return f"{value:.0f} % ({low:.0f} to {high:.0f} %)"


def out_of_line_lines(run: PickRun) -> List[str]:
    """Name micrographs of a run that are unlike those round them, the first few; none where it is
    not known which are.
    """
    try:
        found = read_out_of_line(run.folder)
    except (PupickError, OSError):
        return []
    if not found:
        return []
    named = [f"{PurePath(name).name} ({numbers})" for name, numbers in found.items()]
    more = [f"{len(named) - MOST_NAMED} more"] if len(named) > MOST_NAMED else []
    are = "micrograph is" if len(named) == 1 else "micrographs are"
    return [f"{len(named)} {are} out of line: {'; '.join(named[:MOST_NAMED] + more)}."]


def run_lines(run: PickRun) -> List[str]:
    """Say what a picking run expects of its picks, and to what the general model was fitted."""
    estimate = run.record.get("estimate", {})
    if not run.finished or not run.record.get("picks") or not estimate:
        return _fit_lines(run)
    quality = expected_quality(estimate)
    lines = [f"{quality[0].upper()}{quality[1:]}; in brackets, 95 % intervals."]
    if run.training.general:
        lines.append("This is a rough guide: the general model has seen none of your particles.")
    return lines + _fit_lines(run)


def _fit_lines(run: PickRun) -> List[str]:
    """Say as what particles the general model has found those of a run."""
    if not run.training.general or not run.adapted_model.exists():
        return []
    fitted, general = show_model(run.adapted_model), show_model(GENERAL)
    scale = WorkingScale(fitted["diameter"], fitted["diameter_px"])
    seen_as = scale.seen_as(general["diameter_px"])
    number = run.training.micrographs
    contrast = "bright" if run.training.bright_particles else "dark"
    plural = "" if number == 1 else "s"
    return [
        f"Fitted to {number} micrograph{plural}: particles are {contrast} and look "
        f"{seen_as:.0f} Å wide ({fitted['diameter']:g} Å given)."
    ]
