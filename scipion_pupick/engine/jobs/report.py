# SPDX-License-Identifier: GPL-3.0-or-later
"""Write a report: one HTML file to look at picks and to choose a threshold."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import List, Optional, Tuple

import torch

from ..coordinates import Picks, read_picks
from ..device import choose_device, set_threads
from ..errors import PupickError, UsageError
from ..files.atomic import PathLike, write_text
from ..files.json_files import read_json
from ..networks.model import Model, load_model
from ..networks.training_record import TrainingRecord
from ..picker import Picker
from ..preprocessing.scale import WorkingScale
from ..reporting.contents import pick_page, train_page
from ..reporting.page import Page, render
from ..reporting.pictures import View
from ..runs.layout import LABELS, MODEL, REPORT, TRAINING_LOG, VIEW
from ..runs.lists import read_micrographs
from ..runs.pick_run import PickRun, holds_pick_run, read_pick_run
from ..settings import PickSettings

log = logging.getLogger(__name__)


def report(
    run: PathLike,
    output: Optional[PathLike] = None,
    reference: Optional[Picks] = None,
    device: str = "auto",
    threads: int = 0,
) -> Path:
    """Write the report of a run of picking or training, finished or not.

    Args:
        run: folder that `pick` or `train` has written to.
        output: file to write; None for `report.html` in the folder.
        reference: known particles to show, px; None for the labels that the model was trained on.
        device: see `device.choose_device`.
        threads: see `device.set_threads`.

    Returns:
        The file.

    Raises:
        UsageError: there is no such run.
        PupickError: a file of the run is damaged.
        OSError: the report cannot be written.
    """
    set_threads(threads)
    path = Path(run) / REPORT if output is None else Path(output)
    _write(Path(run), path, reference, choose_device(device))
    return path


def try_report(run: PathLike, device: torch.device) -> None:
    """Write the report of a run that has ended well, which it can do without."""
    try:
        _write(Path(run), Path(run) / REPORT, None, device)
    except (PupickError, OSError) as error:
        log.warning("There is no report of %s: %s", run, error)


def _write(folder: Path, path: Path, reference: Optional[Picks], device: torch.device) -> None:
    if holds_pick_run(folder):
        page = _of_picking(read_pick_run(folder), reference, device)
    elif (folder / TRAINING_LOG).is_file() or (folder / MODEL).is_file():
        page = _of_training(folder, reference)
    else:
        raise UsageError(
            f"{folder} holds neither picks nor a training: give the folder that `pupick pick` or "
            "`pupick train` has written to."
        )
    write_text(path, render(page))


def _of_picking(run: PickRun, reference: Optional[Picks], device: torch.device) -> Page:
    model, notices = _model_of(run)
    known, what = reference, "reference"
    if known is None:
        known, what = _labels(run.model.parent), "labels"
    return pick_page(run, _view(run, model, device), known, what, notices)


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
    scale = WorkingScale(run.diameter)
    if model is None:
        return View(scale)
    picker = Picker.of_model(model, PickSettings(diameter=run.diameter), device)
    return View(picker.scale, picker)


def _labels(folder: Path) -> Picks:
    """Read the labels of the training that a folder holds, if it does."""
    return read_picks(folder / LABELS) if (folder / LABELS).is_file() else {}


def _of_training(folder: Path, reference: Optional[Picks]) -> Page:
    micrographs = read_micrographs(folder)
    labels = _labels(folder) if reference is None else reference
    training: Optional[TrainingRecord] = None
    scale, notices = WorkingScale(1.0), []
    if (folder / MODEL).is_file():
        model = load_model(folder / MODEL)
        training, scale = model.training, model.scale.of(None)
    else:
        if (folder / VIEW).is_file():
            view = read_json(folder / VIEW)
            scale = WorkingScale(view["diameter"], view["diameter_px"])
        notices = ["This training has not ended. Call the same command again to continue."]
    return train_page(folder, training, micrographs, labels, View(scale), notices)
