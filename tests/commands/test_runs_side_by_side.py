# SPDX-License-Identifier: GPL-3.0-or-later
"""What calls of pick and threshold leave for each other in folders of runs."""

import json
import os
import shutil

import numpy as np
import pytest
from helpers.simulated import shared_model, simulate_set

from scipion_pupick.engine import (
    PickSettings,
    UsageError,
    find_micrographs,
    pick,
    read_picks,
    threshold,
)
from scipion_pupick.engine.jobs.pick_part import pick_part
from scipion_pupick.engine.runs import threshold_record
from scipion_pupick.engine.runs.parts import Part

CPU = {"device": "cpu", "threads": 1}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return shared_model(tmp_path_factory) / "model.safetensors"


@pytest.fixture
def micrographs(tmp_path):
    simulate_set(tmp_path / "mics", (30, 31))
    return find_micrographs([str(tmp_path / "mics")])


@pytest.fixture
def run(micrographs, model, tmp_path):
    pick(micrographs, model, tmp_path / "run", report=False, **CPU)
    return tmp_path / "run"


def middle(run):
    """A threshold that leaves out half of the picks."""
    return float(
        np.median(np.concatenate([c.score for c in read_picks(run / "picks.star").values()]))
    )


def counts(run):
    listed = {name[-7:]: len(c) for name, c in read_picks(run / "picks.star").items()}
    files = {f.name: len(*read_picks(f).values()) for f in (run / "micrographs").rglob("*.star")}
    return listed, {f"{name[:-5]}.mrc": count for name, count in files.items()}


def test_a_threshold_replaces_no_other_run(run, micrographs, model, tmp_path):
    other = tmp_path / "other"
    pick(micrographs[:1], model, other, report=False, **CPU)
    before = (other / "picks.star").read_bytes()
    with pytest.raises(UsageError, match="holds the picks of another run"):
        threshold(run, other, threshold=2.0)
    assert (other / "picks.star").read_bytes() == before
    threshold(run, tmp_path / "new", threshold=2.0)
    threshold(run, tmp_path / "new", threshold=3.0)
    os.symlink(run, tmp_path / "link")
    threshold(run, tmp_path / "link", threshold=2.0)


class Killed(BaseException):
    pass


def test_a_threshold_that_was_killed_can_be_called_again(run, micrographs, model, monkeypatch):
    before, chosen = counts(run), middle(run)
    writing = threshold_record.write_text
    left = [1]

    def killed(path, text):
        if not left:
            raise Killed
        left.pop()
        writing(path, text)

    monkeypatch.setattr(threshold_record, "write_text", killed)
    with pytest.raises(Killed):
        threshold(run, run, threshold=chosen)
    monkeypatch.undo()
    threshold(run, run, threshold=chosen)
    listed, files = counts(run)
    assert listed == files
    assert listed != before[0]
    # and so can picking
    left.append(1)
    monkeypatch.setattr(threshold_record, "write_text", killed)
    with pytest.raises(Killed):
        threshold(run, run, threshold=chosen + 0.5)
    monkeypatch.undo()
    pick(micrographs, model, run, report=False, **CPU)
    assert counts(run) == before


def test_picking_again_says_that_it_replaces_a_threshold(run, micrographs, model, caplog):
    threshold(run, run, threshold=3.0)
    pick(micrographs, model, run, report=False, **CPU)
    assert "The threshold 3 that was applied is replaced" in caplog.text
    assert not (run / "threshold.json").exists()
    caplog.clear()
    threshold(run, run, threshold=3.0)
    pick(micrographs, model, run, PickSettings(threshold=3.0), report=False, **CPU)
    assert "replaced" not in caplog.text


def test_files_that_people_edit_after_a_threshold_are_still_known(run, micrographs):
    threshold(run, run, threshold=1.5)
    first = next((run / "micrographs").rglob("*.star"))
    first.write_text("\n".join(first.read_text().split("\n")[:-3]) + "\n")
    os.utime(first)
    with pytest.raises(UsageError, match="were changed since they were written"):
        threshold(run, run, threshold=3.0)


def test_lists_of_a_batch_leave_out_others_with_a_warning(run, micrographs, model, caplog):
    pick(micrographs[:1], model, run, report=False, **CPU)
    assert "1 micrographs that were picked here before" in caplog.text


def test_masks_are_no_micrographs(run, tmp_path):
    (run / "masks" / "mics").mkdir(parents=True)
    shutil.copy(tmp_path / "mics" / "m30.mrc", run / "masks" / "mics")
    found = find_micrographs([str(tmp_path / "**" / "*.mrc")])
    assert sorted(m.path.name for m in found) == ["m30.mrc", "m31.mrc"]
    # a folder of that name that is none of a run
    (tmp_path / "masks").mkdir()
    shutil.copy(tmp_path / "mics" / "m30.mrc", tmp_path / "masks" / "m40.mrc")
    assert len(find_micrographs([str(tmp_path / "**" / "*.mrc")])) == 3


def test_masks_are_those_of_the_peaks(micrographs, tmp_path):
    settings, run = PickSettings(diameter=150.0), tmp_path / "run"
    pick(micrographs, "general", run, settings, report=False, masks=True, **CPU)
    (path,) = [m.path for m in micrographs if m.name.endswith("m30.mrc")]
    mask = next((run / "masks").rglob("m30.mrc"))
    old = mask.stat().st_mtime_ns
    shutil.copy(micrographs[1].path, path)
    again = find_micrographs([str(tmp_path / "mics")])
    for number in (1, 2):
        pick_part(Part(number, 2), again, run / "adapted.safetensors", run, settings, **CPU)
    pick(again, run / "adapted.safetensors", run, settings, report=False, **CPU)
    assert not mask.exists()
    pick(again, run / "adapted.safetensors", run, settings, report=False, masks=True, **CPU)
    assert mask.stat().st_mtime_ns > old
    assert mask.read_bytes()[1024:] == (mask.parent / "m31.mrc").read_bytes()[1024:]


def test_what_was_picked_stays_when_a_listed_file_is_missing(run, micrographs, model, tmp_path):
    before = counts(run)
    micrographs[0].path.rename(tmp_path / "archived.mrc")
    result = pick(micrographs, model, run, report=True, **CPU)
    assert counts(run) == before
    assert not result.failures
    higher = pick(micrographs, model, run, PickSettings(threshold=middle(run)), report=False, **CPU)
    assert higher.count < result.count
    assert not higher.failures
    assert set(json.loads((run / "pick.json").read_text())["fingerprints"]) == {
        m.name for m in micrographs
    }
