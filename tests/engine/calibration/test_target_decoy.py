# SPDX-License-Identifier: GPL-3.0-or-later
"""Scores calibrated by decoys against distributions whose log-odds are known."""

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.special import expit, logit
from scipy.stats import norm

from scipion_pupick.engine.calibration.line import Calibration, with_count
from scipion_pupick.engine.calibration.precision_recall_estimate import (
    best_threshold,
    estimate_precision_recall,
)
from scipion_pupick.engine.calibration.target_decoy import FEW_DECOYS, calibrate_target_decoy
from scipion_pupick.engine.evaluation.curves import precision_recall

OTHERS = norm(-5.0, 1.5)


def draw(share, particles, count=8000, seed=0):
    """Scores of peaks, which of them are particles, and the scores of decoys."""
    random = np.random.default_rng(seed)
    true = random.random(count) < share
    scores = np.where(true, particles.rvs(count, random), OTHERS.rvs(count, random))
    return scores, true, OTHERS.rvs(count, random)


def loss(scores, true, log_odds, error=0.0):
    """F1 that the estimated best threshold loses."""
    picked = log_odds >= best_threshold(estimate_precision_recall([log_odds], error))
    own = precision_recall(true[picked], scores[picked], int(true.sum()))
    return precision_recall(true, scores, int(true.sum())).best_f1 - own.of_all[2]


@pytest.mark.parametrize("share", [0.05, 0.2, 0.4])
@pytest.mark.parametrize("mean", [-0.3, 1.0])
def test_the_scores_and_the_decoys_alone_calibrate(share, mean):
    # as wide as the general model's scores on simulated micrographs are: those of particles wider
    particles = norm(mean, 2.0)
    scores, true, decoys = draw(share, particles)
    found = calibrate_target_decoy(scores, decoys)
    assert loss(scores, true, found.log_odds(scores)) < 0.03
    even = brentq(lambda x: logit(share) + particles.logpdf(x) - OTHERS.logpdf(x), -5.0, mean)
    assert abs(found.log_odds(even)) < 2 * found.error


@pytest.mark.parametrize("share", [0.1, 0.3])
@pytest.mark.parametrize("wrong", [0.7, 1.0, 1.4])
def test_a_rough_number_of_particles_calibrates_faint_ones(share, wrong):
    scores, true, decoys = draw(share, norm(-1.5, 2.0))
    found = calibrate_target_decoy(scores, decoys, wrong * true.sum())
    assert loss(scores, true, found.log_odds(scores)) < 0.03


@pytest.mark.parametrize(
    ("share", "others", "particles"),
    [
        (0.46, norm(-5.8, 1.2), norm(-1.6, 2.3)),  # apoferritin, crowded
        (0.42, norm(-5.7, 1.25), norm(-1.1, 1.8)),  # beta-galactosidase, crowded
        (0.16, norm(-5.2, 1.5), norm(-1.4, 1.8)),  # GroEL
        (0.25, norm(-5.0, 1.7), norm(-2.7, 1.65)),  # EMPIAR-10947: faint
    ],
)
def test_peaks_that_lie_close_are_calibrated_crowded_or_not(share, others, particles):
    """Distributions as measured on sets whose particles are known, decoys at -5 +- 1.5."""
    random = np.random.default_rng(3)
    true = random.random(8000) < share
    scores = np.where(true, particles.rvs(8000, random), others.rvs(8000, random))
    found = calibrate_target_decoy(scores, OTHERS.rvs(8000, random), step=2)
    assert loss(scores, true, found.log_odds(scores), found.error) < 0.04
    quality = estimate_precision_recall([found.log_odds(scores)], found.error, [0.0])
    precision = true[found.log_odds(scores) >= 0].mean()
    assert quality.precision_low[0] <= precision <= quality.precision_high[0]


@pytest.mark.parametrize(("scale", "shift"), [(3.0, 0.0), (1.0, 7.0), (0.4, -20.0)])
def test_log_odds_do_not_depend_on_the_scale_of_the_scores(scale, shift):
    scores, _, decoys = draw(0.2, norm(0.0, 2.0))
    before = calibrate_target_decoy(scores, decoys).log_odds(scores)
    moved = scale * scores + shift
    after = calibrate_target_decoy(moved, scale * decoys + shift).log_odds(moved)
    np.testing.assert_allclose(after, before, atol=0.02)


