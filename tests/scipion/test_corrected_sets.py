# SPDX-License-Identifier: GPL-3.0-or-later
"""Sets of corrected picks, which lie beside those of their run, and picks without scores."""

import os
from pathlib import Path

import numpy as np
import pytest
from helpers.scipion_project import (
    WARNINGS_OF_SCIPION,
    Project,
    PUPickProtEvaluate,
    PUPickProtImportCoordinates,
    PUPickProtPick,
    PUPickProtThreshold,
    read_set,
)
from helpers.simulated import PIXEL_SIZE, shared_model, simulate_set
from pyworkflow.object import Pointer
from pyworkflow.project import Manager

from scipion_pupick.constants import (
    BY_MEAN_NUMBER,
    BY_MOST,
    FIGURE_OF_MERIT,
    MODEL_FILE,
    SCORE,
    THRESHOLD_VALUE,
)
from scipion_pupick.engine import (
    Coordinates,
    UsageError,
    read_corrected_picks,
    read_pick_run,
    write_picks,
)
from scipion_pupick.engine.coordinates.corrections import Correction, write_corrections
from scipion_pupick.engine.runs.layout import CORRECTIONS
from scipion_pupick.engine.settings import RULES
from scipion_pupick.protocols import PUPickProtCombine, PUPickProtSuggest
from scipion_pupick.viewers.scored_picks import read_scored_picks, save_corrected, save_output

pytestmark = [pytest.mark.slow, WARNINGS_OF_SCIPION]

