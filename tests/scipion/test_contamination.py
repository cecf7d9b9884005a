# SPDX-License-Identifier: GPL-3.0-or-later
"""Picking in Scipion with a model that knows contamination."""

import pytest
from helpers.dirty import dirty_model, in_dirt, in_the_clear, read_mask, simulate_dirty
from helpers.scipion_project import (
    WARNINGS_OF_SCIPION,
    Project,
    PUPickProtPick,
    PUPickProtThreshold,
    picked,
    read_set,
)
from helpers.simulated import PIXEL_SIZE

from scipion_pupick.constants import MODEL_FILE

pytestmark = [pytest.mark.slow, WARNINGS_OF_SCIPION]

DIRTY_COLUMNS = {1: 40, 2: 80}


def places(run):
    return [(x, y) for name, x, y in picked(run)[0] if name == "m2.mrc"]


def test_dirty_micrographs_are_told_left_out_and_masked(tmp_path):
    for seed, dirty in DIRTY_COLUMNS.items():
        simulate_dirty(tmp_path / f"m{seed}.mrc", seed, dirty)
    project = Project("contamination")
    micrographs = project.micrographs(tmp_path / "*.mrc", PIXEL_SIZE)
    pick = project.run(
        PUPickProtPick,
        modelFrom=MODEL_FILE,
        modelFile=str(dirty_model(tmp_path / "model.safetensors")),
        leastUsable=0.75,
        writeMasks=True,
        inputMicrographs=(micrographs, "outputMicrographs"),
    )
    few = places(pick)
    assert in_dirt(few).sum() == 0
    assert in_the_clear(few).sum() > 10
    properties, (row,) = read_set(pick.outputMicrographs.getFileName())
    assert row["_micName"] == "m1.mrc"
    assert row["_pupickUsable"] == pytest.approx(1 - 40 / 256, abs=0.06)
    assert row["_pupickOnContamination"] > 0
    mask, pixel_size = read_mask(project.path / row["_pupickMask"])
    assert mask.mean() == pytest.approx(40 / 256, abs=0.06)
    assert pixel_size == pytest.approx(PIXEL_SIZE)
    assert float(properties["_samplingRate"]) == PIXEL_SIZE
    assert any("1 of 2 micrographs have a usable share" in line for line in pick._summary())
    # a threshold chooses among what the picking would have picked
    lowered = project.run(
        PUPickProtThreshold, inputCoordinates=(pick, "outputCoordinates"), threshold=-8.0
    )
    assert in_dirt(places(lowered)).sum() == 0
    assert len(places(lowered)) > len(few)
    project.resume(pick, contamination=1.0, leastUsable=0.0)
    assert in_dirt(places(pick)).sum() > 0
    _, rows = read_set(pick.outputMicrographs.getFileName())
    assert [row["_pupickOnContamination"] for row in rows] == [0, 0]
    assert pick._wholeRun().record["reused"] == 2
