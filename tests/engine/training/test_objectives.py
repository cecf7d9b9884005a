# SPDX-License-Identifier: GPL-3.0-or-later
"""Objectives against plain numpy, exact count distributions and the published algorithms."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from scipion_pupick.engine.errors import UsageError
from scipion_pupick.engine.training.objectives import (
    OBJECTIVE_FUNCTIONS,
    ObjectiveValue,
    autoencoder_weight,
    distillation,
    distillation_weight,
    reconstruction_error,
)

ZERO_AT_PI = ("ge-kl", "ge-binomial-kl")
WITH_SLACK = (*ZERO_AT_PI, "ge-binomial")
WITHOUT_SLACK = ("pn", "upu", "nnpu")


def tensor(values, grad=False, dtype=torch.float64):
    return torch.tensor(np.asarray(values), dtype=dtype, requires_grad=grad)


def logit(p):
    return np.log(p) - np.log1p(-np.asarray(p))


def probability(scores):
    return 1 / (1 + np.exp(-np.asarray(scores, np.float64)))


def loss(scores, label):
    p = probability(scores)
    return float(np.mean(-np.log(p if label else 1 - p)))


def count_distribution(p):
    """Exact distribution of the number of successes, one factor after the other."""
    q = np.ones(1)
    for each in p:
        q = np.convolve(q, [1 - each, each])
    return q


def divergence_from_binomial(q, pi):
    """KL(q || Binomial(m, pi)) for a distribution q of 0 ... m."""
    k = np.flatnonzero(q > 0)
    return float(np.sum(q[k] * (np.log(q[k]) - stats.binom.logpmf(k, len(q) - 1, pi))))


def entropy(q):
    return -float(np.sum(q[q > 0] * np.log(q[q > 0])))


def penalty(name, scores, pi):
    none = torch.empty(0, dtype=torch.float64)
    return float(OBJECTIVE_FUNCTIONS[name](none, tensor(scores), pi).penalty)


def gradient(name, scores, pi, dtype=torch.float64):
    unlabeled = tensor(scores, grad=True, dtype=dtype)
    OBJECTIVE_FUNCTIONS[name](unlabeled.detach()[:0], unlabeled, pi).total.backward()
    return unlabeled.grad.double().numpy()


@pytest.fixture
def batch():
    random = np.random.default_rng(3)
    return random.normal(1.0, 2.0, 7), random.normal(-1.0, 2.0, 40), random.normal(-2, 1, 5)


@pytest.mark.parametrize("pi", [0.03, 0.4])
def test_values_equal_plain_formulas(batch, pi):
    positive, unlabeled, _ = batch
    negative_risk = loss(unlabeled, 0) - pi * loss(positive, 0)
    mean = probability(unlabeled).mean()
    kl = mean * math.log(mean / pi) + (1 - mean) * math.log((1 - mean) / (1 - pi))
    expected = {
        "pn": (pi * loss(positive, 1), (1 - pi) * loss(unlabeled, 0)),
        "upu": (pi * loss(positive, 1), negative_risk),
        "nnpu": (pi * loss(positive, 1), max(0.0, negative_risk)),
        "ge-kl": (loss(positive, 1), 10 * kl),
    }
    for name, (classification, rest) in expected.items():
        value = OBJECTIVE_FUNCTIONS[name](tensor(positive), tensor(unlabeled), pi)
        assert float(value.classification) == pytest.approx(classification, rel=1e-12), name
        assert float(value.penalty) == pytest.approx(rest, rel=1e-10), name
        assert float(value.total) == pytest.approx(classification + rest, rel=1e-12), name


@pytest.mark.parametrize("name", OBJECTIVE_FUNCTIONS)
def test_labelled_negatives_add_their_own_mean_loss(batch, name):
    positive, unlabeled, negative = (tensor(scores) for scores in batch)
    pi = 0.2
    without = OBJECTIVE_FUNCTIONS[name](positive, unlabeled, pi)
    value = OBJECTIVE_FUNCTIONS[name](positive, unlabeled, pi, negative=negative)
    weight = 1.0 if name in WITH_SLACK else 1 - pi
    added = float(value.classification - without.classification)
    assert added == pytest.approx(weight * loss(batch[2], 0), rel=1e-10)
    assert float(value.penalty) == float(without.penalty)
    assert float(value.total - without.total) == pytest.approx(added)
    twice = OBJECTIVE_FUNCTIONS[name](positive, unlabeled, pi, negative=negative.repeat(2))
    assert float(twice.total) == pytest.approx(float(value.total), rel=1e-12)
    none = OBJECTIVE_FUNCTIONS[name](positive, unlabeled, pi, negative=negative[:0])
    assert float(none.total) == float(without.total)


@pytest.mark.parametrize("name", WITH_SLACK)
def test_labelled_regions_have_one_mean_where_the_paper_pools_them(batch, name):
    """Discussion: the expectation of the loss over all labelled data, in the first term."""
    positive, unlabeled, negative = (tensor(scores) for scores in batch)
    losses = [*-np.log(probability(batch[0])), *-np.log(1 - probability(batch[2]))]
    share = len(positive) / len(losses)
    value = OBJECTIVE_FUNCTIONS[name](positive, unlabeled, 0.2, None, negative, share)
    assert float(value.classification) == pytest.approx(np.mean(losses), rel=1e-12)
    alone = OBJECTIVE_FUNCTIONS[name](positive, unlabeled, 0.2)
    pooled = OBJECTIVE_FUNCTIONS[name](positive, unlabeled, 0.2, None, None, 1.0)
    assert float(pooled.total) == float(alone.total)
    for senseless in (0.0, 1.1, math.nan):
        with pytest.raises(UsageError, match="share"):
            OBJECTIVE_FUNCTIONS[name](positive, unlabeled, 0.2, None, negative, senseless)


@pytest.mark.parametrize("name", OBJECTIVE_FUNCTIONS)
@pytest.mark.parametrize("with_negative", [False, True])
def test_gradients_are_those_of_finite_differences(batch, name, with_negative):
    positive, unlabeled, negative = (tensor(scores, grad=True) for scores in batch)
    inputs = (positive, unlabeled, negative) if with_negative else (positive, unlabeled)

    def total(positive, unlabeled, negative=None):
        return OBJECTIVE_FUNCTIONS[name](positive, unlabeled, 0.1, negative=negative).total

    assert OBJECTIVE_FUNCTIONS["nnpu"](positive, unlabeled, 0.1).penalty > 0
    assert torch.autograd.gradcheck(total, inputs)


def test_negative_risk_below_zero_takes_the_step_of_kiryo():
    """Algorithm 1: the gradient is that of -(E_U L(s,0) - pi E_P L(s,0)), and of nothing else."""
    positive, unlabeled, pi = np.array([3.0, 1.0]), np.array([-4.0, -3.0, -5.0]), 0.3
    assert loss(unlabeled, 0) - pi * loss(positive, 0) < -0.1
    scores = tensor(positive, grad=True), tensor(unlabeled, grad=True)
    value = OBJECTIVE_FUNCTIONS["nnpu"](*scores, pi)
    value.total.backward()
    assert float(value.penalty) == 0
    assert value.total.item() == pytest.approx(pi * loss(positive, 1))
    np.testing.assert_allclose(scores[0].grad, pi * probability(positive) / 2, rtol=1e-12)
    np.testing.assert_allclose(scores[1].grad, -probability(unlabeled) / 3, rtol=1e-12)


def test_labelled_negatives_still_count_while_negative_risk_is_below_zero():
    negative = tensor([2.0, -1.0], grad=True)
    OBJECTIVE_FUNCTIONS["nnpu"](
        tensor([3.0]), tensor([-4.0]), 0.3, negative=negative
    ).total.backward()
    np.testing.assert_allclose(negative.grad, 0.7 * probability([2.0, -1.0]) / 2, rtol=1e-12)


def test_non_negative_equals_unbiased_while_the_risk_is_positive(batch):
    scores = [tensor(batch[0], grad=True), tensor(batch[1], grad=True)]
    gradients = []
    for name in ("upu", "nnpu"):
        value = OBJECTIVE_FUNCTIONS[name](*scores, 0.1)
        gradients.append(torch.autograd.grad(value.total, scores))
    for unbiased, non_negative in zip(*gradients):
        assert torch.equal(unbiased, non_negative)


def test_unbiased_risk_may_fall_below_zero_and_non_negative_may_not():
    positive, unlabeled = tensor([6.0, 5.0]), tensor([-6.0, -5.0])
    assert float(OBJECTIVE_FUNCTIONS["upu"](positive, unlabeled, 0.5).total) < 0
    assert float(OBJECTIVE_FUNCTIONS["nnpu"](positive, unlabeled, 0.5).total) > 0


@pytest.mark.parametrize("name", ZERO_AT_PI)
@pytest.mark.parametrize("m", [3, 240])
@pytest.mark.parametrize("pi", [0.001, 0.03, 0.5, 0.9])
def test_penalty_and_gradient_vanish_where_every_probability_is_pi(name, m, pi):
    scores = np.full(m, logit(pi))
    assert penalty(name, scores, pi) == pytest.approx(0, abs=1e-10)
    np.testing.assert_allclose(gradient(name, scores, pi), 0, atol=1e-10)


def papers_cross_entropy(p, pi):
    """-Σ q(k) log Binomial(k; N, pi), k = 0 ... N, with the normal density in place of q.

    The paper's mean is Σ p, its variance Σ p (1 - p). The density is divided by its sum over k.
    """
    p = np.asarray(p)
    k = np.arange(len(p) + 1)
    density = stats.norm.pdf(k, p.sum(), math.sqrt(np.sum(p * (1 - p))))
    return -float(np.sum(density / density.sum() * stats.binom.logpmf(k, len(p), pi)))


@pytest.mark.parametrize("pi", [0.003, 0.035, 0.4])
@pytest.mark.parametrize("m", [1, 5, 60, 240])
@pytest.mark.parametrize("centre", [-6.0, -3.0, 0.0, 2.0])
def test_binomial_objective_is_the_papers(pi, m, centre):
    random = np.random.default_rng(m)
    positive, unlabeled = random.normal(1, 2, 7), random.normal(centre, 1.5, m)
    value = OBJECTIVE_FUNCTIONS["ge-binomial"](tensor(positive), tensor(unlabeled), pi, 0.7)
    expected = papers_cross_entropy(probability(unlabeled), pi)
    assert float(value.penalty) == pytest.approx(0.7 * expected, rel=1e-7)
    assert float(value.total) == pytest.approx(loss(positive, 1) + 0.7 * expected, rel=1e-7)


def test_binomial_objective_takes_the_density_itself_where_that_is_a_distribution():
    """As the paper writes it, divided by nothing, and near the exact distribution of counts."""
    p, pi = np.random.default_rng(1).beta(2, 8, 240), 0.25
    k = np.arange(241)
    of_binomial = stats.binom.logpmf(k, 240, pi)
    density = stats.norm.pdf(k, p.sum(), math.sqrt(np.sum(p * (1 - p))))
    literal = -float(np.sum(density * of_binomial))
    exact = -float(np.sum(count_distribution(p) * of_binomial))
    assert penalty("ge-binomial", logit(p), pi) == pytest.approx(literal, rel=1e-9)
    assert penalty("ge-binomial", logit(p), pi) == pytest.approx(exact, rel=1e-3)


@pytest.mark.parametrize(("m", "pi"), [(240, 0.035), (240, 0.1), (240, 0.0014)])
def test_binomial_objective_is_least_half_a_count_too_low(m, pi):
    """Known of the paper's formula; below half a positive a batch, it is least without any."""
    counts = np.linspace(0.01, 2 * m * pi + 2, 600)
    values = [penalty("ge-binomial", np.full(m, logit(count / m)), pi) for count in counts]
    best = counts[int(np.argmin(values))]
    expected = m * pi - 0.5 if m * pi > 0.5 else counts[0]
    assert best == pytest.approx(expected, abs=0.25)


