# SPDX-License-Identifier: GPL-3.0-or-later
"""The distribution: what is built from the source, and that it works where it is installed."""

import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest
from helpers.simulated import DIAMETER, PARTICLES, as_picks, simulate_set

import scipion_pupick
from scipion_pupick.engine import read_picks, write_picks

pytest.importorskip("build", reason="needs build: pip install '.[dev]'")
pytest.importorskip("twine", reason="needs twine: pip install '.[dev]'")
pytestmark = pytest.mark.slow

SOURCE = Path(__file__).parents[2]
NAME = f"scipion_em_pupick-{scipion_pupick.__version__}"
PACKAGES = ("scipion_pupick", "relion_external")
NOT_SOURCE = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "build", "dist", "demo")
DATA = {
    "scipion_pupick/protocols.conf",
    "scipion_pupick/pupick_logo.png",
    "scipion_pupick/templates/general.json.template",
    "scipion_pupick/templates/loop.json.template",
    "scipion_pupick/templates/train.json.template",
    "scipion_pupick/engine/networks/general.safetensors",
    "scipion_pupick/engine/reporting/template.html",
    "scipion_pupick/engine/reporting/report.css",
}


def run(*command, cwd):
    """Run a program that sees no source of pupick, and return what it prints."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def packaged_sources():
    """Names of all files in the packages' folders."""
    paths = [path for package in PACKAGES for path in (SOURCE / package).rglob("*")]
    return {
        path.relative_to(SOURCE).as_posix()
        for path in paths
        if path.is_file() and "__pycache__" not in path.parts
    }


def file_names(listing):
    """Names of files, without those of folders."""
    return {name for name in listing if not name.endswith("/")}


@pytest.fixture(scope="module")
def dist(tmp_path_factory):
    """A source distribution, and a wheel that is built from that and not from the source."""
    folder = tmp_path_factory.mktemp("package")
    shutil.copytree(SOURCE, folder / "source", ignore=NOT_SOURCE)
    run(
        sys.executable,
        "-m",
        "build",
        "--no-isolation",
        "--outdir",
        "../dist",
        cwd=folder / "source",
    )
    return folder / "dist"


@pytest.fixture(scope="module")
def wheel(dist):
    return dist / f"{NAME}-py3-none-any.whl"


@pytest.fixture(scope="module")
def metadata(wheel):
    with zipfile.ZipFile(wheel) as archive:
        return Parser().parsestr(archive.read(f"{NAME}.dist-info/METADATA").decode())


@pytest.fixture(scope="module")
def programs(wheel, tmp_path_factory):
    """Where pupick's programs lie in a new environment that has the wheel installed."""
    folder = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder)
    python = folder / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--python", python, "install")
    run(*pip, "--quiet", "--no-index", "--no-deps", wheel, cwd=folder)
    # The libraries come from here. Editable installations do not: they need .pth files, too.
    libraries = [path for path in sys.path if path.endswith("-packages")]
    site = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder)
    (Path(site.strip()) / "libraries.pth").write_text("\n".join(libraries) + "\n")
    return python.parent


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory):
    """A folder with two micrographs and labels, far from the source."""
    folder = tmp_path_factory.mktemp("elsewhere")
    particles = simulate_set(folder / "micrographs", range(2))
    write_picks(as_picks(particles), folder / "labels.star")
    return folder


def test_the_wheel_holds_the_packages_and_nothing_else(wheel):
    names = file_names(zipfile.ZipFile(wheel).namelist())
    packaged = {name for name in names if not name.startswith(f"{NAME}.dist-info/")}
    assert packaged == packaged_sources()
    assert packaged >= DATA
    assert f"{NAME}.dist-info/licenses/LICENSE" in names


