# SPDX-License-Identifier: GPL-3.0-or-later
"""Training a network on labelled working images, epoch by epoch, so that it can be continued."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import Callable, Dict, List, Optional, Sequence, Tuple

import numpy as np
import torch
from scipy.optimize import brentq
from scipy.special import expit
from torch import Tensor, nn

from .device import fast_dtype
from .errors import PupickError
from .evaluation import assign, estimated_average_precision
from .networks import RECONSTRUCTED, STRIDE, Decoder, Network, make_network
from .objectives import (
    FEW_LABELS,
    OBJECTIVES,
    autoencoder_weight,
    distillation,
    distillation_weight,
    reconstruction_error,
)
from .peaks import Peaks, find_peaks
from .regions import expected_unlabeled, positive_fraction
from .sampling import Geometry, TrainingImage, sample_batch
from .scoring import Scorer, fuse, make_scorer, to_channels_last
from .settings import SEPARATION, TOLERANCE, TrainingSettings
from .symmetry import is_symmetric, symmetrise_step

State = Dict[str, Tensor]

LEAST_HELD_OUT = 10
START_WEIGHT = 8.0
CLEARLY_BETTER = 0.02
STEPS, STEPS_OF_FEW = 50, 25


@dataclass(frozen=True)
class Epoch:
    """One row of the training log.

    Attributes:
        epoch: counted from 1.
        loss: mean of the whole objective.
        classification: its part on labelled regions.
        penalty: its part on unlabelled regions, that of distillation too.
        reconstruction: error of the autoencoder, squared grey values a pixel.
        pi: fraction of positive regions assumed among the unlabelled.
        regions: regions scored.
        held_out_ap: average precision estimated from the held-out labels; NaN without any.
    """

    epoch: int
    loss: float
    classification: float
    penalty: float
    reconstruction: float
    pi: float
    regions: int
    held_out_ap: float


@dataclass(frozen=True)
class Progress:
    """All that training needs to go on after an epoch.

    Attributes:
        weights: network and decoder in training.
        average: moving average of the weights.
        best: the average after the best epoch.
        optimizer: the optimiser's tensors.
        history: the epochs done.
        best_epoch: counted from 1; 0 in the first half of a training with held-out labels.
        best_ap: held-out average precision of the best epoch; NaN without held-out labels.
    """

    weights: State
    average: State
    best: State
    optimizer: State
    history: Tuple[Epoch, ...]
    best_epoch: int
    best_ap: float


def fit(
    images: Sequence[TrainingImage],
    held_out: Sequence[TrainingImage],
    particles: float,
    settings: TrainingSettings,
    device: torch.device,
    start: Optional[Network] = None,
    progress: Optional[Progress] = None,
    after_epoch: Callable[[Progress], None] = lambda progress: None,
) -> Progress:
    """Train and choose the epoch of the second half with the best held-out score.

    Earlier epochs do not count: at a high learning rate scores jump, and the luckiest jump is not
    the best network.

    Every random choice follows from the seed and the epoch's number, so training that continues
    from any epoch's progress ends with the same weights as training that was never stopped.

    Args:
        images: to train on; together they hold at least one label. U is drawn from those with
            labels (see `sampling.sample_batch`).
        held_out: to choose the best epoch by; with fewer than 10 labels the last epoch is taken.
        particles: expected in an image, labelled or not.
        settings: how to train.
        device: to compute on.
        start: trained network to start from, instead of random weights.
        progress: of the same training, to continue from.
        after_epoch: called with the progress after each epoch.

    Returns:
        The progress after the last epoch.

    Raises:
        PupickError: the objective stopped being finite.
    """
    pi = assumed_pi(images, particles, settings)
    if start is None:
        network, teacher = fresh_network(settings, pi), None
    else:
        network = with_prior(start, images, pi, device)
        teacher = _Teacher(network, _hold(images, settings), device)
    gamma = _gamma(images, settings, start)
    loss = _PuLoss(images, Geometry(network.field), pi, gamma, teacher, settings, device)

    def judge_average(average: Network) -> float:
        return judge(average, held_out, particles, settings, device)

    trainer = Trainer(network, loss, judge_average, pi, settings, device)
    return trainer.run(progress, after_epoch)


def network_of(progress: Progress, settings: TrainingSettings) -> Network:
    """Make the network of the best epoch, in evaluation mode."""
    network = make_network(settings.network)
    network.load_state_dict(_part(progress.best, "network"))
    return network.eval()


def pick_image(
    scorer: Callable[[np.ndarray], np.ndarray], image: np.ndarray, diameter_px: float
) -> Peaks:
    """Score a working image (h, w) and find its peaks, as far apart as picks; all in working px."""
    peaks = find_peaks(scorer(image[None])[0], SEPARATION * diameter_px / STRIDE)
    return Peaks(peaks.xy * STRIDE, peaks.score)


@dataclass(frozen=True)
class InnerPeaks:
    """Peaks of an image that are no nearer to its edges than picking allows by default.

    Attributes:
        score: (n,) of the peaks.
        share: of the image in which they may lie.
    """

    score: np.ndarray
    share: float


def expected_among(peaks: Sequence[InnerPeaks], particles: float) -> float:
    """How many of the peaks should be particles, with so many particles in an image."""
    return particles * sum(each.share for each in peaks)


def inner_peaks(
    scorer: Callable[[np.ndarray], np.ndarray], image: np.ndarray, diameter_px: float
) -> InnerPeaks:
    """As `pick_image`, without the peaks nearer to the edges than half a diameter."""
    peaks = pick_image(scorer, image, diameter_px)
    last = np.array(image.shape[::-1]) - 1
    inside = ((peaks.xy >= diameter_px / 2) & (peaks.xy <= last - diameter_px / 2)).all(axis=1)
    share = float(np.prod(np.maximum(0, 1 - diameter_px / np.maximum(last, 1))))
    return InnerPeaks(peaks.score[inside], share)


class TrainedModel(nn.Module):
    """The network and, while it helps training, the decoder."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network
        self.decoder = Decoder(network.latent)


