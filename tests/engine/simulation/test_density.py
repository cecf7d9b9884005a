# SPDX-License-Identifier: GPL-3.0-or-later
"""Densities from arrays and files, and random phantoms."""

import gzip
import itertools

import mrcfile
import numpy as np
import pytest
from scipy import ndimage

from scipion_pupick.engine.errors import UsageError
from scipion_pupick.engine.simulation import centre_density, random_phantom, read_map
from scipion_pupick.engine.simulation.phantom import _SHAPES


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


def test_a_map_is_read_by_the_axes_of_its_file(tmp_path):
    """X-ray programs may write z as the fastest axis; read as x, the particle would be mirrored."""
    values = ball((24, 30, 36), (10, 12, 20), 5) + ball((24, 30, 36), (14, 20, 12), 3)
    values += ball((24, 30, 36), (16, 9, 9), 2)
    expected = centre_density(values, 2.0)
    fields = ("mapc", "mapr", "maps")
    for axes in itertools.permutations("xyz"):
        path = tmp_path / f"{''.join(axes)}.mrc"
        columns, rows, sections = axes
        order = ["zyx".index(axis) for axis in (sections, rows, columns)]
        with mrcfile.new(path) as file:
            file.set_data(np.ascontiguousarray(values.transpose(order)))
            file.voxel_size = 2.0
            for field, axis in zip(fields, axes):
                file.header[field] = "xyz".index(axis) + 1
        np.testing.assert_allclose(read_map(path).values, expected.values, atol=1e-4)
        assert read_map(path).pixel_size == 2


def test_maps_whose_voxels_are_no_cubes_are_refused(tmp_path):
    values = ball((20, 20, 20), (10, 10, 10), 5)
    mrcfile.write(tmp_path / "long.mrc", values, voxel_size=(2.0, 2.0, 4.0))
    with mrcfile.new(tmp_path / "slanted.mrc") as file:
        file.set_data(values)
        file.voxel_size = 2.0
        file.header.cellb.gamma = 120.0
    for name, reason in (("long", "2 x 2 x 4 Å"), ("slanted", "90, 90, 120 degrees")):
        with pytest.raises(UsageError, match=rf"{name}.mrc: its voxels are no cubes: .*{reason}"):
            read_map(tmp_path / f"{name}.mrc")
    mrcfile.write(tmp_path / "nearly.mrc", values, voxel_size=(2.0, 2.0, 2.005))
    assert read_map(tmp_path / "nearly.mrc").pixel_size == pytest.approx(2)


@pytest.fixture(scope="module")
def phantoms():
    random = np.random.default_rng(7)
    return [random_phantom(random, 150.0) for _ in range(60)]


@pytest.mark.slow
def test_phantoms_have_the_diameter_asked_for(phantoms):
    np.testing.assert_allclose([phantom.diameter for phantom in phantoms], 150)


