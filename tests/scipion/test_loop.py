# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole way round in a real project: picks, binned particles, 2D classes, a selection, again.

RELION extracts and classifies through its plugin; classes are selected as Scipion's viewer does it.
"""

import shutil
import sqlite3
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import starfile
from helpers.scipion_project import (
    WARNINGS_OF_SCIPION,
    Domain,
    Project,
    PUPickProtImportCoordinates,
    PUPickProtTrain,
    point,
    read_set,
)
from helpers.scipion_template import load_template
from helpers.simulated import PIXEL_SIZE, as_picks, simulate_set
from pwem.protocols import ProtUnionSet, ProtUserSubSet
from pyworkflow.object import Pointer

from scipion_pupick.constants import MODEL_GENERAL, MODEL_TRAINED, START_SCRATCH
from scipion_pupick.engine import (
    Coordinates,
    read_corrected_picks,
    read_json,
    read_pick_run,
    read_picks,
    write_picks,
)
from scipion_pupick.engine.coordinates.corrections import Correction, write_corrections
from scipion_pupick.engine.runs.layout import CORRECTIONS
from scipion_pupick.engine.runs.suggested import read_suggested
from scipion_pupick.engine.settings.constants import DONE, NETWORKS
from scipion_pupick.protocols import PUPickProtSuggest
from scipion_pupick.viewers.scored_picks import save_corrected

pytestmark = [
    pytest.mark.slow,
    WARNINGS_OF_SCIPION,
    pytest.mark.skipif(
        find_spec("relion") is None or shutil.which("relion_refine") is None,
        reason="needs RELION and its plugin for Scipion: pip install scipion-em-relion",
    ),
]
# too little to learn much from
QUICK = {"epochs": 1, "moreArguments": "--steps 2 --check-picks off --held-out 0"}
# of a small network, where it does not matter what is learned
SMALL = {**QUICK, "startFrom": START_SCRATCH, "particlesPerMicrograph": 25}
SMALL["network"] = list(NETWORKS).index("conv3")
BOX, BINNED = 48, 24
# RELION's own choice of it depends on the clock
SEED = "--random_seed 1"


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    return simulate_set(tmp_path_factory.mktemp("micrographs"), range(60, 63))


@pytest.fixture(scope="module")
def loop(truth):
    """The template, run as far as it goes without a selection."""
    folder = next(iter(truth)).rpartition("/")[0]
    values = {"folder": folder, "pixelsize": PIXEL_SIZE, "diameter": 96, "box": BOX}
    values |= {"binned": BINNED, "mask": 120, "classes": 5, "iterations": 4, "usegpu": "false"}
    values |= {"relionsgpu": "false", "relionsthreads": 1, "threads": 2}
    project = Project("loop")
    protocols = load_template(project, "pupick-loop", values)
    imported, picked, extracted, classified, train, again, last = protocols
    # an option of RELION 4 and later
    classified.centerAvg.set(False)
    classified.extraParams.set(SEED)
    for protocol in (imported, picked, extracted, classified):
        project.finish(protocol)
    return project, protocols


def subset_of(project, run, name, kept, kind, label):
    """Make a subset as Scipion's viewer does: what was not selected is disabled in a copy."""
    source = getattr(run, name)
    marked = project.path / f"{label}.sqlite"
    shutil.copy(project.path / source.getFileName(), marked)
    with sqlite3.connect(marked) as connection:
        numbers = [number for (number,) in connection.execute("select id from Objects")]
        rows = [(number,) for number in numbers if number not in kept]
        connection.executemany("update Objects set enabled=0 where id=?", rows)
    values = {"sqliteFile": f"{marked.name},", "outputClassName": kind}
    return project.run(ProtUserSubSet, inputObject=(run, name), **values)


def classes_of(run):
    """Ids of the particles of each class, by the class's id, as the set's file has them."""
    found = {}
    with sqlite3.connect(f"file:{run.outputClasses.getFileName()}?mode=ro", uri=True) as file:
        for (number,) in file.execute("select id from Objects").fetchall():
            members = file.execute(f"select id from Class{number:03d}_Objects")
            found[number] = {member for (member,) in members}
    return found


