# SPDX-License-Identifier: GPL-3.0-or-later
"""The plugin as Scipion sees it: where the engine runs, and how its environment is made."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import Any, List

import pwem
from pyworkflow.utils import Environ

from . import __version__
from .constants import ENVIRONMENT, PUPICK_PYTHON

SOURCE = Path(__file__).absolute().parents[1]


class Plugin(pwem.Plugin):
    """pupick in Scipion."""

    _url = "https://pypi.org/project/scipion-em-pupick"
    _supportedVersions = [__version__]

    def getName(self) -> str:
        """Return what protocols are listed under: the name of the package is none for users."""
        return "pupick"

    @classmethod
    def _defineVariables(cls) -> None:
        cls._defineVar(
            PUPICK_PYTHON,
            "",
            "Python interpreter that pupick's engine runs with. Empty: Scipion's own.",
        )

    @classmethod
    def getEnviron(cls) -> Environ:
        """Return the environment of the engine's processes: that of Scipion."""
        return Environ(os.environ)

    @classmethod
    def validateInstallation(cls) -> List[str]:
        """Say what is missing."""
        python = cls.getVar(PUPICK_PYTHON)
        if python and not os.access(python, os.X_OK):
            return [
                f"{PUPICK_PYTHON} is {python}, which is no program: correct it in scipion.conf."
            ]
        return []

    @classmethod
    def getProgram(cls) -> str:
        """Return the engine's command line, ready for a shell."""
        python = cls.getVar(PUPICK_PYTHON) or sys.executable
        return f"{shlex.quote(python)} -m scipion_pupick.engine"

    @classmethod
    def defineBinaries(cls, env: Any) -> None:
        """Describe a plain virtual environment for the engine, apart from Scipion's."""
        # an installation from a package index has no source beside it
        here = (SOURCE / "setup.py").exists()
        # with what reads TIFF
        package = f"{SOURCE}[tiff]" if here else f"scipion-em-pupick[tiff]=={__version__}"
        install = (
            f"{shlex.quote(sys.executable)} -m venv env && "
            f"env/bin/pip install {shlex.quote(package)} && touch installed"
        )
        env.addPackage(
            ENVIRONMENT,
            version=__version__,
            tar="void.tgz",
            commands=[(install, "installed")],
            neededProgs=[],
            default=False,
            vars={"PATH": os.environ["PATH"]},
        )


# Scipion looks for the plugin's folder in the module of this class
Plugin.__module__ = __package__
