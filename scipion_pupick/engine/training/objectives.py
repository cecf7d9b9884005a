# SPDX-License-Identifier: GPL-3.0-or-later
"""Objectives for learning from labelled positive and unlabelled regions.

L(s, y) is the logistic loss of the score s, a logit, for the label y. P are the labelled positive
regions, U the unlabelled ones of which a fraction π is positive, N labelled negatives, if any.
"The paper" is Bepler et al., "Positive-unlabeled convolutional neural networks for particle
picking in cryo-electron micrographs", Methods 3 to 5.

Labelled negatives join the positives in the classification term, each class by its own mean, so
that the number of labels in a class does not decide its weight: with weight 1 - π where positives
have weight π, with weight 1 where positives have weight 1.

A mean over no regions counts as 0. Scores of less than single precision are converted to it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import MappingProxyType
from typing import Mapping, Optional, Protocol, Tuple

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from ..errors import UsageError

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
    ) -> ObjectiveValue:
        """Evaluate the objective on the scores of one batch.

        Args:
            positive: (n,) logits of labelled positive regions.
            unlabeled: (m,) logits of unlabelled regions.
            pi: fraction of positive regions among the unlabelled.
            slack: weight λ of the expectation penalty; None for the objective's own default.
            negative: (k,) logits of labelled negative regions.

        Raises:
            UsageError: π is not between 0 and 1, λ is negative, or λ is given to an objective
                without an expectation penalty.
        """


def pn(
    positive: Tensor,
    unlabeled: Tensor,
    pi: float,
    slack: Optional[float] = None,
    negative: Optional[Tensor] = None,
) -> ObjectiveValue:
    """Take every unlabelled region for a negative: π E_P L(s,1) + (1-π) E_U L(s,0).

    Paper, equation PN. Arguments and errors as in `Objective`.
    """
    _check_pi(pi)
    _check_no_slack("pn", slack)
    classification = pi * _loss(positive, 1) + (1 - pi) * _loss_of_negatives(negative, positive)
    penalty = (1 - pi) * _loss(unlabeled, 0)
    return _sum_up(classification, penalty)


def unbiased_pu(
    positive: Tensor,
    unlabeled: Tensor,
    pi: float,
    slack: Optional[float] = None,
    negative: Optional[Tensor] = None,
) -> ObjectiveValue:
    """Estimate the risk without bias: π E_P L(s,1) + E_U L(s,0) - π E_P L(s,0).

    du Plessis, Niu & Sugiyama (2015), equation 2 with the logistic loss. The last two terms
    estimate the risk on negatives, yet fall below zero once the network overfits.
    Arguments and errors as in `Objective`.
    """
    _check_pi(pi)
    _check_no_slack("upu", slack)
    classification = pi * _loss(positive, 1) + (1 - pi) * _loss_of_negatives(negative, positive)
    penalty = _negative_risk(positive, unlabeled, pi)
    return _sum_up(classification, penalty)


def non_negative_pu(
    positive: Tensor,
    unlabeled: Tensor,
    pi: float,
    slack: Optional[float] = None,
    negative: Optional[Tensor] = None,
) -> ObjectiveValue:
    """Keep the risk on negatives at 0 or above: π E_P L(s,1) + max(0, E_U L(s,0) - π E_P L(s,0)).

    Kiryo et al. (2017), equation 6, with the step of their algorithm 1 (β = 0, γ = 1): while the
    estimated risk on negatives is below 0, the value counts it as 0, and the gradient is that of
    minus this risk alone, which undoes the overfitting; the positives' term gives none then.
    Arguments and errors as in `Objective`.
    """
    _check_pi(pi)
    _check_no_slack("nnpu", slack)
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
) -> ObjectiveValue:
    """Tie the mean probability to π: E_P L(s,1) + λ KL(p̂ ‖ π), p̂ = E_U σ(s), λ = 10.

    Paper, equation GE-KL; KL is between Bernoulli distributions. p̂ is handled as a logarithm, so
    value and gradient are finite for any finite score. The gradient of a batch is a biased
    estimate, and fades where every p nears 0 or 1. Arguments and errors as in `Objective`.
    """
    _check_pi(pi)
    slack = _slack(slack, _GE_KL_SLACK)
    classification = _loss(positive, 1) + _loss_of_negatives(negative, positive)
    penalty = slack * _kl_to_prior(unlabeled, pi)
    return _sum_up(classification, penalty)


def ge_binomial(
    positive: Tensor,
    unlabeled: Tensor,
    pi: float,
    slack: Optional[float] = None,
    negative: Optional[Tensor] = None,
) -> ObjectiveValue:
    """Tie the number of positives in a batch to Binomial(m, π): E_P L(s,1) + λ C, λ = 1.

    The count under the classifier has mean μ = Σ p and variance v = Σ p(1-p) over U, with
    p = σ(s). The paper's penalty is the cross entropy of a normal distribution with these moments
    against the binomial. That has its minimum half a count too low, at no positives where
    m π < 1/2, and no gradient where v is small and μ whole. Used instead, with M = m π,
    V = m π (1-π), p̂ = μ / m:

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
    classification = _loss(positive, 1) + _loss_of_negatives(negative, positive)
    penalty = slack * _count_divergence(unlabeled, pi)
    return _sum_up(classification, penalty)


