# SPDX-License-Identifier: GPL-3.0-or-later
"""Random changes of simulated tiles, against SciPy's filters."""

import numpy as np
import pytest
import torch
from scipy import ndimage, signal

from scipion_pupick.engine.pretraining.domain_randomisation import (
    augment_spectrum,
    augment_tiles,
    denoise,
    even_out,
)


def make_tiles(count=3, side=64, seed=0):
    random = np.random.default_rng(seed)
    tiles = ndimage.gaussian_filter(random.standard_normal((count, side, side)), (0, 1, 1))
    return torch.from_numpy((tiles / tiles.std()).astype(np.float32))[:, None]


@pytest.mark.parametrize("width", [3, 7])
def test_denoising_is_wieners_filter(width):
    tiles = make_tiles()
    for tile, found in zip(tiles, denoise(tiles, width, 0.7)):
        image = tile[0].numpy().astype(float)
        mean = ndimage.uniform_filter(image, width, mode="mirror")
        variance = ndimage.uniform_filter(image**2, width, mode="mirror") - mean**2
        expected = signal.wiener(image, width, noise=0.7 * variance.mean())
        inner = slice(width, -width)
        np.testing.assert_allclose(
            found[0].numpy()[inner, inner], expected[inner, inner], atol=1e-4
        )


def test_evening_out_leaves_the_same_contrast_everywhere():
    tiles = make_tiles(side=128)
    tiles[..., 64:] *= 5
    even = even_out(tiles, 25)
    assert tiles[..., 80:].std() > 4 * tiles[..., :48].std()
    assert even[..., 80:].std().item() == pytest.approx(even[..., :48].std().item(), rel=0.3)
    image = tiles[0, 0].numpy().astype(float)
    expected = image / np.sqrt(ndimage.uniform_filter(image**2, 25, mode="mirror") + 0.3)
    np.testing.assert_allclose(even[0, 0].numpy(), expected, atol=1e-4)


def test_filtering_changes_only_the_gain_of_frequencies_and_keeps_the_deviation():
    tiles = make_tiles()
    filtered = augment_spectrum(tiles, np.random.default_rng(1))
    torch.testing.assert_close(filtered.std((2, 3)), tiles.std((2, 3)))
    before, after = torch.fft.fft2(tiles[:, 0]), torch.fft.fft2(filtered[:, 0])
    gain = (after / before)[:, 1:, 1:]
    assert gain.imag.abs().max() < 1e-2 * gain.real.abs().max()
    # the same gain in both directions
    torch.testing.assert_close(gain.real, gain.real.transpose(1, 2), rtol=0.02, atol=1e-2)
    assert (gain.real.amax((1, 2)) / gain.real.amin((1, 2)) > 1.1).all()


def test_tiles_differ_afterwards_and_the_same_seed_gives_the_same():
    tiles = make_tiles(1).repeat(6, 1, 1, 1)
    varied = augment_tiles(tiles, np.random.default_rng(2))
    assert varied.shape == tiles.shape
    assert varied.isfinite().all()
    assert len(torch.unique(varied.flatten(1), dim=0)) == 6
    assert torch.equal(varied, augment_tiles(tiles, np.random.default_rng(2)))