def test_the_source_distribution_holds_what_the_wheel_needs_and_no_tests(dist):
    with tarfile.open(dist / f"{NAME}.tar.gz") as archive:
        members = [member.name for member in archive.getmembers() if member.isfile()]
    names = {name.split("/", 1)[1] for name in members}
    assert names >= packaged_sources()
    assert names >= {"LICENSE", "README.md", "CHANGELOG.md", "pyproject.toml", "setup.py"}
    folders = {name.split("/")[0] for name in names if "/" in name}
    assert folders == {*PACKAGES, "scipion_em_pupick.egg-info"}


def test_scipion_finds_the_plugin_before_the_relion_package(wheel):
    archive = zipfile.ZipFile(wheel)
    top_level = archive.read(f"{NAME}.dist-info/top_level.txt").decode().split()
    assert top_level == ["scipion_pupick", "relion_external"]
    assert "relion_external/__init__.py" not in archive.namelist()


def test_a_package_index_accepts_the_files(dist):
    text = run(sys.executable, "-m", "twine", "check", "--strict", *dist.iterdir(), cwd=dist)
    assert text.count("PASSED") == 2


def test_the_metadata_say_version_license_links_and_extras(metadata):
    assert metadata["Version"] == scipion_pupick.__version__
    assert metadata["License-Expression"] == "GPL-3.0-or-later"
    assert metadata["Requires-Python"] == ">=3.9"
    assert {"ccpem", "cluster", "dev", "plot", "scipion", "tiff"} == set(
        metadata.get_all("Provides-Extra")
    )
    assert "Programming Language :: Python :: 3.9" in metadata.get_all("Classifier")
    links = [link.split(", ")[1] for link in metadata.get_all("Project-URL")]
    assert "https://doi.org/10.1038/s41592-019-0575-8" in links


def test_the_description_links_to_nothing_that_a_package_index_has_not(metadata):
    description = metadata.get_payload()
    assert description.startswith("# pupick\n")
    targets = [part.split(")")[0] for part in description.split("](")[1:]]
    assert targets
    assert all(target.startswith("https://") for target in targets)


def test_the_programs_run_from_the_wheel(programs, elsewhere):
    code = "import relion_external.worker as job, scipion_pupick as plugin"
    printed = run(
        programs / "python", "-c", f"{code}; print(job.__file__, plugin.__file__)", cwd=elsewhere
    )
    files = printed.split()
    assert all(Path(file).is_relative_to(programs.parent) for file in files)
    for program in ("pupick", "pupick-topaz"):
        text = run(programs / program, "--version", cwd=elsewhere)
        assert scipion_pupick.__version__ in text
    for program in ("relion_external_pupick", "relion_external_pupick_pick"):
        assert "--setup" in run(programs / program, "--help", cwd=elsewhere)


def test_the_wheel_picks_with_its_own_model(programs, elsewhere):
    pick = (programs / "pupick", "pick", "--model", "general", "--diameter", DIAMETER)
    run(*pick, "--micrographs", "micrographs", "--output", "general", "--threads", 1, cwd=elsewhere)
    assert len(read_picks(elsewhere / "general" / "picks.star")) == 2
    assert "<script" in (elsewhere / "general" / "report.html").read_text()


def test_the_wheel_trains_and_picks_with_what_it_trained(programs, elsewhere):
    quick = ("--epochs", 1, "--steps", 2, "--threads", 1)
    expected = ("--diameter", DIAMETER, "--particles-per-micrograph", PARTICLES)
    data = ("--micrographs", "micrographs", "--picks", "labels.star", "--output", "run")
    run(programs / "pupick", "train", *data, *expected, *quick, cwd=elsewhere)
    model = elsewhere / "run" / "model.safetensors"
    shown = json.loads(run(programs / "pupick", "model", "show", model, cwd=elsewhere))
    assert shown["versions"]["pupick"] == scipion_pupick.__version__
    pick = (programs / "pupick", "pick", "--model", model, "--threshold", -8, "--threads", 1)
    run(*pick, "--micrographs", "micrographs", "--output", "picked", cwd=elsewhere)
    assert len(read_picks(elsewhere / "picked" / "picks.star")) == 2
