# SPDX-License-Identifier: GPL-3.0-or-later
"""The templates for facilities, and extraction by RELION through its own Scipion plugin."""

import shutil
from importlib.util import find_spec

import mrcfile
import numpy as np
import pytest
from helpers.scipion_project import WARNINGS_OF_SCIPION, Domain, Project
from helpers.scipion_template import load_template
from helpers.simulated import PIXEL_SIZE, simulate_set

from scipion_pupick.constants import MODEL_GENERAL, MODEL_TRAINED
from scipion_pupick.engine import read_picks

pytestmark = [pytest.mark.slow, WARNINGS_OF_SCIPION]
needs_relion = pytest.mark.skipif(
    find_spec("relion") is None or shutil.which("relion_preprocess") is None,
    reason="needs RELION and its plugin for Scipion: pip install scipion-em-relion",
)
BOX = 48


@pytest.fixture(scope="module")
def micrographs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("micrographs")
    simulate_set(folder, range(60, 63))
    return folder


def common(folder):
    return {
        "folder": folder,
        "pixelsize": PIXEL_SIZE,
        "streaming": "false",
        "diameter": 96,
        "box": BOX,
        "usegpu": "false",
    }


@needs_relion
def test_the_template_for_training_is_wired(micrographs):
    values = {**common(micrographs), "gpus": 1, "threads": 3, "picks": 150, "micrographs": 7}
    protocols = load_template(Project("wired"), "pupick-train", values)
    _, first, train, second, extract = protocols
    for protocol in (first, train, second):
        assert not protocol.useGpu
        assert protocol.gpuList == "1"
        assert protocol.engineThreads() == 3
    assert first.modelFrom == MODEL_GENERAL
    assert first.diameter == train.diameter == 96
    assert second.modelFrom == MODEL_TRAINED
    assert second.inputModel.getObjValue() is train
    assert second.inputModel.getExtended() == "outputModel"
    assert extract.inputCoordinates.getObjValue() is second
    assert (train.minPicks, train.minMicrographs) == (150, 7)
    assert train.worksInStreaming()
    assert second.worksInStreaming()


@pytest.fixture(scope="module")
def runs(micrographs):
    """The template for picking and extraction, run to its end."""
    project = Project("relion")
    loaded = load_template(project, "pupick-general", common(micrographs))
    _, picking, extraction = loaded
    for protocol in loaded:
        project.finish(protocol)
    return project, picking, extraction


def scores_of(coordinates):
    return {
        (c.getMicId(), c.getX(), c.getY()): c._pupickScore.get() for c in coordinates.iterItems()
    }


@needs_relion
def test_relion_extracts_centred_particles_with_their_scores(runs):
    project, picking, extraction = runs
    picked = scores_of(picking.outputCoordinates)
    particles = extraction.outputParticles
    assert particles.getSize() > 50
    images = []
    for particle in particles:
        place = particle.getCoordinate()
        assert place._pupickScore.get() == picked[(place.getMicId(), place.getX(), place.getY())]
        index, path = particle.getLocation()
        with mrcfile.mmap(project.path / path, permissive=True) as file:
            images.append(np.array(file.data[index - 1], np.float32))
    average = np.mean(images, axis=0)
    assert average.shape == (BOX, BOX)
    rows, columns = np.indices(average.shape)
    inside = np.hypot(rows - BOX / 2, columns - BOX / 2) < 16
    # RELION has inverted the contrast, so that particles are bright
    weight = np.where(inside, average - np.median(average[~inside]), 0).clip(min=0)
    centre = [float((axis * weight).sum() / weight.sum()) for axis in (columns, rows)]
    assert centre == pytest.approx([BOX / 2, BOX / 2], abs=0.5)


@needs_relion
@pytest.mark.parametrize("what", ["particles", "coordinates"])
def test_the_figure_of_merit_reaches_relions_star_files(runs, what):
    project, picking, extraction = runs
    protocols = Domain.getProtocols()
    if what == "particles":
        source = {"inputParticles": (extraction, "outputParticles")}
        run = project.run(protocols["ProtRelionExportParticles"], **source)
    else:
        source = {"inputCoordinates": (picking, "outputCoordinates")}
        run = project.run(protocols["ProtRelionExportCoordinates"], **source)
    found = read_picks(project.path / run.getPath("Export"))
    merits = np.concatenate([coordinates.score for coordinates in found.values()])
    known = [*scores_of(picking.outputCoordinates).values()]
    if what == "coordinates":
        assert np.sort(merits) == pytest.approx(np.sort(known), abs=1e-3)
    else:
        assert len(merits) == extraction.outputParticles.getSize()
        assert all(np.abs(np.array(known) - merit).min() < 1e-3 for merit in merits)
