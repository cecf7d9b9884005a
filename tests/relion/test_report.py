# SPDX-License-Identifier: GPL-3.0-or-later
"""The report of a job: what is on its pages."""

import re
from pathlib import Path

import numpy as np
import pytest
from helpers.relion_files import write_micrograph

from relion_external import report as module
from relion_external.report import Report, kept_scores, write_report
from scipion_pupick.engine import Coordinates, Micrograph, find_micrographs
from scipion_pupick.engine.picking.peaks_file import MicrographPeaks, save_peaks
from scipion_pupick.engine.runs.lists import write_micrographs
from scipion_pupick.engine.runs.pick_run import PickRun

HISTORY = "epoch\tloss\theld_out_ap\n1\t2.5\tnan\n2\t1.5\tnan\n"


def peaks(score) -> Coordinates:
    return Coordinates(np.linspace(20, 200, len(score)), np.linspace(20, 150, len(score)), score)


@pytest.fixture
def micrographs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for i in range(5):
        write_micrograph(tmp_path / f"Micrographs/{i}.mrc", i)
    return find_micrographs(["Micrographs"])


def make_report(tmp_path, micrographs, **changes):
    picks = {m.name: peaks(np.linspace(0, 1, 3 + i)) for i, m in enumerate(micrographs)}
    values = {
        "title": "Picks of External/job005",
        "facts": {"model": "External/job004/model.safetensors"},
        "picks": picks,
        "diameter": 180.0,
        "history": tmp_path / "training.tsv",
        "scores": [np.linspace(-8, 3, 60), np.linspace(-8, 3, 40)],
    }
    return Report(**{**values, **changes})


def pages(path) -> int:
    return len(re.findall(rb"/Type\s*/Page\b", path.read_bytes()))


def test_a_report_has_an_overview_and_some_micrographs(tmp_path, micrographs):
    path = tmp_path / "logfile.pdf"
    write_report(make_report(tmp_path, micrographs), micrographs, path)
    assert pages(path) == 4
    assert path.stat().st_size < 3e6


def test_labels_without_scores_and_a_single_micrograph(tmp_path, micrographs):
    path = tmp_path / "logfile.pdf"
    picks = {micrographs[0].name: Coordinates.unscored([50.0], [60.0])}
    write_report(make_report(tmp_path, micrographs, picks=picks, scores=None), micrographs, path)
    assert pages(path) == 2


def test_micrographs_without_any_pick(tmp_path, micrographs):
    path = tmp_path / "logfile.pdf"
    picks = {micrographs[0].name: Coordinates.empty()}
    scores = [np.empty(0)]
    write_report(make_report(tmp_path, micrographs, picks=picks, scores=scores), micrographs, path)
    assert pages(path) == 2


def test_a_micrograph_that_cannot_be_read_is_left_out(tmp_path, micrographs):
    path = tmp_path / "logfile.pdf"
    micrographs[-1].path.write_bytes(b"")
    write_report(make_report(tmp_path, micrographs), micrographs, path)
    assert pages(path) == 3


def test_the_overview_shows_counts_scores_threshold_and_training(tmp_path, micrographs):
    (tmp_path / "training.tsv").write_text(HISTORY)
    figure = module._overview(make_report(tmp_path, micrographs, threshold=1.5))
    text, counts, scores, training = figure.axes
    assert "model.safetensors" in text.texts[0].get_text()
    assert counts.lines[0].get_ydata().tolist() == [3, 4, 5, 6, 7]
    assert scores.patches[0].get_data().values.sum() == 100
    assert scores.lines[0].get_xdata()[0] == 1.5
    assert training.lines[0].get_ydata().tolist() == [2.5, 1.5]


def test_micrographs_are_shown_from_the_fullest_to_the_emptiest(tmp_path, micrographs):
    figures = module._pictures(make_report(tmp_path, micrographs), micrographs)
    titles = [figure.axes[0].get_title() for figure in figures]
    assert [title.split(": ")[1] for title in titles] == [f"{n} particles" for n in (7, 5, 3)]


@pytest.fixture
def run(tmp_path):
    """Peaks of three micrographs, the first of each 20 px from two edges; a fourth failed."""
    scores = {"a": [2.0, -7.0], "b": [1.0], "c": [3.0, 4.0, 5.0]}
    for name, score in scores.items():
        kept = MicrographPeaks(peaks(score), (192, 256), 7.08, "")
        save_peaks(kept, tmp_path / f"scores/Movies/{name}.peaks.safetensors")
    names = [f"Movies/{name}.mrc" for name in (*scores, "never_picked")]
    write_micrographs([Micrograph(Path(name), name, 7.08) for name in names], tmp_path)
    PickRun(tmp_path).write_record({"threshold": 0.0, "diameter": 180.0, "edge": 7.08 * 20})
    return tmp_path


def test_kept_scores_are_those_of_all_peaks(run):
    assert [scores.tolist() for scores in kept_scores(run)] == [[2, -7], [1], [3, 4, 5]]


def test_kept_scores_leave_out_the_edges(run):
    PickRun(run).write_record({"threshold": 0.0, "diameter": 180.0, "edge": 7.08 * 30})
    assert [scores.tolist() for scores in kept_scores(run)] == [[-7], [], [4, 5]]


def test_of_very_many_micrographs_some_scores_are_taken(run, monkeypatch):
    monkeypatch.setattr(module, "MOST_MICROGRAPHS", 2)
    assert [scores.tolist() for scores in kept_scores(run)] == [[2, -7], [3, 4, 5]]
