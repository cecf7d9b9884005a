# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks: what a score depends on, and that patches, tiles and micrographs score alike."""

import numpy as np
import pytest
import torch
from helpers.dense import dense_scores
from torch import nn

from scipion_pupick.engine.errors import UsageError
from scipion_pupick.engine.networks.architectures import (
    ARCHITECTURES,
    RECONSTRUCTED,
    STRIDE,
    Decoder,
    Network,
    make_network,
    strided_outputs,
    strided_scores,
)
from scipion_pupick.engine.networks.symmetry import make_symmetric

NAMES = list(ARCHITECTURES)
FINE = "resnet8-fine"
COARSE = [name for name in NAMES if name != FINE]


def network(name, seed=0):
    """A network in evaluation mode whose batch norms have seen data."""
    torch.manual_seed(seed)
    made = make_network(name)
    made.train()
    with torch.no_grad():
        made(torch.randn(4, 1, made.field + 24, made.field + 24) * 2 + 0.5)
    return made.eval()


def slow_score(made, image, x, y):
    """Score of the patch round a pixel, cut out of the image with zeros round it."""
    half = made.field // 2
    padded = np.pad(image, half)
    patch = padded[y : y + made.field, x : x + made.field]
    with torch.no_grad():
        return made(torch.from_numpy(patch)[None, None]).item()


def test_all_networks_are_known():
    assert list(ARCHITECTURES) == NAMES


@pytest.mark.parametrize("name", COARSE)
def test_field_is_what_one_score_depends_on(name):
    made = network(name).double()
    depends = np.zeros((made.field + 2 * STRIDE,) * 2)
    for _ in range(3):
        images = torch.randn(1, 1, *depends.shape, dtype=torch.float64, requires_grad=True)
        scores = made(images)
        assert scores.shape == (1, 1, 3, 3)
        scores[0, 0, 1, 1].backward()
        depends += images.grad[0, 0].abs().numpy()
    expected = np.zeros(depends.shape, bool)
    expected[STRIDE:-STRIDE, STRIDE:-STRIDE] = True
    np.testing.assert_array_equal(depends > 0, expected)


@pytest.mark.parametrize("name", COARSE)
@pytest.mark.parametrize("extra", [(0, 0), (3, 4), (5, 11)])
def test_one_score_every_four_pixels(name, extra):
    made = network(name)
    shape = made.field + extra[0], made.field + extra[1]
    with torch.no_grad():
        features = made.features(torch.zeros(2, 1, *shape))
        scores = made(torch.zeros(2, 1, *shape))
    positions = extra[0] // 4 + 1, extra[1] // 4 + 1
    assert features.shape == (2, made.latent, *positions)
    assert scores.shape == (2, 1, *positions)


