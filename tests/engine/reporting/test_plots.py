# SPDX-License-Identifier: GPL-3.0-or-later
"""Plots: what stands on the axes, and the files."""

import math
import sys

import numpy as np
import pytest
from scipy.special import expit

from scipion_pupick.engine.calibration.precision_recall_estimate import estimate_precision_recall
from scipion_pupick.engine.coordinates import Coordinates
from scipion_pupick.engine.errors import PupickError, UsageError
from scipion_pupick.engine.evaluation.evaluate import evaluate_picks
from scipion_pupick.engine.micrographs import MicrographInMemory
from scipion_pupick.engine.reporting.plots import (
    draw_evaluation,
    draw_picks,
    make_figure,
    plot_by_threshold,
    plot_counts,
    plot_estimated_curve,
    plot_picks,
    plot_precision_recall,
    plot_scores,
    plot_training,
    save_figure,
)

pytest.importorskip("matplotlib")

PICKS = Coordinates([10.0, 40.0, 70.0], [20.0, 30.0, 5.0], [1.0, 2.0, -3.0])
SCORES = np.random.default_rng(0).normal(-2, 3, 5000)


@pytest.fixture
def axes():
    return make_figure((5, 4)).add_subplot()


@pytest.fixture
def evaluation():
    reference = {"a": Coordinates.unscored([10.0, 41.0], [20.0, 30.0])}
    return evaluate_picks({"a": PICKS}, reference, 3)


def texts(axes):
    return " ".join(text.get_text() for text in axes.texts)


