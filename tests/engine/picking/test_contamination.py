# SPDX-License-Identifier: GPL-3.0-or-later
"""Contamination of a working image: its mask, its share, and what lies on it."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit

from scipion_pupick.engine.coordinates import Coordinates
from scipion_pupick.engine.picking.contamination import ContaminationMap, ContaminationMask
from scipion_pupick.engine.picking.cut import Contamination, Cut
from scipion_pupick.engine.picking.peaks_file import MicrographPeaks, load_peaks, save_peaks

SHAPES = [(64, 80), (61, 83), (3, 5), (1, 1)]


def random_map(shape, seed=0):
    size = [-(-length // 4) for length in shape]
    return ContaminationMap(3 * np.random.default_rng(seed).standard_normal(size))


@pytest.mark.parametrize("shape", SHAPES)
def test_each_pixel_of_the_mask_has_the_class_of_the_nearest_score(shape):
    dirt = random_map(shape)
    image = dirt.mask(shape).image()
    assert (image.shape, image.dtype) == (shape, np.int8)
    rows, columns = dirt.log_odds.shape
    for y, x in np.ndindex(*shape):
        nearest = min((abs(4 * i - y), -i) for i in range(rows))[1]
        across = min((abs(4 * j - x), -j) for j in range(columns))[1]
        assert image[y, x] == (dirt.log_odds[-nearest, -across] > 0)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_mask_is_the_same_after_it_was_packed(shape):
    mask = random_map(shape).mask(shape)
    again = ContaminationMask.unpacked(mask.packed(), shape)
    np.testing.assert_array_equal(again.places, mask.places)
    assert again.shape == shape
    assert again.usable == mask.usable == pytest.approx(np.mean(random_map(shape).log_odds <= 0))


def test_bits_of_another_shape_are_refused():
    packed = random_map((64, 80)).mask((64, 80)).packed()
    for shape in ((64, 160), (32, 80), (68, 80)):
        with pytest.raises(ValueError, match="places"):
            ContaminationMask.unpacked(packed, shape)


def test_the_probability_at_a_place_is_that_of_the_nearest_score():
    dirt = random_map((64, 80))
    xy = np.array([[0.0, 0.0], [5.0, 9.0], [79.0, 63.0], [200.0, -3.0]])
    expected = expit([dirt.log_odds[0, 0], dirt.log_odds[2, 1], dirt.log_odds[15, 19],
                      dirt.log_odds[0, 19]])  # fmt: skip
    np.testing.assert_allclose(dirt.at(xy), expected, rtol=1e-6)


def test_probabilities_of_certain_contamination_do_not_overflow():
    dirt = ContaminationMap(np.array([[-1e4, 1e4]], np.float32))
    with np.errstate(all="raise", under="ignore"):
        np.testing.assert_array_equal(dirt.at(np.array([[0.0, 0.0], [4.0, 0.0]])), [0.0, 1.0])


def peaks_with_contamination():
    coordinates = Coordinates(
        np.array([20.0, 30.0, 40.0, 1.0]),
        np.array([20.0, 30.0, 40.0, 30.0]),
        np.array([5.0, 3.0, 1.0, 6.0]),
    )
    dirty = np.array([0.1, 0.9, 0.6, 0.9], np.float32)
    mask = random_map((60, 60)).mask((60, 60))
    return MicrographPeaks(coordinates, (60, 60), 2.0, "f", dirty, mask)


@pytest.mark.parametrize(
    ("most", "threshold", "picked", "dropped"),
    [(0.5, 0.0, [5], 2), (0.7, 0.0, [5, 1], 1), (1.0, 0.0, [5, 3, 1], 0), (0.5, 2.0, [5], 1)],
)
def test_picks_are_dropped_and_counted_where_contamination_is_likelier(
    most, threshold, picked, dropped
):
    cut, peaks = Cut(threshold, 10.0, most), peaks_with_contamination()
    np.testing.assert_array_equal(cut.choose(peaks).score, picked)
    assert cut.contamination_of(peaks) == Contamination(peaks.mask.usable, dropped)
    candidates = replace(cut, threshold=9.0).candidates(peaks)
    np.testing.assert_array_equal(candidates.coordinates.at_least(threshold).score, picked)
    assert (candidates.usable, candidates.dropped(threshold)) == (peaks.mask.usable, dropped)


def test_nothing_is_said_of_a_model_that_knows_no_contamination():
    peaks = MicrographPeaks(peaks_with_contamination().coordinates, (60, 60), 2.0)
    assert Cut(0.0, 10.0, 0.5).contamination_of(peaks) is None
    assert len(Cut(0.0, 10.0, 0.5).choose(peaks)) == 3


def test_peaks_are_read_with_their_contamination(tmp_path):
    peaks = peaks_with_contamination()
    save_peaks(peaks, tmp_path / "a")
    again = load_peaks(tmp_path / "a")
    np.testing.assert_array_equal(again.contamination, peaks.contamination)
    np.testing.assert_array_equal(again.mask.places, peaks.mask.places)
    assert again.mask.shape == (60, 60)


def test_peaks_with_a_damaged_mask_are_no_peaks(tmp_path):
    peaks = peaks_with_contamination()
    other = ContaminationMask(peaks.mask.places, (600, 60))
    save_peaks(MicrographPeaks(peaks.coordinates, (60, 60), 2.0, "f", peaks.contamination, other),
               tmp_path / "a")  # fmt: skip
    assert load_peaks(tmp_path / "a") is None
