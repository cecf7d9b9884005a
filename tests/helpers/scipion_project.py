# SPDX-License-Identifier: GPL-3.0-or-later
"""Scipion projects without a window: a home of its own, protocols that run, and their outputs.

Scipion reads its environment once, when it is first imported, so that is set before.
"""

import atexit
import json
import os
import shlex
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
import warnings
from importlib.util import find_spec
from pathlib import Path

import pytest
from helpers.simulated import PIXEL_SIZE

from scipion_pupick import engine
from scipion_pupick.constants import MODEL_TRAINED
from scipion_pupick.engine import PickSettings

if find_spec("pwem") is None:
    pytest.skip("needs Scipion: pip install '.[scipion]'", allow_module_level=True)

EXAMPLES = Path(__file__).parents[2] / "examples" / "empiar10017"
HOME = Path(tempfile.mkdtemp(prefix="pupick-scipion-"))
HOSTS = "[localhost]\nPARALLEL_COMMAND = mpirun -np %_(JOB_NODES)d %_(COMMAND)s\n"

if Path("/usr/bin/relion_preprocess").exists():
    os.environ["RELION_HOME"] = "/usr"
os.environ.update(
    HOME=str(HOME),
    SCIPION_HOME=str(HOME),
    SCIPION_DOMAIN="pwem",
    SCIPION_NOTIFY="False",
    SCIPION_USER_DATA=str(HOME / "data"),
    SCIPION_PYTHON=sys.executable,
    SCIPION_STEPS_CHECK_SEC="1",
    SCIPION_EM_NEW_FILE_CHECK_SEC="1",
    SCIPION_CANCEL_XMIPP_BINDING_WARNING="True",
    OMP_NUM_THREADS="1",
)
(HOME / "config").mkdir()
(HOME / "config" / "hosts.conf").write_text(HOSTS)
atexit.register(shutil.rmtree, HOME, ignore_errors=True)

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from pwem import Domain
    from pwem.objects import Coordinate
    from pwem.protocols import ProtImportMicrographs
    from pyworkflow.project import Manager
    from pyworkflow.protocol import MODE_RESUME, getProtocolFromDb, params, runProtocolMain
    from pyworkflow.utils import LoggingConfigurator

    Domain.getProtocols()
    Domain.getObjects()
    from scipion_pupick.protocols import (
        PUPickProtEvaluate,
        PUPickProtImportCoordinates,
        PUPickProtImportModel,
        PUPickProtPick,
        PUPickProtPreprocess,
        PUPickProtThreshold,
        PUPickProtTrain,
    )

# Scipion uses what is deprecated, and leaves the processes that it launches to themselves
WARNINGS_OF_SCIPION = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)

__all__ = [
    "EXAMPLES",
    "HOME",
    "WARNINGS_OF_SCIPION",
    "Coordinate",
    "Domain",
    "Project",
    "ProtImportMicrographs",
    "PUPickProtEvaluate",
    "PUPickProtImportCoordinates",
    "PUPickProtImportModel",
    "PUPickProtPick",
    "PUPickProtPreprocess",
    "PUPickProtThreshold",
    "PUPickProtTrain",
    "params",
    "point",
    "read_set",
    "wait_for",
]


ENVIRONMENT = dict(os.environ)
# the package has a function of the module's name
LAUNCH = sys.modules["pyworkflow.protocol.launch"]
_start_process = LAUNCH._run


def _run(command, wait, stdin=None, stdout=None, stderr=None):
    """As Scipion does, but fork what has all modules loaded, which are two seconds of each start.

    What has yet to read the environment, or goes on beside the test, is a process of its own.
    """
    program, script, *arguments = shlex.split(command)
    changed = {k: v for k, v in os.environ.items() if k != "PYTEST_CURRENT_TEST"} != {
        k: v for k, v in ENVIRONMENT.items() if k != "PYTEST_CURRENT_TEST"
    }
    if not wait or changed or Path(script).name != "pw_protocol_run.py":
        return _start_process(command, wait, stdin, stdout, stderr)
    pid = os.fork()
    if pid == 0:
        _run_protocol(*arguments)
    os.waitpid(pid, 0)
    return pid


def _run_protocol(project, database, protocol_id, stdout, stderr):
    """Do what `pw_protocol_run.py` does, and end the process."""
    code = 1
    try:
        LoggingConfigurator.setUpProtocolRunLogging(stdout, stderr)
        runProtocolMain(project, database, int(protocol_id))
        code = 0
    finally:
        os._exit(code)


LAUNCH._run = _run


