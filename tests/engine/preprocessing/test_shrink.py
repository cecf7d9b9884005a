# SPDX-License-Identifier: GPL-3.0-or-later
"""Smaller images to look at."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from scipion_pupick.engine.errors import MicrographError
from scipion_pupick.engine.preprocessing.fourier_crop import downsample
from scipion_pupick.engine.preprocessing.outliers import PixelMender
from scipion_pupick.engine.preprocessing.shrink import shrink


@pytest.mark.parametrize(
    ("shape", "working"),
    [
        ((512, 512), (64, 64)),
        ((511, 389), (70, 53)),
        ((300, 200), (200, 133)),
        ((60, 50), (90, 75)),
        ((64, 64), (64, 64)),
    ],
)
def test_it_looks_as_if_it_had_been_downsampled(shape, working):
    noise = np.random.default_rng(0).standard_normal(shape)
    factor = max(1.0, shape[0] / working[0])
    # what is to be seen is wider than a few pixels of the result
    image = (100 + gaussian_filter(noise, 4 * factor, mode="wrap")).astype(np.float32)
    expected, found = downsample(image, working), shrink(image, working)
    assert found.shape == working
    assert found.dtype == np.float32
    assert found.mean() == pytest.approx(expected.mean(), rel=1e-4)
    assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.99


def test_a_spot_stays_where_it_is():
    rows, columns = np.mgrid[:800, :600]
    image = np.exp(-((rows - 603.5) ** 2 + (columns - 203.5) ** 2) / (2 * 30**2)).astype(np.float32)
    found = shrink(image, (100, 75))
    assert np.unravel_index(found.argmax(), found.shape) == (75, 25)


def test_hot_pixels_are_mended_in_every_block():
    image = np.random.default_rng(1).standard_normal((900, 700)).astype(np.float32)
    clean = shrink(image, (90, 70))
    image[[5, 450, 899], [3, 600, 699]] = 1e6
    mender = PixelMender(image)
    assert np.abs(shrink(image, (90, 70), 1, mender) - clean).max() < 0.5
    assert mender.outliers == 3


def test_what_is_not_finite_is_refused():
    image = np.zeros((300, 300), np.float32)
    image[299, 7] = np.nan
    with pytest.raises(MicrographError, match="1 of 90000 pixels"):
        shrink(image, (30, 30))
