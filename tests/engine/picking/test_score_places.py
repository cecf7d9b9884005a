# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the scores of a map lie."""

import numpy as np
import pytest

from scipion_pupick.engine.picking.detector import Detector
from scipion_pupick.engine.picking.score_places import ScorePlaces, coarse


@pytest.mark.parametrize("shape", [(40, 33), (1, 4), (57, 200)])
def test_the_shape_of_a_map_tells_where_its_scores_lie(shape):
    rows, columns = (-(-size // 4) for size in shape)
    every_fourth = ScorePlaces.of_map((rows, columns), shape)
    every_second = ScorePlaces.of_map((2 * rows, 2 * columns), shape)
    np.testing.assert_array_equal(every_fourth.along(shape[1]), np.arange(columns) * 4)
    # two for one, evenly about it
    places = every_second.along(shape[1])
    assert len(places) == 2 * columns
    np.testing.assert_array_equal(places.reshape(-1, 2).mean(axis=1), np.arange(columns) * 4)
    np.testing.assert_array_equal(np.diff(places), 2)


@pytest.mark.parametrize("step", [2, 4])
def test_a_particle_is_found_where_its_scores_are_highest(step):
    """A score map that is a paraboloid about a place of the image."""
    shape, place = (64, 80), np.array([33.7, 20.4])
    along = [ScorePlaces(step).along(size) for size in shape]
    x, y = np.meshgrid(along[1], along[0])
    score_map = 5 - 0.01 * ((x - place[0]) ** 2 + (y - place[1]) ** 2)
    peaks = Detector(10.0).find_in_map(score_map, shape)
    np.testing.assert_allclose(peaks.xy[0], place, atol=1e-6)
    # a map of every second pixel is blurred by 4 px, so the mean of a square falls by 16 along each
    assert peaks.score[0] == pytest.approx(5 if step == 4 else 5 - 0.01 * 2 * 16, abs=0.025)


def test_near_particles_are_told_apart_at_every_second_pixel():
    """Two scores of a width of 3 px, 10 px apart: four tenths of a particle of 24 px."""
    shape, places = (48, 48), np.array([[18.0, 25.0], [28.0, 25.0]])
    along = ScorePlaces(2).along(48)
    x, y = np.meshgrid(along, along)
    squared = (x[..., None] - places[:, 0]) ** 2 + (y[..., None] - places[:, 1]) ** 2
    score_map = 12 * np.exp(-squared / 18).sum(axis=2)
    peaks = Detector(9.6).find_in_map(score_map, shape, 0.5)
    assert len(peaks.xy) == 2
    np.testing.assert_allclose(np.sort(peaks.xy[:, 0]), places[:, 0], atol=0.3)


def test_peaks_never_lie_outside_the_image():
    score_map = np.zeros((4, 4))
    score_map[0, 0] = score_map[3, 3] = 1
    peaks = Detector(1.0).find_in_map(score_map, (5, 5))
    assert peaks.xy.min() >= 0
    assert peaks.xy.max() <= 4


def test_a_coarse_map_keeps_the_highest_score_of_each_place():
    fine = np.arange(48.0).reshape(4, 12)
    expected = [[fine[r : r + 2, c : c + 2].max() for c in range(0, 12, 2)] for r in (0, 2)]
    np.testing.assert_array_equal(coarse(fine, (8, 22)), expected)
    np.testing.assert_array_equal(coarse(fine, (16, 48)), fine)
