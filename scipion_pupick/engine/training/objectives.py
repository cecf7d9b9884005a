# SPDX-License-Identifier: GPL-3.0-or-later
"""Objectives for learning from labelled positive and unlabelled regions.

L(s, y) is the logistic loss of the score s, a logit, for the label y. P are the labelled positive
regions, U the unlabelled ones of which a fraction π is positive, N labelled negatives, if any.
"The paper" is Bepler et al., "Positive-unlabeled convolutional neural networks for particle
picking in cryo-electron micrographs", Methods 3 to 5.

Labelled negatives join the positives in the classification term. By default each class counts by
its own mean, so that the number of labels in a class does not decide its weight: with weight 1 - π
where positives have weight π, with weight 1 where positives have weight 1. The paper's Discussion
takes one mean over all labelled regions instead: the objectives with an expectation penalty do so
where they are given the share of positives among the labels.

A mean over no regions counts as 0. Scores of less than single precision are converted to it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import MappingProxyType
from typing import Mapping, Optional, Protocol

from torch import Tensor
from torch.nn.functional import logsigmoid

from ..errors import UsageError
from .expectation_penalties import count_cross_entropy, count_divergence, in_full, kl_to_prior

_GE_KL_SLACK = 10.0
_GE_BINOMIAL_SLACK = 1.0
_AUTOENCODER_STRENGTH = 10.0
_DISTILLATION_STRENGTH = 5.0
FEW_LABELS = 250


@dataclass(frozen=True)
class ObjectiveValue:
    """An objective for one batch; each value is a scalar tensor.

    Attributes:
        total: what to minimise, the sum of the other two.
        classification: the part from labelled regions, without gradient, for the log.
        penalty: the part from unlabelled regions, weighted with the slack where there is one,
            without gradient, for the log.
    """

    total: Tensor
    classification: Tensor
    penalty: Tensor


class Objective(Protocol):
    """What every objective in `OBJECTIVE_FUNCTIONS` takes and gives."""

    def __call__(
        self,
        positive: Tensor,
        unlabeled: Tensor,
        pi: float,
        slack: Optional[float] = None,
        negative: Optional[Tensor] = None,
        positive_share: Optional[float] = None,
    ) -> ObjectiveValue:
        """Evaluate the objective on the scores of one batch.

        Args:
            positive: (n,) logits of labelled positive regions.
            unlabeled: (m,) logits of unlabelled regions.
            pi: fraction of positive regions among the unlabelled.
            slack: weight λ of the expectation penalty; None for the objective's own default.
            negative: (k,) logits of labelled negative regions.
            positive_share: share of positives among all labels, for one mean over all of them
                (paper, Discussion); None for a mean of each class.

        Raises:
            UsageError: π is not between 0 and 1, λ is negative, the share is none, or λ or the
                share is given to an objective without an expectation penalty.
        """


def pn(
    positive: Tensor,
    unlabeled: Tensor,
    pi: float,
    slack: Optional[float] = None,
    negative: Optional[Tensor] = None,
    positive_share: Optional[float] = None,
) -> ObjectiveValue:
    """Take every unlabelled region for a negative: π E_P L(s,1) + (1-π) E_U L(s,0).

    Paper, equation PN. Arguments and errors as in `Objective`.
    """
    _check_pi(pi)
    _check_no_penalty("pn", slack, positive_share)
    classification = pi * _loss(positive, 1) + (1 - pi) * _loss_of_negatives(negative, positive)
    penalty = (1 - pi) * _loss(unlabeled, 0)
    return _sum_up(classification, penalty)


def unbiased_pu(
    positive: Tensor,
    unlabeled: Tensor,
    pi: float,
    slack: Optional[float] = None,
    negative: Optional[Tensor] = None,
    positive_share: Optional[float] = None,
) -> ObjectiveValue:
    """Estimate the risk without bias: π E_P L(s,1) + E_U L(s,0) - π E_P L(s,0).

    du Plessis, Niu & Sugiyama (2015), equation 2 with the logistic loss. The last two terms
    estimate the risk on negatives, yet fall below zero once the network overfits.
    Arguments and errors as in `Objective`.
    """
    _check_pi(pi)
    _check_no_penalty("upu", slack, positive_share)
    classification = pi * _loss(positive, 1) + (1 - pi) * _loss_of_negatives(negative, positive)
    penalty = _negative_risk(positive, unlabeled, pi)
    return _sum_up(classification, penalty)


def non_negative_pu(
    positive: Tensor,
    unlabeled: Tensor,
    pi: float,
    slack: Optional[float] = None,
    negative: Optional[Tensor] = None,
    positive_share: Optional[float] = None,
) -> ObjectiveValue:
    """Keep the risk on negatives at 0 or above: π E_P L(s,1) + max(0, E_U L(s,0) - π E_P L(s,0)).

    Kiryo et al. (2017), equation 6, with the step of their algorithm 1 (β = 0, γ = 1): while the
    estimated risk on negatives is below 0, the value counts it as 0, and the gradient is that of
    minus this risk alone, which undoes the overfitting; the positives' term gives none then.
    Arguments and errors as in `Objective`.
    """
    _check_pi(pi)
    _check_no_penalty("nnpu", slack, positive_share)
    positive_risk = pi * _loss(positive, 1)
    penalty = _negative_risk(positive, unlabeled, pi)
    if penalty < 0:
        positive_risk = positive_risk.detach()
        penalty = penalty.detach() - penalty
    classification = positive_risk + (1 - pi) * _loss_of_negatives(negative, positive)
    return _sum_up(classification, penalty)


def ge_kl(
    positive: Tensor,
    unlabeled: Tensor,
    pi: float,
    slack: Optional[float] = None,
    negative: Optional[Tensor] = None,
    positive_share: Optional[float] = None,
) -> ObjectiveValue:
    """Tie the mean probability to π: E_P L(s,1) + λ KL(p̂ ‖ π), p̂ = E_U σ(s), λ = 10.

    Paper, equation GE-KL; KL is between Bernoulli distributions. p̂ is handled as a logarithm, so
    value and gradient are finite for any finite score. The gradient of a batch is a biased
    estimate, and fades where every p nears 0 or 1. Arguments and errors as in `Objective`.
    """
    _check_pi(pi)
    slack = _slack(slack, _GE_KL_SLACK)
    classification = _loss_of_labels(positive, negative, positive_share)
    penalty = slack * kl_to_prior(unlabeled, pi)
    return _sum_up(classification, penalty)


def ge_binomial(
    positive: Tensor,
    unlabeled: Tensor,
    pi: float,
    slack: Optional[float] = None,
    negative: Optional[Tensor] = None,
    positive_share: Optional[float] = None,
) -> ObjectiveValue:
    """Tie the number of positives in a batch to Binomial(m, π), the paper's way; λ = 1.

    Paper, equation GE-binomial: E_P L(s,1) + λ C, where C is the cross entropy of the number of
    positives k among the m regions of U under the classifier against Binomial(m, π):

        C = -Σ_k q(k) log Binomial(k; m, π),   k = 0 ... m

    Exactly, q is a Poisson binomial distribution. As the paper does, it is approximated by a normal
    distribution with its mean μ = Σ p and variance v = Σ p(1-p), p = σ(s), taken at whole k; here
    these densities are divided by their sum, so that q stays a distribution where v is small or μ
    near an end. The preprint writes the sum from k = 1, which leaves out the batches without
    positives, and without the minus, which would be maximised: both are slips.

    A cross entropy is least where q lies on the most likely count, not where q is the binomial:
    about half a count below m π, and at no positives at all where m π is below about a half. There
    is no gradient where v is small and μ whole. `ge_binomial_kl` has none of this. Arguments and
    errors as in `Objective`.
    """
    _check_pi(pi)
    slack = _slack(slack, _GE_BINOMIAL_SLACK)
    classification = _loss_of_labels(positive, negative, positive_share)
    penalty = slack * count_cross_entropy(unlabeled, pi)
    return _sum_up(classification, penalty)


def ge_binomial_kl(
    positive: Tensor,
    unlabeled: Tensor,
    pi: float,
    slack: Optional[float] = None,
    negative: Optional[Tensor] = None,
    positive_share: Optional[float] = None,
) -> ObjectiveValue:
    """Tie the number of positives in a batch to Binomial(m, π): E_P L(s,1) + λ C, λ = 1.

    Not of the paper: a divergence in place of the cross entropy of `ge_binomial`, with its minimum
    at the right number. With mean μ = Σ p and variance v = Σ p(1-p) over U, p = σ(s), M = m π,
    V = m π (1-π) and p̂ = μ / m:

        C = m KL(π ‖ p̂) + (v - m p̂(1-p̂)) / (2 (V + 1))

    - The first term is KL(Binomial(m, π) ‖ Binomial(m, p̂)): its minimum is at μ = M for any m π,
      it is (μ-M)²/(2V) near there, its pull up is at most M in all and its pull down at most 1 for
      each region, and both last when every score saturates on the wrong side. (A normal
      distribution's KL pulls down with (μ-M)/V, up to 1/π, which drowns the labels; its -ln v
      rewards unsure scores.)
    - The number of positives differs from batch to batch, so the first term by itself punishes
      a classifier for finding them: its mean over batches is too large by m Var(p) / (2V). The
      second term, the variance part of the paper's cross entropy, takes this back. V + 1 in place
      of V keeps its slope below the first term's where m π < 1.

    C is 0 where every p is π, and may be slightly negative for a confident classifier, whose mean
    over batches is least up to one count above M: take U so large that M is 5 or more. Scores are
    taken as independent, so U should be drawn at random rather than be neighbours. The closed
    form needs no table of log-probabilities. Arguments and errors as in `Objective`.
    """
    _check_pi(pi)
    slack = _slack(slack, _GE_BINOMIAL_SLACK)
    classification = _loss_of_labels(positive, negative, positive_share)
    penalty = slack * count_divergence(unlabeled, pi)
    return _sum_up(classification, penalty)


OBJECTIVE_FUNCTIONS: Mapping[str, Objective] = MappingProxyType(
    {
        "pn": pn,
        "upu": unbiased_pu,
        "nnpu": non_negative_pu,
        "ge-kl": ge_kl,
        "ge-binomial-kl": ge_binomial_kl,
        "ge-binomial": ge_binomial,
    }
)


def reconstruction_error(images: Tensor, reconstructions: Tensor) -> Tensor:
    """Squared error of an autoencoder, summed over pixels, mean over images: E ‖x - d(f(x))‖².

    Paper, Methods 5.

    Args:
        images: (n, ...) what was to be reconstructed.
        reconstructions: of the same shape.

    Raises:
        UsageError: the shapes differ.
    """
    if images.shape != reconstructions.shape:
        raise UsageError(
            f"Images of shape {tuple(images.shape)} cannot be compared with reconstructions of "
            f"shape {tuple(reconstructions.shape)}: make the decoder's output as large."
        )
    squares = (in_full(images) - in_full(reconstructions)).square()
    return squares.sum() / max(len(images), 1)


def autoencoder_weight(n_labels: int) -> float:
    """Weight γ of the reconstruction error by the number N of labels: 10/N up to 250, else 0.

    Paper, "Augmentation with autoencoder".

    Raises:
        UsageError: there is no label.
    """
    return _weight_with_few(_AUTOENCODER_STRENGTH, n_labels)


def distillation(scores: Tensor, start_scores: Tensor) -> Tensor:
    """Cross entropy of a network's probabilities with those of the network it started from.

    Hinton, Vinyals & Dean (2015), at temperature 1; as a hold on what is known already: Li & Hoiem,
    Learning without Forgetting (2016), equation 2, for two classes.

    Args:
        scores: (n,) logits; 0 is returned where there are none.
        start_scores: (n,) logits of the same regions, without gradient.
    """
    taught = in_full(start_scores).sigmoid()
    scores = in_full(scores)
    losses = taught * logsigmoid(scores) + (1 - taught) * logsigmoid(-scores)
    return -losses.sum() / max(len(scores), 1)


def distillation_weight(n_labels: int) -> float:
    """Weight of the distillation by the number N of labels: 5/N up to 250, else 0.

    Raises:
        UsageError: there is no label.
    """
    return _weight_with_few(_DISTILLATION_STRENGTH, n_labels)


def _weight_with_few(strength: float, n_labels: int) -> float:
    if n_labels < 1:
        raise UsageError(f"The number of labelled particles is {n_labels}: it must be at least 1.")
    return strength / n_labels if n_labels <= FEW_LABELS else 0.0


def _sum_up(classification: Tensor, penalty: Tensor) -> ObjectiveValue:
    return ObjectiveValue(classification + penalty, classification.detach(), penalty.detach())


def _loss(scores: Tensor, label: int) -> Tensor:
    """Mean logistic loss of the scores for a label, 0 without scores."""
    scores = in_full(scores)
    return -logsigmoid(scores if label == 1 else -scores).sum() / max(len(scores), 1)


def _loss_of_negatives(negative: Optional[Tensor], positive: Tensor) -> Tensor:
    return _loss(positive[:0] if negative is None else negative, 0)


def _loss_of_labels(
    positive: Tensor, negative: Optional[Tensor], positive_share: Optional[float]
) -> Tensor:
    """Classification term of the objectives with an expectation penalty."""
    of_positives, of_negatives = _loss(positive, 1), _loss_of_negatives(negative, positive)
    if positive_share is None:
        return of_positives + of_negatives
    if not 0 < positive_share <= 1:
        raise UsageError(
            f"The share of positives among the labels is {positive_share}: it must lie above 0, "
            "and be 1 at most."
        )
    return positive_share * of_positives + (1 - positive_share) * of_negatives


def _negative_risk(positive: Tensor, unlabeled: Tensor, pi: float) -> Tensor:
    """Risk on negatives, estimated from positives and unlabelled regions."""
    return _loss(unlabeled, 0) - pi * _loss(positive, 0)


def _slack(slack: Optional[float], default: float) -> float:
    if slack is None:
        return default
    if not 0 <= slack < math.inf:
        raise UsageError(f"The slack is {slack}: it must be a number not below 0.")
    return slack


def _check_no_penalty(name: str, slack: Optional[float], positive_share: Optional[float]) -> None:
    for what, value in (("slack", slack), ("share of positives", positive_share)):
        if value is not None:
            raise UsageError(
                f"The objective {name!r} has no {what}, but {value} was given: leave it out, or "
                "choose one that expects a number of particles, such as 'ge-binomial'."
            )


def _check_pi(pi: float) -> None:
    if not 0 < pi < 1:
        raise UsageError(
            f"The fraction of positive regions (pi) is {pi}: it must lie between 0 and 1. "
            "Check the expected number of particles and the training radius."
        )