@pytest.mark.parametrize("m", [1, 5, 60, 240])
@pytest.mark.parametrize("pi", [0.003, 0.1, 0.6])
@pytest.mark.parametrize("p", [0.001, 0.02, 0.3, 0.9])
def test_binomial_penalty_of_equal_scores_is_exact_divergence_of_counts(m, pi, p):
    exact = divergence_from_binomial(stats.binom.pmf(np.arange(m + 1), m, pi), p)
    assert penalty("ge-binomial-kl", np.full(m, logit(p)), pi) == pytest.approx(exact, rel=1e-7)


@pytest.mark.parametrize("pi", [0.001, 0.02, 0.1])
@pytest.mark.parametrize("expected", [0.25, 0.5, 2.0, 4.0])
def test_binomial_penalty_pulls_the_count_where_exact_divergence_does(pi, expected):
    """Also with m pi = 0.24 < 1; scores are spread round a common shift."""
    m = 240
    spread = np.random.default_rng(0).normal(0, 1.0, m)
    shifts = np.linspace(-12, 6, 3000)
    means = np.array([probability(spread + shift).mean() for shift in shifts])
    shift = float(np.interp(expected * pi, means, shifts))
    ahead, behind = spread + shift + 1e-4, spread + shift - 1e-4
    exact = [
        divergence_from_binomial(count_distribution(probability(scores)), pi)
        for scores in (behind, ahead)
    ]
    slope = gradient("ge-binomial-kl", spread + shift, pi).sum()
    assert np.sign(slope) == np.sign(exact[1] - exact[0]) == np.sign(expected - 1)


