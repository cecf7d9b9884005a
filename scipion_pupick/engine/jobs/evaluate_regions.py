# SPDX-License-Identifier: GPL-3.0-or-later
"""Compare the scores of all regions with reference particles, the paper's measure."""

from __future__ import annotations

from typing import Sequence

import numpy as np

from ..coordinates import Picks
from ..coordinates.assign_picks import assign_to_micrographs
from ..device import memory_errors_explained, use_device
from ..errors import UsageError
from ..evaluation.curves import region_average_precision
from ..files.atomic import PathLike
from ..micrographs import Micrograph
from ..networks.model import load_model
from ..picker import Picker
from ..picking.border import grid_inside
from ..picking.score_places import ScorePlaces
from ..preprocessing.scale import to_working
from ..settings import OptimizerSettings, PickSettings
from ..training.regions import positive_map


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
    region of every fourth row of the working images counts, or every second where a network scores
    these. Values are far below those over
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
    picker = Picker.of_model(loaded, PickSettings(), use_device(device, threads))
    scores, positive = [], []
    by_name = assign_to_micrographs(reference, micrographs, "reference particles")
    for micrograph in (m for m in micrographs if m.name in by_name):
        working = picker.prepare(micrograph)
        shape = working.working_shape
        xy = to_working(by_name[micrograph.name].xy, working.shape, shape)
        borders = border / (np.array(working.shape) / shape)
        score_map = picker.scores(working.image[None])[0]
        places = [ScorePlaces.of_map(score_map.shape, shape).along(size) for size in shape]
        inside = grid_inside(borders.tolist(), shape, places)
        scores.append(score_map[inside].ravel())
        rows, columns = (
            np.clip(along, 0, size - 1).astype(int) for along, size in zip(places, shape)
        )
        near = positive_map(shape, xy, training_radius)[np.ix_(rows, columns)]
        positive.append(near[inside].ravel())
    if not scores:
        raise UsageError("There is no reference particle in the micrographs given.")
    return region_average_precision(np.concatenate(scores), np.concatenate(positive))