@pytest.mark.parametrize("name", COARSE)
@pytest.mark.parametrize("shape", [(17, 24), (40, 33)])
def test_strided_and_dense_scores_are_those_of_lone_patches(name, shape):
    made = network(name)
    image = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    with torch.no_grad():
        dense = dense_scores(made, torch.from_numpy(image))
        strided = strided_scores(made, torch.from_numpy(np.stack([image, -image])))
    assert dense.shape == shape
    assert strided.shape == (2, -(-shape[0] // 4), -(-shape[1] // 4))
    torch.testing.assert_close(strided[0], dense[::4, ::4], atol=1e-5, rtol=0)
    for y, x in [(0, 0), (3, 1), (8, 9), (shape[0] - 1, shape[1] - 1)]:
        assert dense[y, x].item() == pytest.approx(slow_score(made, image, x, y), abs=1e-5)
    last = 4 * (strided.shape[1] - 1), 4 * (strided.shape[2] - 1)
    expected = slow_score(made, -image, last[1], last[0])
    assert strided[1, -1, -1].item() == pytest.approx(expected, abs=1e-5)


def test_a_fine_network_scores_the_places_that_it_says():
    """Turned by a quarter, an image has the turned map, about the middle of the same pixels."""
    made = network(FINE)
    make_symmetric(made)
    side = made.field + 5 * STRIDE
    image = torch.randn(1, 1, side, side)
    with torch.no_grad():
        scores = made(image)[0, 0]
        turned = made(torch.rot90(image, 1, (2, 3)))[0, 0]
        lower = made(image[:, :, STRIDE:])[0, 0]
    assert scores.shape == (12, 12)
    assert scores.std() > 0.01
    torch.testing.assert_close(torch.rot90(scores, 1), turned, atol=1e-5, rtol=0)
    torch.testing.assert_close(scores[2:], lower, atol=1e-5, rtol=0)


def test_corners_of_a_fine_network_are_the_turns_of_one_score():
    """The corner that a quarter turn brings to the first place has the score of the first one."""
    made = network(FINE)
    make_symmetric(made)
    image = torch.randn(1, 1, made.field, made.field)
    with torch.no_grad():
        corners = made(image)[0, 0]
        firsts = [made(torch.rot90(image, turn, (2, 3)))[0, 0, 0, 0] for turn in range(4)]
    # `rot90` brings the top right corner to the top left, then the bottom right one
    expected = torch.stack([firsts[0], firsts[1], firsts[3], firsts[2]]).reshape(2, 2)
    torch.testing.assert_close(corners, expected, atol=1e-5, rtol=0)


def test_strided_outputs_of_a_fine_network_hold_contamination_at_every_fourth_pixel():
    made = network(FINE)
    image = torch.randn(1, 40, 33)
    with torch.no_grad():
        outputs = strided_outputs(made, image)
        half = made.field // 2
        features = made.features(torch.nn.functional.pad(image[:, None], (half,) * 4))
        expected = made.contamination(features)[0, 0]
    assert outputs.shape == (1, 2, 20, 18)
    torch.testing.assert_close(outputs[:, 0], strided_scores(made, image))
    torch.testing.assert_close(outputs[0, 1, ::2, ::2], expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(outputs[0, 1, 1::2, 1::2], expected, atol=1e-5, rtol=0)


def test_dense_scores_of_a_single_pixel():
    made = network("conv3")
    image = np.full((1, 1), 2.0, np.float32)
    with torch.no_grad():
        score = dense_scores(made, torch.from_numpy(image))
    assert score.shape == (1, 1)
    assert score.item() == pytest.approx(slow_score(made, image, 0, 0), abs=1e-5)


def test_a_shift_by_one_pixel_shifts_the_dense_scores():
    made = network("resnet8")
    image = torch.zeros(48, 48)
    image[10:20, 14:22] = torch.randn(10, 8)
    with torch.no_grad():
        here = dense_scores(made, image)
        there = dense_scores(made, image.roll((1, 3), (0, 1)))
    torch.testing.assert_close(there[1:, 3:], here[:-1, :-3], atol=1e-5, rtol=0)


def test_conv3_is_the_papers_classifier():
    layers = list(make_network("conv3").features)
    kinds = [type(layer) for layer in layers]
    assert kinds == [nn.Conv2d, nn.BatchNorm2d, nn.PReLU] * 3
    convolutions = [
        (layer.in_channels, layer.out_channels, layer.kernel_size, layer.stride)
        for layer in layers[::3]
    ]
    assert convolutions == [
        (1, 32, (7, 7), (2, 2)),
        (32, 64, (5, 5), (2, 2)),
        (64, 128, (5, 5), (1, 1)),
    ]
    assert [layer.num_features for layer in layers[1::3]] == [32, 64, 128]


@pytest.mark.parametrize("name", COARSE)
def test_the_classifier_is_linear_in_the_features(name):
    made = network(name)
    images = torch.randn(1, 1, made.field, made.field)
    with torch.no_grad():
        features = made.features(images).flatten()
        expected = features @ made.classifier.weight.flatten() + made.classifier.bias
        assert made(images).item() == pytest.approx(expected.item(), abs=1e-5)
    assert features.shape == (made.latent,)


@pytest.mark.parametrize(("name", "number"), [("conv3", 3), ("resnet8", 8), ("resnet16", 16)])
def test_number_of_convolutions(name, number):
    """Shortcuts of 1 x 1 and the classifier are not counted."""
    layers = make_network(name).modules()
    counted = [m for m in layers if isinstance(m, nn.Conv2d) and m.kernel_size > (1, 1)]
    assert len(counted) == number
    assert all(layer.padding == (0, 0) for layer in counted)


@pytest.mark.parametrize("name", NAMES)
def test_all_weights_learn(name):
    torch.manual_seed(0)
    made = make_network(name)
    images = torch.randn(8, 1, made.field + 8, made.field + 8)
    made.outputs(made.features(images)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in made.parameters())


def test_networks_share_no_weights():
    first, second = make_network("conv3"), make_network("conv3")
    assert isinstance(first, Network)
    assert not {id(p) for p in first.parameters()} & {id(p) for p in second.parameters()}


def test_an_unknown_network_names_the_known():
    with pytest.raises(UsageError, match="'resnet9': choose one of conv3, resnet8, resnet16"):
        make_network("resnet9")


@pytest.mark.parametrize("name", NAMES)
def test_units_are_the_filters_of_the_first_layer_and_a_quarter_of_the_last(name):
    made, usual = make_network(name, 12), make_network(name)
    assert made.features[0].out_channels == 12
    assert (made.latent, usual.latent) == (48, 128)
    assert [type(layer) for layer in made.modules()] == [type(layer) for layer in usual.modules()]


def test_the_decoder_is_the_papers():
    """Methods 6: transpose conv4x4 128-d, 64-d and 32-d stride 2, conv3x3 1-d stride 2."""
    layers = list(Decoder(128).layers)
    kinds = [type(layer) for layer in layers]
    block = [nn.ConvTranspose2d, nn.BatchNorm2d, nn.LeakyReLU]
    assert kinds == [*block * 3, nn.ConvTranspose2d]
    assert [
        (layer.in_channels, layer.out_channels, layer.kernel_size, layer.stride)
        for layer in layers[::3]
    ] == [
        (128, 128, (4, 4), (1, 1)),
        (128, 64, (4, 4), (2, 2)),
        (64, 32, (4, 4), (2, 2)),
        (32, 1, (3, 3), (2, 2)),
    ]


@pytest.mark.parametrize("latent", [128, 10])
def test_the_decoder_gives_images_of_the_papers_size(latent):
    assert RECONSTRUCTED == 31
    images = Decoder(latent)(torch.randn(3, latent, 1, 1))
    assert images.shape == (3, 1, 31, 31)


def test_every_pixel_of_a_decoded_image_depends_on_the_latent_vector():
    torch.manual_seed(0)
    decoder = Decoder(16).eval()
    with torch.no_grad():
        images = decoder(torch.randn(20, 16, 1, 1))
    assert (images.std(dim=0) > 0).all()