@pytest.mark.slow
def test_phantoms_are_finite_compact_and_centred(phantoms):
    for phantom in phantoms:
        assert np.isfinite(phantom.values).all()
        side = len(phantom.values)
        np.testing.assert_allclose(ndimage.center_of_mass(phantom.values), side // 2, atol=0.1)
        assert side * phantom.pixel_size < 2 * 150


@pytest.mark.slow
def test_phantoms_are_smooth_at_a_twentieth_of_their_diameter_but_textured(phantoms):
    for phantom in phantoms:
        power = np.abs(np.fft.fftn(phantom.values)) ** 2
        k = np.fft.fftfreq(len(phantom.values), phantom.pixel_size) * 150
        squared = k[:, None, None] ** 2 + k[:, None] ** 2 + k**2
        # cycles per diameter; voxels end at twenty along the axes
        assert power[squared > 20**2].sum() < 0.1 * power[squared > 0].sum()
        assert power[squared > 4**2].sum() > 1e-5 * power[squared > 0].sum()


# log10 of the mean power at 4, 5, ... 9 cycles per diameter, relative to that at 0, of atomic
# models in the Protein Data Bank at a resolution of 9 Å
PROTEINS = {
    "6MSM": (-2.63, -2.86, -3.23, -3.46, -3.58, -3.77),
    "19HC": (-2.94, -3.22, -3.59, -3.77, -3.96, -4.24),
    "3PWP": (-2.20, -2.46, -2.92, -3.26, -3.50, -3.54),
    "3KPR": (-2.01, -2.38, -2.60, -2.91, -3.19, -3.49),
    "1A28": (-2.76, -3.08, -3.30, -3.49, -3.65, -3.92),
    "1BD2": (-2.17, -2.50, -2.85, -3.22, -3.47, -3.56),
    "4V1W": (-3.17, -3.49, -4.05, -4.30, -4.41, -4.40),
    "5A1A": (-2.70, -2.87, -3.31, -3.55, -3.74, -4.01),
    "1AON": (-2.74, -2.87, -3.18, -3.52, -3.80, -3.94),
    "3L5Q": (-2.69, -3.02, -3.35, -3.62, -3.96, -4.06),
}


@pytest.mark.slow
def test_proteins_are_as_textured_as_phantoms_are(phantoms):
    powers = np.array([log_power(phantom, range(4, 10)) for phantom in phantoms])
    below = [(powers < protein).mean(axis=0) for protein in PROTEINS.values()]
    share = np.mean(below, axis=0)
    assert (share > 0.3).all()
    assert (share < 0.7).all()


def log_power(density, frequencies):
    """log10 of the mean power over shells of so many cycles per diameter, relative to that at 0."""
    k = np.fft.fftfreq(len(density.values), density.pixel_size) * density.diameter
    radius = np.sqrt(k[:, None, None] ** 2 + k[:, None] ** 2 + k**2)
    power = np.abs(np.fft.fftn(density.values)) ** 2
    shells = [power[np.abs(radius - frequency) < 0.5].mean() for frequency in frequencies]
    return np.log10(np.array(shells) / power[0, 0, 0])


@pytest.mark.slow
def test_phantoms_vary(phantoms):
    shapes = {phantom.name.split()[0] for phantom in phantoms}
    groups = {phantom.name.split()[1] for phantom in phantoms}
    assert len(shapes) >= 6
    assert "C1" in groups
    assert len(groups) >= 6
    volumes = [(p.values > 0.3).sum() * p.pixel_size**3 for p in phantoms]
    assert max(volumes) > 5 * min(volumes)


@pytest.mark.slow
def test_some_phantoms_are_hollow_and_some_solid(phantoms):
    middles = [ndimage.uniform_filter(p.values, 3)[(len(p.values) // 2,) * 3] for p in phantoms]
    assert min(middles) < 0.2
    assert max(middles) > 1.0


@pytest.mark.slow
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


@pytest.mark.parametrize("shape", list(_SHAPES))
def test_every_shape_has_an_inside_that_reaches_out_and_an_outside(shape):
    for seed in range(10):
        inside = _SHAPES[shape](np.random.default_rng(seed))
        points = np.random.default_rng(100 + seed).uniform(-1, 1, (20000, 3))
        within = inside(points)
        assert 0.002 < within.mean() < 0.8
        assert np.abs(points[within]).max() > 0.35
        # the corners of the cube belong to nothing
        assert not inside(np.array([[1.0, 1, 1], [-1, -1, 1]])).any()


@pytest.mark.parametrize("shape", ["barrel", "ring", "shell"])
def test_hollow_shapes_are_hollow(shape):
    """A channel, a hole and a cavity: where the middle is empty, what is round it is not."""
    inside = [_SHAPES[shape](np.random.default_rng(seed)) for seed in range(10)]
    middle = [bool(one(np.zeros((1, 3)))[0]) for one in inside]
    assert not all(middle)
    along_x = np.column_stack([np.linspace(0, 1, 200), np.zeros((200, 2))])
    for one, solid in zip(inside, middle):
        if not solid:
            profile = one(along_x)
            assert profile.any()
            assert not profile[: np.argmax(profile)].any()


@pytest.mark.parametrize("factor", [0.2, 30.0])
def test_units_of_the_map_do_not_matter(factor):
    values = ball((30, 30, 30), (14.2, 15, 16), 9)
    first, scaled = centre_density(values, 2.0), centre_density(factor * values, 2.0)
    np.testing.assert_allclose(first.values, scaled.values, atol=1e-4)


def test_place_in_the_box_does_not_matter():
    near, far = (centre_density(ball((48, 48, 48), (20 + d, 20, 20 + d), 9), 2.0) for d in (0, 9))
    np.testing.assert_allclose(near.values, far.values, atol=1e-4)


def test_compressed_maps_are_read(tmp_path):
    values = ball((30, 30, 30), (15, 15, 15), 10)
    plain, packed = tmp_path / "a.mrc", tmp_path / "a.mrc.gz"
    mrcfile.write(plain, values, voxel_size=2.0)
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    np.testing.assert_array_equal(read_map(plain).values, read_map(packed).values)
