# SPDX-License-Identifier: GPL-3.0-or-later
"""What the engine is told of a training, by what stands in the form."""

from __future__ import annotations

import shlex
from typing import List, Optional

from ..constants import GENERAL, START_GENERAL, START_PREVIOUS
from ..engine import TrainSettings, UsageError
from ..engine.cli.main import check_arguments
from ..engine.settings import NETWORKS, OBJECTIVES, offered_settings
from .form_settings import arguments_of, setting
from .protocol_base import EngineProtocol
from .train_form import KEPT_FROM_START, PLACED

# settings that `_arguments` gives the engine in every case, or in a form of their own
IN_ARGUMENTS = (
    *("diameter", "particles_per_micrograph", "autoencoder_per_pixel", "objective", "epochs"),
    *("seed", *KEPT_FROM_START),
)


class TrainingArguments(EngineProtocol):
    """A protocol that trains, and what its form says to the engine."""

    def _diameter(self) -> Optional[float]:
        return self.diameterAngstrom(self.inputMicrographs.get().getSamplingRate())

    def _arguments(self) -> List[str]:
        """Return all arguments of the engine that change what is learned."""
        arguments = ["--diameter", f"{self._diameter():g}", *self._start()]
        if self.particlesPerMicrograph.get():
            arguments += ["--particles-per-micrograph", str(self.particlesPerMicrograph.get())]
        if self._hasRecipe():
            others = [s for s in offered_settings(TrainSettings) if s.name not in PLACED[:2]]
        else:
            arguments += self._ownArguments()
            others = [s for s in offered_settings(TrainSettings) if s.name not in IN_ARGUMENTS]
        arguments += arguments_of(self, others)
        return arguments + shlex.split(self.moreArguments.get() or "")

    def _hasRecipe(self) -> bool:
        """Whether another recipe says what those settings are that are as they came."""
        return bool(self.recipe.get())

    def _ownArguments(self) -> List[str]:
        """Return arguments that are given also where they are as they came."""
        arguments = []
        if self.autoencoder.get() >= 0:
            arguments += ["--autoencoder-per-pixel", f"{self.autoencoder.get():g}"]
        arguments += ["--objective", list(OBJECTIVES)[self.objective.get()]]
        return [*arguments, "--epochs", str(self.epochs.get()), "--seed", str(self.seed.get())]

    def _start(self) -> List[str]:
        if self.startFrom == START_PREVIOUS:
            return ["--start", self.previousModel.get().getPath()]
        if self.startFrom == START_GENERAL:
            corrected = self.correctedCoordinates.get() is not None
            return [] if corrected else ["--start", GENERAL]
        if self._hasRecipe():
            return ["--from-scratch"]
        others = [setting(TrainSettings, name) for name in KEPT_FROM_START[1:]]
        network = list(NETWORKS)[self.network.get()]
        return ["--from-scratch", "--network", network, *arguments_of(self, others)]

    def _argumentErrors(self) -> List[str]:
        """Say which arguments the engine would refuse: there, the reason is far from the form."""
        files = ["--micrographs", ".", "--picks", ".", "--output", "."]
        try:
            check_arguments(["train", *files, *self._arguments()], TrainSettings)
        except UsageError as error:
            return [f"The settings cannot be used: {error.worded(self._labelOf)}"]
        except ValueError as error:
            return [f"*More arguments* cannot be understood: {error}."]
        return []
