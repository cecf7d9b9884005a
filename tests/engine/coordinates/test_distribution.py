# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables and numbers that reports show: epochs and the image plane."""

from scipion_pupick.engine.coordinates import Coordinates
from scipion_pupick.engine.coordinates.distribution import plane_cells
from scipion_pupick.engine.runs.training_log import read_training_log


def test_a_history_is_read_by_columns(tmp_path):
    table = tmp_path / "training.tsv"
    assert read_training_log(table) == {}
    table.write_text("epoch\tloss\theld_out_ap\n1\t2.5\tnan\n2\t1.5\tnan\n")
    assert read_training_log(table)["loss"].tolist() == [2.5, 1.5]
    table.write_text("epoch\tloss\n")
    assert read_training_log(table) == {}


def test_cells_are_counted_row_by_row_from_the_top():
    picks = Coordinates.unscored([0.0, 199.0, 0.0, 250.0], [0.0, 0.0, 299.0, -5.0])
    assert plane_cells(picks, (300, 200), (2, 2)).tolist() == [0, 1, 2, 1]
