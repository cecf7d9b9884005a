# SPDX-License-Identifier: GPL-3.0-or-later
"""About how many particles a micrograph holds, where nobody said so."""

import numpy as np
import pytest
import torch
from helpers.dirty import dirty_model, simulate_dirty
from helpers.simulated import DIAMETER

from scipion_pupick.engine import find_micrographs
from scipion_pupick.engine.networks.model import load_model
from scipion_pupick.engine.preprocessing.scale import WorkingScale
from scipion_pupick.engine.preprocessing.working_image import prepare
from scipion_pupick.engine.training.particle_count import expected_particles, mean_count
from scipion_pupick.engine.training.regions import TrainingImage

CPU = torch.device("cpu")


def expected(folder, dirty):
    """What a model expects in a micrograph, and how many particles lie on no contamination."""
    network = load_model(dirty_model(folder / "dirty.safetensors")).network
    (folder / "micrographs").mkdir()
    clean, images = 0, []
    for number in range(4):
        path = folder / "micrographs" / f"m{number}.mrc"
        clean += int((simulate_dirty(path, 300 + number, dirty)[:, 0] >= dirty).sum())
    for micrograph in find_micrographs([str(folder / "micrographs")]):
        image = prepare(micrograph, WorkingScale(DIAMETER), "gmm").image
        none = np.empty((0, 2))
        images.append(TrainingImage(image, np.zeros(image.shape, np.uint8), none, none))
    width = WorkingScale(DIAMETER).diameter_px
    return expected_particles(network, images, width, CPU), clean / len(images)


@pytest.mark.parametrize("dirty", [0, 80, 120])
def test_the_model_expects_about_as_many_as_lie_on_no_contamination(tmp_path, dirty):
    number, clean = expected(tmp_path, dirty)
    assert clean / 2 < number < 2 * clean


def test_what_the_model_expects_weighs_twice_as_much_as_what_was_counted():
    assert mean_count(100.0, 100.0) == pytest.approx(100)
    assert mean_count(100.0, 800.0) == pytest.approx(200)
    assert mean_count(800.0, 100.0) == pytest.approx(400)
    assert mean_count(0.0, 50.0) == 0
