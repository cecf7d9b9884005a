# SPDX-License-Identifier: GPL-3.0-or-later
"""Which micrographs are out of line with those acquired around them."""

import csv
import json
import statistics
from dataclasses import replace

import numpy as np
import pytest

from scipion_pupick.engine.calibration.precision_recall_estimate import expect_particles
from scipion_pupick.engine.runs.outliers import NEIGHBOURS, find_outliers, usual_values
from scipion_pupick.engine.runs.picked import Picked
from scipion_pupick.engine.runs.quality import read_out_of_line, write_quality


def counts(n, mean=200.0, seed=0):
    """Numbers of picks as chance spreads them."""
    return np.random.default_rng(seed).poisson(mean, n).astype(float)


def where(values, column="picks"):
    return [outlier.index for outlier in find_outliers({column: values})]


def test_the_usual_value_is_the_median_of_those_around():
    values = counts(160)
    values[[3, 70]] = np.nan
    known = [v for v in values if np.isfinite(v)]
    usual = [v for v in usual_values(values) if np.isfinite(v)]
    half = NEIGHBOURS // 2
    for i, found in enumerate(usual):
        first = min(max(0, i - half), len(known) - NEIGHBOURS)
        assert found == statistics.median(known[first : first + NEIGHBOURS])
    assert np.flatnonzero(np.isnan(usual_values(values))).tolist() == [3, 70]


def test_what_was_put_out_of_line_is_found_and_nothing_else():
    values = counts(2000)
    values[[0, 700, 1999]] = [5.0, 900.0, 0.0]
    found = find_outliers({"picks": values})
    assert [each.index for each in found] == [0, 700, 1999]
    assert [each.describe() for each in found] == ["picks low", "picks high", "picks low"]
    assert found[1].usual == pytest.approx(200, abs=6)
    assert found[2].by > 1


@pytest.mark.parametrize("seed", range(5))
def test_chance_and_drift_are_in_line(seed):
    drift = np.linspace(100, 400, 1000)
    assert where(np.random.default_rng(seed).poisson(drift).astype(float)) == []
    # another grid square, from one micrograph to the next
    steps = np.repeat([100.0, 300.0, 150.0], 200)
    found = where(np.random.default_rng(seed).poisson(steps).astype(float))
    # only what lies at the edge itself may be taken for an accident
    assert all(min(abs(i - edge) for edge in (200, 400)) <= NEIGHBOURS // 2 for i in found)


def test_a_tenth_of_bad_micrographs_hides_nothing():
    values = counts(500, seed=3)
    bad = np.random.default_rng(4).choice(500, 50, replace=False)
    values[bad] = 3.0
    assert where(values) == sorted(bad.tolist())


def test_tiny_differences_between_equal_numbers_are_in_line():
    usable = np.full(100, 1.0)
    usable[[10, 50]] = [0.97, 0.4]
    assert where(usable, "usable") == [50]
    assert where(np.zeros(100)) == []


def test_few_micrographs_do_not_say_what_is_usual():
    assert where(np.array([200.0] * 8 + [0.0])) == []
    assert where(np.array([200.0] * 11 + [0.0])) == [11]
    assert find_outliers({"score": np.full(40, np.nan)}) == []


def test_the_tables_of_a_run_say_what_is_out_of_line(tmp_path):
    certain = expect_particles(np.full(60, 4.0), 0.0, 0.0)
    counted = [2 if i == 7 else 60 for i in range(20)]
    picked = [Picked(f"m{i}", n, 4.0, 0.1, 1.5, certain, "") for i, n in enumerate(counted)]
    picked[7] = replace(picked[7], particles=expect_particles(np.full(2, 4.0), 0.0, 0.0))
    write_quality(picked, tmp_path)
    with (tmp_path / "quality.tsv").open() as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert [row["out_of_line"] for row in rows] == [
        "picks low" if i == 7 else "" for i in range(20)
    ]
    assert read_out_of_line(tmp_path) == {"m7": "picks low"}
    records = json.loads((tmp_path / "quality.json").read_text())["micrographs"]
    assert records[7]["out_of_line"] == ["picks low"]
    assert records[8]["out_of_line"] == []


def test_a_table_of_an_older_version_does_not_say_what_is_out_of_line(tmp_path):
    (tmp_path / "quality.tsv").write_text("micrograph\tpicks\nm1\t20\n")
    assert read_out_of_line(tmp_path) == {}
    assert read_out_of_line(tmp_path / "none") == {}
