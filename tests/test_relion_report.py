# SPDX-License-Identifier: GPL-3.0-or-later
"""The report of a job: what is on its pages."""

import re

import numpy as np
import pytest
from relion_files import write_micrograph

from relion_external import report as module
from relion_external.report import Report, kept_scores, write_report
from scipion_pupick.engine import Coordinates, find_micrographs
from scipion_pupick.engine.kept import KeptPeaks, save_peaks

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


def test_kept_scores_are_those_of_all_peaks(tmp_path):
    for name, score in (("a", [2.0, -7.0]), ("b", [1.0])):
        kept = KeptPeaks(peaks(score), (192, 256), 7.08, "")
        save_peaks(kept, tmp_path / f"scores/Movies/{name}.peaks.safetensors")
    names = ["Movies/a.mrc", "Movies/b.mrc", "Movies/never_picked.mrc"]
    assert [scores.tolist() for scores in kept_scores(names, tmp_path)] == [[2.0, -7.0], [1.0]]