@pytest.fixture(scope="module")
def selection(loop):
    """Subsets of the classes' particles, and of the classes: those of the largest class."""
    project, (_, _, _, classified, *_) = loop
    classes = classes_of(classified)
    chosen = max(classes, key=lambda number: len(classes[number]))
    subsets = {
        kind: subset_of(project, classified, "outputClasses", {chosen}, kind, kind)
        for kind in ("SetOfParticles", "SetOfClasses2D")
    }
    return chosen, classes, subsets


def rejected(classes, chosen):
    """Particles of classes of which none was selected, and which are more than a few."""
    least = 0.1 * np.mean([len(members) for members in classes.values()])
    return sum(len(m) for n, m in classes.items() if n not in chosen and len(m) >= least)


def trained_on(train, name="picks"):
    """Places (n, 2), px, that a training was given."""
    path = train._getExtraPath("round_001", f"{name}.star")
    return {m: picks.xy for m, picks in read_picks(path).items()}


def places_by_relion(run, chosen):
    """Places (n, 2), px, of a class's particles with their shifts, by RELION's own last file.

    Scipion gives it the coordinates of binned particles in binned px.
    """
    path = max(Path(run._getExtraPath()).glob("relion_it*_data.star"))
    table = starfile.read(path)["particles"]
    rows = table[table["rlnClassNumber"] == chosen]
    xy = rows[["rlnCoordinateX", "rlnCoordinateY"]].to_numpy() * BOX / BINNED
    return xy - rows[["rlnOriginXAngst", "rlnOriginYAngst"]].to_numpy() / PIXEL_SIZE


def misses(places, truth):
    """From each place to the nearest true particle (n, 2), px."""
    found = []
    for name, xy in places.items():
        (true,) = (t for path, t in truth.items() if path.endswith(name.rpartition("/")[2]))
        apart = xy[:, None] - true[None]
        nearest = np.argmin(np.linalg.norm(apart, axis=2), axis=1)
        found.append(apart[np.arange(len(xy)), nearest])
    return np.concatenate(found)


def record_of(train):
    return read_json(train._getExtraPath("round_001", "train.json"))


def test_the_template_waits_for_a_selection_alone(loop):
    project, (imported, picked, extracted, classified, train, again, last) = loop
    assert picked.modelFrom == MODEL_GENERAL
    assert picked.diameter == train.diameter == 96
    assert extracted.rescaledSize == BINNED
    assert classified.inputParticles.getObjValue() is extracted
    assert train.negativeCoordinates.getObjValue() is classified
    assert train.negativeCoordinates.getExtended() == "outputClasses"
    assert not train.inputCoordinates.hasValue()
    # only the input that Scipion itself asks for is missing
    assert train._validate() == []
    assert len(train.validate()) == 1
    assert again.modelFrom == MODEL_TRAINED
    assert again.inputModel.getObjValue() is train
    assert last.inputCoordinates.getObjValue() is again


def test_the_selection_is_trained_on_and_the_model_picks_again(loop, selection, truth):
    project, (_, _, extracted, classified, train, again, last) = loop
    chosen, classes, subsets = selection
    point(train.inputCoordinates, subsets["SetOfParticles"], "outputParticles")
    for name, value in QUICK.items():
        getattr(train, name).set(value)
    for protocol in (train, again, last):
        project.finish(protocol)
    places = trained_on(train)
    assert sum(map(len, places.values())) == len(classes[chosen])
    np.testing.assert_allclose(
        sorted(np.concatenate(list(places.values())).tolist()),
        sorted(places_by_relion(classified, chosen).tolist()),
        atol=0.01,
    )
    # where the average has its centre is RELION's choice, so this is for gross errors alone
    assert np.median(np.linalg.norm(misses(places, truth), axis=1)) < 6
    wanted = rejected(classes, {chosen})
    negatives = trained_on(train, "negatives") if wanted else {}
    assert sum(map(len, negatives.values())) == wanted
    assert record_of(train)["labels"] == len(classes[chosen])
    assert f"Trained on {len(classes[chosen])} picks" in train._summary()[0]
    assert again.outputCoordinates.getSize() > 0
    assert last.outputParticles.getSize() == again.outputCoordinates.getSize()


