# SPDX-License-Identifier: GPL-3.0-or-later
"""The parts of micrographs that the general model is fitted to."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from scipion_pupick.engine import load_model
from scipion_pupick.engine.adaptation.contrast import invert_contrast, with_contrast
from scipion_pupick.engine.adaptation.parts import MIDDLE, cut_part, place_of_part, side_of_parts
from scipion_pupick.engine.adaptation.scale import ScaleSearch, best_scale
from scipion_pupick.engine.errors import MicrographError
from scipion_pupick.engine.micrographs import Micrograph, MicrographInMemory
from scipion_pupick.engine.networks.scoring import make_judge
from scipion_pupick.engine.picking.detector import PeaksInsideBorder
from scipion_pupick.engine.preprocessing.scale import WorkingScale

# twice as fine as the micrograph
SCALE = WorkingScale(120.0, 24.0)
PIXEL_SIZE = 10.0


@pytest.fixture
def micrograph():
    image = np.arange(200 * 300, dtype=np.float32).reshape(200, 300)
    return MicrographInMemory(image, "numbers", PIXEL_SIZE)


def test_a_part_is_a_square_of_the_micrograph(micrograph):
    part = cut_part(micrograph, SCALE, 160.0)
    assert part.micrograph.image.shape == (80, 80)
    assert part.micrograph.image[0, 0] == micrograph.image[60, 110]
    assert part.share == pytest.approx(80 * 80 / (200 * 300))
    assert (part.micrograph.name, part.micrograph.pixel_size) == ("numbers", PIXEL_SIZE)


def test_corners_can_be_cut_out_too(micrograph):
    first, last = (
        cut_part(micrograph, SCALE, 80.0, at).micrograph.image for at in ((0, 0), (1, 1))
    )
    np.testing.assert_array_equal(first, micrograph.image[:40, :40])
    np.testing.assert_array_equal(last, micrograph.image[-40:, -40:])


def test_of_a_small_micrograph_everything_is_taken(micrograph):
    part = cut_part(micrograph, SCALE, 1000.0, (0.3, 0.9))
    np.testing.assert_array_equal(part.micrograph.image, micrograph.image)
    assert part.share == 1


def test_what_cannot_be_read_says_so(tmp_path):
    with pytest.raises(MicrographError, match="no such file"):
        cut_part(Micrograph(tmp_path / "gone.mrc", "gone.mrc", PIXEL_SIZE), SCALE, 80.0)


def test_few_micrographs_give_as_much_as_many():
    for count in (1, 2, 5, 12):
        assert count * side_of_parts(14.0, 12, count) ** 2 == pytest.approx(12 * 14.0**2)
    assert side_of_parts(14.0, 12, 0) > 0


def test_places_lie_all_over_the_micrograph():
    places = np.array([place_of_part(number) for number in range(12)])
    assert tuple(places[0]) == MIDDLE
    assert ((places >= 0) & (places < 1)).all()
    quarters = {tuple(quarter) for quarter in (places > 0.5).astype(int).tolist()}
    assert len(quarters) == 4


def sure_of(chance_of_steps):
    """A search whose model is so certain, by scale, of a hundred peaks; of negatives nothing."""

    class Prepared(ScaleSearch):
        looked_at = set()

        def peaks(self, steps, negatives=False, most=None):
            if negatives:
                return []
            self.looked_at.add(steps)
            odds = np.log(chance_of_steps[steps] / (1 - chance_of_steps[steps]))
            return [PeaksInsideBorder(np.full(100, odds), 1.0)]

    return Prepared(load_model("general"), lambda images: (images, None), SCALE, [])


def in_two(dark, bright):
    """A search in two micrographs, where the model is so sure of 100 dark and bright particles."""
    names = ["first", "second"]
    micrographs = [MicrographInMemory(np.zeros((8, 8)), name, SCALE.pixel_size) for name in names]
    seen = []

    def look(chances):
        class Peaks(dict):
            def __contains__(self, micrograph):
                return True

            def __getitem__(self, micrograph):
                seen.append((chances is bright, micrograph.name))
                chance = np.array(chances[names.index(micrograph.name)])
                return PeaksInsideBorder(np.full(100, np.log(chance / (1 - chance))), 1.0)

        return Peaks()

    found = {(0, False): look(dark), (0, True): look(bright)}
    general = load_model("general")
    search = ScaleSearch(general, lambda images: (images, None), SCALE, micrographs, found)
    return with_contrast(search).general is not general, seen


@pytest.mark.parametrize(
    ("dark", "bright", "is_bright", "all_looked_at"),
    [
        ((0.8, 0.8), (0.5, 0.5), False, False),
        ((0.8, 0.1), (0.5, 0.9), False, False),
        ((0.5, 0.5), (0.8, 0.8), True, True),
        ((0.6, 0.5), (0.55, 0.9), True, True),
        ((0.6, 0.8), (0.55, 0.5), False, True),
    ],
)
def test_one_negative_is_enough_where_its_micrograph_shows_dark_particles(
    dark, bright, is_bright, all_looked_at
):
    inverted, seen = in_two(dark, bright)
    assert inverted is is_bright
    assert ((True, "second") in seen) is all_looked_at


def test_finer_scales_are_not_looked_at_where_a_coarser_one_is_better():
    search = sure_of({0: 0.5, 1: 0.8, 2: 0.4})
    assert best_scale(search).diameter_px < SCALE.diameter_px
    assert -1 not in search.looked_at
    search = sure_of({0: 0.8, 1: 0.5, -1: 0.5})
    assert best_scale(search).diameter_px == pytest.approx(SCALE.diameter_px)
    search = sure_of({0: 0.5, 1: 0.4, -1: 0.8, -2: 0.4})
    assert best_scale(search).diameter_px > SCALE.diameter_px


def test_what_an_inverted_model_finds_is_what_the_model_found_in_negatives():
    model = load_model("general")
    image = np.random.default_rng(3).standard_normal((300, 300)).astype(np.float32)
    micrograph = MicrographInMemory(image, "noise", SCALE.pixel_size)
    device = torch.device("cpu")
    search = ScaleSearch(model, make_judge(model.network, device), SCALE, [micrograph])
    (found,) = search.peaks(0, negatives=True)
    inverted = invert_contrast(model)
    turned = search.of_inverted(inverted)
    assert turned.peaks(0)[0] is found
    (anew,) = replace(
        search, general=inverted, judge=make_judge(inverted.network, device), found={}
    ).peaks(0)
    np.testing.assert_allclose(anew.score, found.score, atol=1e-4)
    assert search.peaks(0, negatives=True, most=1) == [found]
    # noise has no particles, dark or bright
    assert with_contrast(search) is search
