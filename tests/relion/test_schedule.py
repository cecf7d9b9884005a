# SPDX-License-Identifier: GPL-3.0-or-later
"""The Scheme for picking on the fly: its form for RELION 5, and its rounds in a real RELION 3.1."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.relion_files import exit_files, write_model
from helpers.relion_project import MICS, SUCCEEDED, Project

from relion_external.parameters import PICK, parse_arguments
from relion_external.versions import V5, version_of_text

SCHEME = Path(__file__).parents[2] / "examples/relion_on_the_fly/Schemes/pupick"


def tables_of(path):
    """The rows of each table of a STAR file, as words, by the table's name."""
    tables, rows = {}, []
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("data_"):
            rows = tables.setdefault(line[len("data_") :].strip(), [])
        elif line.strip() and not line.startswith(("#", "loop_")) and "#" not in line:
            rows.append(line.split())
    return tables


@pytest.fixture(scope="module")
def scheme():
    return tables_of(SCHEME / "scheme.star")


def options_of(job):
    return dict(tables_of(SCHEME / job / "job.star")["joboptions_values"])


@pytest.mark.parametrize("path", ["scheme.star", "pick/job.star", "extract/job.star"])
def test_the_files_are_those_of_relion_5(path):
    text = (SCHEME / path).read_text(encoding="utf-8")
    assert set(re.findall(r"# version (\d+)", text)) == {"50001"}
    assert path == "scheme.star" or version_of_text(text) == V5


def test_what_a_node_of_the_scheme_names_is_there(scheme):
    kinds = ("floats", "bools", "strings")
    variables = {row[0]: kind for kind in kinds for row in scheme[f"scheme_{kind}"]}
    operators = {row[0]: row[1:] for row in scheme["scheme_operators"]}
    jobs = [row[0] for row in scheme["scheme_jobs"]]
    assert sorted(jobs) == sorted(path.parent.name for path in SCHEME.glob("*/job.star"))
    for kind, *used in operators.values():
        assert all(name == "undefined" or name in variables for name in used)
        if "=" in kind:
            assert variables[used[0]].startswith(kind.partition("=")[0])
    nodes = {*operators, *jobs}
    for start, end, is_fork, if_true, decides in scheme["scheme_edges"]:
        assert {start, end} <= nodes
        if is_fork == "1":
            assert if_true in nodes
            assert variables[decides] == "bools"
        else:
            assert (if_true, decides) == ("undefined", "undefined")
    for job in jobs:
        named = [v[2:] for v in options_of(job).values() if v.startswith("$$")]
        assert named
        assert set(named) <= variables.keys()
    general = dict(scheme["scheme_general"])
    assert general["_rlnSchemeName"] == "Schemes/pupick/"
    assert general["_rlnSchemeCurrentNodeName"] in nodes


def test_every_round_leads_back_to_waiting(scheme):
    onward = {}
    for start, end, _, if_true, _ in scheme["scheme_edges"]:
        onward[start] = {end, if_true} - {"undefined"}
    assert onward.keys() == {row[0] for row in scheme["scheme_operators"] + scheme["scheme_jobs"]}
    for node in onward:
        reached, new = set(), {node}
        while new:
            reached |= new
            new = set().union(*(onward[place] for place in new)) - reached
        assert "WAIT" in reached


def test_the_picking_job_is_called_rightly_and_its_coordinates_are_extracted(scheme):
    values = {row[0]: row[1] for kind in ("floats", "strings") for row in scheme[f"scheme_{kind}"]}
    options = {
        name: values[value[2:]] if value.startswith("$$") else value.strip('"')
        for name, value in options_of("pick").items()
    }
    arguments = ["--o", "External/job004/", "--in_mics", options["in_mic"], "--j"]
    arguments.append(options["nr_threads"])
    for number in range(1, 11):
        label = options[f"param{number}_label"]
        arguments += [f"--{label}", options[f"param{number}_value"]] if label else []
    parsed = parse_arguments(PICK, arguments)
    assert parsed.micrographs == "CtfFind/job003/micrographs_ctf.star"
    assert parsed.values == {"model": "general", "diameter": 180.0, "gpu": "auto"}
    extract = options_of("extract")
    assert extract["coords_suffix"] == "Schemes/pupick/pick/autopick.star"
    assert extract["star_mics"] == options_of("pick")["in_mic"]
    # the lowest score that there is: pupick's own threshold decides until the user does
    assert (extract["do_fom_threshold"], values["minimum_fom"]) == ("Yes", "-8.000000")