def test_classes_that_were_selected_are_as_good_as_their_particles(loop, selection):
    project, (imported, _, _, classified, train, *_) = loop
    chosen, classes, subsets = selection
    run = project.run(
        PUPickProtTrain,
        inputMicrographs=(imported, "outputMicrographs"),
        inputCoordinates=(subsets["SetOfClasses2D"], "outputClasses2D"),
        negativeCoordinates=(classified, "outputClasses"),
        diameter=96.0,
        **SMALL,
    )
    first, second = trained_on(run), trained_on(train)
    assert first.keys() == second.keys()
    for name, xy in first.items():
        assert sorted(xy.tolist()) == sorted(second[name].tolist())
    assert record_of(run)["negatives"] == record_of(train)["negatives"]


def test_what_is_left_of_a_class_that_was_selected_in_part_is_neither(loop, selection, truth):
    project, (imported, _, _, classified, *_) = loop
    chosen, classes, subsets = selection
    some = set(sorted(classes[chosen])[:20])
    part = subset_of(
        project, subsets["SetOfParticles"], "outputParticles", some, "SetOfParticles", "some"
    )
    run = project.run(
        PUPickProtTrain,
        inputMicrographs=(imported, "outputMicrographs"),
        inputCoordinates=(part, "outputParticles"),
        negativeCoordinates=(classified, "outputClasses"),
        diameter=96.0,
        **SMALL,
    )
    assert record_of(run)["labels"] == 20
    negatives = trained_on(run, "negatives").values() if rejected(classes, {chosen}) else []
    assert sum(map(len, negatives)) == rejected(classes, {chosen})


@pytest.fixture(scope="module")
def shifted(loop, truth, tmp_path_factory):
    """Picks of another run, each off by some px; extracted, binned, and aligned by RELION."""
    project, (imported, _, extracted, *_) = loop
    random = np.random.default_rng(0)
    off = {name: random.uniform(-5, 5, xy.shape).round() for name, xy in truth.items()}
    path = tmp_path_factory.mktemp("shifted") / "picks.star"
    write_picks(as_picks({name: np.rint(xy) + off[name] for name, xy in truth.items()}), path)
    coordinates = project.run(
        PUPickProtImportCoordinates,
        inputMicrographs=(imported, "outputMicrographs"),
        filesPath=str(path),
        boxSize=BOX,
    )
    particles = project.run(
        type(extracted),
        inputCoordinates=(coordinates, "outputCoordinates"),
        boxSize=BOX,
        doRescale=True,
        rescaledSize=BINNED,
        doInvert=True,
        numberOfMpi=1,
    )
    aligned = project.run(
        Domain.getProtocols()["ProtRelionClassify2D"],
        inputParticles=(particles, "outputParticles"),
        maskDiameterA=140,
        doCTF=False,
        numberOfClasses=1,
        useGradientAlg=False,
        centerAvg=False,
        numberOfIterations=8,
        extraParams=SEED,
        doGpu=False,
        numberOfThreads=1,
        numberOfMpi=1,
    )
    return particles, aligned


def test_shifts_that_relion_has_refined_bring_picks_onto_the_particles(loop, shifted, truth):
    project, (imported, *_) = loop
    particles, aligned = shifted
    source = {"inputMicrographs": (imported, "outputMicrographs"), "diameter": 96.0, **SMALL}
    before = project.run(PUPickProtTrain, inputCoordinates=(particles, "outputParticles"), **source)
    after = project.run(PUPickProtTrain, inputCoordinates=(aligned, "outputClasses"), **source)
    # where the average has its centre is RELION's choice, so that the spread counts
    spread = [np.std(misses(trained_on(run), truth), axis=0) for run in (before, after)]
    assert (spread[0] > 2.5).all()
    # were they taken the other way round, it would grow by a third or more
    assert (spread[1] < 0.85 * spread[0]).all()


def test_particles_of_several_runs_of_picks_are_joined(loop, selection, shifted, truth):
    project, (imported, _, _, classified, *_) = loop
    chosen, classes, subsets = selection
    particles, _ = shifted
    both = project.make(ProtUnionSet)
    for run in (subsets["SetOfParticles"], particles):
        both.inputSets.append(Pointer(run, extended="outputParticles"))
    joined = project.finish(both)
    run = project.run(
        PUPickProtTrain,
        inputMicrographs=(imported, "outputMicrographs"),
        inputCoordinates=(joined, "outputSet"),
        diameter=96.0,
        **SMALL,
    )
    places = trained_on(run)
    total = len(classes[chosen]) + sum(map(len, truth.values()))
    assert sum(map(len, places.values())) == total
    assert np.median(np.linalg.norm(misses(places, truth), axis=1)) < 5


