# SPDX-License-Identifier: GPL-3.0-or-later
"""Picking jobs with a model that knows contamination: what RELION's tables say of it."""

import shutil
import subprocess

import pytest
from helpers.dirty import dirty_model, read_mask, simulate_dirty
from helpers.relion_files import (
    OPTICS,
    make_project,
    read_table,
    write_micrographs_star,
    write_model,
)

from relion_external.jobs import run_job
from relion_external.outputs import project_path, write_micrographs
from relion_external.parameters import PICK, parse_arguments
from relion_external.versions import V3, V5
from scipion_pupick.engine.files.star import read_blocks
from scipion_pupick.engine.picking.cut import Contamination

MICS = "CtfFind/job003/micrographs_ctf.star"
NAMES = ["Micrographs/m1.mrc", "Micrographs/m2.mrc"]
# px that are contamination
DIRTY = {NAMES[0]: 40, NAMES[1]: 80}


def write_empty_report(report, micrographs, path) -> None:
    path.write_bytes(b"%PDF")


@pytest.fixture
def job(tmp_path, monkeypatch, request):
    """An empty job in a project with two micrographs, one of which is dirtier."""
    monkeypatch.setattr("relion_external.jobs.write_report", write_empty_report)
    make_project(tmp_path, [], getattr(request, "param", V3))
    for seed, (name, dirty) in enumerate(DIRTY.items(), 1):
        simulate_dirty(tmp_path / name, seed, dirty)
    write_micrographs_star(tmp_path / MICS, NAMES, OPTICS.replace("7.08", "4.0"))
    dirty_model(tmp_path / "External/job004/model.safetensors")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "External/job005"


def pick(*parameters: str) -> None:
    start = ["--o", "External/job005/", "--in_mics", MICS, "--model", "External/job004"]
    run_job(parse_arguments(PICK, [*start, "--gpu", "none", *parameters]))


def listed(job):
    table = read_blocks(job / "micrographs.star")["micrographs"]
    return {column: table.words(column) for column in table.columns}


@pytest.mark.parametrize(
    ("job", "node"),
    [(V3, "micrographs.star 1"), (V5, "micrographs.star MicrographGroupMetadata.star.relion")],
    indirect=["job"],
)
def test_the_micrographs_are_listed_with_their_usable_shares(job, node):
    pick()
    table = listed(job)
    assert table["rlnMicrographName"] == NAMES
    assert table["rlnOpticsGroup"] == ["1", "1"]
    shares = [float(text) for text in table["pupickUsableShare"]]
    assert shares == pytest.approx([1 - dirty / 256 for dirty in DIRTY.values()], abs=0.06)
    assert all(int(text) > 0 for text in table["pupickOnContamination"])
    assert "pupickMask" not in table
    assert read_blocks(job / "micrographs.star")["optics"].numbers("rlnMicrographPixelSize") == 4.0
    assert node in (job / "RELION_OUTPUT_NODES.star").read_text()


def test_dirty_micrographs_are_left_out_and_masks_written_on_request(job):
    pick("--least_usable", "0.75", "--masks", "yes")
    table = listed(job)
    assert table["rlnMicrographName"] == NAMES[:1]
    mask, pixel_size = read_mask(table["pupickMask"][0])
    assert mask.shape == (256, 256)
    assert pixel_size == pytest.approx(4.0)
    # its picks stay: only the list leaves it out
    assert (job / "Micrographs/m2_autopick.star").is_file()


def test_continue_with_another_limit_keeps_the_scores_and_writes_the_picks_anew(job):
    pick()
    few = len(read_table(job / "Micrographs/m2_autopick.star")[1])
    scores = {path: path.stat().st_mtime_ns for path in job.rglob("*.peaks.safetensors")}
    pick("--contamination", "1")
    assert len(read_table(job / "Micrographs/m2_autopick.star")[1]) > few
    assert listed(job)["pupickOnContamination"] == ["0", "0"]
    assert {path: path.stat().st_mtime_ns for path in scores} == scores


def test_what_needs_known_contamination_is_said_to_have_no_effect(job, caplog):
    write_model(job.parent / "job004/model.safetensors")
    pick("--least_usable", "0.5", "--contamination", "0.3")
    assert "contamination has no effect, and least_usable has no effect, and" in caplog.text
    assert f"{project_path(job)}/micrographs.star is not written" in caplog.text


def test_a_model_that_knows_none_leaves_no_list_of_micrographs(job):
    pick()
    write_model(job.parent / "job004/model.safetensors")
    pick()
    assert not (job / "micrographs.star").exists()
    assert "micrographs.star" not in (job / "RELION_OUTPUT_NODES.star").read_text()


@pytest.mark.skipif(shutil.which("relion_star_handler") is None, reason="needs RELION 3.1")
def test_relion_keeps_the_columns(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    star = write_micrographs_star(tmp_path / "mics.star", [*NAMES, "Micrographs/m3.mrc"])
    known = {name: Contamination(0.25 * i, i) for i, name in enumerate(NAMES, 1)}
    masks = {name: project_path(tmp_path / f"{name[:-4]}_mask.mrc") for name in NAMES}
    write_micrographs(str(star), known, masks, tmp_path / "micrographs.star")
    command = ["relion_star_handler", "--i", "micrographs.star", "--o", "again.star", "--combine"]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    again = read_blocks(tmp_path / "again.star")["micrographs"]
    assert again.words("rlnMicrographName") == NAMES
    assert again.numbers("pupickUsableShare").tolist() == [0.25, 0.5]
    assert again.numbers("pupickOnContamination").tolist() == [1, 2]
    assert again.words("pupickMask") == [str(mask) for mask in masks.values()]