@pytest.mark.parametrize("pi", [0.05, 0.2])
@pytest.mark.parametrize("shift", [-0.05, 0.0, 0.05])
def test_binomial_penalty_approximates_exact_cross_entropy_for_many_expected(pi, shift):
    """-sum q(k) log Binomial(k), less the entropy of the binomial with the classifier's mean."""
    m = 1000
    p = np.random.default_rng(1).beta(2 * pi, 2 * (1 - pi), m)
    p *= pi * (1 + shift) / p.mean()
    p = np.clip(p, 1e-9, 1 - 1e-9)
    q = count_distribution(p)
    own = stats.binom.pmf(np.arange(m + 1), m, p.mean())
    exact = divergence_from_binomial(q, pi) + entropy(q) - entropy(own)
    assert penalty("ge-binomial-kl", logit(p), pi) == pytest.approx(exact, abs=0.05)


def mean_over_batches(rate, m, pi):
    """Exact mean penalty where a share `rate` of the regions scores +8, and the others -8."""
    weight = stats.binom.pmf(np.arange(m + 1), m, rate)
    return sum(
        weight[k] * penalty("ge-binomial-kl", np.where(np.arange(m) < k, 8.0, -8.0), pi)
        for k in np.flatnonzero(weight > 1e-7)
    )