ADDED = (128, 3)
REMOVED = 5
LEAST = 0.0


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A picking, and the output in which its best picks are removed and one is added."""
    folder = tmp_path_factory.mktemp("corrected_sets")
    simulate_set(folder, range(90, 92))
    project = Project("corrected_sets")
    micrographs = project.micrographs(folder / "*.mrc", PIXEL_SIZE)
    source = {"inputMicrographs": (micrographs, "outputMicrographs")}
    pick = project.run(
        PUPickProtPick,
        modelFrom=MODEL_FILE,
        modelFile=str(shared_model(tmp_path_factory) / "model.safetensors"),
        thresholdFrom=THRESHOLD_VALUE,
        threshold=LEAST,
        **source,
    )
    os.chdir(project.path)
    name, picks = picks_of_first(pick)
    removed = picks.select(np.argsort(-picks.score)[:REMOVED])
    added = Coordinates.unscored([ADDED[0]], [ADDED[1]])
    output = corrected_output(pick, {name: Correction(removed, added)})
    return {"project": project, "source": source, "pick": pick, "output": output}


def picks_of_first(pick):
    run = read_pick_run(pick.getCoordsDir())
    name, peaks = next(iter(run.peaks()))
    return name, run.cut.choose(peaks)


def corrected_output(pick, corrections):
    folder = Path(pick.getCoordsDir())
    write_corrections(folder / CORRECTIONS, corrections)
    output = save_corrected(pick, pick.outputCoordinates, read_corrected_picks(folder))
    return (pick, output.getLastName())


def stored_output(pick, name):
    """The output as another window of Scipion has it."""
    project = Manager().loadProject(pick.getProject().getShortName())
    return getattr(project.getProtocol(pick.getObjId()), name)


def rows_of(run, name="outputCoordinates"):
    return read_set(getattr(run, name).getFileName())[1]


def places(run, name="outputCoordinates"):
    return sorted((row["_micName"], row["_x"], row["_y"]) for row in rows_of(run, name))


def test_added_picks_are_as_sure_as_the_surest(runs):
    rows = rows_of(*runs["output"])
    assert len(rows) == runs["pick"].outputCoordinates.getSize() - REMOVED + 1
    highest = max(row[SCORE] for row in rows)
    added = [row for row in rows if (row["_x"], row["_y"]) == ADDED]
    # so a cut of RELION's by the figure of merit does not drop them before others
    assert [(row[SCORE], row[FIGURE_OF_MERIT]) for row in added] == [(highest, highest)]
    assert min(row[SCORE] for row in rows) >= LEAST


@pytest.mark.parametrize(
    "asked",
    [
        # lower than what was picked: the peaks of the run below it are none of the set's
        {"threshold": LEAST - 5},
        {"mode": BY_MOST, "particlesPerMicrograph": 1000},
        {"mode": BY_MEAN_NUMBER, "particlesPerMicrograph": 1000},
    ],
)
def test_a_threshold_takes_back_no_correction(runs, asked):
    chosen = runs["project"].run(PUPickProtThreshold, inputCoordinates=runs["output"], **asked)
    assert places(chosen) == places(*runs["output"])
    # nothing is expected of picks that people have looked at
    assert "expected precision" not in chosen._summary()[0]


def test_what_was_added_outlives_a_threshold(runs):
    scores = sorted(row[SCORE] for row in rows_of(*runs["output"]))
    chosen = runs["project"].run(
        PUPickProtThreshold, inputCoordinates=runs["output"], threshold=round(scores[-3] - 0.01, 2)
    )
    assert ADDED in [place[1:] for place in places(chosen)]
    assert len(places(chosen)) < len(scores)


def test_evaluate_ranks_only_what_the_set_holds(runs):
    output, number = runs["output"], len(places(*runs["output"]))
    compared = {"inputCoordinates": output, "referenceCoordinates": output}
    ranking = runs["project"].run(PUPickProtEvaluate, **compared).getRanking()
    assert (ranking["picks"], ranking["average_precision"]) == (number, 1.0)


def test_combined_they_stay_as_they_are(runs):
    rule = list(RULES).index("intersection")
    combined = runs["project"].make(PUPickProtCombine, inputCoordinates=runs["output"], rule=rule)
    combined.otherCoordinates.append(Pointer(runs["output"][0], extended=runs["output"][1]))
    assert places(runs["project"].finish(combined)) == places(*runs["output"])


def test_the_viewer_shows_and_saves_only_what_the_set_holds(runs):
    project, (pick, name) = runs["project"], runs["output"]
    stored = stored_output(pick, name)
    scored = read_scored_picks(stored)
    rows = rows_of(pick, name)
    assert scored.threshold == pytest.approx(min(row[SCORE] for row in rows))
    assert sum(map(len, scored.scores)) == len(rows)
    # what is saved of them is corrected as well
    saved = save_output(pick, stored, LEAST - 5).getLastName()
    chosen = project.run(PUPickProtThreshold, inputCoordinates=(pick, saved), threshold=LEAST - 5)
    assert places(chosen) == places(pick, saved) == places(pick, name)


def test_picks_that_were_corrected_are_not_suggested_again(runs):
    errors = runs["project"].errors(PUPickProtSuggest, inputCoordinates=runs["output"])
    assert "have to be the output of *pupick - pick*" in errors[0]


def test_where_all_was_removed_nothing_comes_back(runs):
    project, pick = runs["project"], runs["pick"]
    run = read_pick_run(pick.getCoordsDir())
    every = {name: Correction(run.cut.choose(peaks)) for name, peaks in run.peaks()}
    _, name = corrected_output(pick, every)
    nothing = stored_output(pick, name)
    assert nothing.getSize() == 0
    assert not any(map(len, read_scored_picks(nothing).scores))
    # and where only added ones are left, nothing has a score
    first = next(iter(every))
    every[first] = Correction(every[first].removed, Coordinates.unscored([ADDED[0]], [ADDED[1]]))
    added = corrected_output(pick, every)
    assert [place[1:] for place in places(*added)] == [ADDED]
    errors = project.errors(PUPickProtThreshold, inputCoordinates=added)
    assert "have no scores" in errors[0]


def test_a_score_that_is_missing_is_read_as_missing(runs, tmp_path):
    project = runs["project"]
    path = tmp_path / "part.star"
    first, second = (f"m{number}.mrc" for number in (90, 91))
    write_picks(
        {
            first: Coordinates([50.0, 80.0], [50.0, 80.0], [2.0, 3.0]),
            second: Coordinates.unscored([50.0], [60.0]),
        },
        path,
    )
    part = project.run(
        PUPickProtImportCoordinates, filesPath=str(path), boxSize=36, **runs["source"]
    )
    chosen = {"inputCoordinates": (part, "outputCoordinates")}
    (error,) = project.errors(PUPickProtThreshold, **chosen)
    assert "Some of the coordinates have scores, and others (1 of 3) have none" in error
    with pytest.raises(UsageError, match="Some of the coordinates have scores"):
        read_scored_picks(part.outputCoordinates)
