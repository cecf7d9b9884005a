# SPDX-License-Identifier: GPL-3.0-or-later
"""Coordinates of joined sets: Scipion gives the ids of joined micrographs anew, not theirs."""

import os
import shutil
from collections import Counter

import numpy as np
import pytest
from helpers.scipion_project import (
    WARNINGS_OF_SCIPION,
    Project,
    PUPickProtEvaluate,
    PUPickProtImportCoordinates,
    PUPickProtPreprocess,
    PUPickProtThreshold,
    PUPickProtTrain,
    read_set,
)
from helpers.simulated import PIXEL_SIZE, as_picks, simulate_set
from pwem.protocols import ProtUnionSet
from pyworkflow.object import Pointer

from scipion_pupick import engine
from scipion_pupick.constants import START_SCRATCH
from scipion_pupick.engine import Coordinates, write_picks
from scipion_pupick.namesakes import namesakes
from scipion_pupick.protocols import PUPickProtCombine
from scipion_pupick.viewers.viewer_picks import describe_set

pytestmark = [pytest.mark.slow, WARNINGS_OF_SCIPION]

NAMES = ("m0.mrc", "m1.mrc", "m10.mrc", "m11.mrc")


def join(project, runs, output):
    union = project.project.newProtocol(ProtUnionSet)
    for run in runs:
        union.inputSets.append(Pointer(run, extended=output))
    return project.finish(union), "outputSet"


@pytest.fixture(scope="module")
def joined(tmp_path_factory):
    """Two imports with four scored picks a micrograph, joined; and one with the first's names."""
    folder = tmp_path_factory.mktemp("joined")
    project = Project("joined")
    particles = {
        name: simulate_set(folder / name, range(first, first + 2))
        for name, first in (("a", 0), ("b", 10))
    }
    shutil.copytree(folder / "a", folder / "twin")
    imports, coordinates = {}, {}
    for name in ("a", "b", "twin"):
        imports[name] = project.micrographs(folder / name / "*.mrc", PIXEL_SIZE)
    twin = {key.replace("/a/", "/twin/"): xy for key, xy in particles["a"].items()}
    for name, found in {**particles, "twin": twin}.items():
        path = folder / f"{name}.star"
        places = {key: xy[:4].T for key, xy in found.items()}
        write_picks({key: Coordinates(*xy, np.arange(4.0)) for key, xy in places.items()}, path)
        coordinates[name] = project.run(
            PUPickProtImportCoordinates,
            filesPath=str(path),
            boxSize=36,
            inputMicrographs=(imports[name], "outputMicrographs"),
        )
    both = [[of[name] for name in ("a", "b")] for of in (imports, coordinates)]
    coordinates_of_twins = [coordinates[name] for name in ("a", "twin")]
    return {
        "project": project,
        "picks of twins": join(project, coordinates_of_twins, "outputCoordinates"),
        "picks of the twin": (coordinates["twin"], "outputCoordinates"),
        "picks of the first": (coordinates["a"], "outputCoordinates"),
        "micrographs": join(project, both[0], "outputMicrographs"),
        "picks": join(project, both[1], "outputCoordinates"),
        "twins": join(project, [imports["a"], imports["twin"]], "outputMicrographs"),
        "first": (imports["a"], "outputMicrographs"),
        "folder": folder,
        "particles": {**particles["a"], **particles["b"]},
    }


def warnings_of(project, protocol_class, **parameters):
    os.chdir(project.path)
    protocol = project.make(protocol_class, **parameters)
    project.project.saveProtocol(protocol)
    assert protocol.validate() == []
    return " ".join(protocol.warnings())


def training(joined, micrographs, **changes):
    return {
        "inputMicrographs": joined[micrographs],
        "inputCoordinates": joined["picks"],
        "diameter": 96.0,
        "particlesPerMicrograph": 25,
        "startFrom": START_SCRATCH,
        "network": 0,
        "epochs": 1,
        "autoencoder": 0.0,
        "moreArguments": "--steps 2 --held-out 0",
        "numberOfThreads": 1,
        **changes,
    }


def test_a_training_has_all_picks_of_joined_sets(joined):
    project = joined["project"]
    assert warnings_of(project, PUPickProtTrain, **training(joined, "micrographs")) == ""
    train = project.run(PUPickProtTrain, **training(joined, "micrographs"))
    taken = engine.read_picks(project.path / train.getPath("extra", "round_001", "picks.star"))
    assert sorted(map(len, taken.values())) == [4, 4, 4, 4]
    for name, picks in taken.items():
        real = os.path.realpath(project.path / name)
        truth = np.round(joined["particles"][real][:4])
        assert np.array_equal(np.column_stack([picks.x, picks.y]), truth)
    assert "left out" not in " ".join(train._summary())


def test_picks_of_micrographs_that_are_not_given_are_counted(joined):
    project = joined["project"]
    expected = "8 of 16 picks are left out: they are of 2 micrographs"
    assert expected in warnings_of(project, PUPickProtTrain, **training(joined, "first"))
    train = project.run(PUPickProtTrain, **training(joined, "first"))
    assert expected in " ".join(train._summary())
    assert "m10.mrc" in " ".join(train._summary())


