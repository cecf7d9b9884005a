# SPDX-License-Identifier: GPL-3.0-or-later
"""Which points lie in an image."""

import numpy as np

from scipion_pupick.engine.coordinates.area import inside_image


def test_points_on_the_pixels_of_an_image_lie_in_it():
    # of 3 columns and 2 rows
    xy = [(-0.4, -0.4), (2.4, 1.4), (-0.5, 0), (2.5, 0), (0, 1.5), (1.6, 2.4)]
    inside = inside_image(np.array(xy), (2, 3))
    assert inside.tolist() == [True, True, False, False, False, False]
    assert inside_image(np.empty((0, 2)), (2, 3)).shape == (0,)
