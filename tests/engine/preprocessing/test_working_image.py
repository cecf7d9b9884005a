# SPDX-License-Identifier: GPL-3.0-or-later
"""A micrograph from its file to a normalised working image."""

import mrcfile
import numpy as np
import pytest

from scipion_pupick.engine.errors import MicrographError
from scipion_pupick.engine.micrographs import Micrograph
from scipion_pupick.engine.preprocessing.mixture import Mixture
from scipion_pupick.engine.preprocessing.scale import WorkingScale
from scipion_pupick.engine.preprocessing.working_image import (
    normalise_working_image,
    pixel_method,
    prepare,
    read_working_image,
)

SCALE = WorkingScale(diameter=96.0)


def micrograph(folder, image, pixel_size=2.0, given=None):
    """Write an MRC file; `pixel_size` goes to its header, `given` is the user's."""
    path = folder / "image.mrc"
    with mrcfile.new(path, overwrite=True) as file:
        file.set_data(image)
        file.voxel_size = pixel_size
    return Micrograph(path, "image.mrc", given)


def noise(shape=(300, 240), mean=50.0, deviation=4.0, seed=0):
    image = np.random.default_rng(seed).normal(mean, deviation, shape)
    return image.astype(np.float32)


def half_size(image):
    """Band-limit to half the Nyquist frequency and take every second pixel."""
    spectrum = np.fft.fft2(image.astype(np.float64))
    for axis, size in enumerate(image.shape):
        outside = np.abs(np.fft.fftfreq(size)) >= 0.25
        np.moveaxis(spectrum, axis, 0)[outside] = 0
    return np.fft.ifft2(spectrum).real[::2, ::2]


def test_reads_and_downsamples_with_grey_values_kept(tmp_path):
    image = noise()
    source = micrograph(tmp_path, image)
    working = read_working_image(source, SCALE)
    assert working.micrograph is source
    assert working.shape == (300, 240)
    assert working.pixel_size == pytest.approx(2.0)
    np.testing.assert_allclose(working.image, half_size(image), atol=1e-4)


def test_the_pixel_size_given_comes_before_the_header(tmp_path):
    working = read_working_image(micrograph(tmp_path, noise(), 2.0, given=1.0), SCALE)
    assert working.pixel_size == 1.0
    assert working.image.shape == working.working_shape == (75, 60)


def test_affine_gives_mean_0_and_deviation_1(tmp_path):
    image = noise()
    image[:, :90] *= 2
    expected = half_size(image)
    expected = (expected - expected.mean()) / expected.std()
    result = prepare(micrograph(tmp_path, image), SCALE, "affine")
    assert result.image.dtype == np.float32
    np.testing.assert_allclose(result.image, expected, atol=1e-4)


def test_the_background_becomes_standard_beside_carbon(tmp_path):
    image = noise(mean=0.0, deviation=1.0)
    image[:, :80] += 2.0
    result = prepare(micrograph(tmp_path, image), SCALE).image
    ice = result[:, 45:115]
    assert abs(ice.mean()) < 0.05
    assert abs(ice.std() - 1) < 0.05


@pytest.mark.parametrize("sign", [1, -1])
def test_outliers_are_limited_to_ten_deviations(tmp_path, sign):
    image = noise()
    image[100:104, 100:104] += sign * 1e4
    result = prepare(micrograph(tmp_path, image), SCALE)
    assert np.abs(result.image).max() == 10.0
    assert result.image[51, 51] == sign * 10.0


def test_a_shared_mixture_takes_up_the_gain(tmp_path):
    mixture = Mixture(rho=0.5, means=(10.0, 10.0), deviations=(1.0, 1.0))
    image = noise(mean=10.0, deviation=2.0)
    plain = prepare(micrograph(tmp_path, image), SCALE, mixture=mixture).image
    brighter = prepare(micrograph(tmp_path, 3 * image), SCALE, mixture=mixture).image
    np.testing.assert_allclose(brighter, plain, atol=1e-3)


def test_a_shared_mixture_says_which_component_is_the_background(tmp_path):
    """Here the one that the set says is the rarer one in this micrograph."""
    image = noise(mean=10.0, deviation=2.0)
    image[:, 80:] += 6.0
    mixture = Mixture(rho=0.3, means=(10.0, 16.0), deviations=(1.0, 1.0))
    source = micrograph(tmp_path, image)
    shared, alone = (prepare(source, SCALE, mixture=given).image for given in (mixture, None))
    for result, background in ((shared, slice(5, 35)), (alone, slice(45, 115))):
        assert abs(result[:, background].mean()) < 0.2
        assert abs(result[:, background].std() - 1) < 0.1


def test_normalising_keeps_where_the_image_comes_from(tmp_path):
    working = read_working_image(micrograph(tmp_path, noise()), SCALE)
    result = normalise_working_image(working, "affine")
    assert (result.micrograph, result.shape, result.pixel_size) == (
        working.micrograph,
        working.shape,
        working.pixel_size,
    )


def test_threads_change_nothing(tmp_path):
    source = micrograph(tmp_path, noise())
    one, two = (prepare(source, SCALE, threads=threads).image for threads in (1, 2))
    np.testing.assert_array_equal(one, two)


def test_bad_pixels_name_the_file(tmp_path):
    image = noise()
    source = micrograph(tmp_path, image)
    with mrcfile.mmap(source.path, "r+") as file:
        file.data[7, 9] = np.nan
    with pytest.raises(MicrographError, match=r"image\.mrc: 1 of 72000 pixels"):
        prepare(source, SCALE)


def test_a_wrong_scale_names_the_file(tmp_path):
    source = micrograph(tmp_path, noise(), given=0.1)
    with pytest.raises(MicrographError, match=r"image\.mrc: a particle of 96 Å is 960 px wide"):
        prepare(source, SCALE)


def test_a_blank_image_names_the_file(tmp_path):
    source = micrograph(tmp_path, np.full((300, 240), 7.0, np.float32))
    with pytest.raises(MicrographError, match=r"image\.mrc: .*blank"):
        prepare(source, SCALE)


def test_an_unknown_pixel_size_is_asked_for(tmp_path):
    source = micrograph(tmp_path, noise(), pixel_size=0.0)
    with pytest.raises(MicrographError, match=r"image\.mrc: .*pixel size") as caught:
        prepare(source, SCALE)
    assert caught.value.settings == ("pixel_size",)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(MicrographError, match=r"none\.mrc: no such file"):
        prepare(Micrograph(tmp_path / "none.mrc", "none.mrc", 1.0), SCALE)


@pytest.mark.parametrize(
    ("of_the_set", "expected"), [("micrograph", "gmm"), ("joint", "gmm"), ("affine", "affine")]
)
def test_method_for_one_micrograph_of_a_set(of_the_set, expected):
    assert pixel_method(of_the_set) == expected
