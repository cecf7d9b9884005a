# SPDX-License-Identifier: GPL-3.0-or-later
"""Fourier cropping with PyTorch: what NumPy gives, within rounding."""

import numpy as np
import pytest
import torch

from scipion_pupick.engine.errors import MicrographError
from scipion_pupick.engine.micrographs import MicrographInMemory
from scipion_pupick.engine.preprocessing.fourier_crop import downsample
from scipion_pupick.engine.preprocessing.fourier_crop_torch import downsample_on
from scipion_pupick.engine.preprocessing.outliers import PixelMender
from scipion_pupick.engine.preprocessing.scale import WorkingScale
from scipion_pupick.engine.preprocessing.working_image import prepare

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


@pytest.fixture(params=DEVICES)
def on_device(request):
    return downsample_on(torch.device(request.param))


def noise(shape, seed=0):
    return np.random.default_rng(seed).normal(100.0, 3.0, shape)


@pytest.mark.parametrize(
    ("shape", "working_shape"),
    [
        ((256, 300), (64, 75)),
        ((255, 301), (63, 76)),
        ((256, 256), (64, 63)),
        ((600, 90), (101, 16)),
        ((48, 60), (96, 120)),
        ((48, 61), (47, 122)),
        ((64, 64), (64, 64)),
        ((5, 7), (1, 1)),
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.uint8, np.int16])
def test_grey_values_are_those_of_numpy(on_device, shape, working_shape, dtype):
    image = noise(shape).astype(dtype)
    found = on_device(image, working_shape)
    expected = downsample(image, working_shape)
    assert found.dtype == np.float32
    assert found.shape == working_shape
    np.testing.assert_allclose(found, expected, rtol=2e-6, atol=2e-4)


def test_hot_pixels_are_mended_alike_and_the_image_is_left_as_it_is(on_device):
    image = noise((600, 300)).astype(np.float32)
    image[[3, 255, 256, 599], [0, 299, 150, 7]] = 1e5
    before = image.copy()
    one, other = PixelMender(image), PixelMender(image)
    found = on_device(image, (150, 75), 1, one)
    expected = downsample(image, (150, 75), 1, other)
    np.testing.assert_allclose(found, expected, rtol=2e-6, atol=2e-4)
    assert one.outliers == other.outliers == 4
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e200])
def test_pixels_that_are_not_finite_are_refused_with_the_same_words(on_device, value):
    image = noise((300, 40))
    image[[1, 299], [2, 3]] = value
    with pytest.raises(MicrographError) as expected:
        downsample(image, (30, 4), 1, PixelMender(image))
    with pytest.raises(MicrographError) as found:
        on_device(image, (30, 4), 1, PixelMender(image))
    assert str(found.value) == str(expected.value)


def test_working_images_are_alike(on_device):
    micrograph = MicrographInMemory(noise((512, 500)).astype(np.float32), "m", 2.0)
    scale = WorkingScale(96.0)
    found = prepare(micrograph, scale, resample=on_device)
    expected = prepare(micrograph, scale)
    np.testing.assert_allclose(found.image, expected.image, atol=2e-3)
