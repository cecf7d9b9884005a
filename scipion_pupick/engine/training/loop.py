# SPDX-License-Identifier: GPL-3.0-or-later
"""The loop round any objective: learning rate, moving average, best epoch, checkpoints."""

from __future__ import annotations

import copy
import math
from typing import Callable, Dict, List, Optional, Tuple

import numpy as np
import torch

from ..errors import PupickError
from ..networks.architectures import Network
from ..networks.scoring import to_channels_last
from ..networks.symmetry import is_symmetric, symmetrise_step
from ..settings import OptimizerSettings
from .progress import Epoch, Progress, State, network_of_state
from .step import StepLoss, TrainedModel

STEPS_PER_EPOCH = 50


class Trainer:
    """The loop round any objective: learning rate, moving average, best epoch, checkpoints.

    A network that is symmetric (`networks.symmetry`) stays so.
    """

    def __init__(
        self,
        network: Network,
        loss: Callable[[TrainedModel, np.random.Generator], StepLoss],
        validate: Callable[[Network], float],
        pi: float,
        settings: OptimizerSettings,
        device: torch.device,
    ) -> None:
        """Prepare training.

        Args:
            network: to start from; it is changed.
            loss: draws a batch and evaluates the objective on it.
            validate: returns a network's held-out average precision, NaN without held-out labels.
            pi: fraction of positive regions, for the log.
            settings: how to train.
            device: to compute on.
        """
        torch.manual_seed(settings.seed)
        self.model = TrainedModel(network).to(device)
        to_channels_last(self.model)
        self.average = copy.deepcopy(self.model.state_dict())
        self.best = copy.deepcopy(self.average)
        self.best_epoch, self.best_ap = 0, math.nan
        self.history: List[Epoch] = []
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), settings.learning_rate, weight_decay=settings.weight_decay
        )
        self.loss, self.validate = loss, validate
        self.symmetric = is_symmetric(network)
        self.pi, self.settings, self.device = pi, settings, device
        self.steps = settings.steps or STEPS_PER_EPOCH

    def run(
        self, progress: Optional[Progress], after_epoch: Callable[[Progress], None]
    ) -> Progress:
        """Train from the progress, or the start, to the end; see `fit`."""
        if progress is not None:
            self.load(progress)
        while not self.finished():
            self.run_epoch()
            after_epoch(self.progress())
        return self.progress()

    def finished(self) -> bool:
        """Whether all epochs are done."""
        return len(self.history) >= self.settings.epochs

    def run_epoch(self) -> None:
        """Train for one epoch, score the held-out labels and keep the best average; see `fit`."""
        number = len(self.history) + 1
        random = np.random.default_rng([self.settings.seed, number])
        self.model.train()
        steps = [self._step(number, i, random) for i in range(self.steps)]
        ap = self._validate_average()
        loss, labelled, penalty, error = np.mean([step[:4] for step in steps], axis=0).tolist()
        regions = sum(step[4] for step in steps)
        self.history.append(Epoch(number, loss, labelled, penalty, error, self.pi, regions, ap))
        late = number > self.settings.epochs / 2
        if math.isnan(ap) or (late and not ap <= self.best_ap):
            self.best_epoch, self.best_ap = number, ap
            self.best = copy.deepcopy(self.average)

    def _step(
        self, epoch: int, step: int, random: np.random.Generator
    ) -> Tuple[float, float, float, float, int]:
        settings = self.settings
        done = (epoch - 1) * self.steps + step
        for group in self.optimizer.param_groups:
            group["lr"] = settings.learning_rate * self._share_of_rate(done)
        loss = self.loss(self.model, random)
        if not torch.isfinite(loss.total):
            raise PupickError(
                f"Training failed in epoch {epoch}: the objective is {loss.total.item()}. "
                "Lower the learning rate, or choose another objective."
            )
        self.optimizer.zero_grad()
        loss.total.backward()
        if self.symmetric:
            symmetrise_step(self.model.network)
        self.optimizer.step()
        self._update_average(done)
        return (loss.total.item(), *loss.parts, loss.regions)

    def _share_of_rate(self, done: int) -> float:
        if self.settings.schedule == "constant":
            return 1.0
        return one_cycle(done / (self.settings.epochs * self.steps))

    def _update_average(self, done: int) -> None:
        decay = min(self.settings.averaging, (1 + done) / (10 + done))
        for name, value in self.model.state_dict().items():
            if value.is_floating_point():
                self.average[name].lerp_(value, 1 - decay)
            else:
                self.average[name].copy_(value)

    def _validate_average(self) -> float:
        return self.validate(network_of_state(self.average, self.settings))

    def progress(self) -> Progress:
        """What has been reached."""
        return Progress(
            weights=self.model.state_dict(),
            average=self.average,
            best=self.best,
            optimizer=_flatten(self.optimizer.state_dict()["state"]),
            history=tuple(self.history),
            best_epoch=self.best_epoch,
            best_ap=self.best_ap,
        )

    def load(self, progress: Progress) -> None:
        """Go on from what had been reached."""
        self.model.load_state_dict(progress.weights)
        self.average = _copy_to(progress.average, self.device)
        self.best = _copy_to(progress.best, self.device)
        state = self.optimizer.state_dict()
        state["state"] = _unflatten(progress.optimizer)
        self.optimizer.load_state_dict(state)
        self.history = list(progress.history)
        self.best_epoch, self.best_ap = progress.best_epoch, progress.best_ap


def one_cycle(fraction: float, warm_up: float = 0.1) -> float:
    """Learning rate, as a share of its highest: a linear rise, then half a cosine down to zero."""
    if fraction < warm_up:
        return (fraction + 1e-3) / (warm_up + 1e-3)
    return 0.5 * (1 + math.cos(math.pi * (fraction - warm_up) / (1 - warm_up)))


def _copy_to(state: State, device: torch.device) -> State:
    return {name: value.to(device, copy=True) for name, value in state.items()}


def _flatten(state: Dict[int, State]) -> State:
    return {f"{i}.{name}": value for i, row in state.items() for name, value in row.items()}


def _unflatten(state: State) -> Dict[int, State]:
    rows: Dict[int, State] = {}
    for key, value in state.items():
        i, name = key.split(".", 1)
        rows.setdefault(int(i), {})[name] = value
    return rows
