# SPDX-License-Identifier: GPL-3.0-or-later
"""What the loop's benchmark trains on: corrections by clicks, and classes of a real RELION."""

import shutil

import mrcfile
import numpy as np
import pytest

from scipion_pupick.engine import Coordinates

X = np.arange(6) % 3 * 60 + 60.0
Y = np.arange(6) // 3 * 90 + 70.0
NOISE = [(100.0, 215.0), (200.0, 215.0), (30.0, 215.0)]


@pytest.fixture
def discs(tmp_path):
    """Two micrographs with six dark discs each, of 160 Å."""
    from benchmarks.common.picking_sets import PickingSet

    grid_y, grid_x = np.mgrid[:256, :256]
    paths = tuple(tmp_path / f"m{index}.mrc" for index in range(2))
    for seed, path in enumerate(paths):
        image = np.random.default_rng(seed).normal(0, 0.3, (256, 256))
        for x, y in zip(X, Y):
            image -= 2.0 * (np.hypot(grid_x - x, grid_y - y) < 8)
        mrcfile.write(path, image.astype(np.float32), voxel_size=10.0)
    particles = {path.name: Coordinates.unscored(X, Y) for path in paths}
    return PickingSet("discs", paths, (), particles, 160.0, 10.0, 6.4, 8.0)


def picks_of(discs, missed, wrong):
    """Picks 2 px off all particles but the first so many, and so many on noise."""
    x, y = np.array([*zip(X[missed:] + 2, Y[missed:]), *NOISE[:wrong]]).T
    scores = np.linspace(3, 1, len(x))
    return {path.name: Coordinates(x, y, scores) for path in discs.train}


def counts(picks):
    return {name: len(found) for name, found in picks.items()}


@pytest.mark.parametrize(
    ("clicks", "labels", "negatives"),
    [
        # two wrong and one missed in each: in turn, and the rest is confirmed when all is right
        (1, {"m0.mrc": 0}, {"m0.mrc": 1}),
        (2, {"m0.mrc": 1}, {"m0.mrc": 1}),
        (3, {"m0.mrc": 6}, {"m0.mrc": 2}),
        (5, {"m0.mrc": 6, "m1.mrc": 1}, {"m0.mrc": 2, "m1.mrc": 1}),
        (99, {"m0.mrc": 6, "m1.mrc": 6}, {"m0.mrc": 2, "m1.mrc": 2}),
    ],
)
def test_clicks_remove_and_add_in_turn_and_what_is_whole_is_confirmed(
    discs, clicks, labels, negatives
):
    from benchmarks.loop.by_corrections import as_corrected
    from benchmarks.loop.loop import described
    from scipion_pupick.engine.coordinates.corrections import labels_of_corrections

    said = as_corrected(discs, picks_of(discs, missed=1, wrong=2), clicks)
    assert sum(correction.clicks for correction in said.values()) == min(clicks, 6)
    assert {n for n, c in said.items() if c.done} == {n for n, c in labels.items() if c == 6}
    found = labels_of_corrections(said)
    assert [counts(side) for side in found] == [labels, negatives]
    row = described(discs, *found)
    assert (row["labels"], row["wrong_labels"]) == (sum(labels.values()), 0)
    assert (row["negatives"], row["wrong_negatives"]) == (sum(negatives.values()), 0)


def test_in_an_area_what_is_wrong_is_removed_what_was_missed_is_added_and_the_rest_confirmed(discs):
    from benchmarks.loop.by_corrections import correct_area
    from scipion_pupick.engine.coordinates.area import Area
    from scipion_pupick.engine.runs.suggestion import Suggestion

    # the upper row of particles, of which the first was missed, and one pick on noise below it
    area = Area(40, 50, 200, 90)
    shown = Coordinates([X[1] + 2, X[2] + 2, 100.0], [Y[1], Y[2], 88.0], [3, 2, 1])
    said = correct_area(discs, "m0.mrc", Suggestion(area, shown, "", (0, 1, 2)))
    assert said.added.xy.tolist() == [[X[0], Y[0]]]
    assert sorted(said.confirmed.xy.tolist()) == [[X[1] + 2, Y[1]], [X[2] + 2, Y[2]]]
    assert said.removed.xy.tolist() == [[100, 88]]
    assert said.done
    assert said.clicks == 2


@pytest.mark.slow
@pytest.mark.skipif(
    shutil.which("relion_refine") is None,
    reason="needs RELION 3.1: apt-get install --no-install-recommends relion",
)
def test_classes_of_relion_are_selected_by_what_most_of_their_members_are(discs, tmp_path):
    from benchmarks.common.relion_classes import ClassSettings
    from benchmarks.loop.by_classes import select_classes

    picks = picks_of(discs, missed=0, wrong=3)
    settings = ClassSettings(160.0, classes=2, iterations=4, scale=24, psi_step=24, shift=3)
    found = select_classes(discs, picks, tmp_path / "project", settings)
    total = sum(size for _, size in found.shares)
    assert total == sum(counts(picks).values()) == 18
    assert found.looked_at == len(found.shares) <= 2
    selected = sum(size for share, size in found.shares if share > 0.5)
    assert sum(counts(found.selected).values()) == selected > 0
    assert sum(counts(found.rejected).values()) == total - selected
    clearly = [[size for share, size in found.shares if share > 0.7]]
    clearly.append([size for share, size in found.shares if share < 0.25])
    sides = (found.clearly_good, found.clearly_bad)
    assert [sum(counts(side).values()) for side in sides] == list(map(sum, clearly))
    # places are those of the micrographs, with what RELION has shifted
    for name, chosen in found.selected.items():
        nearest = np.hypot(*(chosen.xy[:, None] - discs.particles[name].xy[None]).T).min(axis=0)
        assert np.median(nearest) < 4
    again = select_classes(discs, picks, tmp_path / "project", settings)
    assert again.shares == found.shares
