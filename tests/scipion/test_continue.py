# SPDX-License-Identifier: GPL-3.0-or-later
"""Continue in Scipion after something else has changed than the threshold."""

import os
import shutil
import sys
from pathlib import Path

import mrcfile
import numpy as np
import pytest
from helpers.scipion_project import (
    WARNINGS_OF_SCIPION,
    Coordinate,
    Project,
    PUPickProtEvaluate,
    PUPickProtImportCoordinates,
    PUPickProtPick,
    PUPickProtPreprocess,
    PUPickProtThreshold,
    PUPickProtTrain,
    expected,
    picked,
    point,
    read_set,
)
from helpers.simulated import PIXEL_SIZE, as_picks, simulate_set

from scipion_pupick import engine
from scipion_pupick.constants import MODEL_GENERAL, START_SCRATCH, THRESHOLD_VALUE
from scipion_pupick.engine import write_picks
from scipion_pupick.engine.coordinates.corrections import Correction, write_corrections
from scipion_pupick.engine.runs.layout import CORRECTIONS, FAILED
from scipion_pupick.engine.settings import NORMALISATIONS
from scipion_pupick.engine.settings.constants import DONE
from scipion_pupick.protocols.training_rounds import SAID

pytestmark = [pytest.mark.slow, WARNINGS_OF_SCIPION]

