# SPDX-License-Identifier: GPL-3.0-or-later
"""Downsampling, against a full Fourier transform in double precision and planted Gaussians."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scipion_pupick.engine.errors import MicrographError, UsageError
from scipion_pupick.engine.preprocessing.fourier_crop import downsample
from scipion_pupick.engine.preprocessing.scale import WorkingScale, to_original, to_working

SIZES = [
    ((64, 64), (16, 16)),  # even by a whole factor
    ((64, 48), (31, 17)),  # even to odd
    ((63, 45), (20, 14)),  # odd to even
    ((61, 53), (23, 19)),  # primes
    ((600, 37), (150, 11)),  # more rows than one block
    ((40, 30), (40, 30)),  # the same size
    ((31, 24), (64, 55)),  # up-sampling
    ((30, 40), (60, 20)),  # up along one axis, down along the other
    ((9, 300), (1, 2)),  # next to nothing left
]


def slow_downsample(image, working_shape):
    """Keep, of the full transform, the frequencies strictly below both Nyquist limits."""
    spectrum = np.fft.fft2(np.asarray(image, np.float64)) / image.size
    kept = np.zeros(working_shape, complex)
    frequencies = np.ix_(
        *(
            [f for f in range(-size, size) if 2 * abs(f) < min(size, working)]
            for size, working in zip(image.shape, working_shape)
        )
    )
    kept[frequencies] = spectrum[frequencies]
    return (np.fft.ifft2(kept) * kept.size).real


def noise(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize(("shape", "working_shape"), SIZES)
def test_equals_the_full_transform(shape, working_shape):
    image = noise(shape)
    result = downsample(image, working_shape)
    assert result.shape == working_shape
    assert result.dtype == np.float32
    assert result.flags.c_contiguous
    np.testing.assert_allclose(result, slow_downsample(image, working_shape), atol=1e-5)


@given(
    st.tuples(st.integers(1, 20), st.integers(1, 20)),
    st.tuples(st.integers(1, 20), st.integers(1, 20)),
)
def test_equals_the_full_transform_whatever_the_sizes(shape, working_shape):
    image = noise(shape)
    expected = slow_downsample(image, working_shape)
    np.testing.assert_allclose(downsample(image, working_shape), expected, atol=1e-5)


@pytest.mark.parametrize(
    "dtype", ["i1", "u1", "<i2", ">i2", "u2", "<i4", "<f2", ">f2", ">f4", "<f8", ">f8"]
)
def test_any_number_type(dtype):
    image = np.random.default_rng(1).integers(0, 100, (70, 50)).astype(dtype)
    expected = slow_downsample(image.astype(np.float64), (30, 21))
    np.testing.assert_allclose(downsample(image, (30, 21)), expected, atol=1e-4)


def test_a_memory_map_is_only_read(tmp_path):
    image = noise((300, 80))
    image.astype(">f4").tofile(tmp_path / "image.raw")
    content = (tmp_path / "image.raw").read_bytes()
    mapped = np.memmap(tmp_path / "image.raw", ">f4", "r", 0, image.shape)
    expected = slow_downsample(image, (75, 20))
    np.testing.assert_allclose(downsample(mapped, (75, 20)), expected, atol=1e-5)
    assert (tmp_path / "image.raw").read_bytes() == content


def test_the_image_is_not_changed():
    image = noise((50, 40))
    copy = image.copy()
    downsample(image, (20, 16))
    np.testing.assert_array_equal(image, copy)


@pytest.mark.parametrize(("shape", "working_shape"), SIZES)
def test_a_constant_image_keeps_its_value(shape, working_shape):
    result = downsample(np.full(shape, 1234.5, np.float32), working_shape)
    np.testing.assert_allclose(result, 1234.5, rtol=1e-6)


def test_a_wave_below_the_limit_stays_and_one_above_goes():
    y, x = np.mgrid[:96, :128]
    slow = np.cos(2 * np.pi * (5 * x / 128 + 3 * y / 96) + 0.3)
    fast = np.cos(2 * np.pi * 20 * x / 128) + np.cos(2 * np.pi * 15 * y / 96)
    y, x = np.mgrid[:24, :32]
    expected = np.cos(2 * np.pi * (5 * x / 32 + 3 * y / 24) + 0.3)
    np.testing.assert_allclose(downsample(slow + fast, (24, 32)), expected, atol=1e-5)


def test_upsampling_keeps_the_samples():
    image = noise((15, 21))
    np.testing.assert_allclose(downsample(image, (30, 42))[::2, ::2], image, atol=1e-5)


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_change_nothing(threads):
    image = noise((530, 210))
    np.testing.assert_array_equal(
        downsample(image, (133, 53), threads=threads), downsample(image, (133, 53))
    )


@pytest.mark.parametrize("dtype", ["f2", "f4", ">f4", "f8"])
def test_values_that_are_not_finite_are_counted(dtype):
    image = np.zeros((600, 20), dtype)
    image[3, 4], image[300, 0], image[599, 19] = np.nan, np.inf, -np.inf
    with pytest.raises(MicrographError, match="3 of 12000 pixels are NaN or infinite.*repair"):
        downsample(image, (60, 10))


@pytest.mark.filterwarnings("error")
def test_values_beyond_single_precision_are_counted_too():
    image = np.zeros((30, 20))
    image[3, 4] = 1e300
    with pytest.raises(MicrographError, match="1 of 600 pixels .* too large for single precision"):
        downsample(image, (15, 10))


def gaussians(shape, centres, sigma):
    """Sum of Gaussians, as the product of one along y and one along x."""
    y, x = np.arange(shape[0]), np.arange(shape[1])
    rows = np.exp(-((y[:, None] - centres[:, 1]) ** 2) / (2 * sigma**2))
    columns = np.exp(-((x[:, None] - centres[:, 0]) ** 2) / (2 * sigma**2))
    return rows @ columns.T


def locate(image, near):
    """Place of the Gaussian nearest to a point: the logarithm of one is a parabola."""
    x, y = np.rint(near).astype(int)
    window = image[y - 2 : y + 3, x - 2 : x + 3]
    row, column = np.unravel_index(window.argmax(), window.shape)
    y, x = y - 2 + row, x - 2 + column
    offsets = []
    for before, here, after in (np.log(image[y, x - 1 : x + 2]), np.log(image[y - 1 : y + 2, x])):
        offsets.append((after - before) / 2 / (2 * here - before - after))
    return np.array([x, y]) + offsets


@pytest.mark.parametrize("factor", [2.0, 3.37, 8.0])
@pytest.mark.parametrize("seed", [0, 1])
def test_planted_gaussians_are_found_where_they_are(factor, seed):
    random = np.random.default_rng(seed)
    shape = (round(96 * factor) + 1, round(128 * factor) - 3)
    grid = np.stack(np.meshgrid(np.arange(12, 117, 15), np.arange(12, 85, 15)), axis=-1)
    centres = (grid.reshape(-1, 2) + random.uniform(-2, 2, (grid.size // 2, 2))) * factor
    image = gaussians(shape, centres, 1.6 * factor)
    scale = WorkingScale(diameter=24 * factor * 1.1)
    working_shape = scale.shape(shape, pixel_size=1.1)
    assert working_shape == (round(shape[0] / factor), round(shape[1] / factor))
    working = downsample(image, working_shape)
    expected = to_working(centres, shape, working_shape)
    found = np.array([locate(working, near) for near in expected])
    assert np.abs(found - expected).max() < 0.01
    assert np.abs((found - expected).mean(axis=0)).max() < 0.001
    back = to_original(found, shape, working_shape)
    assert np.abs(back - centres).max() < 0.01 * factor


def test_maps_between_the_scales_undo_each_other():
    xy = np.random.default_rng(0).uniform(0, 300, (20, 2))
    there = to_working(xy, (400, 301), (37, 29))
    np.testing.assert_allclose(to_original(there, (400, 301), (37, 29)), xy, atol=1e-10)
    assert to_working(np.empty((0, 2)), (400, 301), (37, 29)).shape == (0, 2)


def test_the_first_pixel_stays_and_x_is_the_column():
    xy = np.array([[0.0, 0.0], [30.0, 20.0]])
    np.testing.assert_allclose(to_working(xy, (40, 90), (10, 30)), [[0, 0], [10, 5]])


def test_working_pixel_size_makes_particles_equally_wide():
    assert WorkingScale(240).pixel_size == pytest.approx(10)
    assert WorkingScale(240, diameter_px=30).pixel_size == pytest.approx(8)
    assert WorkingScale(240).shape((4000, 3000), 1.0) == (400, 300)
    assert WorkingScale(240, diameter_px=30).shape((4000, 3000), 1.0) == (500, 375)
    assert WorkingScale(240).shape((100, 50), 20.0) == (200, 100)


@pytest.mark.parametrize("diameter", [-150.0, 0.0, np.nan, np.inf])
def test_a_diameter_must_be_positive(diameter):
    with pytest.raises(UsageError, match=rf"diameter is {diameter:g} Å.*positive") as caught:
        WorkingScale(diameter)
    assert caught.value.settings == ("diameter",)


def test_a_particle_must_fit_into_the_image():
    scale = WorkingScale(200)
    assert scale.shape((100, 200), 2.0)
    with pytest.raises(MicrographError, match="200 Å is 101 px wide .*larger than .* 200 x 100 px"):
        scale.shape((100, 200), 1.98)


def test_a_particle_must_be_wide_enough_to_be_seen():
    scale = WorkingScale(120)
    assert scale.shape((100, 100), 20.0)
    with pytest.raises(MicrographError, match="only 5.9 px wide at 20.3 Å/px.*pixel size"):
        scale.shape((100, 100), 20.3)