OBJECTIVE_FUNCTIONS: Mapping[str, Objective] = MappingProxyType(
    {
        "pn": pn,
        "upu": unbiased_pu,
        "nnpu": non_negative_pu,
        "ge-kl": ge_kl,
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
    squares = (_in_full(images) - _in_full(reconstructions)).square()
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
    taught = _in_full(start_scores).sigmoid()
    scores = _in_full(scores)
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
    scores = _in_full(scores)
    return -logsigmoid(scores if label == 1 else -scores).sum() / max(len(scores), 1)


def _loss_of_negatives(negative: Optional[Tensor], positive: Tensor) -> Tensor:
    return _loss(positive[:0] if negative is None else negative, 0)


def _negative_risk(positive: Tensor, unlabeled: Tensor, pi: float) -> Tensor:
    """Risk on negatives, estimated from positives and unlabelled regions."""
    return _loss(unlabeled, 0) - pi * _loss(positive, 0)


def _kl_to_prior(scores: Tensor, pi: float) -> Tensor:
    """KL(p̂ ‖ π) between Bernoulli distributions, 0 without scores."""
    if len(scores) == 0:
        return _in_full(scores).sum()
    log_p, log_q = _log_means(scores)
    return log_p.exp() * (log_p - math.log(pi)) + log_q.exp() * (log_q - math.log1p(-pi))


def _count_divergence(scores: Tensor, pi: float) -> Tensor:
    """C of `ge_binomial`, 0 without scores."""
    scores = _in_full(scores)
    m = len(scores)
    if m == 0:
        return scores.sum()
    log_p, log_q = _log_means(scores)
    mean_part = m * (pi * (math.log(pi) - log_p) + (1 - pi) * (math.log1p(-pi) - log_q))
    p = scores.sigmoid()
    # Σ (p - p̂)² is m p̂(1-p̂) - v without the difference of two large numbers.
    spread = (p - p.mean()).square().sum()
    return mean_part - spread / (2 * (m * pi * (1 - pi) + 1))


def _log_means(scores: Tensor) -> Tuple[Tensor, Tensor]:
    """Logarithms of the mean probability p̂ of a positive, and of 1 - p̂."""
    scores = _in_full(scores)
    log_m = math.log(len(scores))
    log_p = torch.logsumexp(logsigmoid(scores), 0) - log_m
    log_q = torch.logsumexp(logsigmoid(-scores), 0) - log_m
    return log_p, log_q


def _in_full(values: Tensor) -> Tensor:
    """Convert half precision to single; single and double stay."""
    return values if values.dtype == torch.float64 else values.float()


def _slack(slack: Optional[float], default: float) -> float:
    if slack is None:
        return default
    if not 0 <= slack < math.inf:
        raise UsageError(f"The slack is {slack}: it must be a number not below 0.")
    return slack


def _check_no_slack(name: str, slack: Optional[float]) -> None:
    if slack is not None:
        raise UsageError(
            f"The objective {name!r} has no slack, but {slack} was given: leave it out, or choose "
            "'ge-kl' or 'ge-binomial'."
        )


def _check_pi(pi: float) -> None:
    if not 0 < pi < 1:
        raise UsageError(
            f"The fraction of positive regions (pi) is {pi}: it must lie between 0 and 1. "
            "Check the expected number of particles and the training radius."
        )
