# SPDX-License-Identifier: GPL-3.0-or-later
"""Small made-up micrographs of which a part is contamination, and a model that tells it."""

import functools
import tempfile
from pathlib import Path

import mrcfile
import numpy as np
import torch
from helpers.simulated import DIAMETER, PIXEL_SIZE, SIDE, draw, place, write_mrc
from torch.nn import functional

from scipion_pupick.engine import find_micrographs
from scipion_pupick.engine.networks.architectures import make_network
from scipion_pupick.engine.networks.corners import CORNERS
from scipion_pupick.engine.networks.model import Model, save_model
from scipion_pupick.engine.preprocessing.scale import WorkingScale
from scipion_pupick.engine.preprocessing.working_image import prepare

PARTICLES = 25
DIRTY_COLUMNS = 80  # of the 256, on the left
BRIGHTNESS = 5.0
SEEDS = (91, 92, 93)
CERTAIN = 5.0  # log-odds that the model is to give
DIAMETER_PX = DIAMETER / PIXEL_SIZE


def simulate_dirty(path, seed, dirty=DIRTY_COLUMNS):
    """Write a micrograph whose left columns are bright, and give all its particles (n, 2), px."""
    random = np.random.default_rng(seed)
    xy = place((SIDE, SIDE), PARTICLES, 1.25 * DIAMETER_PX, random)
    image = draw((SIDE, SIDE), xy, DIAMETER_PX, random)
    image[:, :dirty] += BRIGHTNESS
    write_mrc(Path(path), image)
    return xy


def in_dirt(xy, dirty=DIRTY_COLUMNS):
    """Which places (n, 2) x, y lie well inside the contamination."""
    return np.asarray(xy)[:, 0] < dirty - DIAMETER_PX


def in_the_clear(xy, dirty=DIRTY_COLUMNS):
    """Which places (n, 2) x, y lie well outside it."""
    return np.asarray(xy)[:, 0] > dirty + DIAMETER_PX


def dirty_model(path):
    """Write a model that picks particles everywhere and knows contamination."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_bytes(_model())
    return Path(path)


@functools.cache
def _model():
    with tempfile.TemporaryDirectory() as folder:
        particles = {f"m{i}.mrc": simulate_dirty(Path(folder) / f"m{i}.mrc", i) for i in SEEDS}
        found = find_micrographs([folder])
        scale = WorkingScale(DIAMETER)
        images = [prepare(micrograph, scale, "gmm").image for micrograph in found]
        network = _fitted(images, [particles[m.path.name] for m in found])
        path = Path(folder) / "dirty.safetensors"
        save_model(Model(network, "resnet8-fine", scale, threshold=0.0), path)
        return path.read_bytes()


def _fitted(images, particles):
    """A network of random features whose last layers are fitted by least squares."""
    torch.manual_seed(1)
    network = make_network("resnet8-fine").eval()
    half = network.field // 2
    with torch.no_grad():
        batch = functional.pad(torch.from_numpy(np.stack(images))[:, None], (half,) * 4)
        features = network.features(batch).movedim(1, -1).numpy()
        network.contamination.weight[0], network.contamination.bias[0] = _layer(
            features, [_distance_to_dirt(0) < 0 for _ in images]
        )
        for corner, channel in enumerate(CORNERS):
            places = _places(corner)
            near = [_distance(places, xy) < DIAMETER_PX / 4 for xy in particles]
            network.classifier.weight[channel], network.classifier.bias[channel] = _layer(
                features, near
            )
    return network


def _places(corner):
    """Pixels (h, w, 2) x, y at which a corner is scored."""
    across = np.arange(0, SIDE, 4) - 1 + 2 * (corner % 2)
    down = np.arange(0, SIDE, 4) - 1 + 2 * (corner // 2)
    return np.stack(np.meshgrid(across, down), axis=-1)


def _distance(places, xy):
    return np.linalg.norm(places[:, :, None] - xy, axis=-1).min(axis=-1)


def _distance_to_dirt(corner):
    return _places(corner)[:, :, 0] - DIRTY_COLUMNS


def _layer(features, positive):
    """Weights (c, 1, 1) and bias that give log-odds near 5 where `positive`, and -5 elsewhere."""
    x = features.reshape(-1, features.shape[-1])
    y = np.concatenate([values.ravel() for values in positive])
    weight = np.where(y, 1 / max(y.mean(), 1e-6), 1 / (1 - y.mean())) ** 0.5
    design = np.column_stack([x, np.ones(len(x))])
    target = np.where(y, CERTAIN, -CERTAIN)
    solution = np.linalg.lstsq(design * weight[:, None], target * weight, rcond=1e-6)[0]
    return torch.from_numpy(solution[:-1, None, None]).float(), float(solution[-1])


def read_mask(path):
    """Pixels and pixel size of a mask."""
    with mrcfile.open(path) as file:
        return file.data.copy(), float(file.voxel_size.x)