def test_suggested_picks_are_corrected_and_learned(loop, tmp_path):
    project, (imported, picked, *_) = loop
    run = project.run(PUPickProtSuggest, inputCoordinates=(picked, "outputCoordinates"), count=12)
    shown = read_suggested(run._getExtraPath("suggestion")).shown
    _, rows = read_set(run.outputCoordinates.getFileName())
    number = sum(map(len, shown.values()))
    assert 12 <= len(rows) == number < picked.outputCoordinates.getSize()
    assert run.outputCoordinates.getBoxSize() == picked.outputCoordinates.getBoxSize()
    _, micrographs = read_set(run.outputMicrographs.getFileName())
    assert {row["_filename"] for row in micrographs} == set(shown)
    assert run.outputMicrographs.getSamplingRate() == PIXEL_SIZE
    summary = "\n".join(run._summary())
    assert f"{number} picks in {len(shown)} micrographs to look at" in summary
    assert "doubtful picks" in summary
    # a person removes the first pick of one micrograph and adds one; Scipion has whole pixels
    name = next(iter(shown))
    places = {m: np.rint(picks.xy) for m, picks in shown.items()}
    places[name] = np.vstack([places[name][1:], [[128, 3]]])
    write_picks(as_picks(places), tmp_path / "corrected.star")
    corrected = project.run(
        PUPickProtImportCoordinates,
        inputMicrographs=(imported, "outputMicrographs"),
        filesPath=str(tmp_path / "corrected.star"),
        boxSize=BOX,
    )
    trained = project.run(
        PUPickProtTrain,
        inputMicrographs=(imported, "outputMicrographs"),
        inputCoordinates=(corrected, "outputCoordinates"),
        correctedCoordinates=(run, "outputCoordinates"),
        done=list(DONE).index("changed"),
        diameter=96.0,
        **QUICK,
    )
    record = record_of(trained)
    # the other picks of the run were not shown, so that nothing is said of them
    assert record["negatives"] == 1
    assert record["labels"] == len(shown[name])


def test_only_pupicks_own_picks_can_be_suggested(loop, shifted):
    project, (imported, *_) = loop
    particles, _ = shifted
    coordinates = particles.inputCoordinates.getObjValue()
    (error,) = project.errors(
        PUPickProtSuggest, inputCoordinates=(coordinates, "outputCoordinates")
    )
    assert "have to be the output of *pupick - pick*" in error


def test_what_was_corrected_in_the_browser_is_an_output_and_is_learned(loop):
    project, (imported, picked, *_) = loop
    folder = Path(picked.getCoordsDir())
    run = read_pick_run(folder)
    name, peaks = next(iter(run.peaks()))
    picks = run.cut.choose(peaks)
    new = Coordinates.unscored([60.0, 128.0], [250.0, 3.0])
    correction = Correction(picks.select([0]), new, picks.select([1, 2]))
    write_corrections(folder / CORRECTIONS, {name: correction})
    try:
        before = picked.outputCoordinates.getSize()
        output = save_corrected(picked, picked.outputCoordinates, read_corrected_picks(folder))
        assert output.getSize() == before + 1
        _, rows = read_set(output.getFileName())
        places = {(row["_x"], row["_y"]) for row in rows if name.endswith(row["_micName"])}
        assert {(60, 250), (128, 3)} <= places
        assert tuple(np.rint(picks.xy[0])) not in places
        source = {"inputMicrographs": (imported, "outputMicrographs"), "diameter": 96.0}
        source["correctedCoordinates"] = (picked, "outputCoordinates")
        # the set itself, whose corrections lie with its run, or the new output
        for corrected, labels in (("outputCoordinates", 4), (output.getLastName(), 2)):
            run = project.run(
                PUPickProtTrain, inputCoordinates=(picked, corrected), **source, **SMALL
            )
            assert record_of(run)["negatives"] == 1
            assert record_of(run)["labels"] == labels
    finally:
        (folder / CORRECTIONS).unlink()
