# SPDX-License-Identifier: GPL-3.0-or-later
"""Picks judged by labels of only some of the particles."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from scipion_pupick.engine import Coordinates, evaluate_picks
from scipion_pupick.engine.errors import UsageError
from scipion_pupick.engine.evaluation.curves import estimated_average_precision
from scipion_pupick.engine.evaluation.partial_labels import evaluate_by_labels

SIDE = 4000
TOLERANCE = 10.0


def scene(seed=0, particles=400, false_picks=400):
    """Particles, and picks of most of them and of as many other places, which score less."""
    random = np.random.default_rng(seed)
    truth = random.uniform(0, SIDE - 1, (particles, 2))
    found = truth[random.random(particles) < 0.9]
    wrong = random.uniform(0, SIDE - 1, (false_picks, 2))
    xy = np.vstack([found, wrong])
    score = np.concatenate(
        [random.normal(1.5, 1.0, len(found)), random.normal(-1.5, 1.0, len(wrong))]
    )
    return truth, Coordinates(*xy.T, score)


def judged(truth, picks, labels, threshold=0.0):
    return evaluate_by_labels(
        {"m": picks},
        {"m": Coordinates(*labels.T, np.zeros(len(labels)))},
        TOLERANCE,
        len(truth),
        threshold,
    )


@pytest.mark.parametrize("labelled", [400, 100, 40])
def test_a_part_of_the_labels_tells_what_all_would(labelled):
    truth, picks = scene()
    reference = {"m": Coordinates(*truth.T, np.zeros(len(truth)))}
    curve = evaluate_picks({"m": picks}, reference, TOLERANCE).curve
    taken = int((curve.threshold >= 0).sum()) - 1
    found = judged(truth, picks, truth[:labelled])
    error = 3 / np.sqrt(labelled) * 0.3 + 0.03
    assert found.average_precision == pytest.approx(curve.average_precision, abs=error)
    assert found.recall == pytest.approx(curve.recall[taken], abs=error)
    assert found.precision == pytest.approx(curve.precision[taken], abs=error)


def test_picks_that_no_label_tells_of_are_not_taken_for_wrong():
    truth, picks = scene(false_picks=0)
    found = judged(truth, picks, truth[:40], threshold=-9.0)
    assert found.precision > 0.9
    part = {"m": Coordinates(*truth[:40].T, np.zeros(40))}
    plain = evaluate_picks({"m": picks}, part, TOLERANCE).curve
    assert plain.of_all[0] < 0.15


def test_without_a_label_nothing_can_be_said():
    truth, picks = scene()
    with pytest.raises(UsageError, match="no labelled particle"):
        judged(truth, picks, np.empty((0, 2)))


def selected_and_rejected(apart, seed=1):
    """Scores of picks that 2D classes tell apart, and which of them are particles."""
    random = np.random.default_rng(seed)
    right = random.random(2000) < 0.6
    return random.normal(size=2000) + apart * right, right


@pytest.mark.parametrize("apart", [0.0, 1.0, 3.0])
@pytest.mark.parametrize("particles", [1.0, 1.5, 3.0])
def test_with_all_negatives_labelled_it_is_the_average_precision_itself(apart, particles):
    score, right = selected_and_rejected(apart)
    # particles that are not labelled are expected, too, though there are none
    found = estimated_average_precision(score[right], score, particles * right.sum(), score[~right])
    assert found == pytest.approx(average_precision_score(right, score), abs=1e-9)


def test_rejected_picks_show_that_others_would_rank_better():
    scores = {}
    for apart in (0.0, 2.0):
        score, right = selected_and_rejected(apart)
        known = right & (np.arange(2000) % 2 == 0)
        rejected = ~right & (np.arange(2000) % 3 == 0)
        for negatives in ((), score[rejected]):
            scores[apart, len(negatives)] = estimated_average_precision(
                score[known], score, 1.7 * right.sum(), negatives
            )
    alone = [scores[key] for key in scores if key[1] == 0]
    with_negatives = [scores[key] for key in scores if key[1] > 0]
    assert alone[1] - alone[0] < 0.05
    assert with_negatives[1] - with_negatives[0] > 0.08


def test_a_negative_without_a_peak_changes_nothing():
    score, right = selected_and_rejected(1.0)
    without = estimated_average_precision(score[right], score, right.sum())
    found = estimated_average_precision(score[right], score, right.sum(), np.full(9, -np.inf))
    assert found == without
