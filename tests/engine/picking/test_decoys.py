# SPDX-License-Identifier: GPL-3.0-or-later
"""Peaks of images and of their negatives, none on contamination."""

import numpy as np
import pytest

from scipion_pupick.engine.picking.decoys import find_peaks_and_decoys

DIAMETER = 24.0
SIDE = 240
# every fourth pixel is scored; far apart, and inside the border of half a diameter
PLACES = [(x, y) for x in (40, 80, 120, 160, 200) for y in (40, 80, 120, 160, 200)]


def image_of(seed):
    """An image of hills 1 to 2 high, and pits as deep between them, and the heights of both."""
    random = np.random.default_rng(seed)
    image = np.zeros((SIDE, SIDE), np.float32)
    hills, pits = random.uniform(1, 2, (2, len(PLACES)))
    for (x, y), hill, pit in zip(PLACES, hills, pits):
        image[y, x] = hill
        image[y - 20, x - 20] = -pit
    return image, hills, pits


def judge_of(dirty_columns, seen):
    """What reads scores out of the image, and takes its left columns for contamination."""

    def judge(images):
        seen.append(images.mean())
        scores = images[:, ::4, ::4]
        dirty = np.full(scores.shape, -9.0, np.float32)
        dirty[:, :, : dirty_columns // 4] = 9.0
        # of the negative, contamination is not asked: there all is said to be dirty
        return scores, dirty if images.sum() > 0 else -dirty

    return judge


def highest(scores, count):
    return np.sort(scores)[::-1][:count]


@pytest.mark.parametrize("dirty_columns", [0, 100])
def test_peaks_on_contamination_are_left_out_and_counted(dirty_columns):
    image, hills, _ = image_of(1)
    image += 0.001
    found = find_peaks_and_decoys(judge_of(dirty_columns, []), [image], DIAMETER, 1)
    clean = np.array([x >= dirty_columns for x, _ in PLACES])
    np.testing.assert_allclose(
        highest(found.scores, clean.sum()), highest(hills[clean], clean.sum()), atol=0.2
    )
    assert found.scores.max() < 2.2
    assert (found.scores > 0.9).sum() == clean.sum()
    left_out = found.peaks[0].on_contamination
    assert found.clean_share == len(found.scores) / (len(found.scores) + left_out)
    assert (left_out > 0) == (dirty_columns > 0)


def test_negatives_are_searched_where_the_image_itself_is_clean():
    image, _, pits = image_of(2)
    image += 0.001
    found = find_peaks_and_decoys(judge_of(100, []), [image], DIAMETER, 1)
    clean = np.array([x - 20 >= 100 for x, _ in PLACES])
    assert (found.decoys[0] > 0.9).sum() == clean.sum()
    np.testing.assert_allclose(
        highest(found.decoys[0], clean.sum()), highest(pits[clean], clean.sum()), atol=0.2
    )


@pytest.mark.parametrize(
    ("images", "every", "negatives"), [(5, 2, 3), (5, 5, 1), (4, 1, 4), (3, None, 0)]
)
def test_one_negative_in_so_many_images_is_searched_and_each_image_once(images, every, negatives):
    seen = []
    several = [image_of(seed)[0] + 0.001 for seed in range(images)]
    found = find_peaks_and_decoys(judge_of(0, seen), several, DIAMETER, every)
    assert len(found.peaks) == images
    assert len(found.decoys) == negatives
    assert len(seen) == images + negatives


def test_room_is_the_area_inside_the_border_in_particles():
    several = [image_of(seed)[0] + 0.001 for seed in range(2)]
    found = find_peaks_and_decoys(judge_of(0, []), several, DIAMETER, 1)
    inside = SIDE - DIAMETER
    assert found.room == pytest.approx(2 * inside**2 / (np.pi * (DIAMETER / 2) ** 2), rel=0.02)
    assert found.share == pytest.approx(2 * (inside / SIDE) ** 2, rel=0.02)


def test_no_image_has_no_peak():
    found = find_peaks_and_decoys(judge_of(0, []), [], DIAMETER, 3)
    assert len(found.scores) == 0
    assert (found.share, found.room, len(found.decoys)) == (0, 0, 0)
