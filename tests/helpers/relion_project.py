# SPDX-License-Identifier: GPL-3.0-or-later
"""A project with the example micrographs, and the pipeliner of a real RELION 3.1 in it."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from helpers.relion_files import EXAMPLES, read_table, write_coordinates, write_micrographs_star

from scipion_pupick.engine import read_picks

MICS = "Import/job001/micrographs.star"
COORDINATES = "ManualPick/job002/coords_suffix_manualpick.star"
SCHEDULED, SUCCEEDED, FAILED, ABORTED = "1", "2", "3", "4"


class Project:
    """A new project with the example micrographs, and RELION's pipeliner in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.names = sorted(path.name for path in (EXAMPLES / "micrographs").glob("*.mrc"))
        (folder / "Micrographs").mkdir(parents=True)
        for name in self.names:
            (folder / "Micrographs" / name).symlink_to(EXAMPLES / "micrographs" / name)
        self.write_micrographs(3)
        for name, labels in read_picks(EXAMPLES / "picks_100.star").items():
            file = f"Micrographs/{name[:-4]}_manualpick.star"
            write_coordinates(folder / "ManualPick/job002" / file, np.c_[labels.x, labels.y])
        (folder / COORDINATES).write_text(f"{MICS}\n")
        (folder / "default_pipeline.star").touch()

    def write_micrographs(self, count: int) -> None:
        """List the first so many micrographs as imported."""
        names = [f"Micrographs/{name}" for name in self.names[:count]]
        write_micrographs_star(self.folder / MICS, names)

    def call(self, *arguments: str) -> "subprocess.Popen[str]":
        """Start RELION's pipeliner in the project."""
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        return subprocess.Popen(
            ["relion_pipeliner", *arguments],
            cwd=self.folder,
            env={**os.environ, "PATH": path, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.DEVNULL,
        )

    def add(self, kind: str, options) -> Path:
        """Schedule a job and return its folder."""
        before = {path for path in self.folder.glob(f"{kind}/job*")}
        text = ";".join(f"{name} == {value}" for name, value in options.items())
        assert self.call("--addJob", kind, "--addJobOptions", text).wait(30) == 0
        (made,) = {path for path in self.folder.glob(f"{kind}/job*")} - before
        return made

    def start(self, job: Path) -> "subprocess.Popen[str]":
        """Start a job that is scheduled."""
        name = f"{job.relative_to(self.folder)}/"
        return self.call("--RunJobs", name, "--schedule", job.name, "--sec_wait_after", "1")

    def run(self, kind: str, options) -> Path:
        """Run a job to its end and return its folder."""
        job = self.add(kind, options)
        self.start(job).wait(120)
        return job

    def external(self, program: str, parameters, **inputs) -> Path:
        """Schedule an External job and return its folder."""
        options = {"fn_exe": program, "in_mic": MICS, "nr_threads": 1, **inputs}
        for i, (label, value) in enumerate(parameters.items(), 1):
            options.update({f"param{i}_label": label, f"param{i}_value": value})
        return self.add("External", options)

    def run_external(self, program: str, parameters, **inputs) -> Path:
        """Run an External job to its end and return its folder."""
        job = self.external(program, parameters, **inputs)
        self.start(job).wait(120)
        return job

    def status(self, job: Path) -> str:
        """Return a job's status, as in the pipeline's file."""
        text = (self.folder / "default_pipeline.star").read_text()
        name = f"{job.relative_to(self.folder)}/"
        rows = [line.split() for line in text.splitlines()]
        (status,) = (row[3] for row in rows if len(row) == 4 and row[0] == name)
        return status

    def count_picks(self, job: Path) -> int:
        """Return how many particles the files of a job hold."""
        files = job.glob("Micrographs/*_autopick.star")
        return sum(len(read_table(file)[1]) for file in files)
