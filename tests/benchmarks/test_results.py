# SPDX-License-Identifier: GPL-3.0-or-later
"""The tables of docs/results.md and docs/loop.md are those of the raw cells."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def check(document):
    """Compare a document's tables with the cells: exit code and words."""
    script = ROOT / "benchmarks" / "results" / "tables.py"
    command = [sys.executable, script, "--check", "--document", document]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stderr


@pytest.mark.parametrize("name", ["results.md", "loop.md"])
def test_the_tables_of_the_document_are_made_of_the_cells(name):
    assert check(ROOT / "docs" / name) == (0, "")


def test_a_figure_that_was_changed_by_hand_is_noticed(tmp_path):
    text = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    figure = next(word for word in text.split() if word.startswith("**0."))
    (tmp_path / "results.md").write_text(text.replace(figure, f"{figure}1", 1), encoding="utf-8")
    code, words = check(tmp_path / "results.md")
    assert code == 1
    assert "its tables are not those of" in words
