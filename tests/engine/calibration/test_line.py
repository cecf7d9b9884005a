# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines from scores to log-odds: how many peaks the scores that are kept take in."""

import numpy as np
import pytest
from scipy.special import expit

from scipion_pupick.engine.calibration.line import (
    Calibration,
    with_coverage,
    with_kept_peaks,
)
from scipion_pupick.engine.settings import LEAST_SCORE

PARTICLES = 200


@pytest.fixture
def scores() -> np.ndarray:
    """Of 200 particles and 1800 other peaks."""
    random = np.random.default_rng(1)
    return np.concatenate([random.normal(2, 1.5, PARTICLES), random.normal(-4, 1.5, 1800)])


def kept(line: Calibration, scores: np.ndarray) -> int:
    return int((line.log_odds(scores) >= LEAST_SCORE).sum())


def test_too_steep_a_line_keeps_about_three_peaks_for_each_particle(scores: np.ndarray) -> None:
    steep = Calibration(8.0, 8.0, 1.0)
    assert kept(steep, scores) < 2.5 * PARTICLES
    flatter = with_kept_peaks(steep, scores, PARTICLES)
    assert kept(flatter, scores) == pytest.approx(3 * PARTICLES, rel=0.1)


def test_as_many_particles_are_expected_as_before(scores: np.ndarray) -> None:
    steep = Calibration(8.0, 8.0, 1.0)
    flatter = with_kept_peaks(steep, scores, PARTICLES)
    before, after = (expit(line.log_odds(scores)).sum() for line in (steep, flatter))
    assert after == pytest.approx(before, rel=1e-6)
    assert flatter.error == steep.error


def test_of_few_peaks_nearly_all_are_kept(scores: np.ndarray) -> None:
    few = scores[: 2 * PARTICLES]
    flatter = with_kept_peaks(Calibration(8.0, 8.0, 1.0), few, PARTICLES)
    assert 0.9 * len(few) < kept(flatter, few) < len(few)


def test_a_line_that_keeps_enough_stays(scores: np.ndarray) -> None:
    line = Calibration(1.0, 0.0, 1.0)
    assert kept(line, scores) > 3 * PARTICLES
    assert with_kept_peaks(line, scores, PARTICLES) == line


def shift_of(coverage: float, scores: np.ndarray) -> float:
    """Log-odds that are added where the particles that are expected cover such a share."""
    line = Calibration(1.0, 0.5, 1.3)
    expected = float(expit(line.log_odds(scores)).sum())
    shifted = with_coverage(line, scores, expected / coverage)
    assert (shifted.slope, shifted.error) == (line.slope, line.error)
    return shifted.offset - line.offset


def test_crowded_particles_are_likelier_than_the_fit_says_and_rare_ones_less(
    scores: np.ndarray,
) -> None:
    by_coverage = [shift_of(coverage, scores) for coverage in (0.2, 0.25, 0.3, 0.4, 0.5)]
    assert by_coverage == sorted(by_coverage)
    assert -0.5 < by_coverage[0] < -0.2
    assert abs(by_coverage[1]) < 0.2
    assert 1.0 < by_coverage[-1] < 1.5


def test_the_shift_stays_within_what_was_measured(scores: np.ndarray) -> None:
    assert shift_of(0.01, scores) == pytest.approx(shift_of(0.17, scores))
    assert shift_of(0.9, scores) == pytest.approx(shift_of(0.5, scores))


def test_nothing_found_is_as_rare_particles(scores: np.ndarray) -> None:
    line = Calibration(1.0, -50.0, 1.3)
    assert with_coverage(line, scores, 100.0).offset < line.offset
