# SPDX-License-Identifier: GPL-3.0-or-later
"""What all protocols share: the engine's process, CPU or GPU, the diameter, checks of input."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence
from uuid import uuid4

import pyworkflow.protocol.params as params
from pwem.protocols import EMProtocol
from pyworkflow.constants import QUEUE_FOR_JOBS

from ..constants import DIAMETER_ANGSTROM, DIAMETER_UNITS
from ..convert import to_angstrom
from ..engine import (
    EvaluateSettings,
    PickSettings,
    PreprocessSettings,
    PupickError,
    TrainSettings,
    read_json,
)
from ..engine.runs.pick_run import read_failures
from ..engine.settings import settings_of
from ..plugin import Plugin
from .engine_process import EngineProcesses
from .form_settings import add_setting, form_name, setting

CITATION = "Bepler2019"
GPU_LABEL = "Use GPU?"
SETTINGS = (EvaluateSettings, PickSettings, PreprocessSettings, TrainSettings)
# by the engine's names of what is no setting
OTHER_NAMES = {
    "micrographs": "inputMicrographs",
    "picks": "inputCoordinates",
    "reference": "referenceCoordinates",
}


class NamedProtocol(EMProtocol):
    """A protocol that forms and lists name after pupick, and not after its package."""

    @classmethod
    def getClassPackageName(cls) -> str:
        """Return the plugin's name for users."""
        return str(cls.getPlugin().getName())


