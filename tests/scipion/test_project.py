# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole way in Scipion on real micrographs: import, train, pick, choose, evaluate."""

import mrcfile
import numpy as np
import pytest
from helpers.scipion_project import (
    EXAMPLES,
    WARNINGS_OF_SCIPION,
    Project,
    PUPickProtEvaluate,
    PUPickProtImportCoordinates,
    PUPickProtPick,
    PUPickProtPreprocess,
    PUPickProtThreshold,
    PUPickProtTrain,
    in_new_process,
    read_set,
)

from scipion_pupick.constants import (
    BY_MEAN_NUMBER,
    BY_MOST,
    BY_PRECISION,
    BY_SCORE,
    THRESHOLD_VALUE,
)
from scipion_pupick.engine import load_model, read_json
from scipion_pupick.engine import threshold as threshold_of_run

pytestmark = [pytest.mark.slow, WARNINGS_OF_SCIPION]

PIXEL_SIZE = 7.08

REOPEN = """
import json, sys
from pyworkflow.project import Manager
from pwem import Domain
Domain.getProtocols(), Domain.getObjects()
project = Manager().loadProject(sys.argv[1])
train = project.getProtocol(int(sys.argv[2]))
pick = project.getProtocol(int(sys.argv[3]))
coordinates = pick.outputCoordinates
first = next(iter(coordinates.iterItems(orderBy="_pupickScore", direction="DESC", limit=1)))
print(json.dumps({
    "diameter": train.outputModel.getDiameter(),
    "pixel_size": train.outputModel.getPixelSize(),
    "model": str(train.outputModel),
    "box_output": train.boxSize.get(),
    "box": coordinates.getBoxSize(),
    "size": coordinates.getSize(),
    "closed": bool(coordinates.isStreamClosed()),
    "score": first._pupickScore.get(),
    "merit": first._rlnAutopickFigureOfMerit.get(),
    "micrographs": coordinates.getMicrographs().getSize(),
}))
"""


@pytest.fixture(scope="module")
def runs():
    """A project in which all protocols have run."""
    project = Project("example")
    micrographs = project.micrographs(EXAMPLES / "micrographs" / "*.mrc", PIXEL_SIZE)
    source = {"inputMicrographs": (micrographs, "outputMicrographs")}
    imported = {
        name: project.run(
            PUPickProtImportCoordinates, filesPath=str(EXAMPLES / file), boxSize=38, **source
        )
        for name, file in (("picks", "picks_100.star"), ("reference", "reference.star"))
    }
    train = project.run(
        PUPickProtTrain,
        inputCoordinates=(imported["picks"], "outputCoordinates"),
        diameter=180.0,
        particlesPerMicrograph=600,
        epochs=2,
        moreArguments="--steps 10 --held-out 0",
        numberOfThreads=2,
        **source,
    )
    pick = project.run(
        PUPickProtPick,
        inputModel=(train, "outputModel"),
        thresholdFrom=THRESHOLD_VALUE,
        threshold=-8.0,
        **source,
    )
    return {"project": project, "source": source, "train": train, "pick": pick, **imported}


def evaluate(runs, coordinates):
    return runs["project"].run(
        PUPickProtEvaluate,
        inputCoordinates=(coordinates, "outputCoordinates"),
        referenceCoordinates=(runs["reference"], "outputCoordinates"),
        border=32.0,
    )


def threshold(runs, **parameters):
    chosen = (runs["pick"], "outputCoordinates")
    run = runs["project"].run(PUPickProtThreshold, inputCoordinates=chosen, **parameters)
    return run, read_set(run.outputCoordinates.getFileName())[1]


def test_picks_agree_with_an_experts(runs):
    result = evaluate(runs, runs["pick"])
    # circles placed at random in as many places reach 0.2
    assert result.averagePrecision.get() > 0.5
    assert result.getTable().exists()
    assert f"{result.averagePrecision.get():.3f}" in " ".join(result._summary())


def test_outputs_are_read_back_in_another_process(runs):
    ids = runs["train"].getObjId(), runs["pick"].getObjId()
    found = in_new_process(REOPEN, "example", *ids)
    assert found["diameter"] == 180
    model = load_model(runs["project"].path / runs["train"].outputModel.getPath())
    assert found["pixel_size"] == pytest.approx(180 / model.scale.diameter_px)
    assert 5.5 < found["pixel_size"] < 10
    # one and a half diameters, even
    assert found["box"] == found["box_output"] == 38
    assert found["size"] == runs["pick"].outputCoordinates.getSize() > 1000
    assert found["closed"]
    assert found["score"] == found["merit"]
    assert found["micrographs"] == 5