class Project:
    """A project in which protocols are made, run and looked at."""

    def __init__(self, name):
        self.project = Manager().createProject(name)
        self.path = Path(self.project.path)

    def make(self, protocol_class, **parameters):
        """Make a protocol; a pair of a protocol and the name of its output becomes a pointer."""
        pointers = {k: v for k, v in parameters.items() if isinstance(v, tuple)}
        values = {k: v for k, v in parameters.items() if k not in pointers}
        if hasattr(protocol_class, "getGpuList"):
            values.setdefault("useGpu", False)
        if "inputModel" in pointers:
            values.setdefault("modelFrom", MODEL_TRAINED)
        protocol = self.project.newProtocol(protocol_class, **values)
        for name, (source, output) in pointers.items():
            point(getattr(protocol, name), source, output)
        return protocol

    def errors(self, protocol_class, **parameters):
        """What the form would complain of."""
        os.chdir(self.path)
        protocol = self.make(protocol_class, **parameters)
        self.project.saveProtocol(protocol)
        return protocol.validate()

    def start(self, protocol):
        """Launch a protocol in a process of its own."""
        os.chdir(self.path)
        self.project.launchProtocol(protocol, wait=False)
        return protocol

    def run(self, protocol_class, **parameters):
        """Run a protocol to its end, which has to be a good one."""
        return self.finish(self.make(protocol_class, **parameters))

    def finish(self, protocol):
        """Run a protocol that was made before, or go on with it."""
        os.chdir(self.path)
        self.project.launchProtocol(protocol, wait=True)
        assert protocol.isFinished(), log_of(protocol)
        return protocol

    def fail(self, protocol_class, **parameters):
        """Run a protocol that has to fail, and return its error message."""
        os.chdir(self.path)
        protocol = self.make(protocol_class, **parameters)
        self.project.launchProtocol(protocol, wait=True)
        assert protocol.isFailed(), log_of(protocol)
        return protocol.getErrorMessage()

    def resume(self, protocol, **changes):
        """Press Continue, with some parameters changed."""
        for name, value in changes.items():
            getattr(protocol, name).set(value)
        protocol.runMode.set(MODE_RESUME)
        return self.finish(protocol)

    def refreshed(self, protocol):
        """Return a protocol that runs elsewhere as its own database has it now."""
        return getProtocolFromDb(str(self.path), protocol.getDbPath(), protocol.getObjId())

    def micrographs(self, pattern, pixel_size, **parameters):
        """Import micrographs."""
        return self.run(ProtImportMicrographs, **import_of(pattern, pixel_size, **parameters))


def import_of(pattern, pixel_size, **parameters):
    """Parameters of an import of micrographs."""
    return {
        "filesPath": str(pattern),
        "samplingRateMode": 0,
        "samplingRate": pixel_size,
        "voltage": 300,
        "magnification": 50000,
        "sphericalAberration": 2.7,
        **parameters,
    }


def point(pointer, source, output):
    """Let a pointer point to an output of a protocol."""
    pointer.set(source)
    pointer.setExtended(output)


def log_of(protocol):
    """Return the ends of a protocol's logs, for a test that fails."""
    logs = [Path(path) for path in protocol.getLogPaths()[:2]]
    return "\n".join(log.read_text()[-4000:] for log in logs if log.exists())


def read_set(path):
    """Read a set from its file, without Scipion: properties, and rows by Scipion's column names."""
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
        properties = dict(connection.execute("select key, value from Properties"))
        names = {
            c: n for n, c in connection.execute("select label_property, column_name from Classes")
        }
        cursor = connection.execute("select * from Objects")
        columns = [names.get(description[0], description[0]) for description in cursor.description]
        return properties, [dict(zip(columns, row)) for row in cursor]


def wait_for(condition, protocol, seconds=300):
    """Wait until a condition holds that a protocol brings about, and return what it gave."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, log_of(protocol)
        time.sleep(0.5)
    return found


def in_new_process(code, *arguments):
    """Run Python with Scipion in a new process, and return what it prints as JSON."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def expected(model, sources, folder, **settings):
    """What the command line picks: (micrograph's name, x, y)."""
    micrographs = engine.find_micrographs([str(source) for source in sources], PIXEL_SIZE)
    found = engine.pick(micrographs, model, folder, PickSettings(**settings), "cpu", 1)
    return sorted(
        (os.path.basename(name), round(x), round(y))
        for name, picks in found.picks.items()
        for x, y in zip(picks.x.tolist(), picks.y.tolist())
    )


def picked(run):
    """What is in the output of a picking, in the same form, and the set's properties."""
    properties, rows = read_set(run.outputCoordinates.getFileName())
    return sorted((row["_micName"], row["_x"], row["_y"]) for row in rows), properties
