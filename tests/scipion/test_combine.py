# SPDX-License-Identifier: GPL-3.0-or-later
"""One set of coordinates out of those of several pickers."""

import pytest
from helpers.scipion_project import (
    WARNINGS_OF_SCIPION,
    Project,
    PUPickProtImportCoordinates,
    read_set,
)
from helpers.simulated import PIXEL_SIZE, as_picks, simulate_set
from pyworkflow.object import Pointer

from scipion_pupick.convert import picked_in, read_coordinates
from scipion_pupick.engine import write_picks
from scipion_pupick.engine.settings import RULES
from scipion_pupick.protocols import PUPickProtCombine

pytestmark = [pytest.mark.slow, WARNINGS_OF_SCIPION]


def test_what_both_pickers_found_is_taken(tmp_path):
    particles = simulate_set(tmp_path, range(80, 82))
    project = Project("combined")
    micrographs = project.micrographs(tmp_path / "*.mrc", PIXEL_SIZE)
    source = {"inputMicrographs": (micrographs, "outputMicrographs")}
    runs = []
    for first, last in ((0, 10), (6, 15)):
        path = tmp_path / f"{first}.star"
        write_picks(as_picks({name: xy[first:last] for name, xy in particles.items()}), path)
        runs.append(
            project.run(PUPickProtImportCoordinates, filesPath=str(path), boxSize=36, **source)
        )
    rule = list(RULES).index("intersection")
    combined = project.make(
        PUPickProtCombine, inputCoordinates=(runs[0], "outputCoordinates"), rule=rule
    )
    combined.otherCoordinates.append(Pointer(runs[1], extended="outputCoordinates"))
    assert combined._validate() == ["Give the diameter of the particle."]
    combined.diameter.set(96.0)
    done = project.finish(combined)
    _, rows = read_set(done.outputCoordinates.getFileName())
    assert len(rows) == 4 * len(particles)
    assert f"{len(rows)} by 2 of the pickers" in done._summary()[0]


def test_a_picker_has_seen_all_micrographs_of_its_set(tmp_path):
    particles = simulate_set(tmp_path, range(80, 83))
    project = Project("seen")
    micrographs = project.micrographs(tmp_path / "*.mrc", PIXEL_SIZE)
    picks = as_picks(particles)
    path = tmp_path / "two.star"
    write_picks({name: picks[name] for name in sorted(picks)[:2]}, path)
    source = {"inputMicrographs": (micrographs, "outputMicrographs")}
    run = project.run(PUPickProtImportCoordinates, filesPath=str(path), boxSize=36, **source)
    every = [micrograph.clone() for micrograph in micrographs.outputMicrographs]
    files = [micrograph.getFileName() for micrograph in every]
    assert picked_in(run.outputCoordinates, every) == files
    assert len(read_coordinates(run.outputCoordinates, every).picks) == 2
    assert picked_in(run.outputCoordinates, every[:1]) == files[:1]
