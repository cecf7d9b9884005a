# SPDX-License-Identifier: GPL-3.0-or-later
"""Real micrographs in the training of the general model, and what is known of their pixels."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from scipion_pupick.engine.coordinates import Coordinates
from scipion_pupick.engine.errors import UsageError
from scipion_pupick.engine.jobs.pretrain import make_general_model
from scipion_pupick.engine.micrographs import Micrograph, write_image
from scipion_pupick.engine.networks.architectures import make_network, strided_scores
from scipion_pupick.engine.pretraining.dataset import KnownImage
from scipion_pupick.engine.pretraining.labelled import (
    LabelledSet,
    count_particles,
    labelled_images,
)
from scipion_pupick.engine.pretraining.pretrain import pretrain, take_over
from scipion_pupick.engine.pretraining.supervised_loss import SupervisedLoss
from scipion_pupick.engine.settings import PretrainSettings
from scipion_pupick.engine.training.step import TrainedModel

CPU = torch.device("cpu")
SETTINGS = replace(PretrainSettings().training, tiles=2, steps=30, epochs=1)
XY = np.array([[100.0, 150.0], [250.0, 60.0], [200.0, 300.0]])


@pytest.fixture
def labelled(tmp_path):
    """Dark discs of 40 px, on two micrographs of 5 Å/px of which one has labels."""
    y, x = np.mgrid[:400, :360]
    for name in ("one.mrc", "two.mrc"):
        image = np.random.default_rng(0).normal(size=y.shape).astype(np.float32)
        for place in XY:
            image[np.hypot(x - place[0], y - place[1]) < 20] -= 3
        write_image(tmp_path / name, image, 5.0)
    micrographs = [Micrograph(tmp_path / n, n, 5.0) for n in ("one.mrc", "two.mrc")]
    return LabelledSet("discs", micrographs, {"one.mrc": Coordinates.unscored(*XY.T)}, 200.0)


def test_labels_lie_on_the_particles_at_every_scale(labelled):
    images = labelled_images(labelled)
    widths = [image.diameter_px for image in images]
    assert len(set(widths)) == 3
    assert min(widths) < 24 < max(widths)
    for image in images:
        y, x = np.mgrid[: image.pixels.shape[0], : image.pixels.shape[1]]
        for place in image.xy:
            distance = np.hypot(x - place[0], y - place[1]) / image.diameter_px
            inside = image.pixels[distance < 0.4].astype(float).mean()
            assert inside < image.pixels[(distance > 0.7) & (distance < 0.9)].mean() - 1


def test_labels_of_other_micrographs_are_refused(labelled):
    with pytest.raises(UsageError, match="other"):
        labelled_images(replace(labelled, particles={"other.mrc": Coordinates.unscored(*XY.T)}))


def test_labels_most_of_which_lie_outside_are_refused(labelled):
    """All of a micrograph that has no labels in it would be learned as no particle."""
    unbinned = {"one.mrc": Coordinates.unscored(*4 * XY.T)}
    with pytest.raises(UsageError, match="discs: 3 of 3 labels lie outside their micrographs"):
        labelled_images(replace(labelled, particles=unbinned))
    one_outside = {"one.mrc": Coordinates.unscored(*np.vstack([XY, [[500, 500]]]).T)}
    assert count_particles(labelled_images(replace(labelled, particles=one_outside))) == 3


def test_pixel_sizes_of_labelled_micrographs_are_said(labelled, tmp_path, caplog):
    caplog.set_level("INFO")
    labelled_images(labelled)
    assert "discs: 1 micrographs have labels." in caplog.messages
    assert "Pixel size: 5 Å/px, as given." in caplog.messages
    random = np.random.default_rng(0)
    write_image(tmp_path / "one.mrc", random.normal(size=(400, 360)), 1.0)
    headed = [Micrograph(tmp_path / "one.mrc", "one.mrc")]
    labelled_images(replace(labelled, micrographs=headed, diameter=40.0))
    assert "Pixel size: 1 Å/px, from the header." in caplog.messages
    assert any("exactly 1 Å/px" in message for message in caplog.messages)


@pytest.mark.slow
def test_a_model_tells_the_number_of_labels_that_it_has_learned_from(labelled, tmp_path):
    elsewhere = Coordinates.unscored(*XY[:2].T)
    several = replace(labelled, particles={**labelled.particles, "elsewhere.mrc": elsewhere})
    tiny = replace(SETTINGS, network="conv3", steps=1)
    settings = PretrainSettings(particles=1, held_out=1, training=tiny)
    model = make_general_model(tmp_path / "run", settings, "cpu", 1, labelled=[several])
    assert model.training.learned_from == {"discs": 3}


def known(hidden=None, border=0):
    random = np.random.default_rng(1)
    pixels = random.normal(size=(300, 300)).astype(np.float16)
    return KnownImage(pixels, np.array([[150.0, 150.0]]), 24.0, hidden, border=border)


def test_contamination_is_learned_where_it_is_known():
    hidden = np.zeros((300, 300), bool)
    hidden[:, 150:] = True
    image = known(hidden)
    image.pixels[hidden] *= 3
    network = pretrain([image], [image], SETTINGS, CPU).weights
    made = make_network("resnet8-fine")
    made.load_state_dict({k[8:]: v for k, v in network.items() if k.startswith("network.")})
    with torch.no_grad():
        features = made.eval().features(
            torch.from_numpy(image.pixels.astype(np.float32))[None, None]
        )
        dirty = made.contamination(features)[0, 0].numpy()
    middle = dirty.shape[1] // 2
    assert dirty[:, middle + 8 :].mean() > dirty[:, : middle - 8].mean() + 2


def test_nothing_is_learned_of_the_contamination_of_labelled_micrographs_far_from_particles():
    network = make_network("resnet8-fine")
    everywhere = np.stack(np.meshgrid(np.arange(20.0, 300, 40), np.arange(20.0, 300, 40)), axis=2)
    crowded = replace(known(), xy=everywhere.reshape(-1, 2))
    loss = SupervisedLoss([[crowded]], [1.0], network, SETTINGS, CPU)
    loss(TrainedModel(network), np.random.default_rng(0)).total.backward()
    assert network.contamination.weight.grad.abs().sum() > 0  # at the particles
    empty = replace(known(), xy=np.array([[-500.0, 0.0]]))
    network = make_network("resnet8-fine")
    loss = SupervisedLoss([[empty]], [1.0], network, SETTINGS, CPU)
    loss(TrainedModel(network), np.random.default_rng(0)).total.backward()
    grad = network.contamination.weight.grad
    assert grad is None or grad.abs().sum() == 0


def test_a_fine_network_takes_over_what_a_coarse_one_knows():
    coarse, fine = make_network("resnet8").eval(), make_network("resnet8-fine").eval()
    take_over(fine, coarse)
    image = torch.randn(1, 60, 70)
    with torch.no_grad():
        expected, scores = strided_scores(coarse, image), strided_scores(fine, image)
    for row, column in ((0, 0), (0, 1), (1, 0), (1, 1)):
        torch.testing.assert_close(scores[:, row::2, column::2], expected, atol=1e-5, rtol=0)


def test_another_network_is_no_start():
    with pytest.raises(UsageError, match="has another network"):
        take_over(make_network("resnet8-fine"), make_network("conv3"))
