"""Calibration of trained models: a given number of particles decides, an estimate only limits."""

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import norm

from scipion_pupick.engine.calibration.line import with_kept_peaks
from scipion_pupick.engine.calibration.target_decoy import calibrate_target_decoy
from scipion_pupick.engine.calibration.trained_scores import calibrate_trained
from scipion_pupick.engine.evaluation.curves import precision_recall

COUNT, SHARE = 6000, 0.15


@pytest.fixture(scope="module")
def drawn():
    """Scores of peaks, which of them are particles, and the scores of decoys."""
    random = np.random.default_rng(3)
    true = random.random(COUNT) < SHARE
    others, particles = norm(-5.0, 1.5), norm(0.5, 2.0)
    scores = np.where(true, particles.rvs(COUNT, random), others.rvs(COUNT, random))
    return scores, true, others.rvs(COUNT, random)


def expected_by(line, scores):
    return float(expit(line.log_odds(scores)).sum())


def lost_f1(drawn, particles, is_given):
    scores, true, decoys = drawn
    line, threshold = calibrate_trained(scores, decoys, particles, is_given)
    picked = line.log_odds(scores) >= threshold
    own = precision_recall(true[picked], scores[picked], int(true.sum()))
    return precision_recall(true, scores, int(true.sum())).best_f1 - own.of_all[2]


def test_an_estimate_that_is_nearly_right_changes_nothing(drawn):
    scores, true, decoys = drawn
    found = [calibrate_trained(scores, decoys, wrong * true.sum(), False) for wrong in (0.8, 1.3)]
    assert found[0] == found[1]


@pytest.mark.parametrize("wrong", [0.5, 0.7, 1.5, 2.0])
def test_an_estimate_that_is_wrong_by_half_costs_little(drawn, wrong):
    assert lost_f1(drawn, wrong * drawn[1].sum(), False) < 0.03


@pytest.mark.parametrize("wrong", [0.2, 5.0])
def test_a_line_that_contradicts_the_estimate_is_brought_near_it(drawn, wrong):
    scores, true, decoys = drawn
    estimate = wrong * true.sum()
    line, _ = calibrate_trained(scores, decoys, estimate, False)
    # half of the estimate, or twice of it
    assert expected_by(line, scores) == pytest.approx(
        estimate * (2 if wrong < 1 else 0.5), rel=0.01
    )


def test_a_given_number_moves_the_threshold_and_an_estimate_does_not(drawn):
    scores, true, decoys = drawn
    numbers = [wrong * true.sum() for wrong in (0.7, 1.4)]
    picks = {}
    for is_given in (True, False):
        for number in numbers:
            line, threshold = calibrate_trained(scores, decoys, number, is_given)
            picks[is_given, number] = int((line.log_odds(scores) >= threshold).sum())
    assert picks[True, numbers[1]] > 1.1 * picks[True, numbers[0]]
    assert picks[False, numbers[1]] == picks[False, numbers[0]]


def test_the_right_number_costs_nothing(drawn):
    assert lost_f1(drawn, float(drawn[1].sum()), True) < 0.01


def test_three_peaks_for_each_particle_are_kept(drawn):
    scores, true, decoys = drawn
    # a network that is far too sure of what it has been trained on
    steep, steep_decoys = 6 * scores, 6 * decoys
    line, _ = calibrate_trained(steep, steep_decoys, float(true.sum()), True)
    before = calibrate_target_decoy(steep, steep_decoys, float(true.sum()))
    assert line == with_kept_peaks(before, steep, float(true.sum()))
    assert (line.log_odds(steep) >= -8).sum() >= 3 * true.sum()