@pytest.mark.parametrize(("m", "pi"), [(240, 0.003), (240, 0.02), (400, 0.05)])
def test_confident_classifier_over_batches_does_best_near_the_right_count(m, pi):
    """Batches hold a random number of particles; the optimum is within a count of the right one."""
    off = np.arange(-0.9, 4.0, 0.1) if m * pi < 1 else np.arange(-4.0, 4.0, 0.25)
    rates = [rate for rate in pi + off / m if rate > 0]
    best = rates[int(np.argmin([mean_over_batches(rate, m, pi) for rate in rates]))]
    assert -0.3 <= m * (best - pi) <= 1.1


def test_variance_term_takes_back_what_batches_cost_a_right_classifier():
    """Without it the mean over batches would be 1/2, the Taylor term of the divergence."""
    assert mean_over_batches(0.1, 500, 0.1) == pytest.approx(0, abs=0.05)


@pytest.mark.parametrize("pi", [0.0005, 0.003])
def test_confident_classifier_is_not_drawn_to_more_than_one_count_too_many(pi):
    """Below one expected positive a batch, the reward for confidence must not run away."""
    m = 240
    values = [
        penalty("ge-binomial-kl", np.where(np.arange(m) < k, 30.0, -30.0), pi) for k in range(1, m)
    ]
    assert int(np.argmin(values)) == 0
    assert np.all(np.diff(values) > 0)


@pytest.mark.parametrize(("sign", "m", "pi"), [(1, 240, 0.003), (-1, 240, 0.003), (-1, 10, 0.02)])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_binomial_gradient_pulls_back_scores_saturated_on_one_side(sign, m, pi, dtype):
    """All far too high: 1 - pi for each; all far too low: m pi in all."""
    slope = gradient("ge-binomial-kl", np.full(m, sign * 80.0), pi, dtype)
    expected = (1 - pi) if sign > 0 else -pi
    np.testing.assert_allclose(slope, np.full(m, expected), rtol=1e-2)


