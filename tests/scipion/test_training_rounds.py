# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a round of a training in Scipion has learned from what there is now."""

import os
from dataclasses import replace

import pytest
from helpers.scipion_project import WARNINGS_OF_SCIPION

from scipion_pupick.engine import Coordinates, PupickError
from scipion_pupick.engine.coordinates.corrections import Correction, write_corrections
from scipion_pupick.engine.runs.layout import CORRECTIONS, PICKS
from scipion_pupick.protocols.training_rounds import SAID, Lesson, Said, TrainingRound

pytestmark = [pytest.mark.slow, WARNINGS_OF_SCIPION]

# with more digits than files of picks keep, as shifts of particles have
PICKED = {"a.mrc": Coordinates.unscored([200 / 3, 1234.567890123], [100 / 7, 0.1])}
NONE_THERE = {"a.mrc": Coordinates.unscored([10 / 3], [20 / 7])}


@pytest.fixture
def lesson(tmp_path):
    return Lesson(PICKED, NONE_THERE, Said(PICKED, "none", tmp_path / CORRECTIONS))


@pytest.fixture
def learned(tmp_path, lesson):
    made = TrainingRound(tmp_path / "round_001")
    made.write(lesson, complete=True)
    return made


def test_the_same_is_known_again_whatever_its_digits(learned, lesson):
    assert learned.is_complete
    assert not learned.is_outdated(lesson)


def test_other_picks_places_and_corrections_are_something_else(learned, lesson):
    assert learned.is_outdated(replace(lesson, picks=NONE_THERE))
    assert learned.is_outdated(replace(lesson, negatives=PICKED))
    assert learned.is_outdated(replace(lesson, negatives=None))
    for other in ({"done": "all"}, {"before": NONE_THERE}):
        assert learned.is_outdated(replace(lesson, said=replace(lesson.said, **other)))


def test_what_is_said_in_the_browser_counts_and_not_how_often_it_was_written(learned, lesson):
    correction = Correction(PICKED["a.mrc"])
    write_corrections(lesson.said.file, {"a.mrc": correction})
    assert learned.is_outdated(lesson)
    learned.write(lesson, complete=True)
    # of the second nothing is said
    write_corrections(lesson.said.file, {"a.mrc": correction, "b.mrc": Correction()})
    assert not learned.is_outdated(lesson)
    write_corrections(lesson.said.file, {"a.mrc": replace(correction, done=True)})
    assert learned.is_outdated(lesson)
    write_corrections(lesson.said.file, {})
    with pytest.raises(PupickError, match="No pick is corrected any more"):
        learned.is_outdated(lesson)


def test_a_round_of_an_earlier_version_knows_the_corrections_that_were_there(learned, lesson):
    (learned.folder / SAID).unlink()
    # picks of two sets were compared, or nothing was said in the browser
    assert not learned.is_outdated(lesson)
    write_corrections(lesson.said.file, {"a.mrc": Correction(PICKED["a.mrc"])})
    begun = (learned.folder / PICKS).stat().st_mtime
    os.utime(lesson.said.file, (begun - 1, begun - 1))
    assert not learned.is_outdated(lesson)
    os.utime(lesson.said.file, (begun + 1, begun + 1))
    assert learned.is_outdated(lesson)