def labels(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


def test_circles_have_the_diameter_in_pixels_and_the_colours_follow_the_score(axes):
    image = np.random.default_rng(0).random((60, 90))
    plot_picks(axes, image, PICKS, 12.0, reference=Coordinates.unscored([3.0], [4.0]))
    (circles,) = axes.collections
    # Matplotlib before 3.9 has no get_widths
    widths = circles.get_widths() if hasattr(circles, "get_widths") else 2 * circles._widths
    assert widths.tolist() == [12.0, 12.0, 12.0]
    np.testing.assert_array_equal(circles.get_offsets(), np.column_stack([PICKS.x, PICKS.y]))
    assert circles.get_array().tolist() == PICKS.score.tolist()
    assert axes.lines[0].get_xydata().tolist() == [[3.0, 4.0]]


def test_a_sampled_picture_keeps_the_coordinates_of_the_whole(axes):
    plot_picks(axes, np.random.default_rng(0).random((600, 900)), PICKS, 12.0, largest_side=90)
    assert axes.images[0].get_array().shape == (60, 90)
    assert axes.images[0].get_extent() == [-0.5, 899.5, 599.5, -0.5]


@pytest.mark.parametrize("suffix", [".png", ".svg"])
@pytest.mark.parametrize(
    "picks", [PICKS, Coordinates.empty(), Coordinates.unscored([5.0], [5.0])], ids=len
)
def test_a_picture_is_drawn_of_any_picks(tmp_path, suffix, picks):
    path = tmp_path / f"picks{suffix}"
    micrograph = MicrographInMemory(np.random.default_rng(0).random((60, 90)), "m", 2.0)
    draw_picks(micrograph, picks, 24.0, path, PICKS, "picks")
    assert path.stat().st_size > 1000


def test_training_shows_loss_held_out_precision_and_the_best_epoch(axes):
    history = {
        "epoch": np.array([1.0, 2.0, 3.0]),
        "loss": np.array([2.5, 1.5, 1.0]),
        "held_out_ap": np.array([0.2, 0.5, 0.4]),
    }
    plot_training(axes, history, best_epoch=2)
    assert axes.lines[0].get_ydata().tolist() == [2.5, 1.5, 1.0]
    assert axes.lines[1].get_xdata()[0] == 2
    beside = next(other for other in axes.figure.axes if other is not axes)
    assert beside.lines[0].get_ydata().tolist() == [0.2, 0.5, 0.4]


def test_without_held_out_labels_there_is_one_curve(axes):
    history = {"epoch": np.ones(1), "loss": np.ones(1), "held_out_ap": np.array([math.nan])}
    plot_training(axes, history)
    assert len(axes.figure.axes) == 1


def test_the_histogram_tells_picks_and_the_particles_expected_among_them(axes):
    plot_scores(axes, SCORES, 1.0, estimate_precision_recall([SCORES]))
    peaks, particles = (bars.get_data().values for bars in axes.patches)
    assert peaks.sum() == len(SCORES)
    assert particles.sum() == pytest.approx(expit(SCORES).sum(), rel=0.02)
    assert np.all(particles <= peaks)
    picks = np.count_nonzero(SCORES >= 1.0)
    assert f"{picks:,} of 5,000 peaks are picked" in axes.get_title()
    said = axes.get_title().split("about ")[1].replace(",", "").split()
    particles, others = int(said[0]), int(said[3])
    assert particles == round(expit(SCORES[SCORES >= 1.0]).sum())
    assert particles + others == picks


def test_true_and_estimated_curves_share_axes(axes, evaluation):
    from scipion_pupick.engine.reporting.plots import plot_precision_recall

    plot_precision_recall(axes, {"picks": evaluation})
    plot_estimated_curve(axes, estimate_precision_recall([SCORES], uncertainty=0.5), threshold=0.0)
    assert labels(axes) == ["picks (AP 1.000, F1 1.000)", "estimated", "threshold 0.00"]


def test_counts_have_a_line_at_their_median(axes):
    plot_counts(axes, np.array([5, 7, 0]))
    assert axes.lines[0].get_ydata().tolist() == [5, 7, 0]
    assert labels(axes) == ["median 5"]


def test_precision_recall_and_f1_are_plotted_by_threshold(axes):
    """Of picks at 1, 2, 3 and 4 the second best is wrong, and one of four particles has none."""
    score = np.array([1.0, 2.0, 3.0, 4.0])
    x = np.array([10.0, 20.0, 90.0, 40.0])
    known = Coordinates.unscored(np.array([10.0, 20.0, 40.0, 60.0]), np.full(4, 5.0))
    picks = Coordinates(x, np.full(4, 5.0), score)
    plot_by_threshold(axes, evaluate_picks({"m": picks}, {"m": known}, 3.0))
    lines = {line.get_label(): line.get_xydata() for line in axes.lines}
    np.testing.assert_allclose(lines["precision"], [[4, 1], [3, 1 / 2], [2, 2 / 3], [1, 3 / 4]])
    np.testing.assert_allclose(lines["recall"], [[4, 1 / 4], [3, 1 / 4], [2, 1 / 2], [1, 3 / 4]])
    np.testing.assert_allclose(lines["F1"][-1], [1, 3 / 4])
    assert [*lines["best F1 0.750, at 1.00"][:, 0]] == [1, 1]


def test_picks_without_scores_have_no_threshold_to_plot(axes):
    known = Coordinates.unscored(np.array([10.0]), np.array([5.0]))
    plot_by_threshold(axes, evaluate_picks({"m": known}, {"m": known}, 3.0))
    assert [text.get_text() for text in axes.texts] == ["no score"]


def test_nothing_to_plot_is_said(axes):
    for i, (plot, arguments, said) in enumerate(
        [
            (plot_training, ({},), "no training"),
            (plot_scores, (np.empty(0), 0.0), "no peak"),
            (plot_counts, (np.empty(0),), "no micrograph"),
            (plot_estimated_curve, (estimate_precision_recall([]), 0.0), "no peak"),
        ]
    ):
        plot(axes, *arguments)
        assert texts(axes).split("no ")[i + 1].strip() == said[3:]


class TestEvaluationFile:
    def test_each_curve_is_named(self, evaluation, tmp_path):
        empty = evaluate_picks({}, {"a": Coordinates.unscored([1.0], [1.0])}, 2)
        curves = {"ours": evaluation, "theirs": evaluation, "nothing": empty}
        path = tmp_path / "curves.svg"
        figure = make_figure((5.0, 4.5))
        plot_precision_recall(figure.add_subplot(), curves)
        save_figure(figure, path)
        text = path.read_text(encoding="utf-8")
        for name in curves:
            value = curves[name].curve.average_precision
            assert f"<!-- {name} (AP {value:.3f}" in text
        assert [each.name for each in tmp_path.iterdir()] == ["curves.svg"]

    def test_the_curve_is_seen(self, evaluation, tmp_path):
        from matplotlib.image import imread

        draw_evaluation(evaluation, tmp_path / "curve.png")
        image = imread(tmp_path / "curve.png")
        blue = np.array([0x00, 0x72, 0xB2]) / 255
        assert np.sum(np.abs(image[..., :3] - blue).max(axis=-1) < 0.02) > 500

    def test_an_unknown_format_is_refused(self, evaluation, tmp_path):
        with pytest.raises(UsageError, match=r"curve\.doc.*png"):
            draw_evaluation(evaluation, tmp_path / "curve.doc")
        assert list(tmp_path.iterdir()) == []

    def test_without_matplotlib_the_extra_is_named(self, evaluation, tmp_path, monkeypatch):
        monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
        with pytest.raises(PupickError, match=r"\[plot\]"):
            draw_evaluation(evaluation, tmp_path / "curve.png")
