# SPDX-License-Identifier: GPL-3.0-or-later
import numpy as np
import pytest
from scipy.spatial import cKDTree

from scipion_pupick.engine.coordinates.neighbours import near_pairs


def as_set(pairs):
    return set(zip(pairs.point.tolist(), pairs.other.tolist()))


@pytest.mark.parametrize("radius", [0.0, 1e-9, 0.3, 7.0, 40.0, 1000.0])
def test_pairs_are_those_that_a_tree_finds(radius):
    rng = np.random.default_rng(0)
    # also exact multiples of the radius, points twice, and negative ones
    points = np.concatenate(
        [rng.uniform(-50, 200, (150, 2)), np.mgrid[0:70:7, 0:70:7].T.reshape(-1, 2)]
    )
    others = np.concatenate([rng.uniform(-80, 150, (130, 2)), points[:40]])
    tree = cKDTree(others).query_ball_point(points, radius)
    pairs = near_pairs(points, others, radius)
    assert as_set(pairs) == {(i, j) for i, near in enumerate(tree) for j in near}
    assert len(as_set(pairs)) == len(pairs.point)
    distance = np.linalg.norm(points[pairs.point] - others[pairs.other], axis=1)
    np.testing.assert_allclose(np.sqrt(pairs.squared), distance, rtol=1e-12)


def test_points_without_others_have_no_pairs():
    for points, others in (([], [(1, 2)]), ([(1, 2)], []), ([], [])):
        assert len(near_pairs(points, others, 5.0).point) == 0


def test_one_far_point_does_not_hide_pairs():
    points = [(0.0, 0.0), (0.5, 0.0), (1e12, -1e12)]
    assert as_set(near_pairs(points, points, 1.0)) == {(0, 0), (0, 1), (1, 0), (1, 1), (2, 2)}
