# SPDX-License-Identifier: GPL-3.0-or-later
"""Compare picks with reference particles."""

from __future__ import annotations

from pathlib import Path
from typing import Optional, Sequence

from ..coordinates import Picks
from ..errors import UsageError
from ..evaluation import Evaluation, evaluate_picks, plot_precision_recall, write_table
from ..files import PathLike
from ..matching import by_micrograph
from ..micrograph import Micrograph, image_shape


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

    Args:
        picks: scored, px of the micrographs.
        reference: particles that are there, in the same form; names need not be written alike.
        tolerance: largest distance of a pick from its particle, px; 0.4 diameters are usual.
        border: what lies nearer to the micrograph's edge is left out, px.
        micrographs: the reference's, needed with a border for their sizes.
        table: file for precision, recall and F1 by threshold (TSV).
        plot: file for the precision-recall curve (.png, .svg, .pdf); needs matplotlib.

    Raises:
        UsageError: nothing can be compared, or an argument makes no sense.
        OSError: a file cannot be written.
    """
    if border > 0 and not micrographs:
        raise UsageError("A border needs the size of the micrographs: give them (--micrographs).")
    named = micrographs or [Micrograph(Path(name), name) for name in reference]
    particles = by_micrograph(reference, named, "reference particles")
    found = by_micrograph(picks, named, "picks")
    shapes = {m.name: image_shape(m.path) for m in named if m.name in particles and border > 0}
    evaluation = evaluate_picks(found, particles, tolerance, border, shapes)
    if table is not None:
        write_table(evaluation, table)
    if plot is not None:
        plot_precision_recall({"picks": evaluation}, plot)
    return evaluation
