# SPDX-License-Identifier: GPL-3.0-or-later
"""From an array to coordinates: what `Picker` finds is what picking from files finds."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.examples import EXAMPLES, write_corner
from helpers.simulated import DIAMETER, PIXEL_SIZE, shared_model, simulate_set
from scipy.spatial import cKDTree

from scipion_pupick.engine import (
    Coordinates,
    MicrographError,
    Picker,
    PickSettings,
    UsageError,
    find_micrographs,
    load_model,
    pick,
)
from scipion_pupick.engine.micrographs import read_image
from scipion_pupick.engine.networks.architectures import inverted

ALONE = {"device": "cpu", "threads": 1}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return shared_model(tmp_path_factory) / "model.safetensors"


@pytest.fixture(scope="module")
def micrographs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("unseen")
    simulate_set(folder, (30, 31))
    return find_micrographs([str(folder)])


def images_of(micrographs):
    return [np.array(read_image(micrograph.path)) for micrograph in micrographs]


def assert_same(found, expected):
    np.testing.assert_array_equal(found.x, expected.x)
    np.testing.assert_array_equal(found.y, expected.y)
    np.testing.assert_array_equal(found.score, expected.score)


def test_an_array_gives_the_picks_of_its_file(model, micrographs, tmp_path):
    expected = pick(micrographs, model, tmp_path, **ALONE).picks
    picker = Picker.load(model, device="cpu")
    for micrograph, image in zip(micrographs, images_of(micrographs)):
        found = picker.pick(image, pixel_size=PIXEL_SIZE)
        assert isinstance(found, Coordinates)
        assert len(found) > 5
        assert_same(found, expected[micrograph.name])


def test_scores_are_sharper_where_labels_have_taught_the_model():
    general = load_model("general")
    trained = replace(general, training=replace(general.training, labels=8, held_out_labels=2))
    settings = PickSettings(diameter=DIAMETER)
    pickers = [Picker.of_model(m, settings, torch.device("cpu")) for m in (general, trained)]
    assert [picker.sharpness for picker in pickers] == [0.0, 0.4]


@pytest.mark.parametrize(
    "settings",
    [{"threshold": -8.0}, {"border": 0.0}, {"min_distance": 3 * DIAMETER}, {"border": 200.0}],
)
def test_settings_mean_the_same_as_from_files(model, micrographs, tmp_path, settings):
    expected = pick(micrographs, model, tmp_path, PickSettings(**settings), **ALONE).picks
    picker = Picker.load(model, device="cpu", **settings)
    for micrograph, image in zip(micrographs, images_of(micrographs)):
        assert_same(picker.pick(image, PIXEL_SIZE), expected[micrograph.name])


def test_tensors_give_the_picks_of_arrays(model, micrographs):
    picker = Picker.load(model, device="cpu")
    (image, _) = images_of(micrographs)
    expected = picker.pick(image, PIXEL_SIZE)
    tensor = torch.from_numpy(image.astype(np.float32)).requires_grad_()
    assert_same(picker.pick(tensor, PIXEL_SIZE), expected)
    if torch.cuda.is_available():
        assert_same(picker.pick(tensor.cuda(), PIXEL_SIZE), expected)
    half = tensor.bfloat16()
    assert_same(picker.pick(half, PIXEL_SIZE), picker.pick(half.float(), PIXEL_SIZE))


def test_several_are_picked_each_at_its_pixel_size(model, micrographs):
    picker = Picker.load(model, device="cpu")
    images = images_of(micrographs)
    sizes = [PIXEL_SIZE, 1.1 * PIXEL_SIZE]
    for found, image, size in zip(picker.pick_many(images, sizes), images, sizes):
        assert_same(found, picker.pick(image, size))
    for found, image in zip(picker.pick_many(images, PIXEL_SIZE), images):
        assert_same(found, picker.pick(image, PIXEL_SIZE))


@pytest.mark.parametrize("name", ["model", "general"])
def test_the_score_map_is_highest_where_picks_are(model, micrographs, name):
    picker = Picker.load(model if name == "model" else name, DIAMETER, device="cpu")
    (image, _) = images_of(micrographs)
    image = image[:, :-20]
    scores = picker.score_map(image, PIXEL_SIZE)
    x, y = picker.score_places(scores, image, PIXEL_SIZE)
    assert scores.shape == (len(y), len(x))
    near = DIAMETER / PIXEL_SIZE / 4
    picks = picker.pick(image, PIXEL_SIZE)
    assert len(picks) > 5
    offsets = []
    for pick_x, pick_y, score in zip(picks.x, picks.y, picks.score):
        columns = np.flatnonzero(np.abs(x - pick_x) < near)
        rows = np.flatnonzero(np.abs(y - pick_y) < near)
        here = scores[np.ix_(rows, columns)]
        row, column = np.unravel_index(here.argmax(), here.shape)
        offsets.append([x[columns[column]] - pick_x, y[rows[row]] - pick_y])
        assert here.max() > score - 1.5
    # of places 2 or 4 px of the working image apart, a maximum lies between
    np.testing.assert_allclose(np.mean(offsets, axis=0), 0, atol=1)
    assert np.abs(offsets).max() < near / 2 + 1


@pytest.mark.slow
@pytest.mark.parametrize("particles", [None, 150.0])
def test_the_general_model_is_fitted_to_several_images_as_to_their_files(tmp_path, particles):
    for micrograph in find_micrographs([str(EXAMPLES / "micrographs")])[:2]:
        write_corner(micrograph.path.name, tmp_path / "mics")
    micrographs = find_micrographs([str(tmp_path / "mics")])
    settings = PickSettings(diameter=180.0, particles_per_micrograph=particles)
    expected = pick(micrographs, "general", tmp_path / "out", settings, **ALONE)
    picker = Picker.load("general", 180.0, particles, device="cpu")
    images = images_of(micrographs)
    for micrograph, found in zip(micrographs, picker.pick_many(images, 7.08)):
        np.testing.assert_allclose(found.xy, expected.picks[micrograph.name].xy)
        np.testing.assert_allclose(found.score, expected.picks[micrograph.name].score, rtol=1e-6)
    fitted = picker.fit(images, 7.08)
    assert fitted.threshold == pytest.approx(expected.threshold)
    assert fitted.fit(images, 7.08) is fitted


def test_bright_particles_are_those_of_the_negative(model, micrographs):
    (image, _) = images_of(micrographs)
    dark = load_model(model)
    bright = replace(dark, network=inverted(dark.network))
    settings, cpu = PickSettings(), torch.device("cpu")
    expected = Picker.of_model(dark, settings, cpu).pick(image, PIXEL_SIZE)
    found = Picker.of_model(bright, settings, cpu).pick(-image.astype(np.float32), PIXEL_SIZE)
    assert len(found) == len(expected)
    # the fit of the grey values differs by rounding, and with it the order of near scores
    distance, _ = cKDTree(expected.xy).query(found.xy)
    assert distance.max() < 0.1


def test_the_general_model_wants_the_diameter():
    with pytest.raises(UsageError, match="diameter"):
        Picker.load("general", device="cpu")


@pytest.mark.parametrize("image", [np.zeros((2, 8, 8)), np.zeros(8), np.zeros((8, 8), complex)])
def test_what_is_no_image_is_refused(model, image):
    with pytest.raises(UsageError, match=r"\(ny, nx\) array of real numbers"):
        Picker.load(model, device="cpu").pick(image, PIXEL_SIZE)


def test_as_many_pixel_sizes_as_images_are_wanted(model, micrographs):
    with pytest.raises(UsageError, match="3 pixel sizes were given for 2 images"):
        Picker.load(model, device="cpu").pick_many(images_of(micrographs), [1.0, 1.0, 1.0])


def test_a_blank_image_is_named(model):
    images = [np.full((128, 128), 5.0)]
    with pytest.raises(MicrographError, match="image 0: It is blank"):
        Picker.load(model, device="cpu").pick_many(images, PIXEL_SIZE)
