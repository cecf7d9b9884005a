# SPDX-License-Identifier: GPL-3.0-or-later
"""The paper's experiments: which cells, how they are measured, kept, tested and drawn."""

import math
from dataclasses import replace

import numpy as np
import pytest

from scipion_pupick.engine.files.star import star_text
from scipion_pupick.engine.training.regions import TrainingImage, label_map

NOWHERE = np.empty((0, 2))


def image_of(seed, side=160, number=9):
    """Dark discs on a grid, in noise."""
    random = np.random.default_rng(seed)
    places = 30 + 45 * np.array([(i % 3, i // 3) for i in range(number)], float)
    xy = places + random.uniform(-3, 3, places.shape)
    grid = np.indices((side, side))
    pixels = random.normal(0, 1, (side, side))
    for x, y in xy:
        pixels -= 2.0 * (np.hypot(grid[1] - x, grid[0] - y) < 10)
    labels = label_map((side, side), xy, 3.0, 12.0)
    return TrainingImage(pixels.astype(np.float32), labels, xy, NOWHERE)


@pytest.fixture(scope="module")
def small():
    from benchmarks.paper.sets import PreparedSet

    train, test = tuple(map(image_of, range(3))), (image_of(7), image_of(8))
    return PreparedSet("rod", train, test, diameter=120.0, tolerance=9.6, border=12.0)


@pytest.fixture
def rows():
    """GE-binomial is 0.1 above GE-KL with 10 labels and as good with 100, PN far below."""
    from benchmarks.paper.cells_file import Row

    random = np.random.default_rng(1)
    made = []
    for choice in range(1, 6):
        common = random.normal(0, 0.05)
        for method, mean in (("pn", 0.1), ("ge-kl", 0.3), ("ge-binomial", 0.4)):
            for labels in (10, 100):
                value = mean + common + random.normal(0, 0.01)
                value += 0.1 if (method, labels) == ("ge-kl", 100) else 0.0
                curve = f"250:{value - 0.1:.4f} 500:{value:.4f}"
                numbers = (labels, choice, 0.0, 1.0, 500, value, value, value, 1.0)
                made.append(Row("rod", method, *numbers, curve, "abc"))
    return made


def test_every_cell_stands_in_one_group_and_all_choices_of_few_cells_come_first():
    from benchmarks.paper.grid import CHOICES, PAPERS, groups

    listed = [cell for _, cells in groups() for cell in cells]
    assert len(listed) == len(set(listed)) == 620
    first = next(groups())[1]
    assert {cell.choice for cell in first} == set(CHOICES)
    assert {(cell.set, cell.labels) for cell in first} == {("empiar10017", 10)}
    assert {cell.method for cell in first} == set(PAPERS)
    gammas = {(c.labels, c.gamma) for c in listed if c.gamma}
    assert gammas == {(10, 1.0), (100, 1.0), (100, 0.1), (1000, 1.0), (1000, 0.01)}


def test_regions_are_ranked_as_the_paper_does(small):
    """Σ Pr(k) (Re(k) - Re(k - 1)) over all regions inside the border, by decreasing score."""
    from benchmarks.paper.measures import region_ap

    random = np.random.default_rng(3)
    maps = [random.permutation(1600).reshape(40, 40) + 0.1 * i for i in range(2)]
    pairs = []
    for image, score_map in zip(small.test, maps):
        for row in range(3, 37):
            for column in range(3, 37):
                distance = np.hypot(*(image.positive - [4 * column, 4 * row]).T).min()
                pairs.append((score_map[row, column], distance <= 3))
    hits = np.array([hit for _, hit in sorted(pairs, reverse=True)])
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    recall = np.cumsum(hits) / hits.sum()
    expected = np.sum(precision * np.diff(recall, prepend=0))
    assert region_ap(maps, small) == pytest.approx(expected)


def test_scores_that_peak_on_the_particles_find_them_all(small):
    from benchmarks.paper.measures import particle_figures

    maps = []
    for image in small.test:
        y, x = np.mgrid[:160:4, :160:4]
        distance = [np.hypot(x - px, y - py) for px, py in image.positive]
        maps.append(-np.min(distance, axis=0))
    assert particle_figures(maps, small).best_f1 == 1


def test_some_labels_follow_the_choice_and_are_of_the_particles(small):
    from benchmarks.paper.sets import with_some_labels

    def places(images):
        return {(i, *xy) for i, image in enumerate(images) for xy in image.positive}

    first, again, other = (with_some_labels(small, 8, choice) for choice in (1, 1, 2))
    assert len(places(first)) == 8
    assert places(first) == places(again) != places(other)
    assert places(first) < places(small.train)
    assert [np.any(image.labels == 1) for image in first] == [len(i.positive) > 0 for i in first]
    with pytest.raises(ValueError, match="27 particles to train on, not 28"):
        with_some_labels(small, 28, 1)


def test_a_cell_is_trained_measured_and_not_repeated(small, tmp_path, monkeypatch, capsys):
    from benchmarks.paper import experiments
    from benchmarks.paper.cells_file import read_rows

    monkeypatch.setattr(experiments, "find_set", lambda *arguments: small)
    monkeypatch.setattr(experiments, "STEPS_AN_EPOCH", 2)
    monkeypatch.setattr(experiments, "MEASURED_AT", (2,))
    words = ["--work", str(tmp_path), "--data", ".", "--shapes", ".", "--sets", "rod"]
    words += ["--groups", "10 labels", "--choices", "1", "--steps", "4"]
    experiments.main([*words, "--cells", "1"])
    (first,) = read_rows(tmp_path / "cells.csv")
    assert (first.method, first.labels, first.steps) == ("pn", 10, 4)
    assert [*first.curve_points] == [2, 4]
    assert first.curve_points[4] == pytest.approx(first.region_ap, abs=1e-4)
    assert 0 < first.region_ap < 1
    experiments.main([*words, "--cells", "1", "--part", "1/2"])
    methods = [row.method for row in read_rows(tmp_path / "cells.csv")]
    assert methods == ["pn", "ge-kl"]
    experiments.main([*words, "--list"])
    assert "2 of    4  objectives, 10 labels, rod" in capsys.readouterr().out


def test_rows_come_back_and_a_line_that_was_cut_off_is_left_out(rows, tmp_path):
    from benchmarks.paper.cells_file import add_row, read_rows

    path = tmp_path / "cells.csv"
    assert read_rows(path) == []
    for row in rows[:2]:
        add_row(path, row)
    with path.open("a") as file:
        file.write("rod,pn,10,")
    read = read_rows(path)
    assert [row.cell for row in read] == [row.cell for row in rows[:2]]
    assert read[0].region_ap == pytest.approx(rows[0].region_ap, rel=1e-5)


def test_settings_are_compared_by_students_paired_test(rows):
    from benchmarks.paper.grid import Cell
    from benchmarks.paper.paired_tests import Comparison, compare, values

    ours, theirs = (Cell("rod", method, 10, 0) for method in ("ge-binomial", "ge-kl"))
    difference = np.array([values(rows, ours)[c] - values(rows, theirs)[c] for c in range(1, 6)])
    t = difference.mean() / (difference.std(ddof=1) / math.sqrt(5))
    result = compare(rows, Comparison("", ours, theirs))
    # two-sided probabilities of Student's t with four degrees of freedom
    below, above = (0.01, 0.001) if t > 4.604 else (1, 0.01)
    assert above < result.p < below or (t > 8.610 and result.p < 0.001)
    assert (result.choices, result.verdict) == (5, "higher")
    assert compare(rows, Comparison("", theirs, ours)).verdict == "lower"
    same = [replace(setting, labels=100) for setting in (ours, theirs)]
    assert compare(rows, Comparison("", *same)).verdict == "no difference shown"
    one = [row for row in rows if row.choice == 1]
    assert math.isnan(compare(one, Comparison("", ours, theirs)).p)


def test_figures_and_tables_are_made_of_the_cells(rows, tmp_path):
    pytest.importorskip("matplotlib")
    from benchmarks.paper import summarise
    from benchmarks.paper.cells_file import write_rows

    write_rows(tmp_path / "cells.csv", rows)
    (tmp_path / "out").mkdir()
    place = str(tmp_path / "out")
    summarise.main([str(tmp_path / "cells.csv"), "--results", place, "--figures", place])
    drawn = {path.name for path in (tmp_path / "out").glob("*.png")}
    assert drawn == {"paper_objectives.png", "paper_learning.png"}
    tests = (tmp_path / "out" / "paper_tests.csv").read_text().splitlines()
    better = [line for line in tests if line.startswith("GE-binomial is better than ge-kl,rod,10,")]
    assert better[0].endswith("higher")
    summary = (tmp_path / "out" / "paper_summary.csv").read_text()
    assert "rod,pn,10,0.0,1.0,region_ap," in summary


def test_a_star_marks_where_the_papers_objective_is_better(rows):
    pytest.importorskip("matplotlib")
    from benchmarks.paper.figures import plot_objectives
    from scipion_pupick.engine.reporting.plots import make_figure

    axes = make_figure((4, 3)).add_subplot()
    assert plot_objectives(axes, rows, "rod")
    assert [(text.get_text(), text.xy[0]) for text in axes.texts] == [("*", 10)]


def test_classes_are_good_where_most_of_their_members_are_particles(tmp_path):
    from benchmarks.paper.classes_by_threshold import choose_thresholds, count_classes, summary
    from scipion_pupick.engine import Coordinates

    x = np.arange(8) * 20.0
    particles = {
        "rlnCoordinateX": x + 2,
        "rlnCoordinateY": np.full(8, 5.0),
        "rlnMicrographName": ["a b/m.mrc"] * 8,
        "rlnAutopickFigureOfMerit": np.arange(8.0)[::-1],
        "rlnClassNumber": np.array([1, 1, 1, 2, 2, 2, 2, 1]),
    }
    (tmp_path / "data.star").write_text(star_text({"particles": particles}))
    truth = {"a b/m.mrc": Coordinates.unscored(x[:4], np.full(4, 5.0))}
    known = count_classes(tmp_path / "data.star", -1.0, 3, truth, 5.0, set())
    assert [(c.members, c.true, c.good) for c in known] == [
        (4, 3, True),
        (4, 1, False),
        (0, 0, False),
    ]
    line = summary(known)
    assert (line["classes"], line["good_classes"], line["share_in_good_classes"]) == (
        *("2", "1"),
        "0.500",
    )
    seen = count_classes(tmp_path / "data.star", -1.0, 3, None, 5.0, {(-1.0, 2)})
    assert [(c.true, c.good) for c in seen[:2]] == [(None, False), (None, True)]
    unseen = count_classes(tmp_path / "data.star", -1.0, 3, None, 5.0, set())
    assert summary(unseen)["good_classes"] == ""
    picks = {"m": Coordinates(x, x, np.arange(8.0))}
    assert choose_thresholds(picks, None, 4) == [6, 4, 2, 0]
    assert choose_thresholds(picks, "1.5,3", 4) == [3, 1.5]


def test_baselines_find_discs(small):
    pytest.importorskip("skimage")
    from benchmarks.paper.baselines import best_dog, mean_particle, template_scorer
    from benchmarks.paper.measures import particle_figures, score_maps

    template = mean_particle(small.train, 24.0)
    assert template.shape == (33, 33)
    np.testing.assert_allclose(template, template.T)
    for scorer in (best_dog(small), template_scorer(template)):
        assert particle_figures(score_maps(scorer, small), small).average_precision > 0.9


def test_a_rod_is_read_from_shapes(tmp_path):
    from benchmarks.paper.sets import read_shape

    xyz = np.zeros((120, 3))
    xyz[20:, 0] = np.linspace(-50, 50, 100)
    shapes = tmp_path / "shapes.npz"
    np.savez(shapes, names=["DOT", "ROD"], offsets=[0, 20, 120], xyz=xyz.astype(np.float16))
    assert read_shape(shapes, "ROD").diameter == pytest.approx(104, abs=8)
    assert read_shape(shapes, "DOT").diameter < 30
