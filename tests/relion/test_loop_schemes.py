# SPDX-License-Identifier: GPL-3.0-or-later
"""The Schemes for the loop through 2D classes: their jobs, and both in a real RELION 3.1."""

import json
import shutil
from typing import Tuple

import pytest
import starfile
from helpers.relion_files import read_table
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

from relion_external.parameters import BOTH, PICK, parse_arguments

FIRST, AGAIN = (EXAMPLES / f"relion_loop/Schemes/pupick_{name}" for name in ("first", "again"))
LIST = "CtfFind/job003/micrographs_ctf.star"
ORDER = {FIRST: ["pick", "extract", "class2d"], AGAIN: ["again", "extract"]}


@pytest.mark.parametrize("scheme", [FIRST, AGAIN], ids=lambda path: path.name)
def test_jobs_follow_one_another_and_take_what_the_one_before_has_made(scheme):
    tables = tables_of(scheme / "scheme.star")
    assert dict(tables["scheme_general"]) == {
        "_rlnSchemeName": f"Schemes/{scheme.name}/",
        "_rlnSchemeCurrentNodeName": ORDER[scheme][0],
    }
    jobs = [name for name, current, mode, started in tables["scheme_jobs"]]
    assert jobs == ORDER[scheme]
    assert sorted(jobs) == sorted(path.parent.name for path in scheme.glob("*/job.star"))
    edges = [(start, end) for start, end, *_ in tables["scheme_edges"]]
    assert edges == list(zip(jobs, jobs[1:]))
    own = f"Schemes/{scheme.name}/"
    for job, before in zip(jobs[1:], jobs):
        named = {v[len(own) :] for v in options_of(scheme, job).values() if v.startswith(own)}
        assert named
        assert {name.partition("/")[0] for name in named} == {before}
    # each variable is used
    kinds = ("scheme_floats", "scheme_strings")
    variables = {f"$${row[0]}" for kind in kinds for row in tables[kind]}
    assert variables == {
        v for job in jobs for v in options_of(scheme, job).values() if v.startswith("$$")
    }


def test_the_jobs_of_pupick_are_called_rightly():
    first = parse_arguments(PICK, arguments_of(FIRST, "pick"))
    assert first.micrographs == LIST
    assert first.values == {"model": "general", "diameter": 180.0, "gpu": "auto"}
    again = parse_arguments(BOTH, arguments_of(AGAIN, "again"))
    assert again.micrographs == LIST
    assert again.particles == "Select/job007/particles.star"
    assert again.values == {"diameter": 180.0, "selected_from": "auto", "gpu": "auto"}
    assert values_of(FIRST, "class2d")["particle_diameter"] == "220.000000"


SELECT = """
data_joboptions_values

loop_
_rlnJobOptionVariable #1
_rlnJobOptionValue #2
fn_model Class2D/job003/run_it003_model.star
"""
SMALL = {"extract_size +256": "extract_size 96", "rescale +64": "rescale 24"}
LISTED = {LIST.replace(".", r"\."): MICS}


def select_the_largest_class(project: Project) -> Tuple[int, int]:
    """Do what a person does in RELION's window; return how many are selected, and how many not."""
    folder = project.folder / "Select/job004"
    folder.mkdir(parents=True)
    (folder / "job.star").write_text(SELECT)
    tables = starfile.read(project.folder / "Class2D/job003/run_it003_data.star")
    classes = tables["particles"]["rlnClassNumber"]
    selected = classes == classes.mode()[0]
    tables["particles"] = tables["particles"][selected]
    starfile.write(tables, folder / "particles.star")
    return int(selected.sum()), int((~selected).sum())


@pytest.mark.slow
@pytest.mark.skipif(
    shutil.which("relion_scheduler") is None,
    reason="needs RELION 3.1: apt-get install --no-install-recommends relion",
)
def test_the_whole_way_in_relion(tmp_path):
    project = Project(tmp_path)
    classes = {
        "nr_classes +50": "nr_classes 4",
        "psi_sampling +6": "psi_sampling 24\nnr_iter 3",
        "do_ctf_correction +Yes": "do_ctf_correction No",
        "nr_threads +8": "nr_threads 2",
    }
    jobs = {"pick": {"auto": "none"}, "extract": SMALL, "class2d": classes}
    write_schedule(project, FIRST, LISTED, jobs)
    scheduler(project, FIRST.name, "--run")
    for job in ("External/job001", "Extract/job002", "Class2D/job003"):
        assert project.status(tmp_path / job) == SUCCEEDED, job
    selected, rejected = select_the_largest_class(project)
    short = {
        r"param3_value +auto": "param3_value none",
        r'param4_label +""': "param4_label epochs",
        r'param4_value +""': "param4_value 1",
        r'param5_label +""': "param5_label steps",
        r'param5_value +""': "param5_value 2",
    }
    write_schedule(project, AGAIN, LISTED, {"again": short, "extract": SMALL})
    value = "Select/job004/particles.star"
    scheduler(project, AGAIN.name, "--set_var", "selected", "--value", value)
    scheduler(project, AGAIN.name, "--run")
    (again,) = set(tmp_path.glob("External/job*")) - {tmp_path / "External/job001"}
    assert project.status(again) == SUCCEEDED, (again / "run.err").read_text()
    (extracted,) = set(tmp_path.glob("Extract/job*")) - {tmp_path / "Extract/job002"}
    assert project.status(extracted) == SUCCEEDED, (extracted / "run.err").read_text()
    assert read_table(extracted / "particles.star")[1]
    record = json.loads((again / "train.json").read_text())
    assert f" {selected} selected, " in (again / "run.out").read_text()
    assert 0.9 * selected < record["labels"] + record["held_out_labels"] <= selected
    # those in a class with hardly a member count as neither, and some are held out
    assert 0 < record["negatives"] <= rejected
