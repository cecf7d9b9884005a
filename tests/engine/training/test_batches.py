# SPDX-License-Identifier: GPL-3.0-or-later
"""Training batches, read back from images whose grey values are their own coordinates.

Interpolating a slope is exact to 0.05 px, so a batch of x and the same batch of y tell where every
pixel came from; a batch of ones tells which pixels the zeros outside the image have touched.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch

from scipion_pupick.engine.networks.architectures import ARCHITECTURES, STRIDE, make_network
from scipion_pupick.engine.settings import Augmentation, OptimizerSettings
from scipion_pupick.engine.training.batches import Geometry, make_geometry, sample_batch
from scipion_pupick.engine.training.regions import MASKED, UNLABELED, TrainingImage, label_map

SAME = Augmentation(scale=0.0, gain=0.0, offset=0.0)
BLUR = 0.06
NOBODY = np.empty((0, 2))
GEOMETRY = Geometry(31)
FIELDS = [make_network(name).field for name in ARCHITECTURES]


def training_image(values, positive=NOBODY, negative=NOBODY, radii=(3, 12)):
    positive, negative = np.asarray(positive, float), np.asarray(negative, float)
    labels = label_map(values.shape, positive, *radii)
    return TrainingImage(values.astype(np.float32), labels, positive, negative)


def ramps(shape, **labels):
    """An image of x, one of y and one of ones, with the same labels."""
    y, x = np.indices(shape)
    return [training_image(values, **labels) for values in (x, y, np.ones(shape))]


def flat(value, shape=(200, 200), **labels):
    return training_image(np.full(shape, float(value)), **labels)


def draw(images, mosaics=2, tiles=2, geometry=GEOMETRY, radius=3.0, change=SAME, seed=0):
    random = np.random.default_rng(seed)
    settings = OptimizerSettings(
        mosaics=mosaics, tiles=tiles, training_radius=radius, augmentation=change
    )
    return sample_batch(images, geometry, settings, random)


def draw_places(sets, **how):
    """Places (t, tile, tile, 2) that a batch's pixels come from, NaN at the edges; and the batch.

    Args:
        sets: `ramps` for each micrograph.
        how: for `draw`.
    """
    x, y, ones = (draw([ramp[i] for ramp in sets], **how) for i in range(3))
    assert torch.equal(x.unlabeled, y.unlabeled)
    places = torch.cat([x.tiles, y.tiles], dim=1).permute(0, 2, 3, 1).double().numpy()
    places[np.abs(ones.tiles[:, 0].numpy() - 1) > 1e-5] = np.nan
    return places, x


def patch_centres(places, geometry=GEOMETRY):
    """Places (t, per_side, per_side, 2) of the middle pixel of each patch of some mosaics."""
    middle = slice(geometry.field // 2, None, geometry.patch)
    return places[:, middle, middle]


def affine_maps(places):
    """Fit to each tile (t, tile, tile, 2) the map from (x, y, 1) in the tile: (t, 3, 2)."""
    rows, columns = np.indices(places.shape[1:3])
    maps = []
    for tile in places:
        inside = np.isfinite(tile[..., 0])
        design = np.column_stack([columns[inside], rows[inside], np.ones(inside.sum())])
        assert len(design) > 100
        fitted, _, _, _ = np.linalg.lstsq(design, tile[inside], rcond=None)
        assert np.abs(design @ fitted - tile[inside]).max() < 2 * BLUR
        maps.append(fitted)
    return np.array(maps)


def apply(maps, positions):
    """Places (t, s, s, 2) of all pairs of positions (s,) in tiles, by their maps."""
    x, y = np.meshgrid(positions, positions)
    design = np.stack([x, y, np.ones(x.shape)], axis=-1)
    return np.stack([design @ fitted for fitted in maps])


@pytest.mark.parametrize("field", FIELDS)
def test_patches_fill_a_tile(field):
    geometry = Geometry(field)
    assert field <= geometry.patch < field + STRIDE
    assert geometry.patch % STRIDE == 0
    assert geometry.tile == geometry.patch * geometry.per_side
    assert geometry.per_side >= 2


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_cells_are_the_scores_of_the_patches(name):
    torch.manual_seed(0)
    network = make_network(name).eval()
    geometry = Geometry(network.field, network.step)
    tile = torch.randn(1, 1, geometry.tile, geometry.tile)
    patches = tile[0, 0].unfold(0, geometry.field, geometry.patch)
    patches = patches.unfold(1, geometry.field, geometry.patch)
    with torch.no_grad():
        scores = network(tile)[0, 0]
        alone = network(patches.reshape(-1, 1, geometry.field, geometry.field))
    assert scores.shape == (len(geometry.grid.positions),) * 2
    # of a fine network, the first corner of each patch
    expected = alone[:, 0, 0, 0].reshape(geometry.per_side, geometry.per_side)
    cells = scores[geometry.cells, geometry.cells]
    torch.testing.assert_close(cells, expected, atol=1e-5, rtol=0)


def test_the_score_of_a_cell_depends_on_its_patch_alone():
    torch.manual_seed(0)
    network = make_network("conv3").eval()
    tile = torch.randn(1, 1, GEOMETRY.tile, GEOMETRY.tile, requires_grad=True)
    cells = GEOMETRY.cells
    network(tile)[0, 0, cells, cells][1, 2].backward()
    rows, columns = np.nonzero(tile.grad[0, 0].numpy())
    patch = GEOMETRY.patch
    assert (rows.min(), rows.max()) == (patch, patch + 30)
    assert (columns.min(), columns.max()) == (2 * patch, 2 * patch + 30)


@pytest.mark.parametrize("field", FIELDS)
def test_positions_are_the_centres_of_the_scored_regions(field):
    geometry = Geometry(field)
    starts = np.arange(0, geometry.tile - field + 1, STRIDE)
    np.testing.assert_array_equal(geometry.grid.positions, starts + field // 2)


@pytest.mark.parametrize("field", FIELDS)
def test_patches_are_centred_on_labels_within_the_training_radius(field):
    geometry = Geometry(field)
    labels = np.array([[60.0, 40.0], [150.3, 90.8], [100.5, 120.2]])
    places, batch = draw_places([ramps((180, 220), positive=labels)], geometry=geometry, tiles=1)
    assert (batch.positive_tiles, batch.negative_tiles) == (2, 0)
    centres = patch_centres(places[:2], geometry).reshape(-1, 1, 2)
    distances = np.linalg.norm(centres - labels, axis=2)
    assert distances.min(axis=1).max() <= 3 + 2 * BLUR


def test_patches_spread_evenly_over_the_discs_and_labels():
    labels = np.array([[60.0, 40.0], [150.0, 90.0], [100.0, 120.0], [40.0, 130.0]])
    sets = [ramps((180, 220), positive=labels[:1]), ramps((180, 220), positive=labels[1:])]
    places, _ = draw_places(sets, mosaics=60, tiles=1, radius=6.0)
    centres = patch_centres(places[:60]).reshape(-1, 1, 2)
    offsets = centres - labels
    nearest = np.linalg.norm(offsets, axis=2).argmin(axis=1)
    number = len(centres)
    counts = np.bincount(nearest, minlength=4)
    assert np.abs(counts / number - 0.25).max() < 0.06
    offsets = offsets[np.arange(number), nearest]
    # Of a disc, a quarter lies in each quadrant and half within 1 / sqrt 2 of the radius.
    quadrants = np.bincount((offsets > 0) @ [1, 2], minlength=4)
    assert np.abs(quadrants / number - 0.25).max() < 0.06
    assert abs(np.mean(np.linalg.norm(offsets, axis=1) < 6 / np.sqrt(2)) - 0.5) < 0.06


def test_patches_are_squares_of_the_image_turned_and_flipped_but_not_stretched():
    ramp = ramps((300, 300), positive=[[150, 150]])
    places, _ = draw_places([ramp], mosaics=8, tiles=1)
    patch = GEOMETRY.patch
    mosaics = places[:8].reshape(8, 4, patch, 4, patch, 2).swapaxes(2, 3)
    maps = affine_maps(mosaics.reshape(-1, patch, patch, 2))[:, :2]
    squares = maps @ maps.swapaxes(1, 2)
    np.testing.assert_allclose(squares, np.broadcast_to(np.eye(2), squares.shape), atol=0.01)
    assert_turned_and_flipped(maps)


def assert_turned_and_flipped(maps):
    """Each eighth of a turn occurs, and images mirrored or not are about as frequent."""
    mirrored = np.linalg.det(maps) < 0
    assert 0.3 < mirrored.mean() < 0.7
    angle = np.arctan2(maps[:, 1, 1], maps[:, 1, 0])
    eighths = np.floor(angle / (np.pi / 4)).astype(int) + 4
    for chosen in (mirrored, ~mirrored):
        assert (np.bincount(eighths[chosen], minlength=8) > 0).all()


def test_labelled_negatives_give_mosaics_after_the_positives():
    positive, negative = np.array([[60.0, 40.0]]), np.array([[150.0, 90.0], [30.0, 120.0]])
    ramp = ramps((180, 220), positive=positive, negative=negative)
    places, batch = draw_places([ramp], mosaics=3, tiles=1)
    assert (batch.positive_tiles, batch.negative_tiles) == (3, 3)
    assert len(places) == 7
    for mosaics, labels in ((places[:3], positive), (places[3:6], negative)):
        distances = patch_centres(mosaics).reshape(-1, 1, 2) - labels
        assert np.linalg.norm(distances, axis=2).min(axis=1).max() <= 3 + 2 * BLUR


def test_a_micrograph_with_negatives_alone_gives_mosaics_of_them_and_no_tiles():
    images = [flat(1, positive=[[100, 100]]), flat(2, negative=[[50, 50]])]
    batch = draw(images, mosaics=3, tiles=20)
    assert (batch.positive_tiles, batch.negative_tiles) == (3, 3)
    assert grey_values(batch) == [1] * 3 + [2] * 3 + [1] * 20


def test_p_and_u_are_of_the_same_micrographs():
    three = [[50, 50], [100, 150], [150, 60]]
    images = [flat(1, positive=three), flat(2), flat(3, positive=[[80, 90]])]
    values = grey_values(draw(images, mosaics=1, tiles=600))[1:]
    assert set(values) == {1, 3}
    assert abs(values.count(1) / 600 - 3 / 4) < 0.06


def grey_values(batch):
    """Grey value in the middle of each tile, whole numbers."""
    middle = GEOMETRY.tile // 2 - 1
    return batch.tiles[:, 0, middle, middle].round().int().tolist()


@pytest.mark.parametrize("change", [SAME, Augmentation(scale=0.2, gain=0.0, offset=0.0)])
def test_scores_of_u_lie_in_the_image_and_outside_labelled_particles(change):
    shape = (200, 260)
    labels = np.random.default_rng(3).uniform([0, 0], [259, 199], (25, 2))
    places, batch = draw_places([ramps(shape, positive=labels)], tiles=30, change=change)
    places = apply(affine_maps(places[batch.positive_tiles :]), GEOMETRY.grid.positions)
    nearest = np.linalg.norm(places[..., None, :] - labels, axis=-1).min(-1)
    beyond = np.maximum(-places, places - [259, 199]).max(-1)
    in_u = batch.unlabeled.numpy()
    assert in_u.shape == places.shape[:-1]
    # A place counts as the pixel it is nearest to, at most half a diagonal away.
    slack = np.sqrt(0.5) + BLUR
    assert nearest[in_u].min() > 12 - slack
    assert beyond[in_u].max() < 0.5 + BLUR
    left_out = ~in_u & (beyond < 0.5 - BLUR)
    assert nearest[left_out].max() < 12 + slack
    assert in_u.any()
    assert left_out.any()


def test_u_is_what_the_labels_say():
    image, xy = np.ones((300, 300), np.float32), np.array([[150.0, 150.0]])
    for label in (MASKED, UNLABELED):
        labels = np.full(image.shape, label, np.uint8)
        drawn = draw([TrainingImage(image, labels, xy, NOBODY)]).unlabeled
        assert drawn.any() == (label == UNLABELED)


def test_tiles_are_spread_over_the_micrograph_turned_and_flipped():
    ramp = ramps((300, 400), positive=[[200, 150]])
    places, batch = draw_places([ramp], tiles=200)
    maps = affine_maps(places[batch.positive_tiles :])
    assert_turned_and_flipped(maps[:, :2])
    middle = (GEOMETRY.tile - 1) / 2
    centres = np.array([middle, middle, 1]) @ maps / [399, 299]
    assert centres.min() > -0.001
    assert centres.max() < 1.001
    counts, _, _ = np.histogram2d(*centres.T, bins=2, range=[[0, 1], [0, 1]])
    assert counts.min() >= 10


def test_sizes_vary_by_the_scale_asked_for():
    change = Augmentation(scale=0.2, gain=0.0, offset=0.0)
    ramp = ramps((400, 400), positive=[[200, 200]])
    places, batch = draw_places([ramp], tiles=50, change=change)
    maps = affine_maps(places[batch.positive_tiles :])[:, :2]
    sizes = np.sqrt(np.abs(np.linalg.det(maps)))
    assert 0.79 < sizes.min() < 0.85
    assert 1.15 < sizes.max() < 1.21
    squares = maps @ maps.swapaxes(1, 2)
    np.testing.assert_allclose(squares, sizes[:, None, None] ** 2 * np.eye(2), atol=0.01)


def test_gain_and_offset_vary_from_tile_to_tile():
    how = {"mosaics": 60, "tiles": 1}
    gained = Augmentation(scale=0.0, gain=0.3, offset=0.0)
    moved = Augmentation(scale=0.0, gain=0.0, offset=0.5)
    for value, change, least, most in ((1, gained, 0.7, 1.3), (0, moved, -0.5, 0.5)):
        batch = draw([flat(value, positive=[[100, 100]])], change=change, **how)
        mosaics = batch.tiles[:60].flatten(1).numpy()
        assert np.ptp(mosaics, axis=1).max() < 1e-5
        assert least - 1e-5 <= mosaics.min() < least + 0.1
        assert most - 0.1 < mosaics.max() <= most + 1e-5


def test_labelled_patches_are_made_fainter_and_as_noisy_as_before():
    """A particle of grey 10 in white noise, which a mean over many patches shows."""
    noise = np.random.default_rng(3).normal(size=(400, 400))
    y, x = np.indices(noise.shape)
    particle = 10.0 * (np.hypot(x - 200, y - 200) < 9)
    image = training_image(noise + particle, positive=[[200, 200]])
    how = {"mosaics": 40, "tiles": 4, "radius": 0.1}
    clear, faint = (
        draw([image], change=replace(SAME, faintest=faintest), **how).tiles
        for faintest in (None, 0.5)
    )
    middle, corner = slice(12, 19), slice(0, 5)
    for tiles, least, mean in ((clear, 1.0, 1.0), (faint, 0.5, 0.75)):
        patches = tiles[:40, 0].unfold(1, 32, 32).unfold(2, 32, 32).flatten(0, 2)
        greys = patches[:, middle, middle].mean(dim=(1, 2)).numpy() / 10
        # of the noise in 49 px, and of places that hold a piece of the particle
        assert np.quantile(greys, 0.01) > least - 0.12
        assert np.median(greys) == pytest.approx(mean, abs=0.06)
        assert patches[:, corner, corner].std().item() == pytest.approx(
            clear[:40].unfold(2, 32, 32).unfold(3, 32, 32)[..., corner, corner].std().item(),
            rel=0.1,
        )
    # nothing of U is made fainter
    assert faint[40:].abs().max() > 9


def test_interpolation_follows_a_smooth_image():
    """A cosine of 16 px period, at places read back from slopes drawn with the same seed."""
    shape, label = (300, 300), [[150, 150]]
    places, batch = draw_places([ramps(shape, positive=label)], tiles=4)
    x, y = np.meshgrid(np.arange(shape[1]), np.arange(shape[0]))
    wave = np.cos(2 * np.pi * x / 16) + np.sin(2 * np.pi * y / 16)
    waves = draw([training_image(wave, positive=label)], tiles=4)
    tiles = waves.tiles[batch.positive_tiles :, 0].numpy()
    places = apply(affine_maps(places[batch.positive_tiles :]), np.arange(GEOMETRY.tile))
    expected = np.cos(2 * np.pi * places[..., 0] / 16) + np.sin(2 * np.pi * places[..., 1] / 16)
    inside = (places > 1.1).all(-1) & (places < 297.9).all(-1)
    outside = (places < -2).any(-1) | (places > 301).any(-1)
    assert np.abs(tiles - expected)[inside].max() < 0.05
    assert (tiles[outside] == 0).all()


def test_the_same_seed_draws_the_same_batch_and_another_another():
    images = [flat(1, positive=[[80, 90]], negative=[[30, 30]]), flat(2)]
    images = [
        TrainingImage(
            image.image + np.random.default_rng(0).normal(size=(200, 200)).astype(np.float32),
            image.labels,
            image.positive,
            image.negative,
        )
        for image in images
    ]
    first, again, other = (draw(images, change=Augmentation(), seed=seed) for seed in (5, 5, 6))
    assert torch.equal(first.tiles, again.tiles)
    assert torch.equal(first.unlabeled, again.unlabeled)
    assert not torch.equal(first.tiles, other.tiles)
    assert not torch.equal(first.unlabeled, other.unlabeled)


def test_an_image_smaller_than_a_tile():
    shape = (60, 40)
    labels = np.array([[20.0, 30.0]])
    places, batch = draw_places([ramps(shape, positive=labels)], tiles=4)
    assert batch.tiles.shape == (6, 1, GEOMETRY.tile, GEOMETRY.tile)
    assert torch.isfinite(batch.tiles).all()
    distances = np.linalg.norm(patch_centres(places[:2]) - labels[0], axis=-1)
    assert distances.max() <= 3 + 2 * BLUR
    u = apply(affine_maps(places[2:]), GEOMETRY.grid.positions)[batch.unlabeled.numpy()]
    assert len(u)
    assert u.min() > -0.5 - BLUR
    assert (u < [39.5 + BLUR, 59.5 + BLUR]).all()
    assert np.linalg.norm(u - labels[0], axis=-1).min() > 12 - np.sqrt(0.5) - BLUR


def test_a_label_on_the_edge_gives_patches_with_zeros_beyond():
    batch = draw([flat(1, positive=[[0, 100]])], mosaics=1, tiles=1, radius=1.0)
    tile, patch = batch.tiles[0, 0], GEOMETRY.patch
    patches = tile.reshape(4, patch, 4, patch).swapaxes(1, 2).reshape(-1, patch, patch)
    shares = (patches[:, :31, :31] == 0).float().mean(dim=(1, 2))
    assert ((shares > 0.35) & (shares < 0.55)).all()


def test_the_images_are_not_changed():
    image = flat(1, positive=[[100, 100]])
    copy = image.image.copy()
    draw([image], change=Augmentation())
    np.testing.assert_array_equal(image.image, copy)


def draw_regions(images, labelled=16, unlabelled=400, change=SAME, seed=0):
    settings = OptimizerSettings(
        sampling="regions",
        labelled_regions=labelled,
        unlabeled_scores=unlabelled,
        augmentation=change,
    )
    geometry = make_geometry(31, STRIDE, settings)
    return sample_batch(images, geometry, settings, np.random.default_rng(seed)), geometry


def test_single_regions_are_as_wide_as_the_field_and_have_one_score():
    batch, geometry = draw_regions([flat(1, positive=[(50, 60)], negative=[(90, 90)])])
    assert batch.tiles.shape == (16 + 16 + 400, 1, 31, 31)
    assert (batch.positive_tiles, batch.negative_tiles) == (16, 16)
    assert batch.unlabeled.shape == (400, 1, 1)
    scores = make_network("conv3").eval()(batch.tiles)[:, 0]
    assert scores[:, geometry.cells, geometry.cells].shape == scores.shape == (432, 1, 1)


def test_single_regions_of_u_come_from_all_micrographs_by_their_area():
    images = [flat(1, positive=[(50, 60)]), flat(2), flat(3, shape=(200, 400))]
    batch, _ = draw_regions(images, unlabelled=2000)
    assert torch.all(batch.tiles[:16, 0, 15, 15].round() == 1)
    of_u = batch.tiles[16:, 0, 15, 15].round().int()
    shares = torch.bincount(of_u, minlength=4)[1:] / 2000
    np.testing.assert_allclose(shares, [0.25, 0.25, 0.5], atol=0.04)


def test_single_regions_lie_uniformly_and_leave_out_labelled_discs():
    labels = [(60.0, 40.0), (150.0, 90.0)]
    drawn = [draw_regions([ramp], unlabelled=6000) for ramp in ramps((180, 220), positive=labels)]
    xy = np.stack([batch.tiles[16:, 0, 15, 15].numpy() for batch, _ in drawn[:2]], axis=1)
    inside = drawn[0][0].unlabeled.flatten().numpy()
    distances = np.linalg.norm(xy[:, None] - np.array(labels), axis=2).min(axis=1)
    assert (distances[~inside] <= 3 + 1).all()
    assert (distances[inside] >= 3 - 1).all()
    assert 0 < (~inside).sum() < 6000 * 4 * 2 * np.pi * 9 / (180 * 220)
    for axis, size in ((0, 220), (1, 180)):
        quarters = np.histogram(xy[:, axis], 4, (0, size))[0] / 6000
        np.testing.assert_allclose(quarters, 0.25, atol=0.04)
