# SPDX-License-Identifier: GPL-3.0-or-later
"""Bad and odd input in Scipion: a message in the form, or a failure that is counted."""

import shutil
from pathlib import Path

import mrcfile
import numpy as np
import pytest
import tifffile
from helpers.scipion_project import (
    WARNINGS_OF_SCIPION,
    Project,
    PUPickProtEvaluate,
    PUPickProtImportCoordinates,
    PUPickProtImportModel,
    PUPickProtPick,
    PUPickProtPreprocess,
    PUPickProtThreshold,
    PUPickProtTrain,
    read_set,
)
from helpers.simulated import PIXEL_SIZE, as_picks, shared_model, simulate, simulate_set, write_mrc

from scipion_pupick.constants import MODEL_FILE, START_SCRATCH, THRESHOLD_VALUE
from scipion_pupick.engine import read_picks, show_model, write_picks
from scipion_pupick.engine.networks.model_file import model_path

pytestmark = [pytest.mark.slow, WARNINGS_OF_SCIPION]

PROTOCOLS = (
    PUPickProtEvaluate,
    PUPickProtImportCoordinates,
    PUPickProtImportModel,
    PUPickProtPick,
    PUPickProtPreprocess,
    PUPickProtThreshold,
    PUPickProtTrain,
)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Two folders with a micrograph of one name each, one of another size, a TIFF and a stub."""
    folder = tmp_path_factory.mktemp("odd")
    particles = simulate_set(folder / "first", [20])
    (folder / "second").mkdir()
    twin = folder / "second" / "m20.mrc"
    particles[str(twin)] = simulate(twin, 21)
    wide = folder / "first" / "wide.mrc"
    particles[str(wide)] = simulate(wide, 22, side=320)
    simulate(folder / "second" / "image.mrc", 23)
    with mrcfile.open(folder / "second" / "image.mrc") as file:
        tifffile.imwrite(folder / "second" / "image.tif", file.data)
    (folder / "second" / "image.mrc").unlink()
    (folder / "first" / "stub.mrc").write_bytes(b"no image at all" * 100)
    write_picks(as_picks(particles), folder / "picks.star")
    return folder, particles


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return shared_model(tmp_path_factory) / "model.safetensors"


@pytest.fixture(scope="module")
def runs(data):
    folder, _ = data
    project = Project("odd")
    micrographs = project.micrographs(folder / "*" / "*.[mt][ri][cf]", PIXEL_SIZE)
    source = {"inputMicrographs": (micrographs, "outputMicrographs")}
    picks = project.run(
        PUPickProtImportCoordinates,
        filesPath=str(folder / "picks.star"),
        boxSize=36,
        **source,
    )
    return {"project": project, "source": source, "picks": (picks, "outputCoordinates")}


def other_set(runs, tmp_path, pixel_size, count=1):
    simulate_set(tmp_path / "others", range(30, 30 + count), pixel_size=pixel_size)
    run = runs["project"].micrographs(tmp_path / "others" / "*.mrc", pixel_size)
    return {"inputMicrographs": (run, "outputMicrographs")}


def test_two_folders_sizes_tiff_and_a_stub_in_one_set(runs, data, model):
    _, particles = data
    run = runs["project"].run(
        PUPickProtPick,
        modelFrom=MODEL_FILE,
        modelFile=str(model),
        streamingBatchSize=2,
        **runs["source"],
    )
    _, rows = read_set(run.outputCoordinates.getFileName())
    found = {}
    for row in rows:
        found.setdefault(row["_micId"], []).append((row["_x"], row["_y"]))
    paths = {
        m.getObjId(): m.getFileName()
        for m in runs["source"]["inputMicrographs"][0].outputMicrographs
    }
    real = {i: str((runs["project"].path / path).resolve()) for i, path in paths.items()}
    assert len(real) == 5
    failed = [path for i, path in real.items() if i not in found]
    assert [path.rsplit("/", 1)[1] for path in failed] == ["stub.mrc"]
    # both micrographs of one name have their own particles
    for i, places in found.items():
        if real[i] in particles:
            truth = particles[real[i]]
            distances = np.linalg.norm(truth[:, None] - np.array(places)[None], axis=-1)
            assert np.mean(distances.min(axis=1) < 6) > 0.8
    assert "1 of 5 micrographs could not be used" in "\n".join(run._summary())


def test_a_general_model_in_a_file_is_fitted_once_and_gives_its_own_threshold(runs, tmp_path):
    project, particles = runs["project"], 25
    general = shutil.copy(model_path("general"), tmp_path / "mine.safetensors")
    run = project.run(
        PUPickProtPick,
        modelFrom=MODEL_FILE,
        modelFile=str(general),
        diameter=96.0,
        particlesPerMicrograph=particles,
        numberOfThreads=3,
        binThreads=1,
        streamingBatchSize=1,
        **other_set(runs, tmp_path, PIXEL_SIZE, count=3),
    )
    log = "".join(Path(path).read_text() for path in run.getLogPaths()[:2])
    # before any batch of one, and so to all micrographs
    assert log.count("Fitting the general model to 3 micrographs") == 1
    assert log.count("Fitting the general model") == 1
    fitted = show_model(run.getPath("extra", "pupick", "adapted.safetensors"))
    assert fitted["training"]["particles_per_micrograph"] == particles
    assert len(fitted["training"]["fitted_to"]) == 3
    assert run.getThreshold() == fitted["threshold"] != show_model(general)["threshold"]
    _, rows = read_set(run.outputCoordinates.getFileName())
    listed = read_picks(run.getPath("extra", "pupick", "picks.star"))
    assert len(rows) == sum(map(len, listed.values())) > 50
    assert min(row["_pupickScore"] for row in rows) >= fitted["threshold"]
    seen_as = 96 * show_model(general)["diameter_px"] / fitted["diameter_px"]
    summary = " ".join(run._summary())
    assert f"particles are dark and look {seen_as:.0f} Å wide (96 Å given)" in summary
    assert "Expected precision" in summary
    assert f"Threshold: score {fitted['threshold']:.2f}, chosen by the model." in summary


def test_imported_picks_belong_to_the_folder_that_the_file_names(runs, data):
    _, particles = data
    run, output = runs["picks"]
    _, rows = read_set(getattr(run, output).getFileName())
    project = runs["project"]
    for micrograph in runs["source"]["inputMicrographs"][0].outputMicrographs:
        real = str((project.path / micrograph.getFileName()).resolve())
        own = [(r["_x"], r["_y"]) for r in rows if r["_micId"] == micrograph.getObjId()]
        truth = particles.get(real, np.empty((0, 2)))
        assert own == [tuple(xy) for xy in np.round(truth).astype(int).tolist()]


def test_all_micrographs_unreadable_fails_the_protocol(runs, model, tmp_path):
    project = runs["project"]
    simulate(tmp_path / "a.mrc", 40)
    micrographs = project.micrographs(tmp_path / "a.mrc", PIXEL_SIZE)
    (tmp_path / "a.mrc").write_bytes(b"overwritten" * 200)
    message = project.fail(
        PUPickProtPick,
        modelFrom=MODEL_FILE,
        modelFile=str(model),
        inputMicrographs=(micrographs, "outputMicrographs"),
    )
    assert "None of the 1 micrographs could be used" in message
    assert "a.mrc" in message


def test_no_picks_are_an_empty_closed_set(runs, model, tmp_path):
    project = runs["project"]
    random = np.random.default_rng(0)
    write_mrc(tmp_path / "noise.mrc", random.standard_normal((256, 256)).astype(np.float32))
    micrographs = project.micrographs(tmp_path / "noise.mrc", PIXEL_SIZE)
    run = project.run(
        PUPickProtPick,
        modelFrom=MODEL_FILE,
        modelFile=str(model),
        thresholdFrom=THRESHOLD_VALUE,
        threshold=50.0,
        inputMicrographs=(micrographs, "outputMicrographs"),
    )
    assert run.outputCoordinates.getSize() == 0
    assert run.outputCoordinates.getBoxSize() == 36
    assert run.outputCoordinates.isStreamClosed()
    chosen = (run, "outputCoordinates")
    assert project.errors(PUPickProtThreshold, inputCoordinates=chosen, threshold=60.0) == []
    assert "is empty" in train_errors(runs, inputCoordinates=chosen)
    # what is still being added to can be chosen from, too
    run.outputCoordinates.setStreamState(run.outputCoordinates.STREAM_OPEN)
    assert project.errors(PUPickProtThreshold, inputCoordinates=chosen, threshold=60.0) == []


def train_errors(runs, **changes):
    parameters = {
        "inputCoordinates": runs["picks"],
        "diameter": 96.0,
        "startFrom": START_SCRATCH,
        **runs["source"],
        **changes,
    }
    return " ".join(runs["project"].errors(PUPickProtTrain, **parameters))


def test_what_the_form_for_training_refuses(runs, tmp_path):
    assert train_errors(runs) == ""
    assert "diameter of the particle" in train_errors(runs, diameter=None)
    assert "too small to be seen" in train_errors(runs, diameter=8.0)
    assert "larger than the image" in train_errors(runs, diameter=5000.0)
    assert "positive" in train_errors(runs, diameter=-3.0)
    assert "cannot be negative" in train_errors(runs, particlesPerMicrograph=-1)
    assert "GPU IDs" in train_errors(runs, useGpu=True, gpuList="-1")
    assert "More arguments" in train_errors(runs, moreArguments="--steps '2")
    assert "unrecognized arguments: --stepps" in train_errors(runs, moreArguments="--stepps 2")
    assert "only ask for help" in train_errors(runs, moreArguments="--help")
    held_out = train_errors(runs, moreArguments="--held-out 7")
    assert "give a number from 0 to below 1 (Held-out picks)" in held_out
    others = other_set(runs, tmp_path, PIXEL_SIZE)
    assert "are of other micrographs" in train_errors(runs, **others)


def test_picks_made_at_another_pixel_size_are_refused(runs, tmp_path):
    assert "4 Å/px, the input micrographs have 8 Å/px" in train_errors(
        runs, **other_set(runs, tmp_path, 8.0)
    )
    rounded = other_set(runs, tmp_path / "rounded", 1.005 * PIXEL_SIZE)
    assert "Å/px" not in train_errors(runs, **rounded)


def test_a_diameter_may_be_given_in_pixels_or_as_a_radius(runs):
    project = runs["project"]
    for value, unit, expected in ((24.0, 1, 96.0), (12.0, 2, 96.0), (96.0, 0, 96.0)):
        protocol = project.make(
            PUPickProtTrain,
            diameter=value,
            diameterUnit=unit,
            inputCoordinates=runs["picks"],
            **runs["source"],
        )
        assert protocol._diameter() == pytest.approx(expected)


def pick_errors(runs, **changes):
    parameters = {"modelFrom": MODEL_FILE, **runs["source"], **changes}
    return " ".join(runs["project"].errors(PUPickProtPick, **parameters))


def test_what_the_form_for_picking_refuses(runs, model, tmp_path):
    assert pick_errors(runs, modelFile=str(model)) == ""
    assert "cannot be read" in pick_errors(runs, modelFile=str(tmp_path / "none.safetensors"))
    (tmp_path / "topaz.sav").write_bytes(b"PK\x03\x04" + bytes(100))
    assert "pickled" in pick_errors(runs, modelFile=str(tmp_path / "topaz.sav"))
    assert "lower scores are not kept" in pick_errors(
        runs, modelFile=str(model), thresholdFrom=THRESHOLD_VALUE, threshold=-20.0
    )
    assert "box size must be positive" in pick_errors(runs, modelFile=str(model), boxSize=0)
    simulate_set(tmp_path / "others", [30], pixel_size=8.0)
    run = runs["project"].micrographs(tmp_path / "others" / "*.mrc", 20.0)
    coarse = {"inputMicrographs": (run, "outputMicrographs")}
    assert "does not fit the micrographs" in pick_errors(runs, modelFile=str(model), **coarse)


@pytest.mark.parametrize("made", PROTOCOLS, ids=lambda made: made.__name__)
def test_a_form_without_input_says_what_is_missing_and_no_more(runs, made):
    errors = runs["project"].errors(made)
    protocol = runs["project"].make(made)
    reasons = [name for name in dir(protocol) if name.endswith("Missing")]
    missing = [name for name in reasons if protocol.evalParamCondition(name)]
    assert len([e for e in errors if "cannot be EMPTY" in e]) == len(missing)
    assert not [e for e in errors if "validation failed" in e]
    labels = " ".join(protocol.getParam(name).label.get() for name in missing)
    assert ("Choose the " in labels) == (made is not PUPickProtImportModel)
    assert "trained model" not in labels


def test_headers_that_contradict_the_import_are_a_warning(runs, model, tmp_path):
    simulate_set(tmp_path / "others", [30])
    for pixel_size in (PIXEL_SIZE, 2 * PIXEL_SIZE):
        run = runs["project"].micrographs(tmp_path / "others" / "*.mrc", pixel_size)
        source = {"inputMicrographs": (run, "outputMicrographs")}
        pick = {"modelFile": str(model), "modelFrom": MODEL_FILE}
        made = [(PUPickProtPick, pick), (PUPickProtPreprocess, {"diameter": 96.0})]
        for protocol, values in made:
            warnings = " ".join(runs["project"].make(protocol, **values, **source).warnings())
            expected = f"m30.mrc, says {PIXEL_SIZE:g} Å/px; {pixel_size:g} Å/px as given is used"
            assert (expected in warnings) == (pixel_size != PIXEL_SIZE), warnings


def test_what_the_other_forms_refuse(runs, model, tmp_path):
    project, picks = runs["project"], runs["picks"]
    assert "have no scores" in project.errors(PUPickProtThreshold, inputCoordinates=picks)[0]
    assert "pickled" in project.errors(
        PUPickProtImportModel, modelFile=str(shutil.copy(model, tmp_path / "m.bin"))
    ) or project.errors(PUPickProtImportModel, modelFile="") == ["Give a model file."]
    assert "tolerance" in " ".join(
        project.errors(
            PUPickProtEvaluate, inputCoordinates=picks, referenceCoordinates=picks, tolerance=0.0
        )
    )
    assert "too small" in " ".join(
        project.errors(PUPickProtPreprocess, diameter=96.0, diameterPx=2.0, **runs["source"])
    )


def test_what_the_import_of_coordinates_refuses(runs, data, tmp_path):
    folder, _ = data

    def errors(**changes):
        parameters = {"filesPath": str(folder / "picks.star"), "boxSize": 36, **runs["source"]}
        found = runs["project"].errors(PUPickProtImportCoordinates, **{**parameters, **changes})
        return " ".join(found)

    assert errors() == ""
    assert "box size must be positive" in errors(boxSize=0)
    assert "none.star" in errors(filesPath=str(tmp_path / "none.star"))
    assert "outside of 3 micrographs" in errors(scale=4.0)
    (tmp_path / "m20.csv").write_text("micrograph,x,y,score\nm20.mrc,10,10,1\n")
    assert "fits 2 micrographs equally well" in errors(filesPath=str(tmp_path / "m20.csv"))
    (tmp_path / "else.csv").write_text("micrograph,x,y,score\nelse.mrc,10,10,1\n")
    assert "are of other micrographs" in errors(filesPath=str(tmp_path / "else.csv"))


def test_boxes_below_a_score_are_left_out_and_names_without_what_was_added(runs, tmp_path):
    path = tmp_path / "picks.csv"
    path.write_text("micrograph,x,y,score\nours_wide.mrc,10,20,0.1\nours_wide.mrc,30,40,0.9\n")
    run = runs["project"].run(
        PUPickProtImportCoordinates,
        filesPath=str(path),
        boxSize=36,
        leastScore=0.3,
        dropFromNames="ours_",
        **runs["source"],
    )
    _, rows = read_set(run.outputCoordinates.getFileName())
    assert [(r["_x"], r["_y"]) for r in rows] == [(30, 40)]


def test_imported_picks_are_of_the_sampling_rate_whatever_headers_say(runs, tmp_path):
    # headers say PIXEL_SIZE
    simulate_set(tmp_path / "others", [30])
    micrographs = runs["project"].micrographs(tmp_path / "others" / "*.mrc", 2 * PIXEL_SIZE)
    head = "data_\nloop_\n_rlnMicrographName\n_rlnCoordinateX\n_rlnCoordinateY\n"
    for name, pixel_size, expected in (("same", 2.0, (100, 80)), ("binned", 4.0, (200, 160))):
        star = tmp_path / f"{name}.star"
        row = f"m30.mrc 100 80 {pixel_size * PIXEL_SIZE}\n"
        star.write_text(f"{head}_rlnMicrographPixelSize\n{row}")
        run = runs["project"].run(
            PUPickProtImportCoordinates,
            filesPath=str(star),
            boxSize=36,
            inputMicrographs=(micrographs, "outputMicrographs"),
        )
        _, rows = read_set(run.outputCoordinates.getFileName())
        assert [(r["_x"], r["_y"]) for r in rows] == [expected]


def test_a_box_that_nobody_gave_suits_the_micrographs(runs, data):
    folder, _ = data
    picks = {"filesPath": str(folder / "picks.star"), **runs["source"]}
    protocol = runs["project"].make(PUPickProtImportCoordinates, **picks)
    assert protocol.validate() == []
    # one and a half times a 25th of 256 px, even
    assert protocol._box() == 16


@pytest.mark.parametrize("format", ["star", "topaz", "box", "cbox", "csv"])
def test_every_format_is_imported_with_its_scores(runs, data, tmp_path, format):
    from scipion_pupick.engine import Coordinates

    folder, particles = data
    path = str(folder / "first" / "wide.mrc")
    x, y = particles[path].T
    scored = Coordinates(x, y, np.linspace(-3, 3, len(x)))
    extension = {"topaz": "txt"}.get(format, format)
    write_picks({path: scored}, tmp_path / f"wide.{extension}", format, box_size=36)
    run = runs["project"].run(
        PUPickProtImportCoordinates,
        filesPath=str(tmp_path / f"wide.{extension}"),
        boxSize=36,
        **runs["source"],
    )
    _, rows = read_set(run.outputCoordinates.getFileName())
    assert [(r["_x"], r["_y"]) for r in rows] == [
        (round(a), round(b)) for a, b in zip(x.tolist(), y.tolist())
    ]
    if format != "box":
        assert np.allclose([r["_pupickScore"] for r in rows], scored.score, atol=1e-4)
