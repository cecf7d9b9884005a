# SPDX-License-Identifier: GPL-3.0-or-later
"""What summaries of picking say of micrographs that are out of line."""

import numpy as np
import pytest
from helpers.scipion_project import WARNINGS_OF_SCIPION

from scipion_pupick.engine import PickRun
from scipion_pupick.engine.calibration.precision_recall_estimate import expect_particles
from scipion_pupick.engine.runs.picked import Picked
from scipion_pupick.engine.runs.quality import write_quality
from scipion_pupick.protocols.quality import MOST_NAMED, out_of_line_lines

pytestmark = [pytest.mark.slow, WARNINGS_OF_SCIPION]


def run_with(folder, few):
    """A run of forty micrographs, in some of which there are hardly any picks."""
    certain = expect_particles(np.full(60, 4.0), 0.0, 0.0)
    counts = [2 if i in few else 60 for i in range(40)]
    write_quality(
        [Picked(f"mics/m{i:02d}.mrc", n, 4.0, 0.1, 1.5, certain, "") for i, n in enumerate(counts)],
        folder,
    )
    return PickRun(folder)


def test_micrographs_out_of_line_are_named(tmp_path):
    assert out_of_line_lines(run_with(tmp_path, [])) == []
    (line,) = out_of_line_lines(run_with(tmp_path, [7]))
    assert line.startswith("1 micrograph is out of line: m07.mrc (")
    assert "picks low" in line


def test_of_many_only_the_first_are_named(tmp_path):
    few = range(3, 3 + MOST_NAMED + 2)
    (line,) = out_of_line_lines(run_with(tmp_path, few))
    assert line.startswith(f"{MOST_NAMED + 2} micrographs are out of line: m03.mrc (")
    assert line.endswith("); 2 more.")
    assert line.count(".mrc") == MOST_NAMED


def test_a_run_that_does_not_know_says_nothing(tmp_path):
    assert out_of_line_lines(PickRun(tmp_path)) == []
    (tmp_path / "quality.tsv").write_text("micrograph\tpicks\nm1\n")
    assert out_of_line_lines(PickRun(tmp_path)) == []
