# SPDX-License-Identifier: GPL-3.0-or-later
"""The page of a run, from its folder: what the model saw, and against what it is shown."""

from __future__ import annotations

from pathlib import Path
from typing import List, Optional, Tuple

import torch

from ..coordinates import Picks
from ..errors import UsageError
from ..networks.model import Model, load_model
from ..picker import Picker
from ..preprocessing.scale import ANGSTROM, WorkingScale
from ..runs.lists import read_micrographs
from ..runs.pick_run import PickRun
from ..runs.train_run import read_labels, read_scale, read_trained_model
from ..settings import PickSettings
from .contents import pick_page, train_page
from .page import Page
from .pictures import View


def page_of_picking(run: PickRun, reference: Optional[Picks], device: torch.device) -> Page:
    """Make the page of a picking run.

    Args:
        run: finished or not.
        reference: particles to show, px; None for the labels that the model was trained on.
        device: to score the micrographs that are shown on.
    """
    model, notices = _model_of(run)
    view = _view(run, model, device)
    if reference is None:
        return pick_page(run, view, read_labels(run.model.parent), "labels", notices)
    return pick_page(run, view, reference, "reference", notices)


def _model_of(run: PickRun) -> Tuple[Optional[Model], List[str]]:
    """Load the model that a run has used, unless it is gone or another stands in its place."""
    path = run.model
    try:
        model = load_model(path)
    except UsageError as error:
        return None, [f"There are no score maps, for the model cannot be read: {error}"]
    if run.record.get("digest") != model.digest:
        return None, [f"There are no score maps, for {path} is another model by now."]
    return model, []


def _view(run: PickRun, model: Optional[Model], device: torch.device) -> View:
    if model is None:
        return View(WorkingScale(run.diameter))
    picker = Picker.of_model(model, PickSettings(diameter=run.diameter), device)
    return View(picker.scale, picker)


def page_of_training(folder: Path, reference: Optional[Picks]) -> Page:
    """Make the page of a training, finished or not.

    Args:
        folder: of the training.
        reference: particles to show, px; None for the labels that were trained on.
    """
    micrographs = read_micrographs(folder)
    labels = read_labels(folder) if reference is None else reference
    model = read_trained_model(folder)
    if model is not None:
        view = View(model.scale.of(None, model.scale.unit or ANGSTROM))
        return train_page(folder, model.training, micrographs, labels, view, [])
    view = View(read_scale(folder) or WorkingScale(1.0))
    notice = "This training has not ended. Call the same command again to continue."
    return train_page(folder, None, micrographs, labels, view, [notice])
