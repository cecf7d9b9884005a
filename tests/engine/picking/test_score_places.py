# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the scores of a map lie, and what is contamination there."""

import numpy as np
import pytest

from scipion_pupick.engine.coordinates import Coordinates
from scipion_pupick.engine.picking.contamination import ContaminationMap
from scipion_pupick.engine.picking.cut import Cut
from scipion_pupick.engine.picking.detector import Detector
from scipion_pupick.engine.picking.peaks_file import MicrographPeaks, load_peaks, save_peaks
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
    peaks = Detector(None, 10.0).find_in_map(score_map, shape)
    np.testing.assert_allclose(peaks.xy[0], place, atol=1e-6)
    assert peaks.score[0] == pytest.approx(5)


def test_near_particles_are_told_apart_at_every_second_pixel():
    """Two scores of a width of 3 px, 10 px apart: four tenths of a particle of 24 px."""
    shape, places = (48, 48), np.array([[18.0, 25.0], [28.0, 25.0]])
    along = ScorePlaces(2).along(48)
    x, y = np.meshgrid(along, along)
    squared = (x[..., None] - places[:, 0]) ** 2 + (y[..., None] - places[:, 1]) ** 2
    score_map = np.exp(-squared / 18).sum(axis=2)
    peaks = Detector(None, 9.6).find_in_map(score_map, shape, 0.5)
    assert len(peaks.xy) == 2
    np.testing.assert_allclose(np.sort(peaks.xy[:, 0]), places[:, 0], atol=0.3)


def test_peaks_never_lie_outside_the_image():
    score_map = np.zeros((4, 4))
    score_map[0, 0] = score_map[3, 3] = 1
    peaks = Detector(None, 1.0).find_in_map(score_map, (5, 5), 0.5)
    assert peaks.xy.min() >= 0
    assert peaks.xy.max() <= 4


def test_a_coarse_map_keeps_the_highest_score_of_each_place():
    fine = np.arange(48.0).reshape(4, 12)
    expected = [[fine[r : r + 2, c : c + 2].max() for c in range(0, 12, 2)] for r in (0, 2)]
    np.testing.assert_array_equal(coarse(fine, (8, 22)), expected)
    np.testing.assert_array_equal(coarse(fine, (16, 48)), fine)


def test_contamination_is_that_of_the_nearest_place():
    log_odds = np.full((5, 6), -3.0)
    log_odds[2, 4] = 1.0
    dirt = ContaminationMap(log_odds)
    assert dirt.usable == pytest.approx(29 / 30)
    at = dirt.at(np.array([[16.0, 8.0], [17.9, 9.9], [16.0, 10.1], [500.0, 500.0]]))
    expected = 1 / (1 + np.exp([-1.0, -1.0, 3.0, 3.0]))
    np.testing.assert_allclose(at, expected, rtol=1e-5)


def peaks_on_dirt(**more):
    coordinates = Coordinates(np.full(4, 50.0), np.full(4, 50.0), np.array([3.0, 2, 1, 0]))
    return MicrographPeaks(coordinates, (100, 100), 2.0, **more)


def test_picks_on_contamination_are_dropped_unless_all_are_wanted():
    peaks = peaks_on_dirt(contamination=np.array([0.9, 0.1, 0.5, 0.51]), usable=0.8)
    np.testing.assert_array_equal(Cut(0.5, 10.0, 0.5).choose(peaks).score, [2, 1])
    np.testing.assert_array_equal(Cut(0.5, 10.0).choose(peaks).score, [3, 2, 1])
    kept = Cut(0.5, 10.0, 0.5).of_all_scores.select(peaks)
    np.testing.assert_array_equal(kept.coordinates.score, [2, 1])
    np.testing.assert_array_equal(kept.contamination, [0.1, 0.5])
    # a model that knows no contamination
    np.testing.assert_array_equal(Cut(0.5, 10.0, 0.5).choose(peaks_on_dirt()).score, [3, 2, 1])


def test_contamination_is_kept_with_the_peaks(tmp_path):
    peaks = peaks_on_dirt(contamination=np.array([0.9, 0.1, 0.5, 0.5], np.float32), usable=0.8)
    save_peaks(peaks, tmp_path / "peaks.safetensors")
    again = load_peaks(tmp_path / "peaks.safetensors")
    np.testing.assert_array_equal(again.contamination, peaks.contamination)
    assert again.usable == 0.8
    save_peaks(peaks_on_dirt(), tmp_path / "peaks.safetensors")
    assert load_peaks(tmp_path / "peaks.safetensors").contamination is None
