# SPDX-License-Identifier: GPL-3.0-or-later
"""Densities from arrays and files, and random phantoms."""

import mrcfile
import numpy as np
import pytest
from scipy import ndimage

from scipion_pupick.engine.errors import UsageError
from scipion_pupick.engine.simulation import centre_density, random_phantom, read_map


def ball(shape, centre, radius):
    """A ball with a soft edge, in voxels; `centre` in the order z, y, x."""
    grids = np.meshgrid(*[np.arange(n) - c for n, c in zip(shape, centre)], indexing="ij")
    distance = np.sqrt(sum(grid**2 for grid in grids))
    return np.clip(radius - distance + 0.5, 0, 1).astype(np.float32)


def test_centre_of_mass_comes_to_the_middle_voxel():
    density = centre_density(3 * ball((40, 50, 60), (17.3, 30.6, 22.5), 8), 2.5)
    side = len(density.values)
    assert density.values.shape == (side, side, side)
    assert side % 2 == 0
    centre = ndimage.center_of_mass(density.values)
    np.testing.assert_allclose(centre, side // 2, atol=0.03)


def test_mean_of_what_is_not_solvent_is_one():
    values = 7 * ball((40, 40, 40), (20, 20, 20), 10)
    density = centre_density(values, 2.0)
    occupied = values[values > 0.7]
    assert density.values.sum() == pytest.approx(occupied.size, rel=1e-3)
    middle = (len(density.values) // 2,) * 3
    assert density.values[middle] == pytest.approx(7 / occupied.mean(), rel=1e-3)


@pytest.mark.parametrize("pixel_size", [1.0, 3.2])
def test_diameter_of_a_ball(pixel_size):
    density = centre_density(ball((50, 50, 50), (25, 25, 25), 18), pixel_size)
    assert density.diameter == pytest.approx(36 * pixel_size, rel=0.04)


def test_density_at_the_edge_of_its_box_is_kept():
    values = ball((20, 30, 30), (1, 15, 15), 8)
    density = centre_density(values, 1.0)
    assert density.values.sum() == pytest.approx((values > 0.1).sum(), rel=1e-3)


def test_threshold_removes_solvent():
    values = ball((40, 40, 40), (20, 20, 20), 6) + 0.3 * ball((40, 40, 40), (20, 20, 20), 14)
    assert centre_density(values, 1.0).diameter > 24
    assert centre_density(values, 1.0, threshold=0.5).diameter < 14


def test_map_is_read_with_its_pixel_size(tmp_path):
    path = tmp_path / "particle.mrc"
    with mrcfile.new(path) as file:
        file.set_data(ball((30, 30, 30), (15, 15, 15), 10))
        file.voxel_size = 1.7
    density = read_map(path)
    assert density.pixel_size == pytest.approx(1.7)
    assert density.name == "particle.mrc"
    assert density.diameter == pytest.approx(34, rel=0.06)
    assert read_map(path, pixel_size=3.4).diameter == pytest.approx(2 * density.diameter)


def test_unusable_maps_are_named(tmp_path):
    text = tmp_path / "notes.mrc"
    text.write_text("no map")
    flat, scaleless, empty = (tmp_path / f"{name}.mrc" for name in ("flat", "scaleless", "empty"))
    mrcfile.write(flat, np.ones((8, 8), np.float32), voxel_size=2.0)
    mrcfile.write(scaleless, ball((20, 20, 20), (10, 10, 10), 5))
    mrcfile.write(empty, -np.ones((8, 8, 8), np.float32), voxel_size=2.0)
    for path, reason in [
        (text, "cannot be read as a density map"),
        (tmp_path / "missing.mrc", "cannot be read as a density map"),
        (flat, "no three-dimensional array"),
        (scaleless, "pixel size is 0"),
        (empty, "no voxel is above"),
    ]:
        with pytest.raises(UsageError, match=reason) as caught:
            read_map(path)
        assert path.name in str(caught.value)


@pytest.fixture(scope="module")
def phantoms():
    random = np.random.default_rng(7)
    return [random_phantom(random, 150.0) for _ in range(60)]


def test_phantoms_have_the_diameter_asked_for(phantoms):
    np.testing.assert_allclose([phantom.diameter for phantom in phantoms], 150)


def test_phantoms_are_finite_compact_and_centred(phantoms):
    for phantom in phantoms:
        assert np.isfinite(phantom.values).all()
        side = len(phantom.values)
        np.testing.assert_allclose(ndimage.center_of_mass(phantom.values), side // 2, atol=0.1)
        assert side * phantom.pixel_size < 2 * 150


def test_phantoms_are_smooth_at_a_tenth_of_their_diameter_but_textured(phantoms):
    for phantom in phantoms:
        power = np.abs(np.fft.fftn(phantom.values)) ** 2
        k = np.fft.fftfreq(len(phantom.values), phantom.pixel_size) * 150
        squared = k[:, None, None] ** 2 + k[:, None] ** 2 + k**2
        # cycles per diameter; the resolution is about a twentieth of it
        assert power[squared > 16**2].sum() < 1e-2 * power[squared > 0].sum()
        assert power[squared > 4**2].sum() > 1e-5 * power[squared > 0].sum()


def test_phantoms_vary(phantoms):
    shapes = {phantom.name.split()[0] for phantom in phantoms}
    groups = {phantom.name.split()[1] for phantom in phantoms}
    assert len(shapes) >= 6
    assert "C1" in groups
    assert len(groups) >= 6
    volumes = [(p.values > 0.3).sum() * p.pixel_size**3 for p in phantoms]
    assert max(volumes) > 5 * min(volumes)


def test_some_phantoms_are_hollow_and_some_solid(phantoms):
    middles = [ndimage.uniform_filter(p.values, 3)[(len(p.values) // 2,) * 3] for p in phantoms]
    assert min(middles) < 0.2
    assert max(middles) > 1.0


def test_symmetry_is_real(phantoms):
    symmetric = [p for p in phantoms if p.name.split()[1] in ("C2", "C4", "C6", "D2", "D4", "D6")]
    assert len(symmetric) >= 5
    for phantom in symmetric:
        # half a turn about z takes the voxel middle + i to middle - i
        inner = phantom.values[:, 1:, 1:]
        turned = inner[:, ::-1, ::-1]
        assert np.corrcoef(inner.ravel(), turned.ravel())[0, 1] > 0.98


def test_phantoms_repeat_with_the_seed():
    first, again, other = (random_phantom(np.random.default_rng(s), 100.0) for s in (3, 3, 4))
    assert first.name == again.name
    np.testing.assert_array_equal(first.values, again.values)
    assert first.values.shape != other.values.shape or not np.allclose(first.values, other.values)
