# SPDX-License-Identifier: GPL-3.0-or-later
"""Symmetric networks: turned regions score alike, before, during and after training."""

import copy

import numpy as np
import pytest
import torch
from torch.nn import functional

from scipion_pupick.engine.networks.architectures import make_network
from scipion_pupick.engine.networks.symmetry import (
    is_symmetric,
    make_symmetric,
    symmetric,
    symmetrise_step,
)

SYMMETRIC = ["resnet8", "resnet16", "resnet8-fine"]
TURNS = range(4)


def turned(images, turns):
    return torch.rot90(images, turns, (2, 3))


def regions(network, number, seed=0):
    """So many regions of noise, each as wide as one score needs."""
    random = torch.Generator().manual_seed(seed)
    return torch.randn(number, 1, network.field, network.field, generator=random)


def region_scores(network, images):
    """One score a region; the mean over its corners where a network scores these."""
    return network(images).mean(dim=(1, 2, 3))


def seasoned(network):
    """In evaluation mode, with statistics and weights of batch norms that training left."""
    random = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for value in network.state_dict().values():
            if value.dim() == 1 and len(value) > 1:
                value.copy_(torch.rand(value.shape, generator=random) + 0.5)
    return network.eval()


@pytest.mark.parametrize("name", SYMMETRIC)
def test_turned_regions_score_alike(name):
    torch.manual_seed(1)
    network = seasoned(make_network(name))
    assert not is_symmetric(network)
    make_symmetric(network)
    assert is_symmetric(network)
    images = regions(network, 6)
    with torch.no_grad():
        scores = [region_scores(network, turned(images, turns)) for turns in TURNS]
    assert scores[0].std() > 0.005
    for each in scores[1:]:
        torch.testing.assert_close(each, scores[0], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", SYMMETRIC)
def test_networks_are_symmetric_from_the_start_and_their_features_differ(name):
    torch.manual_seed(1)
    network = make_network(name)
    assert is_symmetric(network)
    first = network.features[0].weight.flatten(1)
    assert len(torch.unique(first, dim=0)) == len(first)


def test_the_papers_network_is_not_symmetric():
    assert not is_symmetric(make_network("conv3"))


def test_one_turned_filter_too_many_is_noticed():
    network = make_network("resnet8")
    with torch.no_grad():
        network.features[3].inner[0].weight[5] *= 1.01
    assert not is_symmetric(network)


@pytest.mark.parametrize("name", SYMMETRIC)
def test_symmetric_gradients_are_those_of_a_batch_that_holds_all_turns(name):
    torch.manual_seed(2)
    network = seasoned(make_network(name))
    make_symmetric(network)
    images = regions(network, 3)
    targets = torch.tensor([0.0, 1.0, 1.0])

    def gradients(batches):
        network.zero_grad()
        losses = [
            functional.binary_cross_entropy_with_logits(region_scores(network, batch), targets)
            for batch in batches
        ]
        torch.stack(losses).mean().backward()

    gradients([turned(images, turns) for turns in TURNS])
    expected = [parameter.grad.clone() for parameter in network.parameters()]
    gradients([images])
    symmetrise_step(network)
    for parameter, wanted in zip(network.parameters(), expected):
        torch.testing.assert_close(
            parameter.grad, wanted, atol=1e-6 + 1e-5 * float(wanted.abs().max()), rtol=1e-4
        )


def test_statistics_of_batch_norms_become_symmetric_and_keep_their_mean():
    network = make_network("resnet8").train()
    network(regions(network, 8))
    before = copy.deepcopy(network.features[1].running_var)
    assert not is_symmetric(network)
    symmetrise_step(network)
    assert is_symmetric(network)
    after = network.features[1].running_var
    np.testing.assert_allclose(after[:4], before[:4].mean().expand(4), rtol=1e-6)


@pytest.mark.parametrize("shape", [(8, 1, 5, 5), (8, 12, 3, 3), (1, 8, 1, 1), (8,), (1,)])
def test_the_nearest_symmetric_weights(shape):
    """A projection: symmetric weights stay, and what is taken away is orthogonal to them."""
    random = torch.Generator().manual_seed(3)
    value = torch.randn(shape, generator=random, dtype=torch.float64)
    other = symmetric(torch.randn(shape, generator=random, dtype=torch.float64))
    nearest = symmetric(value)
    torch.testing.assert_close(symmetric(nearest), nearest)
    assert abs(float(((value - nearest) * other).sum())) < 1e-12
    assert (float((value - nearest).abs().max()) > 0.01) == (value.numel() > 1)
