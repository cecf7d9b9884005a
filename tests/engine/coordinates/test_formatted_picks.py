# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows of picks that are formatted once are those that are formatted twice."""

import numpy as np
import pytest

from scipion_pupick.engine.coordinates import Coordinates
from scipion_pupick.engine.coordinates.formatted_picks import FormattedPicks
from scipion_pupick.engine.coordinates.relion import coordinates_text, particle_rows
from scipion_pupick.engine.errors import UsageError

PLACES = np.array([1.5, 1e-7, 4095.25])
SCORES = np.array([-0.0, 12.345678901, np.nan])


@pytest.mark.parametrize("with_scores", [True, False])
@pytest.mark.parametrize("count", [0, 1, 3])
@pytest.mark.parametrize("name", ["m.mrc", "a folder/with 100 %s.mrc", "it's.mrc"])
def test_both_texts_are_those_of_the_picks(name, count, with_scores):
    picks = Coordinates(PLACES[:count], PLACES[:count], SCORES[:count])
    formatted = FormattedPicks.of(picks, with_scores)
    assert formatted.coordinates_text() == coordinates_text(picks, with_scores)
    assert formatted.particle_rows(name) == particle_rows(name, picks, with_scores)


def test_a_name_that_no_star_file_holds_is_refused():
    with pytest.raises(UsageError, match="cannot be written"):
        FormattedPicks.of(Coordinates.empty(), True).particle_rows("a#b.mrc")