class EngineProtocol(NamedProtocol):
    """A protocol that runs the engine."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._engines = EngineProcesses()

    def defineGpu(self, form: Any) -> None:
        """Add the switch between CPU and GPU."""
        form.addHidden(
            params.USE_GPU,
            params.BooleanParam,
            default=True,
            label=GPU_LABEL,
            help="Yes: work on the GPUs given, or on the CPU where there is none.\n"
            "No: work on the CPU.",
        )
        form.addHidden(
            params.GPU_LIST,
            params.StringParam,
            default="0",
            label="GPU IDs",
            help="Numbers of the GPUs that may be used, such as 0,1. Each process of pupick takes "
            "one; with several, set as many Scipion threads and one more.",
        )

    def defineDiameter(self, form: Any, condition: str = "True") -> None:
        """Add the diameter of the particle, in the unit that the user has it in."""
        diameter = setting(TrainSettings, "diameter")
        add_setting(
            form,
            diameter,
            "It may also come from another protocol: choose one of its numbers, and the unit below "
            "that fits it.",
            allowsNull=True,
            allowsPointers=True,
            important=True,
            validators=[],
            condition=condition,
        )
        form.addParam(
            "diameterUnit",
            params.EnumParam,
            choices=list(DIAMETER_UNITS),
            default=DIAMETER_ANGSTROM,
            display=params.EnumParam.DISPLAY_COMBO,
            label="Given as",
            help="What the number above is: Å, or pixels of the input micrographs. Protocols that "
            "estimate box sizes give pixels: _boxsize_ of crYOLO is a diameter, _radiusTopaz_ of "
            "*box size related parameters* a radius.",
            condition=condition,
        )

    def diameterAngstrom(self, pixelSize: float) -> Optional[float]:
        """Return the diameter of the form in Å; None if it is left open."""
        value = self.diameter.get()
        return None if value is None else to_angstrom(value, self.diameterUnit.get(), pixelSize)

    def getGpuList(self) -> List[int]:
        """Return the GPUs; none for the CPU, since Scipion would have CPU steps wait for a GPU."""
        return super().getGpuList() if self.usesGpu() else []

    def engineThreads(self) -> int:
        """Return the threads that one process of the engine may use."""
        return int(self.getBinThreads() if self.modeParallel() else self.numberOfThreads.get())

    def getSubmitDict(self) -> Dict[str, Any]:
        """Return what a queue is asked for: what the engine's processes take.

        Scipion would ask for as many cores as there are Scipion threads, and not for those of the
        processes that these start.
        """
        asked: Dict[str, Any] = super().getSubmitDict()
        _, typed = self.getQueueParams()
        alone = asked[QUEUE_FOR_JOBS] == "Y"
        workers = max(1, self.numberOfThreads.get() - 1) if self.modeParallel() else 1
        threads = self.engineThreads() * (1 if alone else workers)
        gpus = len(self.getGpuList())
        needed = {
            "JOB_THREADS": threads,
            "JOB_CORES": threads,
            "GPU_COUNT": min(1, gpus) if alone else gpus,
        }
        return {**asked, **needed, **typed}

    def computer(self) -> List[str]:
        """Return the arguments of the engine for its device and threads."""
        device = "auto" if self.usesGpu() else "cpu"
        return ["--device", device, "--threads", str(self.engineThreads())]

    def runEngine(self, command: str, *arguments: object, onGpu: bool = False) -> None:
        """Run one command of the engine, through Scipion's queue if one is used.

        Raises:
            PupickError: it failed; the text says why as far as that is known.
        """
        # of this process alone: several work side by side
        note = Path(self._getExtraPath(f"error_{uuid4().hex}.json"))
        arguments = (*arguments, "--error-file", note)
        words = [command, *map(str, arguments)]
        onGpu = onGpu and self.usesGpu()
        if self.useQueueForSteps():
            succeeded = self._runAsJob(words, onGpu)
        else:
            succeeded = self._runInProcess(words, onGpu)
        if not succeeded:
            raise PupickError(self._complaint(command, note))

    def _runAsJob(self, words: Sequence[str], onGpu: bool) -> bool:
        """Have the queue carry out a command of the engine; return whether it succeeded."""
        program, text = Plugin.getProgram(), shlex.join(words)
        if onGpu:
            # Scipion puts the numbers of the GPUs in, and takes each % for a place to do so
            program = f"CUDA_VISIBLE_DEVICES=%(GPU)s {program.replace('%', '%%')}"
            text = text.replace("%", "%%")
        try:
            self.runJob(program, text, numberOfMpi=1, numberOfThreads=self.engineThreads())
        except subprocess.CalledProcessError:
            return False
        return True

    def _runInProcess(self, words: Sequence[str], onGpu: bool) -> bool:
        """Have a process that lasts carry out a command; return whether it succeeded."""
        gpus = {"CUDA_VISIBLE_DEVICES": self._stepsExecutor.getGpuListStr(",")} if onGpu else {}
        program = Plugin.getProgram()
        # as a shell would be told
        told = [*(f"{name}={value}" for name, value in gpus.items()), program, shlex.join(words)]
        self.info(" ".join(told))
        return self._engines.run(program, words, {**Plugin.getEnviron(), **gpus}) == 0

    def run(self) -> None:
        """Run the protocol, and end the processes that it has started."""
        try:
            super().run()
        finally:
            self._engines.end()

    def runOnMicrographs(
        self, command: str, failures: Path, *arguments: object, onGpu: bool = False
    ) -> Dict[str, str]:
        """Run a command of the engine that works on one micrograph after the other.

        Args:
            command: of the engine.
            failures: file in which it lists the micrographs that failed.
            arguments: of the command.
            onGpu: whether it can use a GPU.

        Returns:
            Reason by path for each micrograph that could not be used; the others are done.

        Raises:
            PupickError: it has not come to its end.
        """
        failures.unlink(missing_ok=True)
        try:
            self.runEngine(command, *arguments, "--failures", failures, onGpu=onGpu)
        except PupickError:
            # the engine writes this list last, and then fails if there is a name in it
            if not read_failures(failures):
                raise
        return read_failures(failures)

    def _complaint(self, command: str, note: Path) -> str:
        """Return what was wrong, in the words of the form, or what the protocol's log says last."""
        if note.exists():
            noted = read_json(note)
            note.unlink()
            error = PupickError(noted["text"], noted["settings"])
            return f"pupick {command}: {error.worded(self._labelOf)}"
        log = Path(self.getLogPaths()[1])
        lines = log.read_text(errors="replace").splitlines() if log.exists() else []
        said = [line for line in lines if line.startswith(f"pupick {command}: ")]
        return said[-1] if said else f"pupick {command} failed: the reason stands in run.stderr."

    def _labelOf(self, name: str) -> str:
        """Return what the form calls a setting of the engine; empty if it does not have it."""
        if name == "device":
            # forms of Scipion know hidden parameters without their labels
            return GPU_LABEL
        settings = {s.name: form_name(s) for kind in SETTINGS for s in settings_of(kind)}
        parameter = OTHER_NAMES.get(name) or settings.get(name, name)
        definition = self.getDefinition()
        if not definition.hasParam(parameter):
            return ""
        return str(definition.getParam(parameter).label.get())

    def gpuErrors(self) -> List[str]:
        """Say what is wrong with the list of GPUs."""
        text = str(self.gpuList.get() or "")
        if self.usesGpu() and not re.fullmatch(r"\s*\d+(\s*[-,\s]\s*\d+)*\s*", text):
            return [f"The GPU IDs are {text!r}: give numbers such as 0 or 0,1, or use the CPU."]
        return []
