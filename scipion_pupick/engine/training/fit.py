# SPDX-License-Identifier: GPL-3.0-or-later
"""Training a network on labelled working images, epoch by epoch, so that it can be continued."""

from __future__ import annotations

from typing import Callable, Optional

from ..networks.architectures import Network
from .batches import TILES
from .loop import STEPS_PER_EPOCH, Trainer
from .objectives import FEW_LABELS
from .prior import fresh_network, start_scores, with_prior
from .progress import Progress
from .pu_loss import PuLoss, make_teacher
from .task import TrainingTask
from .validation import validate

_STEPS_OF_FEW, _TILES_OF_FEW = 25, 4


def fit(
    task: TrainingTask,
    progress: Optional[Progress] = None,
    after_epoch: Callable[[Progress], None] = lambda progress: None,
) -> Progress:
    """Train and choose the epoch of the second half with the best held-out score.

    Earlier epochs do not count: at a high learning rate scores jump, and the luckiest jump is not
    the best network.

    Every random choice follows from the seed and the epoch's number, so training that continues
    from any epoch's progress ends with the same weights as training that was never stopped.

    Args:
        task: what to train on, and how.
        progress: of the same training, to continue from.
        after_epoch: called with the progress after each epoch.

    Returns:
        The progress after the last epoch.

    Raises:
        PupickError: the objective stopped being finite.
    """
    pi = task.pi
    if task.start is None:
        network, teacher = fresh_network(task.settings, pi), None
    else:
        scores = task.start_scores
        if scores is None:
            scores = start_scores(task.start, task.images, task.device)
        network = with_prior(task.start, scores, pi)
        teacher = make_teacher(network, task)
    loss = PuLoss(task, network.field, network.step, teacher)

    def validate_average(average: Network) -> float:
        return validate(average, task)

    trainer = Trainer(network, loss, validate_average, pi, task.settings, task.device)
    return trainer.run(progress, after_epoch)


def usual_steps(labels: int, trained_before: bool) -> int:
    """Return the batches of an epoch: half as many where few labels adjust a trained network.

    With 10 and 100 labels, twice as many found no more particles
    (docs/decisions/001-length-of-training.md).
    """
    return _STEPS_OF_FEW if _adjusts(labels, trained_before) else STEPS_PER_EPOCH


def first_epochs(labels: int, trained_before: bool) -> int:
    """Return the epochs of the short training that the number of particles is estimated with.

    Two are enough where few labels adjust a trained network
    (docs/decisions/026-smaller-batches.md).
    """
    return 2 if _adjusts(labels, trained_before) else 3


def usual_tiles(labels: int, trained_before: bool) -> int:
    """Return the mosaics, and the tiles, of a batch: half as many where few labels adjust one.

    With 1000 labels, half as many cost much (docs/decisions/026-smaller-batches.md).
    """
    return _TILES_OF_FEW if _adjusts(labels, trained_before) else TILES


def usual_faintest(labels: int, negatives: int, trained_before: bool) -> float:
    """Return the lowest share of its contrast that a labelled patch keeps.

    Many picks with others that were rejected are what a picker had found, and so the clear ones:
    half of it teaches to find fainter ones
    (docs/decisions/041-fainter-copies-of-selected-particles.md).
    """
    return 0.5 if negatives and trained_before and labels > FEW_LABELS else 1.0


def _adjusts(labels: int, trained_before: bool) -> bool:
    """Whether few labels adjust a trained network."""
    return trained_before and labels <= FEW_LABELS
