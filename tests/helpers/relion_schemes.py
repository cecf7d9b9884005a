# SPDX-License-Identifier: GPL-3.0-or-later
"""Schemes of RELION 5: what their files hold, and the same as Schedules of a real RELION 3.1."""

import os
import re
import subprocess
import sys
from pathlib import Path

from helpers.relion_project import Project

EXAMPLES = Path(__file__).parents[2] / "examples"
# numbers of RELION 3.1 for types of jobs
TYPES = {"external": 99, "extract": 5, "class2d": 8}
# unknown to RELION 3.1
NEW_OPTIONS = ("do_float16", "do_center", "do_em", "do_grad", "nr_iter_em", "nr_iter_grad")
PIPELINE = """
data_pipeline_general

_rlnPipeLineJobCounter 2


data_pipeline_processes

loop_
_rlnPipeLineProcessName #1
_rlnPipeLineProcessAlias #2
_rlnPipeLineProcessType #3
_rlnPipeLineProcessStatus #4
{processes}

data_pipeline_nodes

loop_
_rlnPipeLineNodeName #1
_rlnPipeLineNodeType #2
{nodes}

data_pipeline_input_edges

loop_
_rlnPipeLineEdgeFromNode #1
_rlnPipeLineEdgeProcess #2
{inputs}

data_pipeline_output_edges

loop_
_rlnPipeLineEdgeProcess #1
_rlnPipeLineEdgeToNode #2
{outputs}
"""
# numbers of RELION 3.1 for kinds of nodes
NODES = {"micrographs": 1, "coords_suffix_autopick": 2, "particles": 3}


def tables_of(path: Path):
    """The rows of each table of a STAR file, as words, by the table's name."""
    tables, rows = {}, []
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("data_"):
            rows = tables.setdefault(line[len("data_") :].strip(), [])
        elif line.strip() and not line.startswith(("#", "loop_")) and "#" not in line:
            rows.append(line.split())
    return tables


def options_of(scheme: Path, job: str):
    """The options of a job of a Scheme, as they are written."""
    return dict(tables_of(scheme / job / "job.star")["joboptions_values"])


def values_of(scheme: Path, job: str):
    """The same with the values of variables in their places."""
    tables = tables_of(scheme / "scheme.star")
    kinds = [f"scheme_{kind}" for kind in ("floats", "strings")]
    values = {row[0]: row[1] for kind in kinds for row in tables[kind]}
    return {
        name: values[value[2:]] if value.startswith("$$") else value.strip('"')
        for name, value in options_of(scheme, job).items()
    }


def arguments_of(scheme: Path, job: str):
    """What RELION calls an External job of a Scheme with."""
    options = values_of(scheme, job)
    arguments = ["--o", "External/job004/", "--in_mics", options["in_mic"]]
    if options["in_part"]:
        arguments += ["--in_parts", options["in_part"]]
    for number in range(1, 11):
        label = options[f"param{number}_label"]
        arguments += [f"--{label}", options[f"param{number}_value"]] if label else []
    return [*arguments, "--j", options["nr_threads"]]


def write_schedule(project: Project, scheme: Path, changes, changes_of_jobs) -> Path:
    """Write a Scheme into a project in the words of RELION 3.1, and return its folder.

    Args:
        project: of RELION 3.1.
        scheme: folder of the Scheme.
        changes: by pattern, what is written in its place in the Scheme; each is found.
        changes_of_jobs: the same for a job, by its name.
    """
    folder = project.folder / "Schedules" / scheme.name
    text = replaced((scheme / "scheme.star").read_text(encoding="utf-8"), changes)
    folder.mkdir(parents=True)
    (folder / "schedule.star").write_text(
        text.replace("Scheme", "Schedule").replace("scheme", "schedule")
    )
    rows = {"processes": [], "nodes": [], "inputs": [], "outputs": []}
    for path in sorted(scheme.glob("*/job.star")):
        name, text = path.parent.name, path.read_text(encoding="utf-8")
        (kind,) = re.findall(r"_rlnJobTypeLabel +relion\.(\w+)", text)
        text = re.sub(r"_rlnJobTypeLabel .*", f"_rlnJobType {TYPES[kind]}", text)
        text = re.sub(rf"(?m)^ *(_rlnJobIsTomo|{'|'.join(NEW_OPTIONS)}) .*\n", "", text)
        text = text.replace("50001", "30001").replace("Schemes/", "Schedules/")
        text = re.sub(r"(Schedules/\S+/)autopick\.star", r"\1coords_suffix_autopick.star", text)
        text = replaced(text, changes_of_jobs.get(name, {}))
        (folder / name).mkdir()
        (folder / name / "job.star").write_text(text)
        job = f"Schedules/{scheme.name}/{name}/"
        rows["processes"].append(f"{job} None {TYPES[kind]} 1")
        # RELION 3.1 looks for the micrographs of an extraction first
        for node in sorted(re.findall(r"Schedules/\S+\.star", text), reverse=True):
            rows["nodes"].append(f"{node} {NODES[Path(node).stem]}")
            rows["inputs"].append(f"{node} {job}")
            rows["outputs"].append(f"{node.rpartition('/')[0]}/ {node}")
    tables = {name: "\n".join(lines) for name, lines in rows.items()}
    (folder / "schedule_pipeline.star").write_text(PIPELINE.format(**tables) + "\n")
    return folder


def replaced(text: str, changes) -> str:
    """Return a text with each pattern replaced, all of which are found."""
    for pattern, new in changes.items():
        text, count = re.subn(pattern, new, text)
        assert count, pattern
    return text


def scheduler(project: Project, name: str, *arguments: str) -> None:
    """Call RELION's scheduler."""
    path = f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}"
    subprocess.run(
        ["relion_scheduler", "--schedule", name, *arguments],
        cwd=project.folder,
        env={**os.environ, "PATH": path, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        timeout=100,
        check=True,
    )
