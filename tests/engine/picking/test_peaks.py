# SPDX-License-Identifier: GPL-3.0-or-later
"""Peaks, against loops over all pixels and pairs, and maps whose peaks are known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as numpy_st

from scipion_pupick.engine.picking.peaks import find_close_peaks, find_peaks, suppress


def is_local_maximum(score_map, y, x):
    return score_map[y, x] == score_map[max(0, y - 1) : y + 2, max(0, x - 1) : x + 2].max()


def slow_vertex(values, at):
    """Place and gain of the parabola through the values beside `at`; none at an end."""
    if at == 0 or at == len(values) - 1:
        return float(at), 0.0
    a, b, c = np.polyfit([-1, 0, 1], values[at - 1 : at + 2] - values[at], 2)
    if a > -1e-12:
        return float(at), 0.0
    return at - b / (2 * a), c - b**2 / (4 * a)


def slow_peaks(score_map, radius, least_score=-np.inf):
    """Rows (x, y, score) by descending score."""
    found = []
    for y, x in np.ndindex(*score_map.shape):
        if is_local_maximum(score_map, y, x) and score_map[y, x] >= least_score:
            exact_x, gain_x = slow_vertex(score_map[y], x)
            exact_y, gain_y = slow_vertex(score_map[:, x], y)
            found.append((exact_x, exact_y, score_map[y, x] + gain_x + gain_y))
    kept = []
    for x, y, score in sorted(found, key=lambda peak: -peak[2]):
        if all(np.hypot(x - other[0], y - other[1]) > radius for other in kept):
            kept.append((x, y, score))
    return np.array(kept).reshape(-1, 3)


def check(score_map, radius, least_score=-np.inf):
    peaks = find_peaks(score_map, radius, least_score)
    expected = slow_peaks(score_map.astype(np.float64), radius, least_score)
    np.testing.assert_allclose(np.column_stack([peaks.xy, peaks.score]), expected, atol=1e-6)


def bumps(shape, centres, sigma, heights):
    y, x = np.indices(shape)
    return sum(
        height * np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * sigma**2))
        for (cx, cy), height in zip(centres, heights)
    )


@pytest.mark.parametrize("shape", [(40, 50), (1, 60), (60, 1), (2, 2), (1, 1)])
@pytest.mark.parametrize("radius", [0.0, 1.3, 3.7, 500.0])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_equals_loops_over_all_pixels_and_pairs(shape, radius, dtype):
    check(np.random.default_rng(0).normal(size=shape).astype(dtype), radius)


@given(
    numpy_st.arrays(
        np.float64,
        numpy_st.array_shapes(min_dims=2, max_dims=2, max_side=9),
        elements=st.floats(-100, 100, width=32),
        unique=True,
    ),
    st.floats(0.0, 5.0),
    st.floats(-100, 100, width=32),
)
def test_equals_the_loops_on_any_map(score_map, radius, least_score):
    # Sums of distinct scores must not tie, or two orders would both be right.
    score_map = score_map + np.random.default_rng(0).random(score_map.shape)
    check(score_map, radius, least_score)


@given(
    numpy_st.arrays(
        np.float64,
        numpy_st.array_shapes(min_dims=2, max_dims=2, max_side=12),
        elements=st.integers(-2, 2).map(float),
    ),
    st.floats(0.0, 5.0),
)
def test_picks_are_separate_maxima_even_on_plateaus(score_map, radius):
    peaks = find_peaks(score_map, radius)
    assert len(peaks.score) > 0
    assert (np.diff(peaks.score) <= 0).all()
    for i, (x, y) in enumerate(peaks.xy):
        near = [np.clip([np.floor(v + 0.5), np.ceil(v - 0.5)], 0, None).astype(int) for v in (y, x)]
        assert any(
            is_local_maximum(score_map, row, column) for row in near[0] for column in near[1]
        )
        others = np.delete(peaks.xy, i, axis=0)
        assert (np.hypot(*(others - [x, y]).T) > radius * (1 - 1e-12)).all()


# Eighths of a pixel have exact squares, so that ties with the radius are decided alike.
eighths = st.integers(0, 72).map(lambda number: number / 8)


@given(st.lists(st.tuples(eighths, eighths), max_size=40), eighths)
def test_suppression_equals_the_greedy_loop(points, radius):
    chosen = []
    for x, y in points:
        near = [(x - a) ** 2 + (y - b) ** 2 <= radius**2 for a, b in chosen]
        chosen += [] if any(near) else [(x, y)]
    xy = np.array(points).reshape(-1, 2)
    np.testing.assert_array_equal(xy[suppress(xy, radius)], np.array(chosen).reshape(-1, 2))


def test_a_suppressed_peak_suppresses_no_other():
    xy = np.array([[0.0, 0.0], [2.0, 0.0], [4.0, 0.0], [6.1, 0.0]])
    np.testing.assert_array_equal(suppress(xy, 3.0), [True, False, True, False])


@pytest.mark.parametrize("seed", range(5))
def test_a_paraboloid_is_met_exactly(seed):
    random = np.random.default_rng(seed)
    x0, y0 = random.uniform(3, 6, 2)
    y, x = np.indices((10, 10))
    score_map = 5 - 0.3 * (x - x0) ** 2 - 0.7 * (y - y0) ** 2
    peaks = find_peaks(score_map, 2.0)
    np.testing.assert_allclose(peaks.xy, [[x0, y0]], atol=1e-9)
    np.testing.assert_allclose(peaks.score, [5], atol=1e-9)


def test_gaussians_are_found_between_the_pixels():
    random = np.random.default_rng(0)
    grid = np.stack(np.meshgrid(np.arange(15, 200, 20), np.arange(15, 150, 20)), axis=-1)
    centres = grid.reshape(-1, 2) + random.uniform(-2, 2, (grid.size // 2, 2))
    heights = random.uniform(1, 2, len(centres))
    score_map = bumps((160, 210), centres, 2.5, heights).astype(np.float32)
    peaks = find_peaks(score_map, 8.0, least_score=0.5)
    order = np.argsort(-heights)
    assert len(peaks.score) == len(centres)
    distances = np.linalg.norm(peaks.xy[:, None] - centres, axis=2)
    assert distances.min(axis=1).max() < 0.03
    np.testing.assert_allclose(peaks.score, heights[order], rtol=0.01)


def test_of_two_near_peaks_the_higher_stays():
    score_map = bumps((30, 40), [(10, 15), (18, 15)], 1.5, [1.0, 2.0])
    near, far = (find_peaks(score_map, radius, 0.1).xy.round() for radius in (9, 7))
    np.testing.assert_array_equal(near, [[18, 15]])
    np.testing.assert_array_equal(far, [[18, 15], [10, 15]])


@pytest.mark.parametrize("x", [0, 7, 39])
@pytest.mark.parametrize("y", [0, 11, 29])
def test_edges_and_corners_hold_peaks_that_stay_on_the_map(x, y):
    score_map = bumps((30, 40), [(x, y)], 2.0, [3.0])
    peaks = find_peaks(score_map, 4.0, least_score=1.0)
    np.testing.assert_allclose(peaks.xy, [[x, y]], atol=1e-9)
    np.testing.assert_allclose(peaks.score, [3.0])


def test_opposite_edges_are_no_neighbours():
    score_map = np.zeros((20, 30))
    score_map[0, 5], score_map[19, 5], score_map[10, 0], score_map[10, 29] = 4, 3, 2, 1
    peaks = find_peaks(score_map, 5.0, least_score=0.5)
    np.testing.assert_array_equal(peaks.xy, [[5, 0], [5, 19], [0, 10], [29, 10]])
    np.testing.assert_array_equal(peaks.score, [4, 3, 2, 1])


def test_a_slope_has_its_peak_on_the_edge():
    score_map = np.tile(np.arange(12.0), (5, 1))
    score_map[2] += 0.1
    np.testing.assert_array_equal(find_peaks(score_map, 2.0, 11.05).xy, [[11, 2]])


def test_a_plateau_gives_one_peak_in_every_radius():
    score_map = np.zeros((20, 20))
    score_map[8:10, 5:7] = 1.0
    peaks = find_peaks(score_map, 3.0, least_score=0.5)
    np.testing.assert_allclose(peaks.xy, [[5.5, 8.5]])


def test_a_flat_map_gives_peaks_a_radius_apart():
    peaks = find_peaks(np.full((30, 30), -2.0, np.float32), 4.5)
    distances = np.linalg.norm(peaks.xy[:, None] - peaks.xy, axis=2)
    assert distances[~np.eye(len(distances), dtype=bool)].min() > 4.5
    y, x = np.indices((30, 30))
    pixels = np.stack([x, y], axis=-1).reshape(-1, 1, 2)
    assert np.linalg.norm(pixels - peaks.xy, axis=2).min(axis=1).max() <= 4.5


@pytest.mark.parametrize(("least_score", "count"), [(-np.inf, 3), (2.0, 2), (2.5, 1), (3.5, 0)])
def test_lower_maxima_are_left_out(least_score, count):
    score_map = np.full((9, 30), -5.0)
    score_map[4, [4, 14, 24]] = 1.0, 2.0, 3.0
    peaks = find_peaks(score_map, 3.0, least_score)
    assert np.count_nonzero(peaks.score > 0) == count
    if least_score > -5:
        assert len(peaks.score) == count
    assert peaks.xy.shape == (len(peaks.score), 2)


def test_the_map_is_not_changed():
    score_map = np.random.default_rng(0).normal(size=(20, 20)).astype(np.float32)
    copy = score_map.copy()
    find_peaks(score_map, 2.0)
    np.testing.assert_array_equal(score_map, copy)


def slow_blur(score_map):
    """A Gaussian of 2 px, one pixel after the other; beyond its edges the map is mirrored."""
    padded = np.pad(score_map.astype(np.float64), 8, mode="symmetric")
    weights = np.exp(-(np.arange(-8, 9) ** 2) / (2 * 2.0**2))
    kernel = np.outer(weights, weights) / weights.sum() ** 2
    blurred = np.zeros(score_map.shape)
    for y, x in np.ndindex(*score_map.shape):
        blurred[y, x] = (kernel * padded[y : y + 17, x : x + 17]).sum()
    return blurred


def between(values, x, y):
    """Value of a map between its pixels, linear along both axes."""
    x, y = (min(max(at, 0), size - 1) for at, size in ((x, values.shape[1]), (y, values.shape[0])))
    left, top = min(int(x), values.shape[1] - 2), min(int(y), values.shape[0] - 2)
    corner = values[top : top + 2, left : left + 2]
    along = corner[:, 0] * (1 - x + left) + corner[:, 1] * (x - left)
    return along[0] * (1 - y + top) + along[1] * (y - top)


def slow_left_between(sharpened, points, radius):
    """Places that are as high as those round them which are not too near to a point."""
    left = {}
    for y, x in np.ndindex(*sharpened.shape):
        if all(np.hypot(x - px, y - py) > radius for px, py in points):
            left[x, y] = sharpened[y, x]
    found = []
    for (x, y), value in sorted(left.items(), key=lambda item: -item[1]):
        beside = [left.get((x + dx, y + dy), -np.inf) for dx in (-1, 0, 1) for dy in (-1, 0, 1)]
        if value == max(beside) and all(np.hypot(x - fx, y - fy) > radius for fx, fy in found):
            found.append((x, y))
    return found


def slow_close_peaks(score_map, radius, reach, least_score, sharpness):
    blurred = slow_blur(score_map)
    mixed = (1 - sharpness) * blurred + sharpness * score_map
    sharpened = 3 * score_map.astype(np.float64) - 2 * blurred
    maxima = [(x, y) for x, y, _ in slow_peaks(sharpened, radius)]
    entries = [(round(x), round(y)) for x, y in maxima]
    places = [*maxima, *slow_left_between(sharpened, entries, max(1.25 * radius, radius + 1))]
    rows = sorted(((x, y, between(mixed, x, y)) for x, y in places), key=lambda row: -row[2])
    scored = []
    for i, (x, y, score) in enumerate(rows):
        hills = [0.0]
        for other_x, other_y, better in rows[:i]:
            share = 1 - np.hypot(x - other_x, y - other_y) / reach
            hills.append(max(0.0, share) * max(0.0, better - np.median(mixed)))
        scored.append((x, y, score - max(hills)))
    kept = [row for row in scored if row[2] >= least_score]
    return np.array(sorted(kept, key=lambda row: -row[2])).reshape(-1, 3)


@pytest.mark.parametrize("sharpness", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("reach", [3.0, 9.6])
@pytest.mark.parametrize("least_score", [-np.inf, -1.0])
@pytest.mark.parametrize("shape", [(30, 41), (9, 12)])
def test_close_peaks_equal_loops_over_all_pixels_and_pairs(shape, reach, least_score, sharpness):
    score_map = np.random.default_rng(1).normal(0, 4, shape).astype(np.float32)
    peaks = find_close_peaks(score_map, 2.5, reach, least_score, sharpness=sharpness)
    expected = slow_close_peaks(score_map, 2.5, reach, least_score, sharpness)
    np.testing.assert_allclose(np.column_stack([peaks.xy, peaks.score]), expected, atol=1e-6)


def test_a_shoulder_of_a_higher_hill_is_a_peak():
    """Two hills so near that the map has one maximum."""
    centres = [(20, 20), (27, 20)]
    score_map = bumps((41, 48), centres, 3.0, [9, 6]) - 6
    assert len(find_peaks(score_map, 4.0, -1.0).xy) == 1
    peaks = find_close_peaks(score_map, 4.0, 9.6, -3.5)
    np.testing.assert_allclose(peaks.xy, centres, atol=1.0)


def test_a_peak_beside_a_better_one_scores_less_than_one_alone():
    centres = [(20, 20), (29, 20), (60, 20)]
    score_map = bumps((41, 80), centres, 3.0, [12, 8, 8]) - 4
    peaks = find_close_peaks(score_map, 4.0, 14.0, -3.0)
    assert [round(x) for x in peaks.xy[:, 0]] == [20, 60, 29]


def test_a_peak_scores_what_the_map_says_where_nothing_is_blurred():
    score_map = bumps((41, 80), [(20, 20), (60, 20)], 2.0, [12, 8]) - 4
    peaks = find_close_peaks(score_map, 4.0, 9.6, -3.0, sharpness=1.0)
    np.testing.assert_allclose(peaks.score, [8, 4], atol=0.01)
    blurred = find_close_peaks(score_map, 4.0, 9.6, -3.0)
    np.testing.assert_array_equal(peaks.xy, blurred.xy)
    # a Gaussian that another as wide blurs is half as high
    np.testing.assert_allclose(blurred.score, [2, 0], atol=0.05)


def test_a_particle_without_a_maximum_of_its_own_is_a_peak():
    """A hill that is so broad that the map falls from the middle of the other all the way."""
    score_map = bumps((41, 60), [(20, 20), (30, 20)], 5.0, [12, 5]) - 6
    assert len(find_peaks(score_map, 4.0, -3.0).xy) == 1
    peaks = find_close_peaks(score_map, 4.0, 9.6)
    assert np.linalg.norm(peaks.xy - [30, 20], axis=1).min() < 6.0
    assert np.linalg.norm(peaks.xy[0] - [20, 20]) < 1.5


@pytest.mark.parametrize("radius", [0.8, 2.0, 4.0])
def test_close_peaks_leave_no_room_between_them(radius):
    score_map = np.random.default_rng(3).normal(0, 4, (60, 70))
    xy = find_close_peaks(score_map, radius, 9.6).xy
    distances = np.linalg.norm(xy[:, None] - xy, axis=2)
    assert distances[~np.eye(len(xy), dtype=bool)].min() > radius
    y, x = np.indices(score_map.shape)
    pixels = np.stack([x, y], axis=-1).reshape(-1, 1, 2)
    nearest = np.linalg.norm(pixels - xy, axis=2).min(axis=1)
    assert nearest.max() <= max(1.25 * radius, radius + 1) + 1


def test_close_peaks_do_not_depend_on_the_unit_of_scores():
    score_map = np.random.default_rng(2).normal(0, 4, (40, 50))
    one, other = (find_close_peaks(scores, 3, 9.6) for scores in (score_map, 0.3 * score_map - 7))
    np.testing.assert_allclose(one.xy, other.xy, atol=1e-9)
    np.testing.assert_allclose(0.3 * one.score - 7, other.score, atol=1e-9)
