# SPDX-License-Identifier: GPL-3.0-or-later
"""Write a report: one HTML file to look at picks and to choose a threshold."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Optional

from ..coordinates import Picks
from ..errors import UNFORESEEN, UsageError
from ..files.atomic import PathLike, write_text
from ..reporting.page import render
from ..reporting.run_pages import page_of_picking, page_of_training
from ..runs.layout import REPORT
from ..runs.pick_run import holds_pick_run, read_pick_run
from ..runs.train_folder import holds_training

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)


def report(
    run: PathLike,
    output: Optional[PathLike] = None,
    reference: Optional[Picks] = None,
    device: str = "auto",
    threads: int = 0,
    score_maps: bool = True,
) -> Path:
    """Write the report of a run of picking or training, finished or not.

    Args:
        run: folder that `pick` or `train` has written to.
        output: file to write; None for `report.html` in the folder.
        reference: known particles to show, px; None for the labels that the model was trained on.
        device: see `device.choose_device`.
        threads: see `device.set_threads`.
        score_maps: show score maps of some micrographs; PyTorch is loaded for nothing else.

    Returns:
        The file.

    Raises:
        UsageError: there is no such run.
        PupickError: a file of the run is damaged.
        OSError: the report cannot be written.
    """
    path = Path(run) / REPORT if output is None else Path(output)
    scored_on = _device(device, threads) if score_maps and holds_pick_run(Path(run)) else None
    _write(Path(run), path, reference, scored_on)
    return path


def _device(name: str, threads: int) -> torch.device:
    from ..device import use_device

    return use_device(name, threads)


def try_report(run: PathLike, device: Optional[torch.device] = None) -> None:
    """Write the report of a run that has ended well, which it can do without.

    Args:
        run: folder of the run.
        device: to make score maps on; None for none.
    """
    try:
        _write(Path(run), Path(run) / REPORT, None, device)
    except UNFORESEEN as error:
        log.warning("There is no report of %s: %s", run, str(error) or repr(error))


def _write(
    folder: Path, path: Path, reference: Optional[Picks], device: Optional[torch.device]
) -> None:
    if holds_pick_run(folder):
        page = page_of_picking(read_pick_run(folder), reference, device)
    elif holds_training(folder):
        page = page_of_training(folder, reference)
    else:
        raise UsageError(
            f"{folder} holds neither picks nor a training: give the folder that `pupick pick` or "
            "`pupick train` has written to."
        )
    write_text(path, render(page))
