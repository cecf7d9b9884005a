# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests of what the comparison of two revisions takes for the same, and what not."""

import json

import numpy as np
import pytest
from safetensors.numpy import save_file


@pytest.fixture
def sides(tmp_path):
    """Two folders with the same files."""
    record = {"edge": 5.0, "seconds": 1.25, "versions": {"pupick": "0.1.0", "torch": "2"}}
    for side in ("before", "after"):
        folder = tmp_path / side
        folder.mkdir()
        (folder / "pick.json").write_text(json.dumps(record))
        (folder / "picks.star").write_text("data_\n1 2\n")
        (folder / "log.txt").write_text("5 particles in 1.2 s")
        weights = {"a": np.arange(3, dtype=np.float32)}
        save_file(weights, folder / "model.safetensors", {"pupick": json.dumps(record)})
    return tmp_path / "before", tmp_path / "after"


def _differing(sides, renamed_files=None, **allowed):
    from benchmarks.revisions.compare_revisions import Allowed, compare_folders

    verdicts = compare_folders(*sides, Allowed(**allowed), renamed_files or {})
    return {verdict.file: verdict.why for verdict in verdicts if not verdict.allowed}


def test_what_is_the_same_is_no_difference(sides):
    assert _differing(sides) == {}


def test_seconds_versions_and_new_names_may_differ(sides):
    record = {"border": 5.0, "seconds": 7.5, "versions": {"pupick": "0.2.0", "torch": "2"}}
    (sides[1] / "pick.json").write_text(json.dumps(record))
    (sides[1] / "log.txt").write_text("micrographs: 3 of 5\n5 particles in 33.25 s")
    metadata = {"pupick": json.dumps(record)}
    save_file({"a": np.arange(3, dtype=np.float32)}, sides[1] / "model.safetensors", metadata)
    (sides[1] / "picks.star").rename(sides[1] / "all.star")
    declared = {"renamed": {"edge": "border"}, "versions": ("0.1.0", "0.2.0")}
    assert _differing(sides, {"picks.star": "all.star"}, **declared) == {}
    found = _differing(sides)
    assert set(found) == {"pick.json", "model.safetensors", "picks.star", "all.star"}
    assert found["pick.json"] == "/border: nothing, 5.0"
    assert found["all.star"] == "only after"


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("picks.star", "data_\n1 3\n", "line 2"),
        ("pick.json", '{"edge": 5.000001}', "/edge: 5.0, 5.000001"),
        ("log.txt", "6 particles in 1.2 s", "line 1"),
        ("log.txt", "micrographs: 5 of 5\n5 particles in 1.2 s", "line 1"),
    ],
)
def test_a_difference_is_told(sides, name, content, why):
    (sides[1] / name).write_text(content)
    assert why in _differing(sides)[name]


def test_one_bit_of_the_weights_is_a_difference(sides):
    weights = {"a": np.nextafter(np.arange(3, dtype=np.float32), np.float32(9))}
    record = json.loads((sides[0] / "pick.json").read_text())
    save_file(weights, sides[1] / "model.safetensors", {"pupick": json.dumps(record)})
    assert "1 of 1 tensors, a by up to" in _differing(sides)["model.safetensors"]


def test_commands_bring_those_that_they_need():
    from benchmarks.revisions.compare_revisions import chosen_commands

    names = [command.name for command in chosen_commands("threshold-number,convert-csv-back")]
    assert names == ["pick-general", "train-general", "pick-trained", "threshold-number"] + [
        "convert-csv-each",
        "convert-csv-back",
    ]
