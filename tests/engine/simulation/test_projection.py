# SPDX-License-Identifier: GPL-3.0-or-later
"""Rotations and Fourier slices against analytic projections and plain sums."""

import numpy as np
import pytest
from scipy import stats

from scipion_pupick.engine.errors import UsageError
from scipion_pupick.engine.simulation import Density, make_bank, project, random_rotations

CENTRES = np.array([[14.0, 0, 0], [0, 9, -6], [-8, -12, 10]])  # x, y, z, Å
WEIGHTS = np.array([1.0, 0.6, 1.5])
SIGMA = 5.0
# to x, y, z of the image from those of the particle: a permutation of axes that keeps handedness
PERMUTATION = np.array([[0.0, 1, 0], [0, 0, 1], [1, 0, 0]])


def gaussians(side=48, pixel_size=2.0):
    """Three Gaussians, with the origin at the voxel side // 2."""
    axis = pixel_size * (np.arange(side) - side // 2)
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    values = sum(
        w * np.exp(-((x - a) ** 2 + (y - b) ** 2 + (z - c) ** 2) / (2 * SIGMA**2))
        for w, (a, b, c) in zip(WEIGHTS, CENTRES)
    )
    return Density(values.astype(np.float32), pixel_size)


def analytic(rotation, pixel_size, size):
    """Line integrals of the three Gaussians after a rotation."""
    axis = pixel_size * (np.arange(size) - size // 2)
    turned = CENTRES @ rotation.T
    height = WEIGHTS * SIGMA * np.sqrt(2 * np.pi)
    return sum(
        h * np.exp(-((axis - x) ** 2 + (axis[:, None] - y) ** 2) / (2 * SIGMA**2))
        for h, (x, y, _) in zip(height, turned)
    )


@pytest.mark.parametrize(("pixel_size", "size"), [(2.0, 48), (3.1, 36), (1.3, 80), (2.0, 47)])
def test_projections_of_gaussians_are_analytic_in_any_orientation(pixel_size, size):
    rotations = random_rotations(6, np.random.default_rng(1))
    projections = project(gaussians(), rotations, pixel_size, size)
    for projection, rotation in zip(projections, rotations):
        expected = analytic(rotation, pixel_size, size)
        assert np.abs(projection - expected).max() < 0.002 * expected.max()


def test_slice_along_z_is_the_sum_over_sections():
    random = np.random.default_rng(2)
    blocks = random.uniform(0, 1, (10, 10, 10)).repeat(2, 0).repeat(2, 1).repeat(2, 2)
    volume = np.pad(blocks, 6).astype(np.float32)
    # the slice holds no corners of the spectrum, so neither does the reference
    expected = volume.sum(axis=0)
    k = np.hypot(np.fft.fftfreq(32)[:, None], np.fft.fftfreq(32))
    expected = np.fft.ifft2(np.fft.fft2(expected) * (k < 0.5)).real
    projection = project(Density(volume, 1.0), np.eye(3)[None], 1.0, 32)[0]
    assert np.abs(projection - expected).max() < 0.002 * expected.max()


def test_axis_aligned_orientation_is_a_permuted_sum():
    density = gaussians()
    projection = project(density, PERMUTATION[None], 2.0, 48)[0]
    # x, y of the image are y, z of the particle, and the beam flies along its x
    expected = 2.0 * density.values.sum(axis=2)
    assert np.abs(projection - expected).max() < 0.002 * expected.max()


def test_every_projection_holds_the_same_mass():
    density = gaussians()
    rotations = random_rotations(5, np.random.default_rng(3))
    for pixel_size, size in [(2.0, 48), (4.0, 24)]:
        masses = project(density, rotations, pixel_size, size).sum(axis=(1, 2)) * pixel_size**2
        np.testing.assert_allclose(masses, density.values.sum() * 8.0, rtol=0.001)


def test_rotations_are_proper():
    rotations = random_rotations(100, np.random.default_rng(4))
    identity = rotations @ rotations.transpose(0, 2, 1)
    np.testing.assert_allclose(identity, np.broadcast_to(np.eye(3), identity.shape), atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(rotations), 1)


def test_rotations_are_uniform():
    rotations = random_rotations(4000, np.random.default_rng(5))
    # under the uniform distribution each element is uniform in [-1, 1], as a coordinate of a
    # point on a sphere is, and the angle of rotation has the distribution (a - sin a) / π
    for row in range(3):
        for column in range(3):
            elements = rotations[:, row, column]
            assert stats.kstest(elements, stats.uniform(-1, 2).cdf).pvalue > 1e-3
    angles = np.arccos((np.trace(rotations, axis1=1, axis2=2) - 1) / 2)
    assert stats.kstest(angles, lambda a: (a - np.sin(a)) / np.pi).pvalue > 1e-3


def test_bank_holds_whole_particles_about_its_middle():
    density = gaussians()
    bank = make_bank(density, 3.0, np.random.default_rng(6), 12)
    assert bank.images.shape == (12, bank.size, bank.size)
    assert bank.size * bank.pixel_size >= 1.5 * density.diameter
    assert bank.diameter == density.diameter
    np.testing.assert_allclose(
        bank.images.sum(axis=(1, 2)) * 9, density.values.sum() * 8, rtol=0.001
    )


def test_bank_repeats_with_the_seed():
    first, again, other = (
        make_bank(gaussians(), 4.0, np.random.default_rng(seed), 4).images for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other, atol=0.1 * first.max())


@pytest.mark.parametrize("change", [{"pixel_size": 0.0}, {"count": 0}, {"diameter": -5.0}])
def test_impossible_banks_are_refused(change):
    arguments = {"pixel_size": 3.0, "count": 4, "diameter": 60.0, **change}
    with pytest.raises(UsageError, match="give more than 0"):
        make_bank(gaussians(), random=np.random.default_rng(0), **arguments)
