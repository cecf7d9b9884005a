# SPDX-License-Identifier: GPL-3.0-or-later
"""Forms, wizards and viewers in Scipion's own windows, on a display that nobody sees."""

import os
import re
import shutil
import subprocess
import time
import webbrowser
from base64 import b64decode
from pathlib import Path

import numpy as np
import pytest
from helpers.correcting import Client
from helpers.scipion_project import (
    EXAMPLES,
    Domain,
    Project,
    PUPickProtEvaluate,
    PUPickProtImportCoordinates,
    PUPickProtImportModel,
    PUPickProtPick,
    PUPickProtPreprocess,
    PUPickProtThreshold,
    PUPickProtTrain,
    in_new_process,
)
from matplotlib.text import Text

from scipion_pupick.constants import (
    DIAMETER_PX,
    MODEL_TRAINED,
    START_SCRATCH,
    THRESHOLD_VALUE,
)
from scipion_pupick.convert import ranked_picks
from scipion_pupick.engine import read_picks
from scipion_pupick.engine.runs.training_log import read_training_log

tk = pytest.importorskip("tkinter", reason="needs Tk (apt: python3-tk)")
if shutil.which("Xvfb") is None:
    pytest.skip("needs Xvfb, a display without a screen (apt: xvfb)", allow_module_level=True)

# Scipion's own windows use what matplotlib and Pillow are going to drop
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning"),
]

SCREEN = (1500, 1000)
PIXEL_SIZE = 7.08
PROTOCOLS = (
    PUPickProtTrain,
    PUPickProtPick,
    PUPickProtThreshold,
    PUPickProtEvaluate,
    PUPickProtPreprocess,
    PUPickProtImportModel,
    PUPickProtImportCoordinates,
)


