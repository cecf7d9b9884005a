# SPDX-License-Identifier: GPL-3.0-or-later
"""Compare picks, or the scores of all regions, with reference particles."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Optional, Sequence

from ..coordinates import Picks
from ..coordinates.assign_picks import assign_to_micrographs
from ..coordinates.rescale import rescale_to_others
from ..errors import UsageError
from ..evaluation.evaluate import Evaluation, evaluate_picks, write_table
from ..files.atomic import PathLike
from ..micrographs import Micrograph, image_shape
from ..reporting.plots import check_figure_file, draw_evaluation

log = logging.getLogger(__name__)


def evaluate(
    picks: Picks,
    reference: Picks,
    tolerance: float,
    border: float = 0.0,
    micrographs: Optional[Sequence[Micrograph]] = None,
    table: Optional[PathLike] = None,
    plot: Optional[PathLike] = None,
) -> Evaluation:
    """Compare picks with reference particles, matched one to one within a tolerance.

    Picks whose file states the pixel size of another image than the reference's are converted.

    Args:
        picks: scored, px of the micrographs.
        reference: particles that are there, in the same form; names need not be written alike.
        tolerance: largest distance of a pick from its particle, px; 0.4 diameters are usual.
        border: what lies nearer to the micrograph's edge is left out, px.
        micrographs: the reference's, needed with a border for their sizes.
        table: file for precision, recall and F1 by threshold (TSV).
        plot: file for the precision-recall curve, and for precision, recall and F1 by threshold
            (.png, .svg, .pdf); needs matplotlib.

    Raises:
        UsageError: nothing can be compared, or an argument makes no sense.
        OSError: a file cannot be written.
    """
    if border > 0 and not micrographs:
        raise UsageError("A border needs the size of the micrographs: give them.", "micrographs")
    if plot is not None:
        check_figure_file(plot)
    named = micrographs or [Micrograph(Path(name), name) for name in reference]
    particles = assign_to_micrographs(reference, named, "reference particles")
    found = assign_to_micrographs(picks, named, "picks")
    picks_by_name = rescale_to_others(found, particles, "picks")
    shapes = {m.name: image_shape(m.path) for m in named if m.name in particles and border > 0}
    if picks and particles and not picks_by_name:
        raise UsageError("The picks and the reference have no micrograph in common.")
    if picks_by_name and particles and not picks_by_name.keys() & particles.keys():
        log.warning("No pick is of a micrograph that has reference particles.")
    evaluation = evaluate_picks(picks_by_name, particles, tolerance, border, shapes)
    skipped = {n: len(picks_by_name[n]) for n in evaluation.skipped if len(picks_by_name[n])}
    if skipped:
        log.warning(
            "%d picks of %d micrographs, such as %s, do not count: the reference has none there.",
            sum(skipped.values()),
            len(skipped),
            next(iter(skipped)),
        )
    if table is not None:
        write_table(evaluation, table)
    if plot is not None:
        draw_evaluation(evaluation, plot)
    return evaluation
