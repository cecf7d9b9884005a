# SPDX-License-Identifier: GPL-3.0-or-later
"""The jobs of docs/loop.md in a real RELION 3.1: pick, extract, classify, select, train, again."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers.relion_files import write_micrographs_star
from helpers.relion_project import SUCCEEDED, Project

from scipion_pupick.engine import read_json

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        shutil.which("relion_refine") is None,
        reason="needs RELION 3.1: apt-get install --no-install-recommends relion",
    ),
]
DOCUMENT = Path(__file__).parents[2] / "docs" / "loop.md"
MICS = "CtfFind/job003/micrographs_ctf.star"
JOB = re.compile(r'relion_pipeliner --addJob (\w+) --addJobOptions "(.*)"')
# fewer micrographs, no CTF and no GPU here; and what is learned does not matter
SHORT = {
    "Class2D": {"nr_classes": 4, "nr_iter": 3, "do_ctf_correction": "No", "nr_threads": 1}
    | {"do_combine_thru_disc": "No", "psi_sampling": 24, "offset_range": 2},
    "External": {"nr_threads": 1, "param3_label": "gpu", "param3_value": "none"},
    "Extract": {"nr_mpi": 1},
}
HASTY = {
    "network": "conv3",
    "start": "none",
    "epochs": 1,
    "steps": 1,
    "check_picks": "off",
    "held_out": 0,
}


def documented():
    """The jobs of the page: their types and options."""
    jobs = JOB.findall(DOCUMENT.read_text(encoding="utf-8"))
    return [(kind, dict(o.split(" == ") for o in text.split(";"))) for kind, text in jobs]


class Way:
    """The jobs of the page in a project, whose numbers are others than there."""

    def __init__(self, project):
        self.project = project
        # as the page begins, three jobs came before
        self.names = {}

    def run(self, kind, options, documented_as):
        for old, new in self.names.items():
            options = {
                n: v.replace(old, new) if isinstance(v, str) else v for n, v in options.items()
            }
        job = self.project.run(kind, options)
        assert self.project.status(job) == SUCCEEDED, (job / "run.err").read_text()
        self.names[documented_as] = f"{kind}/{job.name}"
        return job


@pytest.fixture(scope="module")
def jobs(tmp_path_factory):
    """Every job of the page, by the name that it has there."""
    project = Project(tmp_path_factory.mktemp("loop"))
    names = [f"Micrographs/{name}" for name in project.names[:2]]
    write_micrographs_star(project.folder / MICS, names)
    way = Way(project)
    pick, extract, classify, train, again = documented()
    done = {}
    for (kind, options), name in zip((pick, extract, classify), ("job004", "job005", "job006")):
        done[name] = way.run(kind, {**options, **SHORT[kind]}, f"{kind}/{name}")
    # people select in a window; by a number of the table RELION does it without one
    data = done["job006"] / "run_it003_data.star"
    table = particles(data)
    largest = int(np.bincount(table["rlnClassNumber"]).argmax())
    select = {"fn_data": str(data.relative_to(project.folder)), "do_select_values": "Yes"}
    select |= {"select_label": "rlnClassNumber", "select_minval": largest, "select_maxval": largest}
    done["job007"] = way.run("Select", select, "Select/job007")
    options = {**train[1], **SHORT["External"], "other_args": arguments(HASTY)}
    done["job008"] = way.run("External", options, "External/job008")
    done["job009"] = way.run("External", {**again[1], **SHORT["External"]}, "External/job009")
    return project, done, table["rlnClassNumber"], largest


def arguments(values):
    return " ".join(f"--{name} {value}" for name, value in values.items())


def particles(path):
    """Class numbers of the particles of a table."""
    text = path.read_text().partition("data_particles")[2]
    columns = re.findall(r"^_(\w+)", text, re.MULTILINE)
    rows = [line.split() for line in text.splitlines() if ".mrc" in line]
    return {"rlnClassNumber": np.array([int(r[columns.index("rlnClassNumber")]) for r in rows])}


def test_the_page_goes_the_whole_way(jobs):
    project, done, classes, largest = jobs
    assert len(done) == 6
    assert project.count_picks(done["job004"]) == len(classes)
    assert project.count_picks(done["job009"]) > 0
    assert (done["job008"] / "model.safetensors").is_file()


def test_selected_classes_are_labels_and_rejected_ones_negatives(jobs):
    project, done, classes, largest = jobs
    sizes = np.bincount(classes)
    sizes = sizes[sizes > 0]
    counted = [
        n for n in np.unique(classes) if n != largest and (classes == n).sum() >= 0.1 * sizes.mean()
    ]
    selected, rejected = (classes == largest).sum(), np.isin(classes, counted).sum()
    said = (done["job008"] / "run.out").read_text()
    assert f"{len(classes)} particles, {selected} selected, {rejected} rejected" in said
    record = read_json(done["job008"] / "train.json")
    assert record["labels"] == selected
    # where RELION has moved one onto a particle that was selected, it counts as neither
    assert 0.9 * rejected <= record["negatives"] <= rejected