LEAST = -4.0


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A model trained on three micrographs, in a hurry."""
    folder = tmp_path_factory.mktemp("continued")
    particles = simulate_set(folder, range(70, 73))
    project = Project("continued")
    micrographs = project.micrographs(folder / "*.mrc", PIXEL_SIZE)
    source = {"inputMicrographs": (micrographs, "outputMicrographs")}
    picks = []
    for most in (10, 7):
        path = folder / f"first_{most}.star"
        write_picks(as_picks(particles, most), path)
        run = project.run(PUPickProtImportCoordinates, filesPath=str(path), boxSize=36, **source)
        picks.append(run)
    train = project.run(
        PUPickProtTrain,
        inputCoordinates=(picks[0], "outputCoordinates"),
        diameter=96.0,
        particlesPerMicrograph=25,
        startFrom=START_SCRATCH,
        network=0,
        epochs=1,
        autoencoder=0.0,
        moreArguments="--steps 5 --held-out 0 --check-picks off",
        numberOfThreads=1,
        **source,
    )
    made = {"picks": picks, "train": train, "particles": particles}
    return {"project": project, "source": source, "folder": folder, **made}


def test_a_model_that_was_trained_anew_picks_all_anew(runs, tmp_path):
    project, folder, train = runs["project"], runs["folder"], runs["train"]
    pick = project.run(
        PUPickProtPick,
        inputModel=(train, "outputModel"),
        thresholdFrom=THRESHOLD_VALUE,
        threshold=LEAST,
        **runs["source"],
    )
    path = train.outputModel.getPath()
    before = expected(path, [folder], tmp_path / "before", threshold=LEAST)
    assert picked(pick)[0] == before
    project.resume(train, seed=5)
    assert train.outputModel.getPath() == path
    after = expected(path, [folder], tmp_path / "after", threshold=LEAST)
    assert after != before
    project.resume(pick)
    assert picked(pick)[0] == after
    # the report, too, is of the new picks
    listed = engine.read_picks(pick.getPath("extra", "pupick", "picks.star"))
    assert sum(map(len, listed.values())) == len(after)


def labels_of(train):
    return engine.show_model(train.outputModel.getPath())["training"]["labels"]


def test_a_training_on_other_picks_starts_anew(runs):
    project, train = runs["project"], runs["train"]
    second = runs["picks"][1]
    assert labels_of(train) == 30
    point(train.inputCoordinates, second, "outputCoordinates")
    project.resume(train)
    assert labels_of(train) == 21
    # places without a particle are input, too
    before = engine.load_model(train.outputModel.getPath()).digest
    path = runs["folder"] / "others.star"
    others = {name: xy[10:20] for name, xy in runs["particles"].items()}
    write_picks(as_picks(others), path)
    negatives = project.run(
        PUPickProtImportCoordinates, filesPath=str(path), boxSize=36, **runs["source"]
    )
    point(train.negativeCoordinates, negatives, "outputCoordinates")
    project.resume(train)
    assert engine.load_model(train.outputModel.getPath()).digest != before
    # to train again as picks come in is no reason to forget what was trained
    model = Path(train.outputModel.getPath())
    written = model.stat().st_mtime_ns
    project.resume(train, keepTraining=True)
    assert model.stat().st_mtime_ns == written


def test_a_training_follows_when_its_picks_were_chosen_anew(runs):
    """As by Scipion's *Continue all*, which continues a training with the parameters it has."""
    project, pick = runs["project"], pick_on(runs, runs["source"])
    train = train_on(runs, pick, streamingSleepOnWait=1)
    _, rows = read_set(pick.outputCoordinates.getFileName())
    assert labels_of(train) == len(rows)
    scores = sorted(row["_pupickScore"] for row in rows)
    project.resume(pick, threshold=round(scores[len(rows) // 2], 2))
    project.resume(train)
    assert 0 < labels_of(train) == pick.outputCoordinates.getSize() < len(rows)
    # and stays as it is where they are the same
    written = Path(train.outputModel.getPath()).stat().st_mtime_ns
    project.resume(train, keepTraining=True)
    assert Path(train.outputModel.getPath()).stat().st_mtime_ns == written


def written(train):
    """When a model was written: a training that starts anew writes to the same path."""
    return Path(train.outputModel.getPath()).stat().st_mtime_ns


def test_a_training_follows_when_other_places_are_without_a_particle(runs):
    """As by *Continue all* after the import: the set keeps its id."""
    project, paths = runs["project"], [runs["folder"] / f"none_{i}.star" for i in (1, 2)]
    for path, rows in zip(paths, (slice(10, 14), slice(14, 20))):
        others = {name: xy[rows] for name, xy in runs["particles"].items()}
        write_picks(as_picks(others), path)
    negatives = project.run(
        PUPickProtImportCoordinates, filesPath=str(paths[0]), boxSize=36, **runs["source"]
    )
    places = {"negativeCoordinates": (negatives, "outputCoordinates")}
    train = train_on(runs, runs["picks"][0], **places)
    first = written(train)
    project.resume(train)
    assert written(train) == first
    project.resume(negatives, filesPath=str(paths[1]))
    project.resume(train)
    assert engine.show_model(train.outputModel.getPath())["training"]["negatives"] == 18


def test_a_training_follows_when_more_is_corrected(runs):
    project, pick = runs["project"], pick_on(runs, runs["source"])
    os.chdir(project.path)
    run = engine.read_pick_run(pick.getCoordsDir())
    name, peaks = next(iter(run.peaks()))
    picks, path = run.cut.choose(peaks), run.folder / CORRECTIONS

    def correct(number):
        correction = Correction(picks.select(range(number)), confirmed=picks.select([10, 11]))
        write_corrections(path, {name: correction})

    correct(1)
    train = train_on(runs, pick, correctedCoordinates=(pick, "outputCoordinates"))
    first, record = written(train), Path(train._getExtraPath("round_001", SAID))
    project.resume(train)
    assert written(train) == first
    # a run of an earlier version has not noted what was said
    record.unlink()
    project.resume(train)
    assert written(train) == first
    correct(4)
    project.resume(train)
    second = written(train)
    assert second > first
    assert record.exists()
    # that the micrograph is done says that the picks that were left are particles
    labels = labels_of(train)
    project.resume(train, done=list(DONE).index("changed"))
    assert labels_of(train) > labels
    # where nothing is said any more, the model is kept
    write_corrections(path, {})
    third = written(train)
    project.project.launchProtocol(train, wait=True)
    assert train.isFailed()
    assert "No pick is corrected any more" in train.getErrorMessage()
    assert written(train) == third


def test_another_least_distance_picks_all_anew(runs, tmp_path):
    project, folder, train = runs["project"], runs["folder"], runs["train"]
    threshold = {"thresholdFrom": THRESHOLD_VALUE, "threshold": LEAST}
    source = {"inputModel": (train, "outputModel"), **runs["source"]}
    pick = project.run(PUPickProtPick, separation=60.0, **threshold, **source)
    path = train.outputModel.getPath()
    far = expected(path, [folder], tmp_path / "far", threshold=LEAST, min_distance=60.0)
    near = expected(path, [folder], tmp_path / "near", threshold=LEAST)
    assert picked(pick)[0] == far != near
    project.resume(pick, separation=-1.0)
    assert picked(pick)[0] == near


def broken(folder, name):
    """Damage a micrograph of a folder, and give what it was."""
    path = folder / name
    whole = path.read_bytes()
    path.write_bytes(b"no image at all" * 200)
    return whole


def import_copies(runs, tmp_path):
    folder = tmp_path / "copies"
    shutil.copytree(runs["folder"], folder)
    run = runs["project"].micrographs(folder / "*.mrc", PIXEL_SIZE)
    return folder, {"inputMicrographs": (run, "outputMicrographs")}


def test_micrographs_that_failed_are_tried_again(runs, tmp_path):
    project, train = runs["project"], runs["train"]
    folder, source = import_copies(runs, tmp_path)
    whole = broken(folder, "m71.mrc")
    pick = project.run(
        PUPickProtPick,
        inputModel=(train, "outputModel"),
        thresholdFrom=THRESHOLD_VALUE,
        threshold=LEAST,
        streamingBatchSize=1,
        **source,
    )
    kept = Path(pick.getPath("extra", "pupick", "scores"))
    written = {path: path.stat().st_mtime_ns for path in kept.rglob("*.safetensors")}
    assert len(written) == 2
    assert "m71.mrc" not in {row[0] for row in picked(pick)[0]}
    # still broken
    project.resume(pick)
    assert "1 of 3 micrographs could not be used" in "\n".join(pick._summary())
    (folder / "m71.mrc").write_bytes(whole)
    project.resume(pick)
    model = train.outputModel.getPath()
    assert picked(pick)[0] == expected(model, [folder], tmp_path / "whole", threshold=LEAST)
    assert "could not be used" not in "\n".join(pick._summary())
    listed = engine.read_picks(pick.getPath("extra", "pupick", "picks.star"))
    assert sum(map(len, listed.values())) == pick.outputCoordinates.getSize()
    assert written.items() <= {p: p.stat().st_mtime_ns for p in kept.rglob("*.safetensors")}.items()
    # and nothing is done once more
    steps = Path(pick.getLogPaths()[0]).read_text().count("STARTED")
    project.resume(pick)
    assert Path(pick.getLogPaths()[0]).read_text().count("STARTED") == steps


def test_a_run_in_which_all_failed_is_rescued(runs, tmp_path):
    project = runs["project"]
    folder, source = import_copies(runs, tmp_path)
    whole = {path.name: broken(folder, path.name) for path in folder.glob("*.mrc")}
    # the fitted threshold is the score of a peak, which rounding may put on either side of it
    options = {"thresholdFrom": THRESHOLD_VALUE, "threshold": 0.0, "diameter": 96.0}
    pick = project.make(PUPickProtPick, modelFrom=MODEL_GENERAL, **options, **source)
    project.project.launchProtocol(pick, wait=True)
    assert "None of the 3 micrographs could be used" in pick.getErrorMessage()
    for name, content in whole.items():
        (folder / name).write_bytes(content)
    project.resume(pick)
    settings = {"threshold": 0.0, "diameter": 96.0}
    assert picked(pick)[0] == expected("general", [folder], tmp_path / "whole", **settings)


def test_a_micrograph_that_comes_back_at_the_end_is_in_the_output(runs, tmp_path, monkeypatch):
    project, train = runs["project"], runs["train"]
    folder, source = import_copies(runs, tmp_path)
    whole = tmp_path / "whole.mrc"
    whole.write_bytes(broken(folder, "m71.mrc"))
    # the last call of the engine, on all micrographs, finds it mended
    mending = tmp_path / "python"
    mending.write_text(
        "#!/bin/bash\nwhile IFS= read -r command; do\n"
        f'  case "$command" in *batches/all.star*) cp {whole} {folder}/m71.mrc ;; esac\n'
        f'  printf "%s\\n" "$command"\ndone | {sys.executable} "$@"\n'
    )
    mending.chmod(0o755)
    monkeypatch.setenv("PUPICK_PYTHON", str(mending))
    # its own threshold is the score of a peak, which rounding may put on either side of it
    options = {"thresholdFrom": THRESHOLD_VALUE, "threshold": LEAST}
    pick = project.run(PUPickProtPick, inputModel=(train, "outputModel"), **options, **source)
    found = picked(pick)[0]
    model = train.outputModel.getPath()
    assert found == expected(model, [folder], tmp_path / "whole", threshold=LEAST)
    assert pick.outputCoordinates.getSize() == len(found)
    assert pick.outputCoordinates.isStreamClosed()
    assert "could not be used" not in "\n".join(pick._summary())


@pytest.fixture(scope="module")
def others(runs, tmp_path_factory):
    """Other micrographs with the ids of the first, a reference, and the picks of both."""
    project, folder = runs["project"], tmp_path_factory.mktemp("others")
    particles = simulate_set(folder, range(80, 82))
    micrographs = project.micrographs(folder / "*.mrc", PIXEL_SIZE)
    source = {"inputMicrographs": (micrographs, "outputMicrographs")}
    path = folder / "reference.star"
    write_picks(as_picks(particles, 20), path)
    reference = project.run(PUPickProtImportCoordinates, filesPath=str(path), boxSize=36, **source)
    picks = [pick_on(runs, each) for each in (runs["source"], source)]
    return {"folder": folder, "source": micrographs, "reference": reference, "picks": picks}


def pick_on(runs, source):
    return runs["project"].run(
        PUPickProtPick,
        inputModel=(runs["train"], "outputModel"),
        thresholdFrom=THRESHOLD_VALUE,
        threshold=LEAST,
        **source,
    )


NAMES = {"m80.mrc", "m81.mrc"}


def names_in(items):
    return {row["_micName"] for row in read_set(items.getFileName())[1]}


def test_other_micrographs_are_picked(runs, others, tmp_path):
    pick = pick_on(runs, runs["source"])
    point(pick.inputMicrographs, others["source"], "outputMicrographs")
    runs["project"].resume(pick)
    model = runs["train"].outputModel.getPath()
    assert picked(pick)[0] == expected(model, [others["folder"]], tmp_path, threshold=LEAST)
    assert {m.getMicName() for m in pick.outputCoordinates.getMicrographs()} == NAMES
    sources = runs["project"].project.getSourceParents(pick.outputCoordinates)
    assert [each.getObjId() for each in sources] == [others["source"].getObjId()]


def test_other_coordinates_are_chosen_from(runs, others):
    first, second = others["picks"]
    choose = runs["project"].run(
        PUPickProtThreshold, inputCoordinates=(first, "outputCoordinates"), threshold=LEAST
    )
    assert not names_in(choose.outputCoordinates) & NAMES
    point(choose.inputCoordinates, second, "outputCoordinates")
    runs["project"].resume(choose)
    assert names_in(choose.outputCoordinates) == NAMES


def test_other_coordinates_are_compared(runs, others):
    first, second = others["picks"]
    compare = runs["project"].run(
        PUPickProtEvaluate,
        inputCoordinates=(first, "outputCoordinates"),
        referenceCoordinates=(runs["picks"][0], "outputCoordinates"),
    )
    assert compare.getResult()["reference"] == 30
    # 0.4 diameters, which are the box divided by 1.5
    assert compare.getResult()["tolerance"] == pytest.approx(9.6)
    point(compare.inputCoordinates, second, "outputCoordinates")
    point(compare.referenceCoordinates, others["reference"], "outputCoordinates")
    runs["project"].resume(compare)
    assert compare.getResult()["reference"] == 40
    assert compare.getResult()["picks"] == second.outputCoordinates.getSize()


def test_other_micrographs_are_prepared_and_imported_to(runs, others):
    project = runs["project"]
    prepare = project.run(PUPickProtPreprocess, diameter=96.0, **runs["source"])
    path = others["folder"] / "of_both.star"
    sources = [runs["folder"] / "first_10.star", others["folder"] / "reference.star"]
    write_picks(engine.read_picks(sources), path)
    read = project.run(
        PUPickProtImportCoordinates, filesPath=str(path), boxSize=36, **runs["source"]
    )
    for run in (prepare, read):
        point(run.inputMicrographs, others["source"], "outputMicrographs")
    project.resume(prepare)
    assert {m.getMicName() for m in prepare.outputMicrographs} == NAMES
    assert all(Path(project.path, m.getFileName()).exists() for m in prepare.outputMicrographs)
    project.resume(read)
    assert names_in(read.outputCoordinates) == NAMES


def images_of(prepare):
    """Files of prepared micrographs and what is in them, by the micrograph's name."""
    files = {m.getMicName(): Path(m.getFileName()) for m in prepare.outputMicrographs}
    return {name: (path, mrcfile.read(path)) for name, path in files.items()}


def test_micrographs_that_could_not_be_prepared_are_tried_again(runs, tmp_path):
    project = runs["project"]
    folder, source = import_copies(runs, tmp_path)
    whole = broken(folder, "m71.mrc")
    prepare = project.run(PUPickProtPreprocess, diameter=96.0, **source)
    written = {path: path.stat().st_mtime_ns for path, _ in images_of(prepare).values()}
    assert len(written) == 2
    # still broken
    project.resume(prepare)
    assert "1 of 3 micrographs could not be used" in "\n".join(prepare._summary())
    (folder / "m71.mrc").write_bytes(whole)
    project.resume(prepare)
    assert images_of(prepare).keys() == {"m70.mrc", "m71.mrc", "m72.mrc"}
    assert "could not be used" not in "\n".join(prepare._summary())
    assert {path: path.stat().st_mtime_ns for path in written} == written
    # and nothing is done once more
    steps = Path(prepare.getLogPaths()[0]).read_text().count("STARTED")
    project.resume(prepare)
    assert Path(prepare.getLogPaths()[0]).read_text().count("STARTED") == steps


def test_images_of_a_joint_normalisation_share_one_mixture_whatever_came_between(runs, tmp_path):
    project = runs["project"]
    folder, source = import_copies(runs, tmp_path)
    for number, path in enumerate(sorted(folder.glob("*.mrc"))):
        with mrcfile.open(path, "r+") as file:
            file.set_data((file.data * (1 + number) + 5 * number).astype(np.float32))
    values = {"normalisation": list(NORMALISATIONS).index("joint"), "diameter": 96.0, **source}
    wanted = images_of(project.run(PUPickProtPreprocess, **values))

    def check(prepare):
        found = images_of(prepare)
        assert found.keys() == wanted.keys()
        for name, (_, image) in found.items():
            np.testing.assert_array_equal(image, wanted[name][1])

    whole = broken(folder, "m70.mrc")
    prepare = project.run(PUPickProtPreprocess, **values)
    assert len(images_of(prepare)) == 2
    (folder / "m70.mrc").write_bytes(whole)
    check(project.resume(prepare))
    # as a run that was stopped before its last image leaves it
    images_of(prepare)["m72.mrc"][0].unlink()
    Path(prepare._getExtraPath(FAILED)).unlink()
    check(project.resume(prepare))


def test_another_width_gives_another_pixel_size(runs):
    project = runs["project"]
    prepare = project.run(PUPickProtPreprocess, diameter=96.0, **runs["source"])
    assert prepare.outputMicrographs.getSamplingRate() == 4.0
    project.resume(prepare, diameterPx=12.0)
    assert prepare.outputMicrographs.getSamplingRate() == 8.0
    assert prepare.outputMicrographs.getDim()[:2] == (128, 128)


def test_another_diameter_gives_another_box(runs):
    project = runs["project"]
    train = train_on(runs, runs["picks"][0])
    assert train.boxSize.get() == 36
    project.resume(train, diameter=128.0)
    stored = project.refreshed(train)
    assert stored.boxSize.get() == 48
    assert stored.outputModel.getDiameter() == 128.0


def train_on(runs, picks, **changes):
    parameters = {
        "inputCoordinates": (picks, "outputCoordinates"),
        "diameter": 96.0,
        "particlesPerMicrograph": 25,
        "startFrom": START_SCRATCH,
        "network": 0,
        "epochs": 1,
        "autoencoder": 0.0,
        "moreArguments": "--steps 5 --held-out 0 --check-picks off",
        "numberOfThreads": 1,
        **runs["source"],
        **changes,
    }
    return runs["project"].run(PUPickProtTrain, **parameters)


def test_training_does_without_a_micrograph_that_is_broken(runs, tmp_path):
    folder, source = import_copies(runs, tmp_path)
    broken(folder, "m72.mrc")
    picks = runs["project"].run(
        PUPickProtImportCoordinates,
        filesPath=str(runs["folder"] / "first_10.star"),
        boxSize=36,
        **source,
    )
    train = train_on(runs, picks, **source)
    assert labels_of(train) == 20
    assert "1 micrographs could not be used" in "\n".join(train._summary())


def test_no_pick_at_all_is_compared(runs):
    nothing = runs["project"].run(
        PUPickProtPick,
        inputModel=(runs["train"], "outputModel"),
        thresholdFrom=THRESHOLD_VALUE,
        threshold=99.0,
        **runs["source"],
    )
    compare = runs["project"].run(
        PUPickProtEvaluate,
        inputCoordinates=(nothing, "outputCoordinates"),
        referenceCoordinates=(runs["picks"][0], "outputCoordinates"),
    )
    assert compare.getResult()["picks"] == 0
    assert compare.f1.get() == 0


def test_picks_that_were_changed_by_hand_are_no_ranking(runs):
    """Scipion's viewer leaves them beside those of the run, without scores."""
    project, pick = runs["project"], pick_on(runs, runs["source"])
    os.chdir(project.path)
    micrographs = pick.outputCoordinates.getMicrographs()
    changed = pick._createSetOfCoordinates(micrographs, suffix="1")
    coordinate = Coordinate(x=50, y=60)
    coordinate.setMicrograph(micrographs.getFirstItem())
    changed.append(coordinate)
    changed.write()
    pick._defineOutputs(coordinates_1=changed)
    pick._store()
    choose = {"inputCoordinates": (pick, "coordinates_1"), "threshold": LEAST}
    assert "have no scores" in "\n".join(project.errors(PUPickProtThreshold, **choose))


def test_origins_in_angstrom_are_scaled_with_the_coordinates(runs, tmp_path):
    """Picks at 16 Å/px, four times the micrographs' pixel size, moved by 32 Å: 2 px of theirs."""
    name = next(iter(runs["folder"].glob("*.mrc"))).name
    columns = ("MicrographName", "CoordinateX", "CoordinateY", "OriginXAngst", "OriginYAngst")
    head = "\n".join(f"_rln{column}" for column in columns)
    path = tmp_path / "refined.star"
    path.write_text(f"data_particles\n\nloop_\n{head}\n{name} 20 30 32 -32\n")
    read = runs["project"].run(
        PUPickProtImportCoordinates, filesPath=str(path), boxSize=36, scale=4.0, **runs["source"]
    )
    (row,) = read_set(read.outputCoordinates.getFileName())[1]
    assert (row["_x"], row["_y"]) == (72, 128)


def test_each_of_two_names_of_a_file_is_picked(runs, tmp_path):
    """As in a union of two imports of the same micrographs."""
    folder = tmp_path / "twice"
    folder.mkdir()
    for name in ("a.mrc", "b.mrc"):
        (folder / name).symlink_to(runs["folder"] / "m70.mrc")
    imported = runs["project"].micrographs(folder / "*.mrc", PIXEL_SIZE)
    pick = pick_on(runs, {"inputMicrographs": (imported, "outputMicrographs")})
    found = [row["_micName"] for row in read_set(pick.outputCoordinates.getFileName())[1]]
    assert found.count("a.mrc") == found.count("b.mrc") > 0
