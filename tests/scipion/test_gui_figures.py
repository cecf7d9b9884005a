# SPDX-License-Identifier: GPL-3.0-or-later
"""The figures behind the wizards and viewers, without a window."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from helpers.scipion_project import HOME
from matplotlib.backend_bases import KeyEvent, MouseEvent

from scipion_pupick.engine.coordinates import Coordinates
from scipion_pupick.engine.micrographs import Micrograph, write_image
from scipion_pupick.engine.networks.model_file import show_model
from scipion_pupick.viewers.outline_figure import OutlineFigure
from scipion_pupick.viewers.picks_figure import PicksFigure, read_shown
from scipion_pupick.viewers.threshold_figure import ThresholdFigure
from scipion_pupick.viewers.viewer_train import describe_model

pytestmark = pytest.mark.slow
assert HOME.exists()


@pytest.fixture
def figure():
    plt.switch_backend("Agg")
    figure = plt.figure(figsize=(8, 8), layout="constrained")
    yield figure
    plt.close(figure)


@pytest.fixture
def micrographs(tmp_path):
    random = np.random.default_rng(0)
    found = []
    for name, shape in (("small", (300, 400)), ("large", (1500, 2048))):
        path = tmp_path / f"{name}.mrc"
        write_image(path, random.normal(size=shape), 2.0)
        found.append(Micrograph(path, name, 2.0))
    broken = tmp_path / "broken.mrc"
    broken.write_bytes(b"no micrograph")
    return [*found, Micrograph(broken, "broken", 2.0)]


PICKS = {
    "small": Coordinates(np.array([100.0, 200]), np.array([50.0, 250]), np.array([-1.0, 2])),
    "large": Coordinates(np.array([1024.0]), np.array([750.0]), np.array([0.5])),
}


def mouse(axes, name, x, y, **more):
    canvas = axes.figure.canvas
    place = axes.transData.transform((x, y))
    canvas.callbacks.process(name, MouseEvent(name, canvas, *place, **more))


def key(figure, name):
    event = KeyEvent("key_press_event", figure.canvas, name)
    figure.canvas.callbacks.process("key_press_event", event)


def circles(figure):
    return figure.axes[0].collections[-1]


def radius(figure):
    """Radius of the circles, px of the image that is shown."""
    figure.canvas.draw()
    return circles(figure).get_transforms()[0][0, 0]


def test_circles_lie_on_the_picks_of_a_binned_micrograph(figure, micrographs):
    shown = PicksFigure(figure, micrographs, PICKS, diameter=64.0)
    assert circles(figure).get_offsets().tolist() == [[100, 50], [200, 250]]
    assert radius(figure) == pytest.approx(16)
    shown.step(1)
    image, binning = read_shown(micrographs[1])
    assert (image.shape, binning) == ((750, 1024), 2.0)
    assert circles(figure).get_offsets().tolist() == [[512, 375]]
    assert radius(figure) == pytest.approx(8)


def test_a_micrograph_that_cannot_be_read_says_why_and_lets_others_be_seen(figure, micrographs):
    shown = PicksFigure(figure, micrographs, PICKS, diameter=64.0)
    key(figure, "pageup")
    assert shown.index == 2
    assert any("broken.mrc" in text.get_text() for text in figure.axes[0].texts)
    shown.select(0.0)
    key(figure, "pagedown")
    assert shown.index == 0
    assert shown.visible.tolist() == [False, True]
    assert "1 picks of score 0.00 or more" in figure.axes[0].get_title()


def test_colours_mean_the_same_on_every_micrograph(figure, micrographs):
    shown = PicksFigure(figure, micrographs, PICKS, diameter=64.0)
    first = circles(figure).get_clim()
    shown.step(1)
    assert circles(figure).get_clim() == first


def test_picks_without_a_score_are_never_hidden(figure, micrographs):
    picks = {"small": Coordinates.unscored([10, 20, 30], [10, 20, 30])}
    shown = PicksFigure(figure, micrographs, picks, diameter=64.0, threshold=5.0)
    assert shown.visible.all()


SCORES = [np.linspace(-6, 4, 400), np.linspace(-5, 5, 300)]


def test_threshold_follows_the_mouse_and_the_keys(figure):
    heard = []
    chooser = ThresholdFigure(figure, SCORES, 1.0, changed=heard.append)
    histogram, curve = figure.axes
    mouse(histogram, "button_press_event", -2.0, 1.0, button=1)
    mouse(histogram, "motion_notify_event", -1.0, 1.0)
    mouse(histogram, "button_release_event", -1.0, 1.0, button=1)
    mouse(histogram, "motion_notify_event", 3.0, 1.0)
    mouse(curve, "button_press_event", 0.5, 0.5, button=1)
    assert heard == pytest.approx([-2.0, -1.0], abs=0.02)
    key(figure, "up")
    assert chooser.threshold == pytest.approx(-0.9, abs=0.02)


def test_threshold_says_how_many_picks_it_gives(figure):
    chooser = ThresholdFigure(figure, SCORES, 0.0)
    picked = sum(np.count_nonzero(scores >= 0) for scores in SCORES)
    assert f"{picked / 2:.0f} picks per micrograph" in figure.axes[1].get_title()
    chooser.select_best()
    f1 = 2 * chooser.quality.true_picks / (chooser.quality.picks + chooser.quality.true_picks[0])
    assert chooser.threshold == chooser.quality.threshold[np.argmax(f1)]


def test_threshold_of_no_peak_is_no_error(figure):
    chooser = ThresholdFigure(figure, [np.empty(0)], 0.0)
    chooser.select_best()
    chooser.select(1.0)
    assert chooser.threshold == 1.0


def test_a_click_moves_the_outline_and_the_wheel_zooms_about_the_pointer(figure, micrographs):
    shown = OutlineFigure(figure, micrographs[0], diameter=40.0, box=80.0)
    axes = figure.axes[0]
    figure.canvas.draw()
    mouse(axes, "button_press_event", 180.0, 140.0, button=1)
    circle, square = (path.vertices for path in circles(figure).get_paths())
    assert np.ptp(circle[:, 0]) == pytest.approx(20)
    assert np.ptp(square[:, 0]) == pytest.approx(40)
    assert circle[:, 0].mean() == pytest.approx(180, abs=1.5)
    before = np.diff(axes.get_xlim())
    pixels = axes.transData.transform((180.0, 140.0))
    mouse(axes, "scroll_event", 180.0, 140.0, step=1)
    assert np.diff(axes.get_xlim()) < before
    assert axes.transData.transform((180.0, 140.0)) == pytest.approx(pixels, abs=1.0)
    shown.outline(60.0)
    (circle,) = circles(figure).get_paths()
    assert np.ptp(circle.vertices[:, 0]) == pytest.approx(30)


def test_the_general_model_is_for_any_diameter():
    lines = describe_model(show_model("general")).splitlines()
    assert lines[0] == "Particle diameter: any"
    assert not any("None" in line for line in lines)
