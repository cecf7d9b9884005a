# SPDX-License-Identifier: GPL-3.0-or-later
"""Records of runs."""

from __future__ import annotations

import pytest

from scipion_pupick.engine.errors import PupickError
from scipion_pupick.engine.files.json_files import read_json, write_json

DAMAGED = ("", '{"threshold": 1', "[1, 2]", "3", '"text"', "\x00\x01")


def test_a_record_is_read_as_it_was_written(tmp_path):
    record = {"é": None, "numbers": [1, 2.5], "inner": {"yes": True}}
    write_json(tmp_path / "a.json", record)
    assert read_json(tmp_path / "a.json") == record


@pytest.mark.parametrize("text", DAMAGED)
def test_a_damaged_record_is_named(tmp_path, text):
    (tmp_path / "view.json").write_text(text)
    with pytest.raises(PupickError, match=r"view\.json is damaged.*delete it"):
        read_json(tmp_path / "view.json")


def test_bytes_that_are_no_text_are_named(tmp_path):
    (tmp_path / "view.json").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(PupickError, match=r"view\.json is damaged"):
        read_json(tmp_path / "view.json")
