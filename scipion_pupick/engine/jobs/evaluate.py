# SPDX-License-Identifier: GPL-3.0-or-later
"""Compare picks, or the scores of all regions, with reference particles."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Optional, Sequence

import numpy as np

from ..coordinates import Picks
from ..coordinates.assign_picks import assign_to_micrographs
from ..device import choose_device, memory_errors_explained, set_threads
from ..errors import UsageError
from ..evaluation.curves import region_average_precision
from ..evaluation.evaluate import Evaluation, evaluate_picks, write_table
from ..files.atomic import PathLike
from ..micrographs import Micrograph, image_shape
from ..networks.architectures import STRIDE
from ..networks.model import load_model
from ..networks.scoring import make_scorer
from ..picking.border import inside_span
from ..preprocessing.scale import to_working
from ..preprocessing.working_image import prepare
from ..reporting.plots import check_figure_file, draw_precision_recall
from ..settings import OptimizerSettings
from ..training.regions import POSITIVE, label_map

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
    if plot is not None:
        check_figure_file(plot)
    named = micrographs or [Micrograph(Path(name), name) for name in reference]
    particles = assign_to_micrographs(reference, named, "reference particles")
    found = assign_to_micrographs(picks, named, "picks")
    shapes = {m.name: image_shape(m.path) for m in named if m.name in particles and border > 0}
    if picks and particles and not found:
        raise UsageError("The picks and the reference have no micrograph in common.")
    if found and particles and not found.keys() & particles.keys():
        log.warning("No pick is of a micrograph that has reference particles.")
    evaluation = evaluate_picks(found, particles, tolerance, border, shapes)
    if table is not None:
        write_table(evaluation, table)
    if plot is not None:
        draw_precision_recall({"picks": evaluation}, plot)
    return evaluation


@memory_errors_explained()
def evaluate_regions(
    model: PathLike,
    reference: Picks,
    micrographs: Sequence[Micrograph],
    training_radius: float = OptimizerSettings().training_radius,
    border: float = 0.0,
    device: str = "auto",
    threads: int = 0,
) -> float:
    """Average precision over regions, the paper's measure (Methods 8).

    A region is positive if its centre lies within the training radius of a particle. Every fourth
    region of every fourth row of the working images counts. Values are far below those over
    particles, because a region just outside a disc looks like one just inside.

    Args:
        model: path of a model file.
        reference: particles that are there, px of the micrographs.
        micrographs: the reference's.
        training_radius: of the discs, px of the working image.
        border: regions nearer to the micrograph's edge are left out, px of the micrograph.
        device: see `device.choose_device`.
        threads: see `device.set_threads`.

    Raises:
        UsageError: the model cannot be used, or no particle lies in the micrographs.
        MicrographError: a micrograph cannot be used.
        PupickError: the memory does not suffice.
    """
    loaded = load_model(model)
    if loaded.scale.diameter is None:
        raise UsageError(
            f"{model} is for any diameter: give a trained model, or the one that picking has "
            "fitted to the micrographs (adapted.safetensors in its folder)."
        )
    set_threads(threads)
    scorer = make_scorer(loaded.network, choose_device(device))
    scores, positive = [], []
    for name, particles in assign_to_micrographs(
        reference, micrographs, "reference particles"
    ).items():
        micrograph = next(m for m in micrographs if m.name == name)
        working = prepare(micrograph, loaded.scale.of(), loaded.normalisation, loaded.mixture)
        shape = (working.image.shape[0], working.image.shape[1])
        xy = to_working(particles.xy, working.shape, shape)
        labels = label_map(shape, xy, training_radius, training_radius)[::STRIDE, ::STRIDE]
        borders = border / (np.array(working.shape) / shape)
        inside = np.ix_(
            *(
                inside_span(np.arange(0, size, STRIDE), border_px, size)
                for size, border_px in zip(shape, borders.tolist())
            )
        )
        scores.append(scorer(working.image[None])[0][inside].ravel())
        positive.append((labels == POSITIVE)[inside].ravel())
    if not scores:
        raise UsageError("There is no reference particle in the micrographs given.")
    return region_average_precision(np.concatenate(scores), np.concatenate(positive))
