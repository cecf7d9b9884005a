# SPDX-License-Identifier: GPL-3.0-or-later
"""Parts that many computers score for one run, without a scheduler."""

import shutil

import pytest
from helpers.programs import call_pupick
from helpers.simulated import DIAMETER, shared_model, simulate_set

from benchmarks.reliability.killed_runs import contents
from scipion_pupick.engine import (
    Part,
    PickRun,
    PickSettings,
    UsageError,
    find_micrographs,
    fit,
    pick,
    pick_part,
    threshold,
)
from scipion_pupick.engine.files.atomic import atomic_write


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return shared_model(tmp_path_factory) / "model.safetensors"


@pytest.fixture(scope="module")
def micrographs(tmp_path_factory):
    """Five micrographs, of which the second is broken."""
    folder = tmp_path_factory.mktemp("micrographs")
    simulate_set(folder, range(30, 35))
    broken = folder / "m31.mrc"
    broken.write_bytes(broken.read_bytes()[:-4])
    return folder


@pytest.fixture
def command(micrographs, model, tmp_path):
    options = ("--device", "cpu", "--threads", 1, "--output", tmp_path / "out")
    return ("pick", "--micrographs", micrographs, "--model", model, *options)


def test_parts_share_out_all_micrographs(micrographs):
    found = find_micrographs([str(micrographs)])
    shares = [Part(number, 3).share_of(found) for number in (1, 2, 3)]
    assert [len(share) for share in shares] == [2, 2, 1]
    assert {m for share in shares for m in share} == {*found}
    assert Part(7, 9).share_of(found) == []


def test_a_call_on_all_gathers_what_parts_have_scored(command, tmp_path):
    code, said, _ = call_pupick(*command, "--part", "1/2")
    assert code == 0
    assert said.startswith("Part 1 of 2: 3 of 3 micrographs are scored. A call")
    # no list says what is only a part
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"scores", "parts"}
    code, said, errors = call_pupick(*command, "--part", "2/2")
    assert code == 1
    assert "1 of 2 micrographs are scored; 1 failed" in said
    assert "truncated" in errors
    code, said, _ = call_pupick(*command, "--part", "1/2")
    assert "3 of 3 micrographs are scored, 3 of them before" in said
    code, said, _ = call_pupick(*command, "--no-report")
    assert code == 1
    assert "kept scores of 4 micrographs used again" in said
    assert not (tmp_path / "out" / "parts").exists()
    alone = [*command[:-1], tmp_path / "alone", "--no-report"]
    call_pupick(*alone)
    assert contents(tmp_path / "out") == contents(tmp_path / "alone")


@pytest.mark.parametrize("text", ["0/3", "4/3", "3", "a/b", "1/0", "-1/2", "1/2/3"])
def test_parts_that_there_cannot_be_are_refused(command, text):
    code, _, said = call_pupick(*command, f"--part={text}")
    assert code == 2
    assert "part" in said


def test_the_general_model_has_to_be_fitted_before_parts_are_picked(micrographs, tmp_path):
    general = ("--model", "general", "--diameter", DIAMETER, "--part", "1/2")
    source = ("--micrographs", micrographs, "--device", "cpu", "--output", tmp_path / "out")
    code, _, said = call_pupick("pick", *source, *general)
    assert code == 2
    assert "has not been fitted to these micrographs" in said
    assert "(--fit-only)" in said
    assert not (tmp_path / "out").exists()


def test_a_part_and_the_whole_are_not_picked_at_once(micrographs, model, tmp_path):
    found, run = find_micrographs([str(micrographs)]), PickRun(tmp_path / "out")
    options = {"device": "cpu", "threads": 1}
    with Part(1, 2).owned(run):
        with pytest.raises(UsageError, match="in use by another run.*part 1 of 2"):
            pick(found, model, run.folder, **options)
        with pytest.raises(UsageError, match="in use by another run.*part 1 of 2"):
            pick_part(Part(1, 2), found, model, run.folder, **options)
        assert len(pick_part(Part(2, 2), found, model, run.folder, **options).failures) == 1
    with (
        run.owned(found, "pupick pick"),
        pytest.raises(UsageError, match="in use by another run"),
    ):
        pick_part(Part(1, 2), found, model, run.folder, **options)


def test_what_a_part_has_half_written_is_left_alone(micrographs, model, tmp_path):
    found, run = find_micrographs([str(micrographs)]), PickRun(tmp_path / "out")
    pick(found, model, run.folder, device="cpu", threads=1, report=False)
    written = run.peaks_path(found[0].name)
    others = (
        lambda: pick(found, model, run.folder, device="cpu", threads=1, report=False),
        lambda: threshold(run.folder, run.folder, 0),
        lambda: fit(found, run.folder, PickSettings(diameter=DIAMETER), device="cpu", threads=1),
    )
    with Part(1, 2).owned(run), atomic_write(written) as half:
        half.write_bytes(b"half of")
        for work in others:
            with pytest.raises(UsageError, match="in use by another run.*part 1 of 2"):
                work()
        assert half.read_bytes() == b"half of"
        half.write_bytes(b"scores of the part")
    assert written.read_bytes() == b"scores of the part"
    pick(found, model, run.folder, device="cpu", threads=1, report=False)
    assert not (run.folder / "parts").exists()


def test_a_folder_of_the_user_called_parts_is_left_alone(micrographs, model, tmp_path):
    mine = tmp_path / "out" / "parts" / "mine.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    shutil.copytree(micrographs, tmp_path / "out" / "parts" / "mics")
    found = find_micrographs([str(micrographs)])
    pick_part(Part(1, 1), found, model, tmp_path / "out", device="cpu", threads=1)
    pick(found, model, tmp_path / "out", device="cpu", threads=1, report=False)
    assert mine.read_text() == "mine"
    assert {p.name for p in mine.parent.iterdir()} == {"mine.txt", "mics"}