def test_the_decoys_tell_noise_from_particles():
    """The same scores hold no particle where those of the negatives are like them."""
    scores, true, decoys = draw(0.3, norm(-0.5, 2.0))
    alike = np.random.default_rng(1).permutation(scores)
    found, doubted = (
        calibrate_target_decoy(scores, each).log_odds(scores) for each in (decoys, alike)
    )
    assert np.count_nonzero(found > 0) > 0.7 * true.sum()
    assert np.count_nonzero(doubted > 0) < 0.2 * np.count_nonzero(found > 0)


def test_hardly_anything_is_found_in_noise_that_should_hold_nothing():
    scores, _, decoys = draw(0.0, norm(0.0, 2.0))
    log_odds = calibrate_target_decoy(scores, decoys, 1.0).log_odds(scores)
    assert np.count_nonzero(log_odds > 0) < 0.01 * len(scores)


@pytest.mark.parametrize("wrong", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("gap", [8.0, 12.0, 20.0])
def test_particles_far_above_all_else_are_calibrated(gap, wrong):
    random = np.random.default_rng(0)
    others, particles = random.normal(-6, 0.5, 250), random.normal(gap - 6, 0.5, 250)
    scores, decoys = np.concatenate([others, particles]), random.normal(-6, 0.5, 250)
    found = calibrate_target_decoy(scores, decoys, 250 * wrong).log_odds(scores)
    assert (found[:250] < 0).all()
    assert found[250:].min() > max(found[:250].max(), 0)
    assert np.isfinite(found).all()


def test_a_higher_number_raises_the_log_odds():
    scores, true, decoys = draw(0.1, norm(0.0, 2.0))
    few, many = (calibrate_target_decoy(scores, decoys, f * true.sum()) for f in (0.5, 2))
    assert many.log_odds(-2.0) > few.log_odds(-2.0)


@pytest.mark.parametrize("wrong", [0.3, 3.0])
def test_a_number_that_is_less_certain_counts_less(wrong):
    scores, true, decoys = draw(0.1, norm(-1.0, 2.0))
    unknown, certain, uncertain = (
        calibrate_target_decoy(scores, decoys, *given).log_odds(-2.0)
        for given in ((None,), (wrong * true.sum(), 0.2), (wrong * true.sum(), 0.6))
    )
    assert abs(uncertain - unknown) < abs(certain - unknown)


@pytest.mark.parametrize(
    "scores", [np.empty(0), np.zeros(1), np.full(50, -20.0), np.linspace(-60, 90, 500)]
)
@pytest.mark.parametrize("decoys", [np.empty(0), np.zeros(FEW_DECOYS), np.linspace(-60, 90, 500)])
@pytest.mark.parametrize("particles", [None, 0.0, 10.0])
def test_odd_scores_give_a_rising_line(scores, decoys, particles):
    found = calibrate_target_decoy(scores, decoys, particles)
    assert found.slope > 0
    assert np.isfinite([found.slope, found.offset, found.error]).all()


def test_log_odds_are_shifted_to_the_number_of_particles_that_is_known():
    random = np.random.default_rng(0)
    scores = random.normal(-3, 2, 4000)
    line = Calibration(1.2, 0.3, 1.0)
    expected = expit(line.log_odds(scores)).sum()
    assert with_count(line, scores, 0.8 * expected, 1.2 * expected) == line
    for least, most, wanted in ((900.0, 1400.0, 900.0), (10.0, 100.0, 100.0)):
        shifted = with_count(line, scores, least, most)
        assert expit(shifted.log_odds(scores)).sum() == pytest.approx(wanted, rel=1e-6)
        assert (shifted.slope, shifted.error) == (line.slope, line.error)


@pytest.mark.parametrize("peaks", [0, 3])
def test_more_particles_than_peaks_are_not_believed(peaks):
    line = Calibration(1.0, 0.0, 1.0)
    shifted = with_count(line, np.zeros(peaks), 1000.0, 2000.0)
    assert expit(shifted.log_odds(np.zeros(peaks))).sum() <= peaks
