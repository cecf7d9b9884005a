# SPDX-License-Identifier: GPL-3.0-or-later
"""Labels of regions, against loops over all pixels, and the expected fraction of positives."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scipion_pupick.engine.errors import UsageError
from scipion_pupick.engine.training.regions import (
    MASKED,
    POSITIVE,
    UNLABELED,
    label_map,
    positive_fraction,
)


def slow_label_map(shape, xy, training_radius, particle_radius):
    labels = np.empty(shape, np.uint8)
    for row in range(shape[0]):
        for column in range(shape[1]):
            squares = [(column - x) ** 2 + (row - y) ** 2 for x, y in xy]
            nearest = min(squares, default=math.inf)
            if nearest <= training_radius**2:
                labels[row, column] = POSITIVE
            else:
                labels[row, column] = MASKED if nearest <= particle_radius**2 else UNLABELED
    return labels


# Eighths of a pixel are exact in binary, so that ties on a circle are decided alike.
eighths = st.integers(-80, 240).map(lambda number: number / 8)


@given(
    st.tuples(st.integers(1, 24), st.integers(1, 24)),
    st.lists(st.tuples(eighths, eighths), max_size=5),
    st.sampled_from([(3.0, 12.0), (0.5, 1.5), (1.0, 5.0), (4.0, 4.0)]),
)
def test_equals_a_loop_over_all_pixels(shape, points, radii):
    xy = np.array(points, float).reshape(-1, 2)
    labels = label_map(shape, xy, *radii)
    assert labels.dtype == np.uint8
    np.testing.assert_array_equal(labels, slow_label_map(shape, xy, *radii))


@pytest.mark.parametrize(("x", "y"), [(0, 0), (39, 29), (0, 29), (39, 0), (-2.5, 14), (20, 31)])
def test_discs_are_cut_at_the_edges(x, y):
    xy = np.array([[x, y]], float)
    labels = label_map((30, 40), xy, 3, 6)
    assert (labels == POSITIVE).any()
    np.testing.assert_array_equal(labels, slow_label_map((30, 40), xy, 3, 6))


def test_a_positive_region_wins_over_the_mask_of_a_neighbour():
    labels = label_map((20, 30), np.array([[10.0, 10.0], [15.0, 10.0]]), 2, 6)
    assert labels[10, 10] == labels[10, 15] == POSITIVE
    assert labels[10, 12] == POSITIVE
    assert labels[4, 10] == MASKED
    assert labels[3, 10] == UNLABELED


def test_without_labels_all_is_unlabelled():
    assert (label_map((5, 7), np.empty((0, 2)), 3, 6) == UNLABELED).all()


def simulated_fraction(shapes, particles, labelled, training_radius, particle_radius, random):
    """Lay particles out on a loose grid, label some, and count pixels."""
    unlabeled = positive = 0
    step = 2 * particle_radius + 2
    for (height, width), count in zip(shapes, labelled):
        rows, columns = np.arange(step, height - step, step), np.arange(step, width - step, step)
        places = np.stack(np.meshgrid(columns, rows), axis=-1).reshape(-1, 2)
        places = random.permutation(places)[:particles] + random.uniform(-1, 1, (particles, 2))
        radii = training_radius, particle_radius
        in_u = label_map((height, width), places[:count], *radii) == UNLABELED
        truth = label_map((height, width), places[count:], *radii) == POSITIVE
        unlabeled += np.count_nonzero(in_u)
        positive += np.count_nonzero(in_u & truth)
    return positive / unlabeled


@pytest.mark.parametrize("radii", [(3.0, 12.0), (6.0, 12.0), (2.0, 8.0)])
@pytest.mark.parametrize("labelled", [(0, 0, 0), (10, 0, 3), (60, 40, 20)])
def test_equals_pixels_counted_in_a_layout(radii, labelled):
    shapes = [(400, 500), (400, 500), (500, 600)]
    particles = 80
    counted = simulated_fraction(shapes, particles, labelled, *radii, np.random.default_rng(0))
    assert positive_fraction(particles, shapes, labelled, *radii) == pytest.approx(
        counted, rel=0.03
    )


def test_does_not_reach_0_where_all_seem_labelled():
    area = 1000 * 1000 - 100 * math.pi * 12**2
    least = 0.05 * 100 * math.pi * 3**2 / area
    assert positive_fraction(100, [(1000, 1000)], [100], 3, 12) == pytest.approx(least)


def test_labels_beyond_the_expected_number_leave_a_fraction_in_0_to_1():
    fraction = positive_fraction(5, [(300, 300)], [250], 3, 12)
    assert 0 < fraction < 1


@pytest.mark.parametrize("number", [0, -3, math.nan])
def test_the_number_of_particles_must_be_positive(number):
    with pytest.raises(UsageError, match=rf"{number:g} particles.*about how many") as caught:
        positive_fraction(number, [(300, 300)], [0], 3, 12)
    assert caught.value.settings == ("particles_per_micrograph",)


def test_particles_must_fit():
    assert positive_fraction(1000, [(300, 300)], [0], 3, 12) < 0.5
    with pytest.raises(
        UsageError, match="2000 particles per micrograph.*do not fit.*diameter"
    ) as caught:
        positive_fraction(2000, [(300, 300)], [0], 3, 12)
    assert {"particles_per_micrograph", "diameter", "pixel_size"} < set(caught.value.settings)
