# SPDX-License-Identifier: GPL-3.0-or-later
"""Look at picks and their scores, and choose another threshold."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Dict, List, Optional

import numpy as np
import pyworkflow.protocol.params as params
from pwem.objects import SetOfCoordinates
from pyworkflow.viewer import View

from ..convert import count_coordinates, has_scores
from ..engine import Picks, PupickError, UsageError, read_corrected_picks
from ..engine.runs.corrected_run import holds_corrections
from ..engine.runs.pick_run import holds_pick_run
from ..protocols import PUPickProtImportCoordinates, PUPickProtPick, PUPickProtThreshold
from .correcting import open_correcting
from .form import ResultsViewer
from .picks_figure import PicksFigure
from .scored_picks import ScoredPicks, read_scored_picks, save_corrected, save_output
from .threshold_figure import ThresholdFigure
from .windows import Action, FigureWindow, add_buttons, split_off_buttons

PICKS_SIZE = (8.6, 7.9)
SCORES_SIZE = (12.8, 7.4)


class PUPickPicksViewer(ResultsViewer):
    """Picks over micrographs, and their scores with a threshold that can be moved."""

    _label = "picks and scores"
    _targets = [PUPickProtPick, PUPickProtThreshold, PUPickProtImportCoordinates, SetOfCoordinates]

    @classmethod
    def can_handle_this_instance(cls, instance: Any) -> bool:
        """Whether it has anything to show of an object: of sets, those with scores."""
        return not isinstance(instance, SetOfCoordinates) or has_scores(instance)

    def _defineParams(self, form: Any) -> None:
        choices = [describe_set(name, scored) for name, scored in self._sets().items()]
        form.addSection("Picks")
        form.addParam(
            "coordinates",
            params.EnumParam,
            choices=choices or ["none yet"],
            default=0,
            display=params.EnumParam.DISPLAY_COMBO,
            label="Coordinates",
            help="The output to show.",
        )
        form.addParam(
            "showPicks",
            params.LabelParam,
            label="Picks over micrographs",
            help="One micrograph at a time, with circles of the particle's diameter, coloured by "
            "score. Page Up and Page Down go to the micrograph before and after.",
        )
        form.addParam(
            "showScores",
            params.LabelParam,
            label="Scores and threshold",
            help="How the scores are spread, and how many of the picks are particles by estimate. "
            "A click in the histogram moves the threshold, which can be saved as a new output.",
        )
        if self._run() is not None:
            form.addParam(
                "correctPicks",
                params.LabelParam,
                label="Correct picks",
                help="Remove, add and confirm picks in the web browser, and train on that. "
                "Each change is saved at once; the page is served until Scipion is closed.",
            )
            form.addParam(
                "saveCorrected",
                params.LabelParam,
                label="Corrected picks as a new output",
                help="The picks without those that were removed in the browser, and with what was "
                "added: to extract them, or to train on with *pupick - train*. Added ones get the "
                "score of the surest pick, so that no threshold drops them before others.",
            )
        self.defineReport(form)

    def _getVisualizeDict(self) -> Dict[str, Callable[[str], List[View]]]:
        return {
            "showPicks": self._showPicks,
            "showScores": self._showScores,
            "showReport": self.openReport,
            "correctPicks": self._correctPicks,
            "saveCorrected": self._saveCorrected,
        }

    def _run(self) -> Optional[Path]:
        """Return the folder of the engine's run, if there is one on all micrographs."""
        if not isinstance(self.protocol, PUPickProtPick):
            return None
        folder = Path(self.protocol.getCoordsDir())
        return folder if holds_pick_run(folder) else None

    def _correctPicks(self, name: str) -> List[View]:
        run = self._run()
        wrong = "The picks are no longer there." if run is None else open_correcting(run)
        return [] if wrong is None else [self.errorMessage(wrong, "Correct picks")]

    def _saveCorrected(self, name: str) -> List[View]:
        title, run = "Corrected picks", self._run()
        if run is None or not holds_corrections(run):
            return [self.errorMessage("No pick has been corrected in the browser yet.", title)]
        if self.protocol.isActive():
            wrong = "The protocol is still running: save when it has finished."
            return [self.errorMessage(wrong, title)]
        try:
            corrected = read_corrected_picks(run)
        except (PupickError, OSError) as error:
            return [self.errorMessage(str(error), title)]
        output = save_corrected(self.protocol, self._chosen(), corrected)
        text = f"Saved as {output.getLastName()}: {output.getObjComment()}."
        return [self.infoMessage(text, title)]

    def _sets(self) -> Dict[str, SetOfCoordinates]:
        """Return the coordinates that can be shown, by the name of the output."""
        if isinstance(self.shown, SetOfCoordinates):
            return {self.shown.getLastName() or "coordinates": self.shown}
        return dict(self.protocol.iterOutputAttributes(SetOfCoordinates))

    def _validate(self) -> List[str]:
        return [] if self._sets() else ["There are no coordinates yet."]

    def _chosen(self) -> SetOfCoordinates:
        return list(self._sets().values())[self.coordinates.get()]

    def _showPicks(self, name: str) -> List[View]:
        return self._show(self._chosen(), picks_window)

    def _showScores(self, name: str) -> List[View]:
        coordinates = self._chosen()

        def save(threshold: float) -> str:
            if self.protocol.isActive():
                return "The protocol is still running: save when it has finished."
            output = save_output(self.protocol, coordinates, threshold)
            return f"Saved as {output.getLastName()}: {output.getObjComment()}."

        return self._show(coordinates, lambda scored: scores_window(scored, save))

    def _show(
        self, coordinates: SetOfCoordinates, window: Callable[[ScoredPicks], FigureWindow]
    ) -> List[View]:
        try:
            return [window(read_scored_picks(coordinates))]
        except PupickError as error:
            return [self.errorMessage(str(error), "These coordinates cannot be shown")]


