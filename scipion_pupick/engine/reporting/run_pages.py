# SPDX-License-Identifier: GPL-3.0-or-later
"""The page of a run, from its folder: what the model saw, and against what it is shown."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, List, Optional, Tuple

from ..coordinates import Picks
from ..errors import UsageError
from ..networks.model_file import read_model_file
from ..preprocessing.scale import ANGSTROM, WorkingScale
from ..runs.lists import read_micrographs
from ..runs.pick_run import PickRun
from ..runs.train_folder import read_labels, read_scale, read_trained_model
from ..settings import PickSettings
from .contents import KNOWN, TRAINED_ON, pick_page, train_page
from .page import Page
from .pictures import View

if TYPE_CHECKING:
    # PyTorch, which makes nothing here but score maps
    import torch


def page_of_picking(
    run: PickRun, reference: Optional[Picks], device: Optional[torch.device]
) -> Page:
    """Make the page of a picking run.

    Args:
        run: finished or not.
        reference: particles to show, px; None for the labels that the model was trained on.
        device: to make score maps of the micrographs that are shown on; None for no score maps.
    """
    view, notices = _view(run) if device is None else _view_with_maps(run, device)
    if reference is None:
        return pick_page(run, view, read_labels(run.model.parent), TRAINED_ON, notices)
    return pick_page(run, view, reference, KNOWN, notices)


def _view(run: PickRun) -> Tuple[View, List[str]]:
    """Look at micrographs at the scale of the model, without its scores."""
    try:
        model = read_model_file(run.model)
    except UsageError as error:
        return View(WorkingScale(run.diameter)), [f"The model cannot be read: {error}"]
    return View(model.scale.of(run.diameter)), []


def _view_with_maps(run: PickRun, device: torch.device) -> Tuple[View, List[str]]:
    """Look as the model does, unless it is gone or another stands in its place."""
    from ..networks.model import load_model
    from ..picker import Picker
    from ..preprocessing.fourier_crop import downsample

    without = View(WorkingScale(run.diameter))
    path = run.model
    try:
        model = load_model(path)
    except UsageError as error:
        return without, [f"There are no score maps, for the model cannot be read: {error}"]
    if run.record.get("digest") != model.digest:
        return without, [f"There are no score maps, for {path} is another model by now."]
    picker = Picker.of_model(model, PickSettings(diameter=run.diameter), device)
    own = View(picker.scale, picker.normalisation, picker.mixture, picker.scores)
    return replace(own, resample=downsample), []


def page_of_training(folder: Path, reference: Optional[Picks]) -> Page:
    """Make the page of a training, finished or not.

    Args:
        folder: of the training.
        reference: particles to show, px; None for the labels that were trained on.
    """
    micrographs = read_micrographs(folder)
    labels, what = (read_labels(folder), TRAINED_ON) if reference is None else (reference, KNOWN)
    model = read_trained_model(folder)
    if model is not None:
        view = View(model.scale.of(None, model.scale.unit or ANGSTROM))
        return train_page(folder, model.training, micrographs, labels, what, view, [])
    view = View(read_scale(folder) or WorkingScale(1.0))
    notice = "This training has not ended. Call the same command again to continue."
    return train_page(folder, None, micrographs, labels, what, view, [notice])
