# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole way in an installed Scipion: import, pick, evaluate, choose, train, pick again.

The micrographs of `TestPupickSimulated` are simulated, so that nothing has to be downloaded and
all particles are known. Those of `TestPupickExample` come with pupick's source.
"""

from __future__ import annotations

import shlex
import subprocess
import unittest
from pathlib import Path
from typing import Any, Tuple

from pwem.protocols import ProtImportMicrographs
from pyworkflow.protocol import Protocol
from pyworkflow.tests import BaseTest, setupTestProject

from ..constants import BY_MEAN_NUMBER, MODEL_TRAINED
from ..engine.runs.layout import SIMULATED_PARTICLES
from ..plugin import Plugin
from ..protocols import (
    PUPickProtEvaluate,
    PUPickProtImportCoordinates,
    PUPickProtPick,
    PUPickProtThreshold,
    PUPickProtTrain,
)

EXAMPLE = Path(__file__).absolute().parents[2] / "examples" / "empiar10017"

Output = Tuple[Protocol, str]


class Workflow(BaseTest):
    """Makes, wires and runs protocols."""

    def run_protocol(self, kind: Any, **parameters: Any) -> Protocol:
        """Run a protocol to its end; a pair of a protocol and an output's name is an input."""
        inputs = {name: value for name, value in parameters.items() if isinstance(value, tuple)}
        values = {name: value for name, value in parameters.items() if name not in inputs}
        protocol = self.newProtocol(kind, **values)
        if hasattr(protocol, "useGpu"):
            protocol.useGpu.set(False)
        for name, (source, output) in inputs.items():
            getattr(protocol, name).set(source)
            getattr(protocol, name).setExtended(output)
        self.launchProtocol(protocol)
        return protocol

    def import_micrographs(self, pattern: Path, pixel_size: float) -> Output:
        """Import micrographs, Å/px."""
        run = self.run_protocol(
            ProtImportMicrographs,
            filesPath=str(pattern),
            samplingRateMode=0,
            samplingRate=pixel_size,
            voltage=300,
            sphericalAberration=2.7,
        )
        return run, "outputMicrographs"

    def import_picks(self, micrographs: Output, path: Path, box: int) -> Output:
        """Import coordinates."""
        run = self.run_protocol(
            PUPickProtImportCoordinates,
            inputMicrographs=micrographs,
            filesPath=str(path),
            boxSize=box,
        )
        return run, "outputCoordinates"

    def average_precision(self, picks: Output, reference: Output) -> float:
        """Compare picks with known particles."""
        run = self.run_protocol(
            PUPickProtEvaluate, inputCoordinates=picks, referenceCoordinates=reference
        )
        return float(run.averagePrecision.get())


class TestPupickSimulated(Workflow):
    """On micrographs whose particles are known."""

    @classmethod
    def setUpClass(cls) -> None:
        """Simulate two micrographs of particles 150 Å wide, 24 px each."""
        setupTestProject(cls)
        cls.folder = Path(cls.outputPath, "simulated")
        simulate = ["simulate", "--output", str(cls.folder), "--overwrite"]
        size = ["--count", "2", "--size", "768", "768", "--diameter", "150"]
        subprocess.run([*shlex.split(Plugin.getProgram()), *simulate, *size], check=True)

    def test_pick_choose_and_train(self) -> None:
        """The general model finds the particles, and what is trained on them does as well."""
        micrographs = self.import_micrographs(self.folder / "micrographs" / "*.mrc", 6.25)
        known = self.import_picks(micrographs, self.folder / SIMULATED_PARTICLES, 36)
        general = self.run_protocol(PUPickProtPick, inputMicrographs=micrographs, diameter=150)
        picks = (general, "outputCoordinates")
        assert general.outputCoordinates.isStreamClosed()
        assert general.outputCoordinates.getBoxSize() == 36
        assert any("Expected precision" in line for line in general.summary())
        assert self.average_precision(picks, known) > 0.5
        chosen = self.run_protocol(
            PUPickProtThreshold,
            inputCoordinates=picks,
            mode=BY_MEAN_NUMBER,
            particlesPerMicrograph=20,
        )
        self.assertSetSize(chosen.outputCoordinates, 40)
        train = self.run_protocol(
            PUPickProtTrain,
            inputMicrographs=micrographs,
            inputCoordinates=(chosen, "outputCoordinates"),
            diameter=150,
            epochs=1,
            moreArguments="--steps 5 --held-out 0",
        )
        again = self.run_protocol(
            PUPickProtPick,
            inputMicrographs=micrographs,
            modelFrom=MODEL_TRAINED,
            inputModel=(train, "outputModel"),
        )
        assert self.average_precision((again, "outputCoordinates"), known) > 0.5


@unittest.skipUnless(EXAMPLE.is_dir(), "the example comes with pupick's source")
class TestPupickExample(Workflow):
    """On five micrographs of EMPIAR-10017, which an expert has picked."""

    @classmethod
    def setUpClass(cls) -> None:
        """Make the project."""
        setupTestProject(cls)

    def test_the_general_model_agrees_with_an_expert(self) -> None:
        """Circles at random, in as many places, reach an average precision of 0.2."""
        micrographs = self.import_micrographs(EXAMPLE / "micrographs" / "*.mrc", 7.08)
        expert = self.import_picks(micrographs, EXAMPLE / "reference.star", 38)
        run = self.run_protocol(PUPickProtPick, inputMicrographs=micrographs, diameter=180)
        assert self.average_precision((run, "outputCoordinates"), expert) > 0.5
