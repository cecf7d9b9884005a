# SPDX-License-Identifier: GPL-3.0-or-later
"""Scipion's particles and 2D classes as places in their micrographs."""

from types import SimpleNamespace

import numpy as np
import pytest
from helpers.scipion_project import WARNINGS_OF_SCIPION
from helpers.simulated import write_mrc
from pwem.constants import ALIGN_2D
from pwem.objects import (
    Class2D,
    Coordinate,
    Micrograph,
    Particle,
    SetOfClasses2D,
    SetOfCoordinates,
    SetOfMicrographs,
    SetOfParticles,
    Transform,
)
from pyworkflow.object import Pointer

from scipion_pupick.convert import count_coordinates, read_coordinates, read_negatives
from scipion_pupick.protocols.protocol_train import PUPickProtTrain
from scipion_pupick.wizards import _guessed_diameter, _hand_picks

pytestmark = [pytest.mark.slow, WARNINGS_OF_SCIPION]

# binned by two; the shifts are px of the particles
PLACES = [(10, 20, 1), (30, 40, 2), (50, 60, 1), (70, 80, 2)]
SHIFTS = [(1.0, -2.0), (0.0, 0.0), (3.0, 0.0), (0.0, 4.0)]


@pytest.fixture
def micrographs():
    first = Micrograph("mics/a.mrc")
    first.setObjId(1)
    first.setMicName("a.mrc")
    first.setSamplingRate(2.0)
    return [first]


def particles(path, kept=range(4)):
    found = SetOfParticles(filename=str(path))
    found.setSamplingRate(4.0)
    found.setAlignment(ALIGN_2D)
    for i in kept:
        x, y, kind = PLACES[i]
        coordinate = Coordinate(x=x, y=y)
        coordinate.setMicId(1)
        coordinate.setMicName("a.mrc")
        particle = Particle()
        particle.setLocation(i + 1, "stack.mrcs")
        particle.setObjId(i + 1)
        particle.setCoordinate(coordinate)
        particle.setClassId(kind)
        transform = Transform()
        matrix = np.eye(4)
        matrix[:2, 3] = SHIFTS[i]
        transform.setMatrix(matrix)
        particle.setTransform(transform)
        found.append(particle)
    found.write()
    return found


def centres(indices):
    return sorted(
        [2 * (PLACES[i][0] - SHIFTS[i][0]), 2 * (PLACES[i][1] - SHIFTS[i][1])] for i in indices
    )


def test_particles_lie_at_their_coordinates_less_their_shifts(tmp_path, micrographs):
    found = read_coordinates(particles(tmp_path / "p.sqlite"), micrographs)
    assert sorted(found.picks["mics/a.mrc"].xy.tolist()) == centres(range(4))
    assert count_coordinates(particles(tmp_path / "q.sqlite"), micrographs).assigned == 4


def test_particles_that_were_not_selected_are_negatives(tmp_path, micrographs):
    every = particles(tmp_path / "all.sqlite")
    selected = particles(tmp_path / "selected.sqlite", [0, 2])
    found = read_negatives(every, selected, micrographs)
    assert sorted(found.picks["mics/a.mrc"].xy.tolist()) == centres([1, 3])
    # of class 1 one was selected, so that the other says nothing
    selected = particles(tmp_path / "one.sqlite", [0])
    found = read_negatives(every, selected, micrographs)
    assert sorted(found.picks["mics/a.mrc"].xy.tolist()) == centres([1, 3])


def test_classes_are_read_like_their_particles(tmp_path, micrographs):
    images = particles(tmp_path / "p.sqlite")
    classes = SetOfClasses2D(filename=str(tmp_path / "classes.sqlite"))
    classes.setImages(Pointer(images))
    for kind in (1, 2):
        one = Class2D()
        one.setObjId(kind)
        one.copyInfo(images)
        one.setAlignment(ALIGN_2D)
        classes.append(one)
        for particle in images:
            if particle.getClassId() == kind:
                one.append(particle)
        classes.update(one)
    classes.write()
    found = read_coordinates(classes, micrographs)
    assert sorted(found.picks["mics/a.mrc"].xy.tolist()) == centres(range(4))
    selected = particles(tmp_path / "selected.sqlite", [0, 2])
    found = read_negatives(classes, selected, micrographs)
    assert sorted(found.picks["mics/a.mrc"].xy.tolist()) == centres([1, 3])


def test_the_form_takes_them():
    protocol = PUPickProtTrain()
    for name in ("inputCoordinates", "negativeCoordinates"):
        assert "SetOfClasses2D" in protocol.getParam(name).pointerClass.get()
    assert protocol.getParam("done").choices == ["none", "changed", "all"]


def test_the_wand_guesses_by_the_box_of_the_coordinates_that_particles_have(tmp_path, micrographs):
    write_mrc(tmp_path / "a.mrc", np.zeros((200, 300), np.float32))
    every = SetOfMicrographs(filename=str(tmp_path / "micrographs.sqlite"))
    every.setSamplingRate(2.0)
    micrographs[0].setFileName(str(tmp_path / "a.mrc"))
    every.append(micrographs[0])
    every.write()
    images = particles(tmp_path / "p.sqlite")
    classes = SetOfClasses2D(filename=str(tmp_path / "classes.sqlite"))
    classes.setImages(Pointer(images))
    forms = [
        SimpleNamespace(inputCoordinates=Pointer(items), inputMicrographs=Pointer(every))
        for items in (images, classes)
    ]
    # a 25th of the shorter side, 400 Å, where nothing is known
    assert [_guessed_diameter(form) for form in forms] == [16.0, 16.0]
    coordinates = SetOfCoordinates(filename=str(tmp_path / "coordinates.sqlite"))
    coordinates.setMicrographs(every)
    coordinates.setBoxSize(36)
    images.setCoordinates(coordinates)
    assert [_guessed_diameter(form) for form in forms] == [48.0, 48.0]
    assert len(_hand_picks(forms[0])[micrographs[0].getFileName()]) == len(PLACES)
