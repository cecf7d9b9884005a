# SPDX-License-Identifier: GPL-3.0-or-later
"""Single pixels far from all others are taken out before they spread; all else stays as it is."""

import numpy as np
import pytest
from helpers.simulated import draw

from scipion_pupick.engine.errors import MicrographError
from scipion_pupick.engine.micrographs import MicrographInMemory
from scipion_pupick.engine.preprocessing.fourier_crop import downsample
from scipion_pupick.engine.preprocessing.outliers import PixelMender, find_limits
from scipion_pupick.engine.preprocessing.scale import WorkingScale
from scipion_pupick.engine.preprocessing.working_image import read_working_image

SHAPE = (300, 280)
SCALE = WorkingScale(96.0)


@pytest.fixture
def image():
    return draw(SHAPE, np.array([[100.0, 120.0]]), 24.0, np.random.default_rng(0))


def working(image):
    return read_working_image(MicrographInMemory(image, "a.mrc", 2.0), SCALE).image


def test_an_image_without_outliers_stays_bit_for_bit(image, caplog):
    shape = working(image).shape
    assert np.array_equal(working(image), downsample(image, shape))
    assert not caplog.records


@pytest.mark.parametrize("value", [1e3, -1e3, 1e30, 3e38])
@pytest.mark.parametrize("order", "<>")
def test_hot_and_dead_pixels_do_not_spread(image, value, order, caplog):
    bad = image.astype(f"{order}f4")
    for y, x in ((0, 0), (299, 279), (255, 50), (256, 50), (100, 100), (7, 200)):
        bad[y, x] = value
    assert np.abs(working(bad) - working(image)).max() < 1
    assert not caplog.records


def test_a_hot_column_is_taken_out_and_named(image, caplog):
    bad = image.copy()
    bad[:, 17:19] = 500
    assert np.abs(working(bad) - working(image)).max() < 3
    assert "a.mrc: 600 pixels lie far from all others and were replaced" in caplog.text


def test_what_is_large_is_no_outlier(image):
    seen = image.copy()
    rows, columns = np.ogrid[: SHAPE[0], : SHAPE[1]]
    seen[np.hypot(rows - 50, columns - 60) < 12] = 300
    assert np.array_equal(working(seen), downsample(seen, working(seen).shape))


def test_a_blank_border_stays_and_is_named(image, caplog):
    seen = image + 1000
    seen[:, :20] = 0
    assert np.array_equal(working(seen), downsample(seen, working(seen).shape))
    assert "% of its pixels lie far from all others" in caplog.text
    assert "They are left as they are." in caplog.text


def test_what_became_of_many_outliers_is_said_as_it_is(caplog):
    """A large image is mended in blocks of rows, each of which decides by itself."""
    random = np.random.default_rng(0)
    clean = random.normal(100, 3, (2048, 1024)).astype(np.float32)
    spread, gathered = clean.copy(), clean.copy()
    hot = random.random(clean.shape)
    spread[hot < 0.03] = 5000
    gathered[:256][hot[:256] < 0.5] = 5000
    gathered[256:][hot[256:] < 0.001] = 5000
    assert np.abs(working(spread) - working(clean)).max() < 10
    assert "3.0 % of its pixels lie far from all others" in caplog.text
    assert "They were replaced by what is round them." in caplog.text
    assert "left as they are" not in caplog.text
    caplog.clear()
    assert working(gathered).max() > 1000
    left, outliers = ((gathered[rows] == 5000).sum() for rows in (slice(256), slice(None)))
    assert f"{left} of these {outliers} are left as they are, the others were" in caplog.text


def test_saturated_pixels_are_named(image, caplog):
    grey = np.clip(image * 40 + 200, 0, 255).astype(np.uint8)
    assert np.isfinite(working(grey)).all()
    assert "of its pixels are saturated: they have the largest value of uint8" in caplog.text
    caplog.clear()
    working(np.clip(image * 30 + 128, 0, 255).astype(np.uint8))
    assert not caplog.records


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_image_that_does_not_tell_has_no_limits(image, value):
    assert find_limits(np.full(SHAPE, 7.0, np.float32)) is None
    assert find_limits((np.arange(SHAPE[0] * SHAPE[1]) % 5 == 0).reshape(SHAPE)) is None
    image[:] = value
    assert find_limits(image) is None


@pytest.mark.parametrize("row", [100, 101, 102, 103])
def test_a_signalling_nan_is_refused_as_any_other(image, row):
    image = image.astype(np.float32)
    image[row, 100] = np.array([0x7F800001], np.uint32).view(np.float32)[0]
    with pytest.raises(MicrographError, match=r"a\.mrc"):
        working(image)


def test_a_block_without_outliers_is_not_copied(image):
    mender = PixelMender(image)
    assert mender(image[:10], 0) is not None
    assert mender(image, 0) is image
    assert mender.outliers == 0
