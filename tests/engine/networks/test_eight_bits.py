"""Features in eight bits, against sums of whole numbers in NumPy, and the plain network."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from helpers.processors import pretend
from numpy.lib.stride_tricks import sliding_window_view
from scipy.stats import spearmanr
from torch import nn

from scipion_pupick.engine.device import _cpu_flags
from scipion_pupick.engine.networks import eight_bits
from scipion_pupick.engine.networks.architectures import Residual, make_network, strided_outputs
from scipion_pupick.engine.networks.eight_bits import (
    LARGEST_WEIGHT,
    WINDOW,
    Bytes,
    Convolution,
    EightBitFeatures,
    convolves_in_eight_bits,
    windows_of,
)
from scipion_pupick.engine.networks.model import load_model
from scipion_pupick.engine.networks.scoring import fuse, make_judge, make_picking_judge

CPU = torch.device("cpu")
pytestmark = pytest.mark.skipif(
    "avx2" not in _cpu_flags() or not convolves_in_eight_bits(),
    reason="needs a processor and a PyTorch that convolve in eight bits",
)


@pytest.fixture
def in_bytes(tmp_path, monkeypatch):
    """A processor that multiplies whole numbers fastest."""
    pretend(tmp_path, monkeypatch, "fpu avx2")


def network():
    """The general model's, which has learned something."""
    return load_model("general").network.eval()


def small_network():
    torch.manual_seed(0)
    made = make_network("resnet8-fine", 4).train()
    with torch.no_grad():
        for module in made.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.5)
                module.bias.uniform_(-0.5, 0.5)
        for _ in range(10):
            made(torch.randn(4, 1, 67, 67))
    return made.eval()


