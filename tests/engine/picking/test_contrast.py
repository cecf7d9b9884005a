# SPDX-License-Identifier: GPL-3.0-or-later
import numpy as np
import pytest

from scipion_pupick.engine.picking.contrast import particle_contrast
from scipion_pupick.engine.picking.peaks import Peaks

CENTRES = np.array([[60.0, 60.0], [150.0, 70.0], [100.0, 160.0]])


@pytest.mark.parametrize("contrast", [-3.0, -1.0, 2.0])
def test_darker_particles_have_more_contrast_and_bright_ones_less_than_none(contrast):
    rows, columns = np.mgrid[0:220, 0:220]
    near = [np.hypot(columns - x, rows - y) <= 12 for x, y in CENTRES]
    noise = np.random.default_rng(0).normal(0, 1, (220, 220))
    image = (noise + contrast * np.any(near, axis=0)).astype(np.float32)
    found = particle_contrast(image, Peaks(CENTRES, np.array([3.0, 2.0, 1.0])), 24.0)
    assert found == pytest.approx(-contrast / image.std(), abs=0.1)


def test_contrast_is_that_of_likely_particles_alone():
    image = np.random.default_rng(0).normal(0, 1, (220, 220)).astype(np.float32)
    assert np.isnan(particle_contrast(image, Peaks(CENTRES, np.array([-1.0, -2.0, -3.0])), 24.0))