def describe_set(name: str, coordinates: SetOfCoordinates) -> str:
    """Say how many coordinates a set has, and how many of them cannot be shown."""
    counts = count_coordinates(coordinates, coordinates.getMicrographs() or ())
    hidden = counts.total - counts.assigned
    text = f"{name}: {counts.total:,}"
    return f"{text}; {hidden:,} of joined micrographs are not shown" if hidden else text


def picks_window(scored: ScoredPicks, reference: Optional[Picks] = None) -> FigureWindow:
    """Make a window with the picks of a set over its micrographs, and maybe reference picks."""
    window = FigureWindow("Picks over micrographs", PICKS_SIZE)
    above, below = split_off_buttons(window.getFigure())
    picks = PicksFigure(
        above, scored.micrographs, scored.picks, scored.diameter, scored.threshold, reference
    )
    window.keep(picks, add_buttons(below, steps_of(picks)))
    return window


def steps_of(picks: PicksFigure) -> List[Action]:
    """Return buttons that go from one micrograph to the next."""
    return [
        ("Previous micrograph", lambda: picks.step(-1)),
        ("Next micrograph", lambda: picks.step(1)),
    ]


def scores_window(scored: ScoredPicks, save: Callable[[float], str]) -> FigureWindow:
    """Make a window with the scores of a set, and its picks at the threshold that is chosen.

    Args:
        scored: what is shown.
        save: makes an output with a threshold (log-odds), and says what it has done.

    Raises:
        UsageError: the coordinates have no scores.
    """
    if scored.threshold == -np.inf:
        raise UsageError("The coordinates have no scores, so there is no threshold to choose.")
    window = FigureWindow("Scores and threshold", SCORES_SIZE)
    above, below = split_off_buttons(window.getFigure())
    parts: Any = above.subfigures(1, 2, width_ratios=(11, 9))
    left, right = parts
    picks = PicksFigure(left, scored.micrographs, scored.picks, scored.diameter, scored.threshold)
    scores = ThresholdFigure(
        right, scored.scores, scored.threshold, scored.uncertainty, picks.select
    )
    said = above.suptitle("", fontsize="medium")

    def save_and_say() -> None:
        said.set_text(save(scores.threshold))
        window.getCanvas().draw_idle()

    buttons = add_buttons(
        below,
        [
            *steps_of(picks),
            ("Highest estimated F1", scores.select_best),
            ("Save as a new output", save_and_say),
        ],
    )
    window.keep(picks, scores, buttons)
    return window