def image(height=200, width=210, seed=0):
    """Noise, faint discs, and something bright in a corner."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    found = random.normal(size=(height, width))
    for _ in range(height * width // 3000):
        centre = random.uniform(0, (height, width))
        found -= 1.5 * (np.hypot(y - centre[0], x - centre[1]) < 11)
    found[:30, :30] += 8
    return found.astype(np.float32)


def plain(made, batch):
    with torch.no_grad():
        return strided_outputs(made, torch.from_numpy(batch)).numpy()


def convolve(x, weight, stride):
    """Correlate (c, h, w) with (o, c, k, k), in double precision."""
    patches = sliding_window_view(x, weight.shape[2:], axis=(1, 2))[:, ::stride, ::stride]
    return np.einsum("cyxij,ocij->oyx", patches, weight, optimize=True)


def weights_of(layer):
    """The weights as whole numbers, their scales (o, 1, 1) and the bias (o, 1, 1)."""
    weight = layer.weight.detach().double().numpy()
    scale = np.abs(weight).max((1, 2, 3), keepdims=True) / LARGEST_WEIGHT
    bias = 0 if layer.bias is None else layer.bias.detach().double().numpy()[:, None, None]
    return np.rint(weight / scale), scale[:, 0], bias


def whole(values, top):
    """The nearest whole numbers that a byte holds."""
    return np.clip(np.rint(values * eight_bits.LARGEST / top), 0, 255)


def largest(values, larger=1):
    """What so many of 10,000 exceed."""
    kept = np.sort(np.abs(values.numpy()), axis=None)[::-1]
    return float(kept[larger * kept.size // 10_000])


def by_numpy(features, x):
    """Features of a whole image (h, w), for `EightBitFeatures` of an image without windows."""
    modules = [m for m in features if not isinstance(m, nn.Identity)]
    stem, blocks, last = modules[0], modules[2:-2], modules[-2]
    exact = torch.relu(stem(torch.from_numpy(x)[None, None]))
    top = largest(exact)
    q = np.floor(np.clip(exact[0].double().numpy() * eight_bits.LARGEST / top + 0.5, 0, 255))
    for block in blocks:
        assert isinstance(block, Residual)
        first, second = block.inner[0], block.inner[3]
        cut = exact[:, :, 2 : -2 : block.stride, 2 : -2 : block.stride]
        shortcut = block.shortcut(cut)
        inner = torch.relu(first(exact))
        exact = torch.relu(second(inner) + shortcut)
        trimmed = q[:, 2 : -2 : block.stride, 2 : -2 : block.stride] * top / eight_bits.LARGEST
        if isinstance(block.shortcut, nn.Conv2d):
            weight, scale, bias = weights_of(block.shortcut)
            trimmed = convolve(trimmed, weight, 1) * scale + bias
            step = largest(shortcut, 10) / 127
            trimmed = np.clip(np.rint(trimmed / step), -128, 127) * step
        weight, scale, bias = weights_of(first)
        middle = convolve(q, weight, 1) * (scale * top / eight_bits.LARGEST) + bias
        inner_top, top = largest(inner), largest(exact)
        weight, scale, bias = weights_of(second)
        added = convolve(whole(middle, inner_top), weight, block.stride)
        q = whole(added * (scale * inner_top / eight_bits.LARGEST) + bias + trimmed, top)
    weight, scale, bias = weights_of(last)
    return np.maximum(convolve(q, weight, 1) * (scale * top / eight_bits.LARGEST) + bias, 0)


def test_equals_sums_of_whole_numbers(monkeypatch):
    # so small that no processor's sums of two products overflow
    monkeypatch.setattr(eight_bits, "LARGEST", 100)
    features = fuse(small_network()).features
    x = image(90, 97)
    with torch.no_grad():
        found = EightBitFeatures(features)(torch.from_numpy(x)[None, None])[0].numpy()
        expected = by_numpy(features, x)
    assert found.shape == expected.shape
    off = np.abs(found - expected)
    # numbers half-way between two are rounded either way, and so are a few that hang on them
    assert np.mean(off < 1e-4 * expected.max()) > 0.98
    assert off.max() < 0.03 * expected.max()


@pytest.mark.usefixtures("in_bytes")
@pytest.mark.parametrize("seed", range(3))
def test_scores_keep_their_order(seed):
    made, x = network(), image(500, 400, seed)[None]
    scores, dirty = make_picking_judge(made, CPU)(x)
    expected = plain(made, x)
    for found, wanted in ((scores, expected[:, 0]), (dirty, expected[:, 1, ::2, ::2])):
        assert found.dtype == np.float32
        assert spearmanr(found.ravel(), wanted.ravel()).statistic > 0.998
        # the largest of many differences
        assert 0 < np.abs(found - wanted).max() < 0.5 * wanted.std()
        assert abs(np.mean(found - wanted)) < 0.03 * wanted.std()


@pytest.mark.usefixtures("in_bytes")
@pytest.mark.parametrize("height", range(60, 64))
@pytest.mark.parametrize("width", range(100, 104))
def test_images_of_any_width_and_height(height, width):
    made, x = network(), image(height, width)[None]
    scores, dirty = make_picking_judge(made, CPU)(x)
    expected = plain(made, x)
    assert scores.shape == expected[:, 0].shape
    assert dirty.shape == expected[:, 1, ::2, ::2].shape
    assert np.abs(scores - expected[:, 0]).max() < 0.5 * expected[:, 0].std()


@pytest.mark.usefixtures("in_bytes")
def test_scores_hang_on_the_image_alone():
    judge = make_picking_judge(network(), CPU)
    batch = np.stack([image(seed=seed) * factor for seed, factor in ((1, 1), (2, 0.1), (3, 4))])
    together = judge(batch)
    for n, x in enumerate(batch):
        for found, expected in zip(judge(x[None]), together):
            np.testing.assert_array_equal(found[0], expected[n])


@pytest.mark.usefixtures("in_bytes")
def test_an_image_of_nothing_has_the_scores_of_nothing():
    made, x = network(), np.zeros((1, 120, 120), np.float32)
    np.testing.assert_allclose(make_picking_judge(made, CPU)(x)[0], plain(made, x)[:, 0], atol=0.1)


SCORES = """
import sys, numpy as np, torch
from scipion_pupick.engine.networks.eight_bits import EightBitFeatures
from scipion_pupick.engine.networks.model import load_model
from scipion_pupick.engine.networks.scoring import fuse
torch.set_num_threads(1)
fused = fuse(load_model("general").network)
with torch.no_grad():
    image = torch.from_numpy(np.load(sys.argv[1]))[None, None]
    features = EightBitFeatures(fused.features)(image)