PIPELINE = """
data_pipeline_general

_rlnPipeLineJobCounter 2


data_pipeline_processes

loop_
_rlnPipeLineProcessName #1
_rlnPipeLineProcessAlias #2
_rlnPipeLineProcessType #3
_rlnPipeLineProcessStatus #4
Schedules/pupick/pick/ None 99 1

"""
# RELION 3.1 knows no time to end at, and no extraction whose micrographs come from elsewhere
OTHERS = {
    r"EXIT_maxtime +exit_maxtime +undefined +maxtime_hr": "EXIT exit undefined undefined",
    r"(?m)^WAIT +EXIT_maxtime": "WAIT HAS_list",
    r"(?m)^EXIT_maxtime +HAS_list .*\n": "",
    r"(?m)^pick +extract +0": "pick EXIT 0",
    r"(?m)^extract .*\n": "",
    r"HAS_more +WAIT ": "HAS_more EXIT ",
}
VALUES = {
    r"CtfFind/job003/micrographs_ctf\.star": MICS,
    r"model +general +general": "model trained trained",
    r"wait_sec +60\.000000 +60\.000000": "wait_sec 1 1",
}


def scheduler(project, *arguments) -> None:
    path = f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}"
    subprocess.run(
        ["relion_scheduler", "--schedule", "pupick", *arguments],
        cwd=project.folder,
        env={**os.environ, "PATH": path, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        timeout=100,
        check=True,
    )


@pytest.fixture
def scheduled(tmp_path):
    """A project with the Scheme's picking rounds, in the words of RELION 3.1."""
    project = Project(tmp_path)
    write_model(tmp_path / "trained/model.safetensors")
    folder = tmp_path / "Schedules/pupick"
    (folder / "pick").mkdir(parents=True)
    text = (SCHEME / "scheme.star").read_text(encoding="utf-8")
    for pattern, new in {**OTHERS, **VALUES}.items():
        text, count = re.subn(pattern, new, text)
        assert count, pattern
    text = text.replace("Scheme", "Schedule").replace("scheme", "schedule")
    (folder / "schedule.star").write_text(text)
    job = (SCHEME / "pick/job.star").read_text(encoding="utf-8").replace("50001", "30001")
    job = re.sub(r"_rlnJobTypeLabel +relion\.external", "_rlnJobType 99", job)
    job = re.sub(r"_rlnJobIsTomo .*\n", "", job).replace("auto", "none")
    (folder / "pick/job.star").write_text(job)
    (folder / "schedule_pipeline.star").write_text(PIPELINE)
    return project


@pytest.mark.slow
@pytest.mark.skipif(
    shutil.which("relion_scheduler") is None,
    reason="needs RELION 3.1: apt-get install --no-install-recommends relion",
)
def test_the_scheme_picks_and_goes_round_again_for_new_micrographs_only(scheduled):
    scheduler(scheduled, "--run")
    job = scheduled.folder / "External/job001"
    assert scheduled.status(job) == SUCCEEDED, (job / "run.err").read_text()
    assert "--model trained --diameter 180 " in (job / "note.txt").read_text()
    kept = {path: path.stat().st_mtime_ns for path in job.glob("pupick/scores/**/*.safetensors")}
    assert len(kept) == 3
    calls = (job / "note.txt").read_text().count("relion_external_pupick_pick")
    # nothing is new
    scheduler(scheduled, "--set_current_node", "WAIT")
    scheduler(scheduled, "--run")
    assert (job / "note.txt").read_text().count("relion_external_pupick_pick") == calls
    scheduled.write_micrographs(5)
    scheduler(scheduled, "--set_current_node", "WAIT")
    scheduler(scheduled, "--run")
    assert len(list(job.glob("Micrographs/*_autopick.star"))) == 5
    assert all(path.stat().st_mtime_ns == time for path, time in kept.items())
    assert exit_files(job) == ["RELION_JOB_EXIT_SUCCESS"]
    assert (job / "coords_suffix_autopick.star").read_text() == f"{MICS}\n"
