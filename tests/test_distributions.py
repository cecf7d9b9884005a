# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables and numbers that reports show: epochs, neighbours and the image plane."""

import numpy as np
from scipy.spatial.distance import cdist

from scipion_pupick.engine.coordinates import Coordinates
from scipion_pupick.engine.distributions import neighbour_distances, plane_density
from scipion_pupick.engine.history import read_history


def test_a_history_is_read_by_columns(tmp_path):
    table = tmp_path / "training.tsv"
    assert read_history(table) == {}
    table.write_text("epoch\tloss\theld_out_ap\n1\t2.5\tnan\n2\t1.5\tnan\n")
    assert read_history(table)["loss"].tolist() == [2.5, 1.5]
    table.write_text("epoch\tloss\n")
    assert read_history(table) == {}


def test_neighbours_are_the_nearest_others():
    xy = np.random.default_rng(0).uniform(0, 100, (50, 2))
    distances = cdist(xy, xy)
    np.fill_diagonal(distances, np.inf)
    found = neighbour_distances(Coordinates.unscored(*xy.T))
    np.testing.assert_allclose(found, distances.min(axis=1))


def test_a_lonely_pick_has_no_neighbour():
    assert len(neighbour_distances(Coordinates.unscored([1.0], [1.0]))) == 0


def test_micrographs_of_different_sizes_are_laid_over_each_other():
    corner = Coordinates.unscored([0.0], [0.0])
    far_corner = Coordinates.unscored([99.0, 99.0], [49.0, 0.0])
    density = plane_density([corner, far_corner], [(300, 200), (50, 100)], (2, 2))
    assert density.tolist() == [[1, 1], [0, 1]]