np.save(sys.argv[2], fused.scores(features).detach().numpy())
"""


def test_older_processors_score_alike(tmp_path, monkeypatch):
    np.save(tmp_path / "image.npy", image(300, 310))
    for processor in ("AVX2", "ALL"):
        monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", processor)
        command = [sys.executable, "-c", SCORES, "image.npy", f"{processor}.npy"]
        subprocess.run(command, check=True, cwd=tmp_path)
    older, newer = (np.load(tmp_path / f"{name}.npy") for name in ("AVX2", "ALL"))
    assert np.std(older - newer) < 0.01 * np.std(newer)


def test_a_convolution_steps_and_adds():
    torch.manual_seed(1)
    layer = nn.Conv2d(8, 16, 3, stride=2)
    values = torch.randint(0, 128, (1, 8, 21, 24), dtype=torch.uint8)
    values = values.contiguous(memory_format=torch.channels_last)
    shortcut = torch.randint(0, 256, (1, 16, 10, 11), dtype=torch.uint8)
    kept = shortcut.numpy().astype(float)
    accumulated = Bytes(shortcut.contiguous(memory_format=torch.channels_last), 0.03, 128)
    found = Convolution(layer).added_to(Bytes(values, 0.02), accumulated, 4.0)
    weight, scale, bias = weights_of(layer)
    sums = convolve(values[0].numpy().astype(float), weight, 2) * (scale * 0.02) + bias
    expected = whole(sums + (kept[0] - 128) * 0.03, 4.0)
    assert found.scale == pytest.approx(4 / eight_bits.LARGEST)
    assert np.abs(found.values[0].numpy() - expected).max() <= 1
    assert np.mean(found.values[0].numpy() == expected) > 0.99


@pytest.mark.usefixtures("in_bytes")
def test_a_pytorch_without_these_convolutions_computes_in_floats(monkeypatch):
    made, x = network(), image()[None]
    monkeypatch.setattr(eight_bits, "ARGUMENTS", ("others",))
    assert not convolves_in_eight_bits()
    np.testing.assert_allclose(make_picking_judge(made, CPU)(x)[0], plain(made, x)[:, 0], atol=1e-4)


@pytest.mark.usefixtures("in_bytes")
def test_fits_and_trainings_compute_in_floats():
    made, x = network(), image()[None]
    np.testing.assert_allclose(make_judge(made, CPU)(x)[0], plain(made, x)[:, 0], atol=1e-4)


@pytest.mark.usefixtures("in_bytes")
@pytest.mark.parametrize("name", ["conv3", "resnet8", "resnet16"])
def test_networks_of_version_0_1_round_as_before(name):
    made, x = make_network(name).eval(), image()[None]
    found, expected = make_picking_judge(made, CPU)(x)[0], make_judge(made, CPU)(x)[0]
    np.testing.assert_array_equal(found, expected)


def test_windows_hold_the_brightest_and_the_darkest_place():
    x = image(600, 700)
    x[400:420, 500:520] = 10
    x[0:20, 680:700] = -9
    windows = windows_of(torch.from_numpy(x)[None, None])
    assert windows.shape[1:] == (1, WINDOW, WINDOW)
    assert windows.numel() < 0.2 * x.size
    assert windows.amax() == 10
    assert windows.amin() == -9


@pytest.mark.parametrize("shape", [(60, 3000), (200, 200), (WINDOW, WINDOW)])
def test_small_images_are_looked_at_wholly(shape):
    x = torch.randn(1, 1, *shape)
    assert windows_of(x) is x
