# SPDX-License-Identifier: GPL-3.0-or-later
"""Calibrated scores against distributions whose log-odds are known."""

import numpy as np
import pytest
import torch
from scipy.special import expit, logit

from scipion_pupick.engine.calibration.gaussian import calibrate
from scipion_pupick.engine.calibration.line import calibrated
from scipion_pupick.engine.calibration.precision_recall_estimate import (
    best_threshold,
    estimate_precision_recall,
)
from scipion_pupick.engine.networks.architectures import make_network


def draw(number, share, others, particles, width, seed=0):
    """Scores of peaks, and which are particles, whose log-odds are a known line."""
    random = np.random.default_rng(seed)
    true = random.random(number) < share
    scores = random.normal(np.where(true, particles, others), width)
    slope = (particles - others) / width**2
    return scores, true, slope, logit(share) - slope * (particles + others) / 2


def f1_at(scores, true, threshold):
    picked = scores >= threshold
    return 2 * np.count_nonzero(true & picked) / (np.count_nonzero(picked) + true.sum())


@pytest.mark.parametrize("wrong", [0.7, 1.0, 1.3])
@pytest.mark.parametrize(
    ("share", "others", "particles", "width"),
    [(0.3, -3.4, 0.7, 1.9), (0.1, -4.2, 0.8, 1.8), (0.05, -4.6, 0.6, 1.8)],
)
def test_a_trained_network_is_calibrated_with_a_rough_count(wrong, share, others, particles, width):
    scores, true, *_ = draw(8000, share, others, particles, width)
    found = calibrate(scores, wrong * true.sum())
    log_odds = found.log_odds(scores)
    chosen = best_threshold(estimate_precision_recall([log_odds]))
    best = max(f1_at(log_odds, true, threshold) for threshold in np.linspace(-4, 4, 81))
    assert f1_at(log_odds, true, chosen) > best - 0.03
    quality = estimate_precision_recall([log_odds], found.error, [chosen])
    picked = log_odds >= chosen
    precision = true[picked].mean()
    recall = np.count_nonzero(true & picked) / true.sum()
    assert quality.precision_low <= precision <= quality.precision_high
    assert quality.recall_low <= recall <= quality.recall_high


@pytest.mark.parametrize("wrong", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("gap", [8.0, 12.0, 20.0])
def test_particles_far_above_all_else_are_calibrated(gap, wrong):
    random = np.random.default_rng(0)
    others, particles = random.normal(-6, 0.5, 250), random.normal(gap - 6, 0.5, 250)
    scores = np.concatenate([others, particles])
    found = calibrate(scores, 250 * wrong).log_odds(scores)
    assert (found[:250] < 0).all()
    assert found[250:].min() > found[:250].max()
    assert np.isfinite(found).all()


def test_a_higher_count_raises_the_log_odds():
    scores, *_ = draw(4000, 0.1, -3.8, 1.0, 1.75)
    few, many = (calibrate(scores, count) for count in (200, 800))
    assert many.log_odds(0.0) > few.log_odds(0.0)


@pytest.mark.parametrize(
    "scores", [np.empty(0), np.zeros(1), np.full(50, -20.0), np.linspace(-60, 90, 500)]
)
def test_odd_scores_give_a_rising_line(scores):
    found = calibrate(scores, 10)
    assert found.slope > 0
    assert np.isfinite([found.slope, found.offset, found.error]).all()


def test_the_line_is_folded_into_the_network():
    network = make_network("conv3").eval()
    images = torch.randn(2, 1, 47, 47)
    found = calibrate(np.random.default_rng(0).normal(-3, 2, 500), 50)
    with torch.no_grad():
        before, after = network(images).numpy(), calibrated(network, found)(images).numpy()
        np.testing.assert_allclose(after, found.log_odds(before), rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(network(images).numpy(), before)


def particles_among(scores, seed):
    return np.random.default_rng(seed).random(len(scores)) < expit(scores)


@pytest.mark.parametrize("uncertainty", [0.0, 0.5])
def test_the_intervals_hold_the_truth_as_often_as_they_claim(uncertainty):
    random = np.random.default_rng(1)
    inside = []
    for seed in range(300):
        shown = random.normal(-1, 2.5, 400)
        true = particles_among(shown + uncertainty * random.standard_normal(), seed)
        quality = estimate_precision_recall([shown], uncertainty, [0.0])
        precision = true[shown >= 0].mean()
        recall = np.count_nonzero(true & (shown >= 0)) / true.sum()
        inside.append(
            [
                quality.precision_low[0] <= precision <= quality.precision_high[0],
                quality.recall_low[0] <= recall <= quality.recall_high[0],
            ]
        )
    share = np.mean(inside, axis=0)
    assert share[0] == pytest.approx(0.95, abs=0.035)
    assert share[1] > 0.9


def test_the_expected_numbers_are_sums_of_probabilities():
    scores = [np.array([-2.0, 0.0, 3.0]), np.empty(0), np.array([1.0])]
    quality = estimate_precision_recall(scores, thresholds=[-1.0, 2.0, 9.0])
    assert quality.picks.tolist() == [3, 1, 0]
    np.testing.assert_allclose(quality.true_picks, [expit([0, 3, 1]).sum(), expit(3), 0])
    np.testing.assert_allclose(quality.precision, [expit([0, 3, 1]).mean(), expit(3), 0])
    np.testing.assert_allclose(
        quality.recall[0], expit([0, 3, 1]).sum() / expit([0, 3, 1, -2]).sum()
    )


def test_no_peak_gives_no_row_and_no_pick():
    assert len(estimate_precision_recall([np.empty(0)]).threshold) == 0
    quality = estimate_precision_recall([np.empty(0)], 0.3, [1.0])
    assert (quality.picks[0], quality.true_picks[0], quality.recall[0]) == (0, 0, 0)


@pytest.mark.parametrize("wrong", [0.5, 2.0])
def test_a_number_that_is_less_certain_counts_less(wrong):
    scores, true, slope, offset = draw(8000, 0.2, -3.4, 0.7, 1.9)
    certain, uncertain = (calibrate(scores, wrong * true.sum(), error) for error in (0.2, 0.6))
    even = -offset / slope
    assert abs(uncertain.log_odds(even)) < abs(certain.log_odds(even))
    assert uncertain.error > certain.error
