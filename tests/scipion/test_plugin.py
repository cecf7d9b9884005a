# SPDX-License-Identifier: GPL-3.0-or-later
"""What Scipion finds in the plugin, and what its own tools say of it."""

import os
import subprocess
import sys
from importlib.metadata import metadata
from pathlib import Path

import pytest
from helpers.scipion_project import HOME, WARNINGS_OF_SCIPION, Domain

import scipion_pupick
from scipion_pupick.constants import PUPICK_PYTHON

pytestmark = [pytest.mark.slow, WARNINGS_OF_SCIPION]

PROTOCOLS = {
    "PUPickProtEvaluate",
    "PUPickProtImportCoordinates",
    "PUPickProtImportModel",
    "PUPickProtPick",
    "PUPickProtPreprocess",
    "PUPickProtSuggest",
    "PUPickProtThreshold",
    "PUPickProtCombine",
    "PUPickProtTrain",
}


def python(*arguments, **options):
    done = subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, timeout=300, **options
    )
    return done.returncode, done.stdout + done.stderr


def ours(found):
    # an optional library that is missing leaves strings among the objects
    modules = {name: getattr(known, "__module__", "") for name, known in found.items()}
    return {name for name, module in modules.items() if module.startswith("scipion_pupick")}


def test_importing_the_engine_loads_nothing_of_scipion():
    code = (
        "import sys, scipion_pupick.engine, scipion_pupick.engine.cli.main\n"
        "heavy = ('pwem', 'pyworkflow', 'matplotlib', 'tkinter')\n"
        "sys.exit(any(name.split('.')[0] in heavy for name in sys.modules))"
    )
    assert python("-c", code)[0] == 0


def test_the_plugin_needs_no_pytorch_where_the_engine_has_its_own_environment():
    imports = "import scipion_pupick.protocols, scipion_pupick.viewers, scipion_pupick.wizards"
    code, output = python(
        "-W", "ignore", "-c", f"import sys; sys.modules['torch'] = None; {imports}"
    )
    assert code == 0, output


def test_all_protocols_and_objects_are_found():
    assert ours(Domain.getProtocols()) == PROTOCOLS
    assert ours(Domain.getObjects()) == {"PUPickModel"}
    conf = (Path(scipion_pupick.__file__).parent / "protocols.conf").read_text()
    assert all(f'"value": "{name}"' in conf for name in PROTOCOLS)
    assert Domain.getProtocols()["PUPickProtPick"].getClassLabel() == "pupick - pick"


@pytest.mark.parametrize("name", sorted(PROTOCOLS))
def test_every_parameter_is_labelled_and_explained(name):
    protocol = Domain.getProtocols()[name]()
    assert protocol.getClassPackageName() == "pupick"
    package = protocol.getClassPackage()
    assert (Path(package.__file__).parent / package._logo).is_file()
    assert protocol.__doc__
    assert protocol.getPossibleOutputs()
    for section in protocol.getDefinition().iterSections():
        if section.label.get() in ("General", "Parallelization", "Streaming"):
            continue
        for parameter, definition in section.iterParams():
            if parameter in ("useGpu", "gpuList"):
                continue
            assert definition.label.get(), parameter
            assert definition.help.get() or parameter == "inputMicrographs", parameter


def test_citations_have_links():
    entry = scipion_pupick._bibtex["Bepler2019"]
    assert entry["doi"] == "https://doi.org/10.1038/s41592-019-0575-8"


def test_scipion_inspects_the_plugin_without_a_complaint():
    code, text = python("-m", "scipion", "inspect", "scipion_pupick")
    assert code == 0, text
    assert "error" not in text.lower()


def test_scipion_finds_the_plugins_own_tests():
    code, text = python("-m", "scipion", "tests", "--grep", "pupick")
    assert code == 0, text
    assert "scipion_pupick.tests.test_workflow.TestPupickSimulated" in text
    assert "Error" not in text


def test_the_plugin_manager_takes_the_plugin_and_not_the_relion_package():
    code = (
        "from scipion.install.plugin_funcs import PluginInfo\n"
        "info = PluginInfo('scipion-em-pupick', 'scipion-em-pupick', remote=False)\n"
        "print('folder', info.getDirName())\n"
        "print('binaries', info.getBinVersions())"
    )
    status, text = python("-W", "ignore", "-c", code)
    assert status == 0, text
    assert "folder scipion_pupick\n" in text
    assert "pupickenv" in text


def test_the_engines_own_environment_reads_tiff():
    code = (
        "from scipion.install.funcs import Environment\n"
        "import scipion_pupick\n"
        "env = Environment()\n"
        "scipion_pupick.Plugin.defineBinaries(env)\n"
        "for command in env.getTarget('pupickenv').getCommands(): print(command)"
    )
    status, text = python("-W", "ignore", "-c", code)
    assert status == 0, text
    folder = Path(scipion_pupick.__file__).parents[1]
    assert f"env/bin/pip install '{folder}[tiff]'" in text
    assert "tiff" in metadata("scipion-em-pupick").get_all("Provides-Extra")


def test_an_interpreter_that_is_none_is_reported():
    plugin = scipion_pupick.Plugin
    before = plugin.getVar(PUPICK_PYTHON)
    try:
        plugin._vars[PUPICK_PYTHON] = str(HOME / "none")
        assert "none, which is no program" in plugin.validateInstallation()[0]
        plugin._vars[PUPICK_PYTHON] = sys.executable
        assert plugin.validateInstallation() == []
        assert plugin.getProgram() == f"{sys.executable} -m scipion_pupick.engine"
    finally:
        plugin._vars[PUPICK_PYTHON] = before


def test_the_engine_answers_as_a_module():
    status, text = python("-m", "scipion_pupick.engine", "--version", env={**os.environ})
    assert status == 0
    assert scipion_pupick.__version__ in text