@dataclass(frozen=True)
class StepLoss:
    """The objective on one batch.

    Attributes:
        total: to be made small.
        parts: of the labelled regions, the unlabelled ones and the reconstruction.
        regions: scored.
    """

    total: Tensor
    parts: Tuple[float, float, float]
    regions: int


class Trainer:
    """The loop round any objective: learning rate, moving average, best epoch, checkpoints.

    A network that is symmetric (`symmetry.py`) stays so.
    """

    def __init__(
        self,
        network: Network,
        loss: Callable[[TrainedModel, np.random.Generator], StepLoss],
        judge: Callable[[Network], float],
        pi: float,
        settings: TrainingSettings,
        device: torch.device,
    ) -> None:
        """Prepare training.

        Args:
            network: to start from; it is changed.
            loss: draws a batch and evaluates the objective on it.
            judge: gives the held-out average precision of a network, NaN without held-out labels.
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
        self.loss, self.judge = loss, judge
        self.symmetric = is_symmetric(network)
        self.pi, self.settings, self.device = pi, settings, device
        self.steps = settings.steps or STEPS

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
        ap = self._judge_average()
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
            group["lr"] = settings.learning_rate * one_cycle(done / (settings.epochs * self.steps))
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

    def _update_average(self, done: int) -> None:
        decay = min(self.settings.averaging, (1 + done) / (10 + done))
        for name, value in self.model.state_dict().items():
            if value.is_floating_point():
                self.average[name].lerp_(value, 1 - decay)
            else:
                self.average[name].copy_(value)

    def _judge_average(self) -> float:
        network = make_network(self.settings.network)
        network.load_state_dict(_part(self.average, "network"))
        return self.judge(network.eval())

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


class _Teacher:
    """A trained network whose answers hold the one that is trained from it."""

    def __init__(self, network: Network, weight: float, device: torch.device) -> None:
        self.network, self.weight = fuse(network).to(device), weight
        to_channels_last(self.network)

    def scores(self, tiles: Tensor) -> Tensor:
        """Scores (b, s, s) of tiles (b, 1, h, w), without gradient."""
        with torch.no_grad():
            features = features_of(self.network, tiles)
            return self.network.classifier(features.float())[:, 0]


class _PuLoss:
    """An objective of positive and unlabelled regions, with autoencoder and distillation."""

    def __init__(
        self,
        images: Sequence[TrainingImage],
        geometry: Geometry,
        pi: float,
        gamma: float,
        teacher: Optional[_Teacher],
        settings: TrainingSettings,
        device: torch.device,
    ) -> None:
        self.gamma, self.teacher = gamma, teacher
        self.images, self.geometry, self.pi = images, geometry, pi
        self.settings, self.device = settings, device

    def __call__(self, model: TrainedModel, random: np.random.Generator) -> StepLoss:
        """Draw a batch and evaluate the objective on it."""
        settings = self.settings
        batch = sample_batch(
            self.images,
            self.geometry,
            settings.mosaics,
            settings.tiles,
            settings.training_radius,
            settings.augmentation,
            random,
        )
        tiles = batch.tiles.to(self.device, memory_format=torch.channels_last)
        features = features_of(model.network, tiles)
        scores = model.network.classifier(features.float())[:, 0]
        cells = self.geometry.cells
        first, second = batch.positive_mosaics, batch.positive_mosaics + batch.negative_mosaics
        labelled = scores[:second, cells, cells]
        unlabeled = scores[second:][batch.unlabeled.to(self.device)]
        drawn = random.permutation(len(unlabeled))[: settings.unlabeled_scores]
        value = OBJECTIVES[settings.objective](
            labelled[:first].flatten(),
            unlabeled[torch.from_numpy(drawn).to(self.device)],
            self.pi,
            settings.slack,
            labelled[first:].flatten() if second > first else None,
        )
        error = self._reconstruction(model.decoder, tiles, features)
        held = unlabeled.new_zeros(())
        if self.teacher is not None and self.teacher.weight > 0:
            taught = self.teacher.scores(tiles[second:])[batch.unlabeled.to(self.device)]
            held = self.teacher.weight * distillation(unlabeled, taught)
        penalty = value.penalty.item() + held.item()
        parts = (value.classification.item(), penalty, error.item())
        total = value.total + held + self.gamma * error
        return StepLoss(total, parts, labelled.numel() + len(drawn))

    def _reconstruction(self, decoder: Decoder, tiles: Tensor, features: Tensor) -> Tensor:
        """Autoencoder error per pixel, over the patches of every tile.

        The paper sums over pixels, which drowns the labels: on the training half of EMPIAR-10017
        with 100 labels the average precision fell from 0.90 to 0.82.
        """
        if self.gamma == 0:
            return tiles.new_zeros(())
        geometry = self.geometry
        latent = features[:, :, geometry.cells, geometry.cells].float()
        latent = latent.permute(0, 2, 3, 1).reshape(-1, latent.shape[1], 1, 1)
        first = (geometry.field - RECONSTRUCTED) // 2
        patches = tiles[:, 0].unfold(1, geometry.patch, geometry.patch)
        patches = patches.unfold(2, geometry.patch, geometry.patch)
        shown = slice(first, first + RECONSTRUCTED)
        targets = patches[..., shown, shown].reshape(-1, 1, RECONSTRUCTED, RECONSTRUCTED)
        return reconstruction_error(targets, decoder(latent)) / RECONSTRUCTED**2


def features_of(network: Network, tiles: Tensor) -> Tensor:
    """Features of tiles (b, 1, h, w), in the number format that is fast on their device."""
    dtype = fast_dtype(tiles.device)
    with torch.autocast(tiles.device.type, dtype, enabled=dtype != torch.float32):
        return network.features(tiles)


def judge(
    network: Network,
    held_out: Sequence[TrainingImage],
    particles: float,
    settings: TrainingSettings,
    device: torch.device,
) -> float:
    """Average precision of a network by the held-out labels; NaN with fewer than 10 of these."""
    if sum(len(image.positive) for image in held_out) < LEAST_HELD_OUT:
        return math.nan
    return held_out_ap(make_scorer(network, device), held_out, particles, settings.diameter_px)


def held_out_ap(
    scorer: Scorer, images: Sequence[TrainingImage], particles: float, diameter_px: float
) -> float:
    """Estimate the average precision of a network's peaks from the labels of held-out images.

    Args:
        scorer: of the network.
        images: with labels, of only some of the particles too.
        particles: expected in an image.
        diameter_px: of the particle, px of the working image.
    """
    of_labels, of_peaks = [], []
    for image in images:
        peaks = pick_image(scorer, image.image, diameter_px)
        of_labels.append(label_scores(peaks, image.positive, TOLERANCE * diameter_px))
        of_peaks.append(peaks.score)
    return estimated_average_precision(
        np.concatenate(of_labels), np.concatenate(of_peaks), particles * len(images)
    )


def label_scores(peaks: Peaks, xy: np.ndarray, tolerance: float) -> np.ndarray:
    """Score (n,) of the peak that matches each label; -inf for a label without one.

    Args:
        peaks: of an image.
        xy: (n, 2) labels, px of the same image.
        tolerance: largest distance of a peak from its label, px.
    """
    scores = np.full(len(xy), -np.inf)
    assigned = assign(peaks.xy, xy, tolerance, peaks.score)
    scores[assigned[assigned >= 0]] = peaks.score[assigned >= 0]
    return scores


def usual_steps(labels: int, trained_before: bool) -> int:
    """Batches an epoch: half as many where few labels adjust a trained network.

    With 10 and 100 labels, twice as many found no more particles (docs/choices.md).
    """
    return STEPS_OF_FEW if trained_before and labels <= FEW_LABELS else STEPS


def _gamma(
    images: Sequence[TrainingImage], settings: TrainingSettings, start: Optional[Network]
) -> float:
    """Weight of the autoencoder; without a wish, none where features are there to start from."""
    if settings.autoencoder is not None:
        return settings.autoencoder
    if start is not None:
        return 0.0
    return autoencoder_weight(sum(len(image.positive) for image in images))


def _hold(images: Sequence[TrainingImage], settings: TrainingSettings) -> float:
    """Weight of the distillation."""
    if settings.distillation is not None:
        return settings.distillation
    return distillation_weight(sum(len(image.positive) for image in images))


def _with_labels(images: Sequence[TrainingImage]) -> List[TrainingImage]:
    return [image for image in images if len(image.positive)]


def assumed_pi(
    images: Sequence[TrainingImage], particles: float, settings: TrainingSettings
) -> float:
    """Fraction of positive regions among those of U, for so many particles in an image.

    Raises:
        UsageError: so many do not fit.
    """
    labelled = _with_labels(images)
    return positive_fraction(
        particles,
        [(image.image.shape[0], image.image.shape[1]) for image in labelled],
        [len(image.positive) for image in labelled],
        settings.training_radius,
        settings.diameter_px / 2,
    )


def one_cycle(fraction: float, warm_up: float = 0.1) -> float:
    """Learning rate, as a share of its highest: a linear rise, then half a cosine down to zero."""
    if fraction < warm_up:
        return (fraction + 1e-3) / (warm_up + 1e-3)
    return 0.5 * (1 + math.cos(math.pi * (fraction - warm_up) / (1 - warm_up)))


def fresh_network(settings: TrainingSettings, pi: float) -> Network:
    """Random weights, with scores that start at the log-odds of π instead of at even odds."""
    torch.manual_seed(settings.seed)
    network = make_network(settings.network)
    bias = torch.full((1,), math.log(pi / (1 - pi)))
    network.classifier.bias = nn.Parameter(bias)
    return network


def with_prior(
    network: Network, images: Sequence[TrainingImage], pi: float, device: torch.device
) -> Network:
    """Copy a network, its scores shifted so that π is the mean probability over labelled images.

    The order of scores stays. Training then has only the order to improve.

    Args:
        network: trained on other images.
        images: at least one with labels; ten of these are scored.
        pi: fraction of positive regions.
        device: to score on.
    """
    labelled = _with_labels(images)
    number = min(10, len(labelled))
    chosen = [labelled[i] for i in np.linspace(0, len(labelled) - 1, number).astype(int)]
    scorer = make_scorer(network, device)
    scores = np.concatenate([scorer(image.image[None]).ravel() for image in chosen])
    shift = brentq(lambda shift: expit(scores + shift).mean() - pi, -100, 100)
    shifted = copy.deepcopy(network)
    with torch.no_grad():
        shifted.classifier.bias += shift
    return shifted


def prior_shift(images: Sequence[TrainingImage], particles: float) -> float:
    """Log-odds to add to scores, so that they hold for labelled particles too.

    Training tells particles from regions that hold the unlabelled ones only. Where most are
    labelled, few are left there, and the network takes particles to be as rare everywhere; the odds
    rise by as much as all particles are more than these (Saerens et al., Neural Computation 2002).

    Args:
        images: trained on.
        particles: expected in an image, labelled or not.
    """
    counts = [len(image.positive) for image in _with_labels(images)]
    return math.log(particles * len(counts) / expected_unlabeled(particles, counts))


def blend(network: Network, start: Network, share: float) -> Network:
    """Average the weights of a network, which get this share, with those that it started from.

    Training finds weights that suit the labels too well; part of the way back lie weights that
    suit all particles better (Wortsman et al., CVPR 2022).
    """
    blended = copy.deepcopy(network)
    for value, old in zip(blended.state_dict().values(), start.state_dict().values()):
        if value.is_floating_point():
            value.lerp_(old.to(value.device), 1 - share)
    return blended


def usual_share(labels: int) -> float:
    """Share of what training found in the average with its start, √N : 8 for N labels.

    More labels help less than their number says: they share micrographs, and the taste of who
    picked them.
    """
    return math.sqrt(labels) / (math.sqrt(labels) + START_WEIGHT)


def choose_share(
    network: Network, start: Network, labels: int, judge_average: Callable[[Network], float]
) -> Tuple[float, float]:
    """Choose the share of what training found in the average with its start.

    Args:
        network: trained.
        start: that its training started from.
        labels: number that the network was trained on.
        judge_average: gives the held-out average precision of an average, NaN without held-out
            labels.

    Returns:
        The share, which is the usual one unless none or all has an average precision that is
        better by 0.02; and its average precision.
    """
    usual = usual_share(labels)
    found = {share: judge_average(blend(network, start, share)) for share in (usual, 0.0, 1.0)}
    best = max((0.0, 1.0), key=lambda share: found[share])
    chosen = best if found[best] > found[usual] + CLEARLY_BETTER else usual
    return chosen, found[chosen]


def _part(state: State, name: str) -> State:
    prefix = f"{name}."
    return {key[len(prefix) :]: value for key, value in state.items() if key.startswith(prefix)}


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