def test_thresholds(runs):
    _, ranked = read_set(runs["pick"].outputCoordinates.getFileName())
    scores = np.array([row["_pupickScore"] for row in ranked])
    # Scipion keeps parameters with few digits
    middle = round(float(np.median(scores)), 2)
    _, by_score = threshold(runs, mode=BY_SCORE, threshold=middle)
    assert len(by_score) == np.count_nonzero(scores >= middle)
    _, by_number = threshold(runs, mode=BY_MEAN_NUMBER, particlesPerMicrograph=100)
    assert len(by_number) == 500
    assert min(row["_pupickScore"] for row in by_number) == np.sort(scores)[-500]
    _, best = threshold(runs, mode=BY_MOST, particlesPerMicrograph=50)
    assert np.unique([row["_micId"] for row in best], return_counts=True)[1].tolist() == [50] * 5
    run, precise = threshold(runs, mode=BY_PRECISION, precision=0.6)
    chosen = np.array([row["_pupickScore"] for row in precise])
    assert np.mean(1 / (1 + np.exp(-chosen))) >= 0.6
    assert run.outputCoordinates.getBoxSize() == 38
    (summary,) = run._summary()
    assert f"Chosen by estimated precision (0.6): {len(precise)} of {len(ranked)}" in summary
    # by the engine, of the same threshold
    same = threshold_of_run(
        runs["pick"].getPath("extra", "pupick"), run.getPath("extra"), precision=0.6
    ).quality
    # runs keep three decimals
    estimates = (same.precision, same.precision_low, same.precision_high)
    precision, low, high = (100 * round(value, 3) for value in estimates)
    expected = f"expected precision {precision:.0f} % ({low:.0f} to {high:.0f} %)"
    assert expected in summary
    assert low < 60 < high


def test_continue_applies_another_threshold_without_scoring_again(runs):
    project = runs["project"]
    pick = project.run(PUPickProtPick, inputModel=(runs["train"], "outputModel"), **runs["source"])
    folder = project.path / pick.getPath("extra", "pupick", "scores")
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.safetensors")}
    # the ranking is that of all peaks, also below the threshold
    compared, all_peaks = evaluate(runs, pick), evaluate(runs, runs["pick"])
    assert compared.averagePrecision.get() == all_peaks.averagePrecision.get()
    assert compared.getResult()["picks"] < all_peaks.getResult()["picks"]
    _, ranked = read_set(runs["pick"].outputCoordinates.getFileName())
    project.resume(pick, thresholdFrom=THRESHOLD_VALUE, threshold=-1.0)
    _, rows = read_set(pick.outputCoordinates.getFileName())
    places = {(row["_micId"], row["_x"], row["_y"]) for row in rows}
    assert len(places) == len(rows)
    assert places == {(r["_micId"], r["_x"], r["_y"]) for r in ranked if r["_pupickScore"] >= -1}
    assert before == {path: path.stat().st_mtime_ns for path in folder.rglob("*.safetensors")}
    assert pick.outputCoordinates.getSize() == len(rows)
    # the threshold protocol reaches below the threshold of the picking
    run = project.run(
        PUPickProtThreshold, inputCoordinates=(pick, "outputCoordinates"), threshold=-8.0
    )
    assert run.outputCoordinates.getSize() == len(ranked)


def test_continue_with_a_trained_model_trains_no_more(runs):
    model = runs["project"].path / runs["train"].outputModel.getPath()
    before = model.stat().st_mtime_ns
    runs["project"].resume(runs["train"])
    assert model.stat().st_mtime_ns == before


def test_the_viewers_find_the_report_of_all_micrographs(runs):
    from scipion_pupick.viewers.form import report_of

    words = report_of(runs["pick"]).read_text(encoding="utf-8")
    number = runs["pick"].outputCoordinates.getSize()
    assert f"{number:,} particles picked in 5 micrographs" in words
    assert "A model trained on" in report_of(runs["train"]).read_text(encoding="utf-8")


def test_texts_of_finished_protocols(runs):
    train, pick = runs["train"], runs["pick"]
    assert "Trained on 100 picks" in train._summary()[0]
    assert "600 particles per micrograph" in train._summary()[0]
    assert f"{pick.outputCoordinates.getSize()} particles in 5 micrographs" in pick._summary()[0]
    estimate = read_json(pick.getPath("extra", "pupick", "pick.json"))["estimate"]
    shares = {name: f"{100 * value:.0f}" for name, value in estimate.items()}
    assert (
        "Expected precision {precision} % ({precision_low} to {precision_high} %), "
        "recall {recall} % ({recall_low} to {recall_high} %)"
    ).format(**shares) in pick._summary()[2]
    assert pick._summary()[1] == "Threshold: score -8.00, as you set it."
    for protocol in (train, pick, evaluate(runs, pick)):
        assert "[Bepler2019]" in protocol._methods()[0]
        assert protocol._citations() == ["Bepler2019"]
        assert protocol.getParsedMethods() is not None


def test_preprocessed_micrographs_have_their_own_pixel_size(runs):
    run = runs["project"].run(PUPickProtPreprocess, diameter=180.0, **runs["source"])
    assert run.outputMicrographs.getSamplingRate() == pytest.approx(7.5)
    assert run.outputMicrographs.getSize() == 5
    for micrograph in run.outputMicrographs:
        path = runs["project"].path / micrograph.getFileName()
        with mrcfile.open(path, header_only=True) as file:
            assert (file.header.nx, file.header.ny) == (967, 967)
            assert file.voxel_size.x == pytest.approx(7.5)