def test_binomial_gradient_survives_small_variance_at_whole_counts():
    """Ten confident positives where five are due: mean whole, variance almost 0."""
    scores = np.where(np.arange(250) < 10, 9.0, -9.0)
    slope = gradient("ge-binomial-kl", scores, 0.02)
    p = probability(scores)
    assert np.all(slope > 0)
    np.testing.assert_allclose(slope[:10] / (p * (1 - p))[:10], 0.5, atol=0.2)


@pytest.mark.parametrize("name", OBJECTIVE_FUNCTIONS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("values", [(80, 80), (-80, -80), (80, -80), (-80, 80), (0, 0)])
def test_everything_is_finite_in_the_corners(name, dtype, values):
    for n in (0, 4):
        positive = tensor(np.full(n, values[0]), grad=True, dtype=dtype)
        unlabeled = tensor(np.full(30, values[1]), grad=True, dtype=dtype)
        negative = tensor([80.0, -80.0], grad=True, dtype=dtype)
        value = OBJECTIVE_FUNCTIONS[name](positive, unlabeled, 0.003, negative=negative)
        value.total.backward()
        assert torch.isfinite(value.total)
        for scores in (positive, unlabeled, negative):
            assert scores.grad is None or torch.isfinite(scores.grad).all()


@pytest.mark.parametrize("name", OBJECTIVE_FUNCTIONS)
def test_batch_without_positives_has_only_the_unlabelled_part(batch, name):
    value = OBJECTIVE_FUNCTIONS[name](torch.empty(0), tensor(batch[1]), 0.1)
    assert float(value.classification) == 0
    assert float(value.total) == float(value.penalty) != 0


@pytest.mark.parametrize("name", OBJECTIVE_FUNCTIONS)
def test_batch_without_unlabelled_has_only_the_labelled_part(batch, name):
    positive = tensor(batch[0], grad=True)
    value = OBJECTIVE_FUNCTIONS[name](positive, torch.empty(0), 0.1)
    value.total.backward()
    assert torch.isfinite(positive.grad).all()
    if name in WITH_SLACK:
        assert float(value.penalty) == 0


@pytest.mark.parametrize("name", OBJECTIVE_FUNCTIONS)
def test_half_precision_is_computed_in_single(batch, name):
    half = [tensor(scores, dtype=torch.bfloat16) for scores in batch[:2]]
    value = OBJECTIVE_FUNCTIONS[name](*half, 0.1)
    reference = OBJECTIVE_FUNCTIONS[name](*(scores.double() for scores in half), 0.1)
    assert value.total.dtype == torch.float32
    assert float(value.total) == pytest.approx(float(reference.total), rel=1e-5)


@pytest.mark.parametrize("name", WITH_SLACK)
def test_slack_weighs_the_penalty(batch, name):
    scores = [tensor(each) for each in batch[:2]]
    one = OBJECTIVE_FUNCTIONS[name](*scores, 0.1, 1.0)
    three = OBJECTIVE_FUNCTIONS[name](*scores, 0.1, slack=3.0)
    assert float(three.penalty) == pytest.approx(3 * float(one.penalty))
    assert float(three.classification) == float(one.classification)
    assert float(OBJECTIVE_FUNCTIONS[name](*scores, 0.1, slack=0.0).penalty) == 0
    default = 10.0 if name == "ge-kl" else 1.0
    assert float(OBJECTIVE_FUNCTIONS[name](*scores, 0.1).penalty) == pytest.approx(
        default * float(one.penalty)
    )


@pytest.mark.parametrize("slack", [-1.0, math.inf, math.nan])
@pytest.mark.parametrize("name", WITH_SLACK)
def test_senseless_slack_is_refused(name, slack):
    with pytest.raises(UsageError, match="slack"):
        OBJECTIVE_FUNCTIONS[name](torch.zeros(1), torch.zeros(1), 0.1, slack)


@pytest.mark.parametrize("name", WITHOUT_SLACK)
def test_slack_for_an_objective_without_penalty_is_refused(name):
    for given in ({"slack": 1.0}, {"positive_share": 0.5}):
        with pytest.raises(UsageError, match=name):
            OBJECTIVE_FUNCTIONS[name](torch.zeros(1), torch.zeros(1), 0.1, **given)


@pytest.mark.parametrize("name", OBJECTIVE_FUNCTIONS)
@pytest.mark.parametrize("pi", [0.0, 1.0, -0.1, 1.5, math.nan])
def test_pi_outside_its_range_is_refused(name, pi):
    with pytest.raises(UsageError, match="pi"):
        OBJECTIVE_FUNCTIONS[name](torch.zeros(1), torch.zeros(1), pi)


@pytest.mark.parametrize("name", OBJECTIVE_FUNCTIONS)
def test_every_objective_learns_to_rank_two_overlapping_classes(name):
    """Logistic regression on one feature must end with a positive weight."""
    random = np.random.default_rng(5)
    pi, m = 0.2, 400
    unlabeled = tensor(random.normal(np.where(np.arange(m) < pi * m, 2.0, 0.0), 1.0))
    positive = tensor(random.normal(2.0, 1.0, 30))
    parameters = tensor([0.0, logit(pi)], grad=True)
    optimizer = torch.optim.Adam([parameters], lr=0.05)
    for _ in range(300):
        optimizer.zero_grad()
        scores = (parameters[0] * each + parameters[1] for each in (positive, unlabeled))
        value = OBJECTIVE_FUNCTIONS[name](*scores, pi)
        assert isinstance(value, ObjectiveValue)
        value.total.backward()
        optimizer.step()
    weight, offset = parameters.detach()
    assert weight > 0.5
    if name in WITH_SLACK:
        mean = torch.sigmoid(weight * unlabeled + offset).mean()
        assert float(mean) == pytest.approx(pi, rel=0.25)


def test_reconstruction_error_sums_pixels_and_averages_images():
    images = torch.arange(24.0).reshape(2, 1, 3, 4)
    reconstructions = images.clone()
    reconstructions[0, 0, 1, 2] += 3
    reconstructions[1, 0, 0, 0] -= 1
    assert float(reconstruction_error(images, reconstructions)) == (9 + 1) / 2
    assert float(reconstruction_error(images[:0], images[:0])) == 0
    half = reconstruction_error(images.bfloat16(), reconstructions.bfloat16())
    assert half.dtype == torch.float32


def test_reconstruction_of_another_size_is_refused():
    with pytest.raises(UsageError, match="shape"):
        reconstruction_error(torch.zeros(2, 4, 4), torch.zeros(2, 1, 4))


def test_autoencoder_weight_is_ten_by_labels_up_to_250():
    assert [autoencoder_weight(n) for n in (1, 10, 250, 251, 1000)] == [10, 1, 0.04, 0, 0]
    with pytest.raises(UsageError, match="0"):
        autoencoder_weight(0)


def test_distillation_is_the_cross_entropy_of_two_networks(batch):
    scores, known = batch[0], batch[0][::-1] + 0.3
    p, q = probability(scores), probability(known)
    expected = -np.mean(q * np.log(p) + (1 - q) * np.log(1 - p))
    assert float(distillation(tensor(scores), tensor(known.copy()))) == pytest.approx(expected)


def test_distillation_pulls_to_the_other_network_and_not_beyond():
    known = tensor(np.linspace(-6, 6, 13))
    for shift, sign in ((1.0, 1), (-1.0, -1), (0.0, 0)):
        scores = (known + shift).requires_grad_()
        distillation(scores, known).backward()
        assert np.all(np.sign(np.round(scores.grad.numpy(), 12)) == sign)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("values", [(80, 80), (-80, -80), (80, -80), (-80, 80)])
@pytest.mark.parametrize("n", [0, 4])
def test_distillation_is_finite_in_the_corners(dtype, values, n):
    scores = tensor(np.full(n, values[0]), grad=True, dtype=dtype)
    value = distillation(scores, tensor(np.full(n, values[1]), dtype=dtype))
    value.backward()
    assert value.item() == pytest.approx(80 if values[0] * values[1] < 0 and n else 0)
    assert torch.isfinite(scores.grad).all()


def test_distillation_weight_is_five_by_labels_up_to_250():
    assert [distillation_weight(n) for n in (1, 10, 250, 251, 1000)] == [5, 0.5, 0.02, 0, 0]
    with pytest.raises(UsageError, match="0"):
        distillation_weight(0)