def test_picks_are_refused_where_a_name_is_that_of_two_micrographs(joined):
    parameters = training(joined, "twins", negativeCoordinates=joined["picks"])
    picks, places = joined["project"].errors(PUPickProtTrain, **parameters)
    assert "Several input micrographs are called m0.mrc" in picks
    assert "the picks do not tell which of them is meant" in picks
    assert "the places without a particle do not tell" in places


def test_picks_of_another_import_with_the_same_names_are_said_to_be_unsure(joined):
    project, first = joined["project"], joined["first"]
    expected = "share 2 file names (such as m0.mrc). Only the name ties them"
    for picks in ("picks of twins", "picks of the twin"):
        parameters = training(joined, "first", inputCoordinates=joined[picks])
        assert (
            f"Some of the picks were made on micrographs of another import, with which the "
            f"input micrographs {expected}" in warnings_of(project, PUPickProtTrain, **parameters)
        )
    own = training(joined, "first", inputCoordinates=joined["picks of the first"])
    assert "another import" not in warnings_of(project, PUPickProtTrain, **own)
    twins = training(joined, "first", inputCoordinates=joined["picks of twins"])
    assert expected in " ".join(project.run(PUPickProtTrain, **twins)._summary())
    compared = {
        "inputCoordinates": joined["picks of twins"],
        "referenceCoordinates": joined["picks of the first"],
    }
    said = warnings_of(project, PUPickProtEvaluate, **compared)
    assert "Some of the scored coordinates were made" in said
    assert "reference coordinates were made" not in said
    assert expected in " ".join(project.run(PUPickProtEvaluate, **compared)._summary())
    asked = {"inputCoordinates": joined["picks of twins"], "inputMicrographs": first}
    assert expected in warnings_of(project, PUPickProtThreshold, **asked)
    chosen = project.run(PUPickProtThreshold, **asked)
    assert expected in chosen._summary()[0]
    again = training(joined, "first", inputCoordinates=(chosen, "outputCoordinates"))
    assert expected in warnings_of(project, PUPickProtTrain, **again)


def test_combining_says_which_picker_was_given_another_import(joined):
    project = joined["project"]
    run, output = joined["picks of the twin"]
    combined = project.make(
        PUPickProtCombine, inputCoordinates=joined["picks of the first"], diameter=96.0
    )
    combined.otherCoordinates.append(Pointer(run, extended=output))
    project.project.saveProtocol(combined)
    assert combined.validate() == []
    (said,) = combined.warnings()
    assert said.startswith("Some of the coordinates of picker 2 were made")
    assert said in " ".join(project.finish(combined)._summary())


def test_picks_of_micrographs_made_from_the_input_are_sure(joined):
    project = joined["project"]
    smaller = project.run(
        PUPickProtPreprocess, inputMicrographs=joined["first"], diameter=96.0, diameterPx=24.0
    )
    derived = Pointer(smaller, extended="outputMicrographs")
    for key, expected in (("picks of the first", []), ("picks of the twin", list(NAMES[:2]))):
        run, output = joined[key]
        assert namesakes(Pointer(run, extended=output), derived) == expected


def test_all_coordinates_of_joined_sets_are_chosen_from_and_compared(joined):
    project, picks, micrographs = (joined[key] for key in ("project", "picks", "micrographs"))
    asked = {"inputCoordinates": picks, "threshold": 2.0}
    assert "8 of 16 coordinates are left out" in warnings_of(project, PUPickProtThreshold, **asked)
    half = project.run(PUPickProtThreshold, **asked)
    assert half.outputCoordinates.getSize() == 4
    assert "8 of 16 coordinates are left out" in half._summary()[0]
    whole = project.run(PUPickProtThreshold, inputMicrographs=micrographs, **asked)
    _, rows = read_set(whole.outputCoordinates.getFileName())
    assert Counter(row["_micName"] for row in rows) == dict.fromkeys(NAMES, 2)
    # of the joined micrographs, by which the picks can be extracted
    assert {row["_micId"] for row in rows} == {1, 2, 3, 4}
    assert whole.outputCoordinates.getMicrographs().getSize() == 4
    compared = {"inputCoordinates": (whole, "outputCoordinates"), "referenceCoordinates": picks}
    run = project.run(PUPickProtEvaluate, inputMicrographs=micrographs, **compared)
    assert (run.getResult()["picks"], run.getResult()["reference"]) == (8, 16)
    assert run.getResult()["recall"] == 0.5
    run = project.run(PUPickProtEvaluate, **compared)
    assert run.getResult()["reference"] == 8
    summary = " ".join(run._summary())
    assert "8 of 16 reference coordinates are left out" in summary
    assert "4 of 8 scored coordinates are left out" in summary


def test_the_viewer_says_which_picks_it_cannot_show(joined):
    os.chdir(joined["project"].path)
    run, output = joined["picks"]
    said = describe_set(output, getattr(run, output))
    assert said == "outputSet: 16; 8 of joined micrographs are not shown"


def test_imported_picks_of_other_micrographs_are_counted(joined):
    path = joined["folder"] / "all.star"
    write_picks(as_picks(joined["particles"], 3), path)
    asked = {"filesPath": str(path), "boxSize": 36, "inputMicrographs": joined["first"]}
    expected = "6 of 12 picks are left out"
    project = joined["project"]
    assert expected in warnings_of(project, PUPickProtImportCoordinates, **asked)
    run = project.run(PUPickProtImportCoordinates, **asked)
    assert run._summary()[0].startswith("6 coordinates from")
    assert expected in run._summary()[1]
