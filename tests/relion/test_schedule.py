# SPDX-License-Identifier: GPL-3.0-or-later
"""The Scheme for picking on the fly, and its rounds in a real RELION 3.1; all Schemes' form."""

import re
import shutil

import pytest
from helpers.relion_files import exit_files, write_model
from helpers.relion_project import MICS, SUCCEEDED, Project
from helpers.relion_schemes import (
    EXAMPLES,
    arguments_of,
    options_of,
    scheduler,
    tables_of,
    values_of,
    write_schedule,
)

from relion_external.parameters import PICK, parse_arguments
from relion_external.versions import V5, version_of_text

SCHEME = EXAMPLES / "relion_on_the_fly/Schemes/pupick"


@pytest.fixture(scope="module")
def scheme():
    return tables_of(SCHEME / "scheme.star")


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("relion_*/Schemes/**/*.star")), ids=str)
def test_the_files_are_those_of_relion_5(path):
    text = path.read_text(encoding="utf-8")
    assert set(re.findall(r"# version (\d+)", text)) == {"50001"}
    assert path.name == "scheme.star" or version_of_text(text) == V5


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
        named = [v[2:] for v in options_of(SCHEME, job).values() if v.startswith("$$")]
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


def test_the_picking_job_is_called_rightly_and_its_coordinates_are_extracted():
    parsed = parse_arguments(PICK, arguments_of(SCHEME, "pick"))
    assert parsed.micrographs == "CtfFind/job003/micrographs_ctf.star"
    assert parsed.values == {"model": "general", "diameter": 180.0, "gpu": "auto"}
    extract = options_of(SCHEME, "extract")
    assert extract["coords_suffix"] == "Schemes/pupick/pick/autopick.star"
    assert extract["star_mics"] == options_of(SCHEME, "pick")["in_mic"]
    # the lowest score that there is: pupick's own threshold decides until the user does
    assert extract["do_fom_threshold"] == "Yes"
    assert values_of(SCHEME, "extract")["minimum_pick_fom"] == "-8.000000"


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


@pytest.fixture
def scheduled(tmp_path):
    """A project with the Scheme's picking rounds, in the words of RELION 3.1."""
    project = Project(tmp_path)
    write_model(tmp_path / "trained/model.safetensors")
    write_schedule(project, SCHEME, {**OTHERS, **VALUES}, {"pick": {"auto": "none"}})
    return project


@pytest.mark.slow
@pytest.mark.skipif(
    shutil.which("relion_scheduler") is None,
    reason="needs RELION 3.1: apt-get install --no-install-recommends relion",
)
def test_the_scheme_picks_and_goes_round_again_for_new_micrographs_only(scheduled):
    scheduler(scheduled, "pupick", "--run")
    job = scheduled.folder / "External/job001"
    assert scheduled.status(job) == SUCCEEDED, (job / "run.err").read_text()
    assert "--model trained --diameter 180 " in (job / "note.txt").read_text()
    kept = {path: path.stat().st_mtime_ns for path in job.glob("pupick/scores/**/*.safetensors")}
    assert len(kept) == 3
    calls = (job / "note.txt").read_text().count("relion_external_pupick_pick")
    # nothing is new
    scheduler(scheduled, "pupick", "--set_current_node", "WAIT")
    scheduler(scheduled, "pupick", "--run")
    assert (job / "note.txt").read_text().count("relion_external_pupick_pick") == calls
    scheduled.write_micrographs(5)
    scheduler(scheduled, "pupick", "--set_current_node", "WAIT")
    scheduler(scheduled, "pupick", "--run")
    assert len(list(job.glob("Micrographs/*_autopick.star"))) == 5
    assert all(path.stat().st_mtime_ns == time for path, time in kept.items())
    assert exit_files(job) == ["RELION_JOB_EXIT_SUCCESS"]
    assert (job / "coords_suffix_autopick.star").read_text() == f"{MICS}\n"
