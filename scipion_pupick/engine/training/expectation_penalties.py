# SPDX-License-Identifier: GPL-3.0-or-later
"""How far the scores of unlabelled regions are from the expected share of positives.

Each function takes scores (m,), logits, and the expected share π of positives, and returns a
scalar, which is 0 where there are no scores. Their equations stand in `objectives`.
"""

from __future__ import annotations

import math
from typing import Tuple

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

# of a count; keeps divisions by it finite where every score is certain
_LEAST_VARIANCE = 1e-10


def kl_to_prior(scores: Tensor, pi: float) -> Tensor:
    """KL(p̂ ‖ π) between Bernoulli distributions, the penalty of `objectives.ge_kl`."""
    if len(scores) == 0:
        return in_full(scores).sum()
    log_p, log_q = _log_means(scores)
    return log_p.exp() * (log_p - math.log(pi)) + log_q.exp() * (log_q - math.log1p(-pi))


def count_cross_entropy(scores: Tensor, pi: float) -> Tensor:
    """Cross entropy of the number of positives with the binomial, C of `objectives.ge_binomial`."""
    scores = in_full(scores)
    m = len(scores)
    if m == 0:
        return scores.sum()
    p = scores.sigmoid()
    mean, variance = p.sum(), (p * (1 - p)).sum()
    counts = torch.arange(m + 1, dtype=scores.dtype, device=scores.device)
    q = torch.softmax(-(counts - mean).square() / (2 * (variance + _LEAST_VARIANCE)), dim=0)
    return -(q * _log_binomial(m, pi).to(scores)).sum()


def _log_binomial(m: int, pi: float) -> Tensor:
    """Logarithms (m + 1,) of the probabilities of all counts among m, double precision."""
    k = torch.arange(m + 1, dtype=torch.float64)
    ways = math.lgamma(m + 1) - torch.lgamma(k + 1) - torch.lgamma(m - k + 1)
    return ways + k * math.log(pi) + (m - k) * math.log1p(-pi)


def count_divergence(scores: Tensor, pi: float) -> Tensor:
    """Divergence of the number of positives from the binomial, C of `objectives.ge_binomial_kl`."""
    scores = in_full(scores)
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
    scores = in_full(scores)
    log_m = math.log(len(scores))
    log_p = torch.logsumexp(logsigmoid(scores), 0) - log_m
    log_q = torch.logsumexp(logsigmoid(-scores), 0) - log_m
    return log_p, log_q


def in_full(values: Tensor) -> Tensor:
    """Convert half precision to single; single and double stay."""
    return values if values.dtype == torch.float64 else values.float()