@pytest.fixture(scope="module")
def display():
    command = ["Xvfb", "-displayfd", "1", "-screen", "0", "{}x{}x24".format(*SCREEN)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    before = os.environ.get("DISPLAY")
    os.environ["DISPLAY"] = f":{server.stdout.readline().strip()}"
    yield
    os.environ.pop("DISPLAY")
    if before is not None:
        os.environ["DISPLAY"] = before
    server.terminate()
    server.wait()
    server.stdout.close()


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A project in which two micrographs went the whole way, as fast as can be."""
    folder = tmp_path_factory.mktemp("micrographs")
    for name in ("15_33_42", "15_41_22"):
        shutil.copy(EXAMPLES / "micrographs" / f"Falcon_2012_06_12-{name}_0.mrc", folder)
    project = Project("Gui")
    given = (project.micrographs(folder / "*.mrc", PIXEL_SIZE), "outputMicrographs")
    hand = project.run(
        PUPickProtImportCoordinates,
        inputMicrographs=given,
        filesPath=str(EXAMPLES / "reference.star"),
        boxSize=34,
    )
    train = project.run(
        PUPickProtTrain,
        inputMicrographs=given,
        inputCoordinates=(hand, "outputCoordinates"),
        diameter=160.0,
        startFrom=START_SCRATCH,
        network=0,
        epochs=2,
        particlesPerMicrograph=600,
        moreArguments="--steps 10 --check-picks off",
        numberOfThreads=1,
    )
    pick = project.run(
        PUPickProtPick,
        inputMicrographs=given,
        modelFrom=MODEL_TRAINED,
        inputModel=(train, "outputModel"),
        binThreads=1,
    )
    threshold = project.run(
        PUPickProtThreshold, inputCoordinates=(pick, "outputCoordinates"), threshold=-5.0
    )
    evaluate = project.run(
        PUPickProtEvaluate,
        inputCoordinates=(threshold, "outputCoordinates"),
        referenceCoordinates=(hand, "outputCoordinates"),
    )
    return {
        "project": project,
        "given": given,
        "hand": hand,
        "train": train,
        "pick": pick,
        "threshold": threshold,
        "evaluate": evaluate,
    }


class Gui:
    """Scipion's project window, and forms opened from it."""

    def __init__(self, path):
        from pyworkflow.gui.project import ProjectWindow

        self.window = ProjectWindow(str(path))
        self.project = self.window.project
        self.errors = []
        root = self.window.root.nametowidget(".")
        root.report_callback_exception = lambda *error: self.errors.append(error[1])

    def run_of(self, protocol):
        """Return a run as the window's own project knows it."""
        return self.project.getProtocol(protocol.getObjId())

    def form(self, protocol):
        from pyworkflow.gui.form import FormWindow

        def done(*arguments, **more):
            return ""

        form = FormWindow("Run", protocol, done, self.window, updateProtocolCallback=done)
        form.root.update()
        return form

    def wizard(self, form, name, *actions):
        """Open a wizard, do things in its dialogue, and give what it showed of its figure."""
        shown = []

        def act():
            dialogs = [w for w in descendants(form.root) if isinstance(w, tk.Toplevel)]
            if not (dialogs and dialogs[-1].winfo_viewable()):
                form.root.after(100, act)
                return
            form.root.after(100, lambda: drive(dialogs[-1]))

        def drive(dialog):
            for action in actions:
                action(dialog)
                dialog.update()
            shown.append(getattr(dialog, "figure", None))
            if dialog.winfo_exists():
                dialog.cancel()

        form.root.after(200, act)
        form.wizards[name]().show(form)
        self.check()
        return shown[0]

    def viewer(self, shown, action):
        """Press "Analyze results" (or look at an output), and do something in the form."""
        view = [
            each
            for each in Domain.findViewers(shown, "tkinter")
            if each.__module__.startswith("scipion_pupick")
        ][0](project=self.project, protocol=shown, parent=self.window)

        results = []

        def act():
            try:
                results.append(action(view))
            finally:
                view.formWindow.root.destroy()
                self.window.root.quit()

        # it does not return before the form is closed
        waiting = self.window.root.after(500, act)
        try:
            view.visualize(shown, windows=self.window)
        finally:
            self.window.root.after_cancel(waiting)
        self.check()
        return results[0]

    def check(self):
        """Raise what went wrong behind a button."""
        if self.errors:
            raise self.errors.pop()


@pytest.fixture(scope="module")
def gui(display, runs):
    gui = Gui(runs["project"].path)
    yield gui
    gui.window.root.destroy()


def descendants(widget):
    for child in widget.winfo_children():
        yield child
        yield from descendants(child)


def press(text):
    def action(dialog):
        buttons = [w for w in descendants(dialog) if isinstance(w, tk.Button)]
        next(button for button in buttons if button["text"] == text).invoke()

    return action


def slide(value):
    def action(dialog):
        next(w for w in descendants(dialog) if isinstance(w, tk.Scale)).set(value)

    return action


def click(axes, x, y):
    """Press the mouse on a figure at a place in the units of its axes."""
    from matplotlib.backend_bases import MouseEvent

    canvas = axes.figure.canvas
    place = axes.transData.transform((x, y))
    for name in ("button_press_event", "button_release_event"):
        canvas.callbacks.process(name, MouseEvent(name, canvas, *place, button=1))


def windows():
    """Return the figures of all windows, and close these."""
    import matplotlib.pyplot as plt

    figures = [plt.figure(number) for number in plt.get_fignums()]
    for figure in figures:
        assert figure.canvas.manager.window.winfo_reqheight() <= SCREEN[1]
        figure.canvas.draw()
    plt.close("all")
    return figures


def look(view, name):
    """Press the eye beside an entry of a viewer's form, and give the figure that comes up."""
    view.formWindow.root.update()
    view._visualizeParam(name)
    view.formWindow.root.update()
    (figure,) = windows()
    return figure


def with_title(figure, start):
    return next(axes for axes in figure.axes if axes.get_title().startswith(start))


@pytest.mark.parametrize("protocol_class", PROTOCOLS)
def test_every_form_opens_and_fits_the_screen(gui, protocol_class):
    protocol = gui.project.newProtocol(protocol_class)
    form = gui.form(protocol)
    assert form.root.winfo_reqwidth() <= SCREEN[0]
    assert form.root.winfo_reqheight() <= SCREEN[1]
    asked = [name for name, _ in protocol.iterDefinitionAttributes() if name in form.widgetDict]
    assert asked
    form.root.destroy()
    gui.check()


def test_diameter_wizard_puts_the_circle_into_the_form(gui, runs):
    form = gui.form(gui.run_of(runs["train"]))
    figure = gui.wizard(form, "diameter", slide(190), press("Select"))
    assert form.widgetDict["diameter"].get() == "190"
    assert form.protocol.diameter.get() == 190
    circles = figure.axes[0].collections[-1].get_paths()
    hand_picks = len(ranked_of(runs["hand"], 0)) + 1
    assert len(circles) == hand_picks
    assert width_of(circles[0]) == pytest.approx(190 / PIXEL_SIZE, rel=1e-3)
    form.root.destroy()


def ranked_of(run, index):
    """Picks of a micrograph by its place in the set, without scores of an engine's run."""
    micrographs = [m.getObjId() for m in run.outputCoordinates.getMicrographs()]
    return [c.clone() for c in run.outputCoordinates if c.getMicId() == micrographs[index]]


def width_of(path):
    return np.ptp(path.vertices[:, 0])


def test_diameter_wizard_keeps_the_unit_of_the_form(gui, runs):
    protocol = gui.project.newProtocol(PUPickProtPreprocess)
    protocol.inputMicrographs.set(runs["given"][0])
    protocol.inputMicrographs.setExtended(runs["given"][1])
    protocol.diameterUnit.set(DIAMETER_PX)
    form = gui.form(protocol)
    gui.wizard(form, "diameter", slide(177), press("Select"))
    assert protocol.diameter.get() == pytest.approx(177 / PIXEL_SIZE, rel=1e-3)
    form.root.destroy()


def test_a_wizard_that_is_cancelled_changes_nothing(gui, runs):
    form = gui.form(gui.run_of(runs["train"]))
    before = form.protocol.diameter.get()
    gui.wizard(form, "diameter", slide(2 * before), press("Next micrograph"), press("Cancel"))
    assert form.protocol.diameter.get() == before
    form.root.destroy()


def test_box_wizard_puts_the_square_into_the_form(gui, runs):
    form = gui.form(gui.run_of(runs["pick"]))
    figure = gui.wizard(form, "boxSize", slide(44), press("Select"))
    assert form.protocol.boxSize.get() == 44
    circle, square = figure.axes[0].collections[-1].get_paths()
    assert width_of(circle) == pytest.approx(160 / PIXEL_SIZE, rel=1e-3)
    assert width_of(square) == pytest.approx(44)
    form.root.destroy()


def test_threshold_wizard_takes_the_place_of_a_click(gui, runs):
    protocol = gui.run_of(runs["pick"])
    protocol.thresholdFrom.set(THRESHOLD_VALUE)
    scores = np.concatenate([p.score for p in ranked_picks(protocol.outputCoordinates).values()])
    place = float(np.median(scores)) + 0.25
    form = gui.form(protocol)
    figure = gui.wizard(
        form,
        "threshold",
        lambda dialog: click(with_label(dialog.figure, "score (log-odds)"), place, 1.0),
        press("Next micrograph"),
        press("Select"),
    )
    assert protocol.threshold.get() == pytest.approx(place, abs=0.01)
    picked = np.count_nonzero(scores >= place)
    title = with_label(figure, "score (log-odds)").get_title()
    assert abs(int(title.split()[0].replace(",", "")) - picked) <= 2
    assert with_title(figure, "Micrograph 2 of 2")
    # the model says how far its scores may be off, so there are intervals
    assert re.search(
        r"precision 0\.\d\d \(.* to .*\), recall .* to ", with_label(figure, "recall").get_title()
    )
    form.root.destroy()


def with_label(figure, label):
    return next(axes for axes in figure.axes if axes.get_xlabel() == label)


@pytest.mark.parametrize(
    ("protocol_class", "name", "said"),
    [
        (PUPickProtTrain, "diameter", "Choose the input micrographs first"),
        (PUPickProtPick, "boxSize", "Choose the input micrographs first"),
        (PUPickProtPick, "threshold", "known when this protocol has run"),
        (PUPickProtThreshold, "threshold", "Choose the scored coordinates first"),
    ],
)
def test_a_wizard_without_input_says_what_is_missing(gui, protocol_class, name, said):
    form = gui.form(gui.project.newProtocol(protocol_class))
    texts = []

    def read(dialog):
        texts.extend(w.get("1.0", "end") for w in descendants(dialog) if isinstance(w, tk.Text))

    gui.wizard(form, name, read, press("OK"))
    assert said in " ".join(texts[0].split())
    form.root.destroy()


@pytest.mark.parametrize("name", ["train", "pick", "threshold", "evaluate", "hand"])
def test_analyze_results_opens_the_viewer_of_pupick_first(gui, runs, name):
    viewers = Domain.findViewers(gui.run_of(runs[name]), "tkinter")
    assert viewers[0].__module__.startswith("scipion_pupick.viewers")


@pytest.mark.parametrize("output", [False, True])
def test_training_curves_are_those_of_the_log(gui, runs, output):
    run = gui.run_of(runs["train"])
    figure = gui.viewer(run.outputModel if output else run, lambda view: look(view, "showCurves"))
    history = read_training_log(run.getTrainingLog())
    whole, parts = (with_title(figure, title) for title in ("Training", "Parts of the loss"))
    assert whole.lines[0].get_ydata() == pytest.approx(history["loss"])
    drawn = {line.get_label(): line.get_ydata() for line in parts.lines}
    assert drawn["labelled regions"] == pytest.approx(history["classification"])
    assert drawn["unlabelled regions (penalty)"] == pytest.approx(history["penalty"])
    assert any(axes.get_ylabel() == "held-out average precision" for axes in figure.axes)


def test_picks_are_shown_with_the_diameter_and_the_number_of_the_set(gui, runs):
    run = gui.run_of(runs["pick"])

    def step_on(view):
        view._visualizeParam("showPicks")
        import matplotlib.pyplot as plt

        figure = plt.gcf()
        first = with_title(figure, "Micrograph 1 of 2")
        title, circles = first.get_title(), first.collections[-1]
        shown = np.count_nonzero(np.array(circles.get_linewidth()) > 0)
        click(button(figure, "Next micrograph"), 0.5, 0.5)
        second = with_title(figure, "Micrograph 2 of 2").get_title()
        windows()
        return title, shown, second

    title, shown, second = gui.viewer(run, step_on)
    numbers = [len(ranked_of(run, index)) for index in (0, 1)]
    assert shown == numbers[0]
    assert f"{numbers[0]:,} picks" in title
    assert "circles of 160 Å" in title
    assert f"{numbers[1]:,} picks" in second


def button(figure, text):
    return next(a for a in figure.axes if [t.get_text() for t in a.texts] == [text])


def test_a_threshold_is_saved_as_a_new_output(gui, runs):
    run = gui.run_of(runs["pick"])
    scores = np.concatenate([p.score for p in ranked_picks(run.outputCoordinates).values()])
    place = float(np.median(scores))

    def save(view):
        view._visualizeParam("showScores")
        import matplotlib.pyplot as plt

        figure = plt.gcf()
        histogram = with_label(figure, "score (log-odds)")
        click(histogram, place, 1.0)
        threshold = float(histogram.get_legend().get_texts()[0].get_text().split()[-1])
        click(button(figure, "Save as a new output"), 0.5, 0.5)
        windows()
        said = [text.get_text() for text in figure.findobj(Text)]
        return threshold, next(text for text in said if text.startswith("Saved as"))

    shown, said = gui.viewer(run, save)
    assert shown == pytest.approx(place, abs=0.02)
    name, rows, box, lowest, parent = in_new_process(READ_NEW_OUTPUT, "Gui", run.getObjId())
    assert said.startswith(f"Saved as {name}: {rows:,} picks of score {shown:.2f} or more")
    assert name.startswith("outputCoordinates")
    assert abs(rows - np.count_nonzero(scores >= place)) <= 0.02 * len(scores)
    assert rows > run.outputCoordinates.getSize() or place > run.getThreshold()
    assert lowest >= shown - 0.01
    assert (box, parent) == (run.outputCoordinates.getBoxSize(), True)


READ_NEW_OUTPUT = """
import json, sys
from pwem import Domain
from pyworkflow.project import Manager
Domain.getProtocols()
project = Manager().loadProject(sys.argv[1])
run = project.getProtocol(int(sys.argv[2]))
name, output = list(run.iterOutputAttributes())[-1]
scores = [c._pupickScore.get() for c in output]
same = output.getMicrographs().getFileName() == run.inputMicrographs.get().getFileName()
print(json.dumps([name, output.getSize(), output.getBoxSize(), min(scores), same]))
"""


def test_any_set_with_scores_can_be_looked_at(gui, runs):
    run = gui.run_of(runs["threshold"])
    figure = gui.viewer(run.outputCoordinates, lambda view: look(view, "showScores"))
    assert (
        f"{run.outputCoordinates.getSize():,} of"
        in with_label(figure, "score (log-odds)").get_title()
    )
    unscored = gui.run_of(runs["hand"]).outputCoordinates
    names = [viewer.__name__ for viewer in Domain.findViewers(unscored, "tkinter")]
    assert "PUPickPicksViewer" not in names


def test_evaluation_shows_the_average_precision_of_the_protocol(gui, runs):
    run = gui.run_of(runs["evaluate"])

    def see(view):
        return [look(view, name) for name in ("showCurve", "showByThreshold", "showPicks")]

    curve, by_threshold, picks = gui.viewer(run, see)
    labels = [text.get_text() for text in curve.axes[0].get_legend().get_texts()]
    assert any(f"AP {run.averagePrecision.get():.3f}" in label for label in labels)
    assert "estimated" in labels
    lines = {line.get_label(): line.get_ydata() for line in by_threshold.axes[0].lines}
    assert lines["F1"][-1] == pytest.approx(run.f1.get(), abs=1e-6)
    assert "known (crosses)" in with_title(picks, "Micrograph 1 of 2").get_title()


def message_of(view, name):
    """Press the eye beside an entry, and give what the message box says that comes up."""
    texts = []

    def read():
        boxes = [w for w in descendants(view.formWindow.root) if isinstance(w, tk.Toplevel)]
        if not (boxes and boxes[-1].winfo_viewable()):
            view.formWindow.root.after(100, read)
            return
        texts.extend(w.get("1.0", "end") for w in descendants(boxes[-1]) if isinstance(w, tk.Text))
        view.formWindow.root.after(100, boxes[-1].cancel)

    view.formWindow.root.after(100, read)
    view._visualizeParam(name)
    return " ".join(texts[0].split())


@pytest.mark.parametrize(
    ("protocol_class", "entry", "said"),
    [
        (PUPickProtTrain, "showCurves", "There is no epoch yet"),
        (PUPickProtTrain, "showModel", "There is no model yet"),
        (PUPickProtPick, "showScores", "There are no coordinates yet"),
        (PUPickProtEvaluate, "showCurve", "The protocol has no result yet"),
    ],
)
def test_a_run_without_results_says_so(gui, protocol_class, entry, said):
    protocol = gui.project.newProtocol(protocol_class)
    gui.project.saveProtocol(protocol)
    assert said in gui.viewer(protocol, lambda view: message_of(view, entry))


def test_coordinates_without_scores_have_no_threshold_but_can_be_seen(gui, runs):
    run = gui.run_of(runs["hand"])
    said, figure = gui.viewer(
        run, lambda view: (message_of(view, "showScores"), look(view, "showPicks"))
    )
    assert "no scores" in said
    assert f"{len(ranked_of(run, 0)):,} picks, circles" in figure.axes[0].get_title()


def test_what_a_model_was_trained_on_can_be_read(gui, runs):
    said = gui.viewer(
        gui.run_of(runs["train"]).outputModel, lambda view: message_of(view, "showModel")
    )
    assert "Particle diameter: 160 Å" in said
    assert "Best epoch:" in said


def test_the_report_of_a_run_opens_in_the_browser(gui, runs, tmp_path):
    run = gui.run_of(runs["evaluate"])
    report = Path(run._getExtraPath("report.html"))
    report.write_text("<p>report</p>")
    seen = tmp_path / "seen"
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {seen}\n')
    browser.chmod(0o755)
    webbrowser.register(
        "recorder", None, webbrowser.GenericBrowser([str(browser), "%s"]), preferred=True
    )
    gui.viewer(run, lambda view: view._visualizeParam("showReport"))
    assert seen.read_text().strip() == report.absolute().as_uri()
    report.unlink()
    gui.viewer(run, lambda view: "showReport" not in view.formWindow.widgetDict)


def test_picks_are_corrected_in_the_browser(gui, runs, tmp_path, monkeypatch):
    """The browser is given a file of this user's alone, which leads to the page of the run."""
    run = gui.run_of(runs["pick"])
    seen, browser = tmp_path / "seen", tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\ncat "${{1#file://}}" >> {seen}\n')
    browser.chmod(0o755)
    monkeypatch.setenv("BROWSER", str(browser))
    for times in (1, 2):
        gui.viewer(run, lambda view: view._visualizeParam("correctPicks"))
        while not (seen.exists() and seen.read_text().count("replace(") == times):
            time.sleep(0.1)
    (port, token), again = re.findall(r"127\.0\.0\.1:(\d+)/#token=([\w-]+)", seen.read_text())
    assert again == (port, token)
    folder = Path(run.getCoordsDir())
    status, overview = Client(int(port), token).get("/run")
    assert status == 200
    assert overview["folder"] == str(folder.absolute())
    assert len(overview["names"]) == 2
    expected = sum(map(len, read_picks(folder / "picks.star").values()))
    assert len(run.outputCoordinates) == expected
    sheets = [Client(int(port), token).get(f"/micrographs/{number}")[1] for number in (0, 1)]
    scores = [np.frombuffer(b64decode(s["scores"]["data"]), "<f8") for s in sheets]
    above = [np.count_nonzero(s >= overview["threshold"]) for s in scores]
    assert sum(above) == expected
    shutil.rmtree(folder / "corrected")
