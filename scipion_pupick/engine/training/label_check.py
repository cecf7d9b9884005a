# SPDX-License-Identifier: GPL-3.0-or-later
"""Labels that cannot be right are found before anything is trained on them.

The general model has seen none of them, so it tells whether there are particles where they lie.
"""

from __future__ import annotations

import logging
from typing import Iterator, List, Optional, Sequence, Tuple

import torch

from ..adaptation.contrast import fit_contrast
from ..adaptation.scale import read_usable
from ..coordinates import Picks
from ..coordinates.transform import PickTransform
from ..errors import UsageError
from ..micrographs import Micrograph, Shape
from ..networks.model import Model, load_model
from ..networks.scoring import make_picking_scorer
from ..picking.score_places import coarse
from ..preprocessing.scale import WorkingScale
from ..settings import GENERAL, MIRRORS, LabelSettings
from .label_fit import CHANCE, Fit, RankedMicrograph, fit_labels, local_ranks
from .start import Start

log = logging.getLogger(__name__)

_MOST_OUTSIDE = 0.5
_ENOUGH_TO_DOUBT = 25
_ENOUGH_LABELS, _ENOUGH_MICROGRAPHS, _MOST_MICROGRAPHS = 100, 3, 8


def check_labels(
    labels: Picks, micrographs: Sequence[Micrograph], start: Start, device: torch.device
) -> None:
    """Refuse labels that cannot be right, or warn of them if the settings say so.

    At most eight micrographs are scored: those with the most labels.

    Args:
        labels: particles by the names of their micrographs, px of these.
        micrographs: with labels.
        start: of the training, fitted to the micrographs if it is the general model.
        device: to score on.

    Raises:
        UsageError: most labels lie outside, or they would fit clearly better otherwise.
    """
    check = start.settings.labels.check_picks
    if check == "off":
        return
    general, scale = _general_model(start, micrographs, device)
    ranked, pixel_size = _ranked(labels, micrographs, general, scale, device)
    if not ranked:
        return
    fit = fit_labels(ranked, scale.diameter / pixel_size, pixel_size)
    finding = describe(fit, start.settings.labels, ranked[0].shape)
    if finding is not None and check == "stop":
        raise finding
    if finding is not None:
        log.warning("%s", finding)
    elif fit.labels >= _ENOUGH_TO_DOUBT and fit.is_chance:
        log.warning(
            "At %d picks the general model scores no higher than round them: do picks and "
            "micrographs belong together? Picks of particles that it cannot see may be right.",
            fit.labels,
        )


def _general_model(
    start: Start, micrographs: Sequence[Micrograph], device: torch.device
) -> Tuple[Model, WorkingScale]:
    """Return the general model and the scale to score at, as they are fitted already if they are.

    Another start is not asked: a model that learned from wrong labels would find them right.
    """
    if start.model is not None and start.is_general:
        return start.model, start.scale
    general = load_model(GENERAL)
    scale = general.scale.of(start.settings.diameter)
    return fit_contrast(general, scale, micrographs, device).general, scale


def _ranked(
    labels: Picks,
    micrographs: Sequence[Micrograph],
    general: Model,
    scale: WorkingScale,
    device: torch.device,
) -> Tuple[List[RankedMicrograph], float]:
    """Rank the places of a few micrographs, and return the pixel size (Å/px) of one of them."""
    scorer = make_picking_scorer(general.network, device)
    ranked, pixel_size = [], 1.0
    for micrograph, working in read_usable(general, scale, [*_to_look_at(labels, micrographs)]):
        score_map = coarse(scorer(working.image[None])[0], working.working_shape)
        ranks = local_ranks(score_map, scale.diameter_px)
        xy = labels[micrograph.name].xy
        ranked.append(RankedMicrograph(ranks, working.shape, working.working_shape, xy))
        pixel_size = working.pixel_size
    return ranked, pixel_size


def _to_look_at(labels: Picks, micrographs: Sequence[Micrograph]) -> Iterator[Micrograph]:
    """Choose the micrographs with the most labels, as many as are needed."""
    count = 0
    by_labels = sorted(micrographs, key=lambda micrograph: -len(labels[micrograph.name]))
    for i, micrograph in enumerate(by_labels[:_MOST_MICROGRAPHS]):
        if i >= _ENOUGH_MICROGRAPHS and count >= _ENOUGH_LABELS:
            return
        yield micrograph
        count += len(labels[micrograph.name])


def describe(fit: Fit, settings: LabelSettings, shape: Shape) -> Optional[UsageError]:
    """Say what is wrong with labels and which settings mend it; None if nothing is known to be.

    Args:
        fit: of the labels.
        settings: of these labels.
        shape: (ny, nx) of one of their micrographs, px.
    """
    if fit.better is not None:
        return _would_fit(fit, fit.better, settings != LabelSettings(settings.check_picks))
    if fit.outside > _MOST_OUTSIDE * fit.labels:
        return UsageError(
            f"{_count_outside(fit)} (such as one of {shape[1]} x {shape[0]} px): they seem to be "
            "of other micrographs, or of the same ones binned in another way. Give the picks of "
            "these micrographs, or the factor by which the picks are scaled.",
            setting=("picks", "picks_scale", "check_picks"),
        )
    return None


def _count_outside(fit: Fit) -> str:
    return f"{fit.outside} of {fit.labels} picks looked at lie outside their micrographs"


def _would_fit(fit: Fit, better: PickTransform, are_set: bool) -> UsageError:
    outside = f" {_count_outside(fit)}." if fit.outside else ""
    beside = ", beside what is set for them already" if are_set else ""
    names, changes = zip(*_changes(better))
    return UsageError(
        f"The picks do not fit their micrographs.{outside} At the picks as they are, the general "
        f"model scores higher than at {fit.rank:.0%} of the places round them, where {CHANCE:.0%} "
        f"is chance; if one were to {' and '.join(changes)}, it would be {fit.best_rank:.0%}. "
        f"Change the picks so{beside}, or turn this check off if they are right as they are.",
        setting=(*names, "check_picks"),
    )


def _changes(transform: PickTransform) -> Iterator[Tuple[str, str]]:
    """List the settings that make up a transform, and in words what each does."""
    if transform.scale != 1:
        yield "picks_scale", f"scale them by {transform.scale:.4g}"
    if transform.swap:
        yield "picks_swap", "swap their x and y"
    if transform.mirror != "none":
        yield "picks_mirror", f"mirror them in {transform.mirror} ({MIRRORS[transform.mirror]})"
    for axis, shift in zip("xy", transform.shift):
        if shift:
            yield f"picks_shift_{axis}", f"shift their {axis} by about {shift:.0f} px"
