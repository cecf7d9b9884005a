# SPDX-License-Identifier: GPL-3.0-or-later
"""Picking while micrographs come in: what is picked when, and what ends it."""

import os
import re
import shutil
import time

import numpy as np
import pytest
import tifffile
from helpers.processes import wait_until
from helpers.programs import call_pupick, start_pupick
from helpers.simulated import DIAMETER, PIXEL_SIZE, shared_model, simulate_set

from benchmarks.reliability.killed_runs import contents
from scipion_pupick.engine import PickSettings, WatchSettings, read_picks, watch
from scipion_pupick.engine.errors import FolderInUseError
from scipion_pupick.engine.files.lock import only_owner
from scipion_pupick.engine.jobs import fit as fit_job
from scipion_pupick.engine.jobs import watch as watch_job
from scipion_pupick.engine.micrographs.arrivals import SURELY_OLD, Arrivals
from scipion_pupick.engine.runs import rounds as rounds_of_watch
from scipion_pupick.engine.runs.pick_run import PickRun

SOON = WatchSettings(idle=1e-3, interval=0.01)
STAR = "data_\nloop_\n_rlnMicrographName #1\n"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return shared_model(tmp_path_factory) / "model.safetensors"


@pytest.fixture(scope="module")
def ready(tmp_path_factory):
    """Four micrographs, to be brought to where they are waited for."""
    folder = tmp_path_factory.mktemp("ready")
    simulate_set(folder, range(30, 34))
    return folder


def listed(folder):
    path = folder / "picks.star"
    return sorted(name[-7:-4] for name in read_picks(path)) if path.is_file() else []


def names(micrographs):
    return [micrograph.path.stem for micrograph in micrographs]


def test_only_whole_files_are_taken(ready, tmp_path):
    arrivals = Arrivals([str(tmp_path / "in")], settled=0.0)
    assert arrivals.whole() == []
    (tmp_path / "in").mkdir()
    assert arrivals.whole() == []
    content = (ready / "m30.mrc").read_bytes()
    (tmp_path / "in" / "m30.mrc").write_bytes(content[:-1000])
    shutil.copy(ready / "m31.mrc", tmp_path / "in")
    assert names(arrivals.whole()) == ["m31"]
    assert names(arrivals.found()) == ["m30", "m31"]
    (tmp_path / "in" / "m30.mrc").write_bytes(content)
    assert names(arrivals.whole()) == ["m30", "m31"]


def test_a_file_that_changed_a_moment_ago_is_waited_for(ready, tmp_path, monkeypatch):
    shutil.copy2(ready / "m30.mrc", tmp_path)
    (tmp_path / "m30.mrc").touch()
    now = [1000.0]
    monkeypatch.setattr("scipion_pupick.engine.micrographs.arrivals.time.monotonic", lambda: now[0])
    arrivals = Arrivals([str(tmp_path)], settled=5.0)
    assert arrivals.whole() == []
    now[0] += 4.0
    (tmp_path / "m30.mrc").touch()
    assert arrivals.whole() == []
    now[0] += 4.0
    assert arrivals.whole() == []
    now[0] += 2.0
    assert names(arrivals.whole()) == ["m30"]


def test_a_file_of_yesterday_is_taken_at_once(ready, tmp_path):
    shutil.copy(ready / "m30.mrc", tmp_path)
    yesterday = time.time() - 2 * SURELY_OLD
    os.utime(tmp_path / "m30.mrc", (yesterday, yesterday))
    assert names(Arrivals([str(tmp_path)]).whole()) == ["m30"]


def test_a_star_file_may_be_half_written_and_name_files_to_come(ready, tmp_path):
    star = tmp_path / "micrographs.star"
    arrivals = Arrivals([str(star)], settled=0.0)
    star.write_text(STAR[:20])
    assert arrivals.whole() == []
    rows = [str(ready / "m30.mrc"), str(tmp_path / "m99.mrc")]
    star.write_text(STAR + "\n".join(rows) + "\n")
    assert names(arrivals.whole()) == ["m30"]
    shutil.copy(ready / "m31.mrc", rows[1])
    assert names(arrivals.whole()) == ["m30", "m99"]


@pytest.mark.slow
def test_what_comes_in_is_picked_as_by_one_call_on_all(ready, model, tmp_path):
    folder, output, stop = tmp_path / "in", tmp_path / "out", tmp_path / "stop"
    arguments = ("--micrographs", folder, "--model", model, "--device", "cpu", "--threads", 1)
    until = ("--interval", 0.2, "--stop-file", stop, "--idle", 5)
    process = start_pupick("watch", *arguments, "--output", output, *until)
    folder.mkdir()
    shutil.copy(ready / "m31.mrc", folder)
    assert wait_until(lambda: listed(output) == ["m31"], 60), process.poll()
    content = (ready / "m30.mrc").read_bytes()
    (folder / "m30.mrc").write_bytes(content[:-1000])
    shutil.copy(ready / "m32.mrc", folder)
    assert wait_until(lambda: listed(output) == ["m31", "m32"], 30)
    (folder / "m30.mrc").write_bytes(content)
    assert wait_until(lambda: listed(output) == ["m30", "m31", "m32"], 30)
    shutil.copy(ready / "m33.mrc", folder)
    (folder / "m34.mrc").write_bytes(content[:-1000])
    stop.touch()
    said, errors = process.communicate(timeout=60)
    # the last one is still broken in the end
    assert process.returncode == 1, errors
    assert "in 4 micrographs" in said
    assert "1 micrographs failed" in said
    assert "m33.mrc" in (output / "report.html").read_text()
    call_pupick("pick", *arguments, "--output", tmp_path / "all")
    assert contents(output) == contents(tmp_path / "all")


def test_it_ends_when_nothing_comes_and_goes_on_where_it_was(ready, model, tmp_path, monkeypatch):
    folder, sources = tmp_path / "in", [str(tmp_path / "in")]
    options = {"device": "cpu", "threads": 1, "report": False}
    assert watch(sources, model, tmp_path / "out", until=SOON, **options) is None
    folder.mkdir()
    for number in (30, 31):
        shutil.copy(ready / f"m{number}.mrc", folder)
    first = watch(sources, model, tmp_path / "out", until=SOON, **options)
    assert (len(first.picks), first.reused) == (2, 0)
    # of many that wait, some are picked in each round, and those of earlier calls stay listed
    monkeypatch.setattr(rounds_of_watch, "ROUND", 1)
    for number in (32, 33):
        shutil.copy(ready / f"m{number}.mrc", folder)
    rounds = []
    picking = watch_job.pick

    def counting(micrographs, *arguments, **more):
        rounds.append(len(micrographs))
        return picking(micrographs, *arguments, **more)

    monkeypatch.setattr(watch_job, "pick", counting)
    monkeypatch.setattr(Arrivals, "settled", 0.0)
    again = watch(sources, model, tmp_path / "out", until=SOON, **options)
    assert rounds == [3, 4]
    assert (len(again.picks), again.reused) == (4, 3)


def test_the_general_model_waits_for_what_it_is_fitted_to(ready, tmp_path, monkeypatch):
    monkeypatch.setattr(fit_job, "MICROGRAPHS_FITTED", 4)
    folder = tmp_path / "in"
    folder.mkdir()
    for number in (30, 31, 32):
        shutil.copy(ready / f"m{number}.mrc", folder)

    def fourth(seconds):
        assert not (tmp_path / "out" / "micrographs.tsv").exists()
        shutil.copy(ready / "m33.mrc", folder)
        monkeypatch.setattr(watch_job.time, "sleep", stopping)

    def stopping(seconds):
        if (tmp_path / "out" / "picks.star").is_file():
            raise KeyboardInterrupt

    monkeypatch.setattr(watch_job.time, "sleep", fourth)
    settings = PickSettings(diameter=DIAMETER)
    until = WatchSettings(interval=0.01)
    options = {"pixel_size": PIXEL_SIZE, "device": "cpu", "threads": 1, "report": False}
    result = watch([str(folder)], "general", tmp_path / "out", settings, until, **options)
    assert len(result.picks) == 4
    assert len(PickRun(tmp_path / "out").training.fitted_to) == 4


def bring(ready, folder, *numbers):
    folder.mkdir(exist_ok=True)
    for number in numbers:
        shutil.copy(ready / f"m{number}.mrc", folder)


OPTIONS = {"device": "cpu", "threads": 1, "report": False}


def test_what_was_picked_stays_when_files_are_moved_away(ready, model, tmp_path, caplog):
    folder, output = tmp_path / "in", tmp_path / "out"
    bring(ready, folder, 30, 31)
    first = watch([str(folder)], model, output, until=SOON, **OPTIONS)
    before = read_picks(output / "picks.star")
    (folder / "m30.mrc").unlink()
    bring(ready, folder, 32)
    again = watch([str(folder)], model, output, until=SOON, **OPTIONS)
    assert (len(again.picks), again.reused, again.failures) == (3, 2, {})
    assert listed(output) == ["m30", "m31", "m32"]
    kept = read_picks(output / "picks.star")
    (name,) = [name for name in kept if name.endswith("m30.mrc")]
    assert kept[name].xy.tolist() == before[name].xy.tolist()
    assert len(before[name]) > 0
    assert first.count == sum(map(len, before.values()))
    assert "The files of 1 micrographs" in caplog.text
    # with another threshold, too, but not where scores would be others
    lower = PickSettings(threshold=2.0)
    (folder / "m31.mrc").unlink()
    bring(ready, folder, 33)
    third = watch([str(folder)], model, output, lower, SOON, **OPTIONS)
    assert listed(output) == ["m30", "m31", "m32", "m33"]
    assert not third.failures
    nearer = PickSettings(min_distance=10.0)
    bring(ready, folder, 31)
    fourth = watch([str(folder)], model, output, nearer, SOON, **OPTIONS)
    assert [name[-7:] for name in fourth.failures] == ["m30.mrc"]


def test_what_its_list_no_longer_names_is_left_out(ready, model, tmp_path):
    star, output = tmp_path / "m.star", tmp_path / "out"
    bring(ready, tmp_path / "in", 30, 31, 32)
    paths = [str(tmp_path / "in" / f"m{n}.mrc") for n in (30, 31, 32)]
    star.write_text(STAR + "\n".join(paths[:2]) + "\n")
    watch([str(star)], model, output, until=SOON, **OPTIONS)
    star.write_text(STAR + "\n".join(paths[1:]) + "\n")
    watch([str(star)], model, output, until=SOON, **OPTIONS)
    assert listed(output) == ["m31", "m32"]


def test_another_pixel_size_in_the_list_is_seen(ready, model, tmp_path, monkeypatch):
    star, output = tmp_path / "m.star", tmp_path / "out"
    bring(ready, tmp_path / "in", 30)
    text = "data_\nloop_\n_rlnMicrographName #1\n_rlnMicrographPixelSize #2\n{} {}\n"
    path = tmp_path / "in" / "m30.mrc"
    star.write_text(text.format(path, PIXEL_SIZE))
    sizes = []
    picking = watch_job.pick

    def noting(micrographs, *arguments, **more):
        sizes.extend(micrograph.pixel_size for micrograph in micrographs)
        star.write_text(text.format(path, 1.1 * PIXEL_SIZE))
        return picking(micrographs, *arguments, **more)

    monkeypatch.setattr(watch_job, "pick", noting)
    watch([str(star)], model, output, until=SOON, **OPTIONS)
    assert sizes == pytest.approx([PIXEL_SIZE, 1.1 * PIXEL_SIZE], rel=1e-6)


def test_micrographs_that_wait_for_a_fit_are_no_idle_time(ready, tmp_path, monkeypatch):
    now, folder = [0.0], tmp_path / "in"
    bring(ready, folder, 30)
    coming = [31, 32, 33]

    def sleep(seconds):
        now[0] += 50.0
        if coming:
            bring(ready, folder, coming.pop(0))

    monkeypatch.setattr(watch_job.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(watch_job.time, "sleep", sleep)
    monkeypatch.setattr(Arrivals, "whole", Arrivals.found)
    seen = []
    monkeypatch.setattr(watch_job, "pick", lambda given, *a, **k: seen.append(names(given)))
    settings, until = PickSettings(diameter=DIAMETER), WatchSettings(idle=1.0, interval=0.01)
    watch([str(folder)], "general", tmp_path / "out", settings, until, PIXEL_SIZE, **OPTIONS)
    assert seen == [["m30", "m31", "m32", "m33"]]


def test_a_folder_in_use_is_tried_again(ready, model, tmp_path, monkeypatch, caplog):
    folder, output = tmp_path / "in", tmp_path / "out"
    bring(ready, folder, 30)
    output.mkdir()
    owner = only_owner(output, "pupick threshold")
    owner.__enter__()
    monkeypatch.setattr(Arrivals, "whole", Arrivals.found)
    monkeypatch.setattr(watch_job.time, "sleep", lambda seconds: owner.__exit__(None, None, None))
    result = watch([str(folder)], model, output, until=WatchSettings(idle=0.2), **OPTIONS)
    assert len(result.picks) == 1
    assert "pupick threshold" in caplog.text
    assert "It is tried again." in caplog.text


def test_two_watches_do_not_take_turns_in_one_folder(ready, model, tmp_path, monkeypatch):
    output, said = tmp_path / "out", []

    def second(seconds):
        with pytest.raises(FolderInUseError, match=r"pupick watch \(process"):
            watch([str(tmp_path)], model, output, PickSettings(threshold=9.0), SOON, **OPTIONS)
        said.append(seconds)

    monkeypatch.setattr(watch_job.time, "sleep", second)
    watch([str(tmp_path / "in")], model, output, until=SOON, **OPTIONS)
    assert said
    assert [*output.iterdir()] == []


def test_a_micrograph_whose_file_another_has_ends_no_watch(ready, model, tmp_path, caplog):
    folder, output = tmp_path / "in", tmp_path / "out"
    bring(ready, folder, 30)
    watch([str(folder)], model, output, until=SOON, **OPTIONS)
    tifffile.imwrite(folder / "m30.tif", np.zeros((90, 90), np.uint8))
    bring(ready, folder, 31)
    found = watch([str(folder)], model, output, until=SOON, **OPTIONS)
    assert (len(found.picks), found.failures) == (2, {})
    assert listed(output) == ["m30", "m31"]
    said = [record.getMessage() for record in caplog.records if "is left out" in record.message]
    assert len(said) == 1
    assert re.search(r"m30\.tif is left out.*m30\.mrc\.$", said[0])


def test_what_failed_is_tried_again_in_the_end(ready, model, tmp_path, monkeypatch):
    folder, away = tmp_path / "in", tmp_path / "away"
    bring(ready, folder, 30, 31)
    picking = watch_job.pick

    def unmounted(micrographs, *arguments, **more):
        folder.rename(away)
        try:
            return picking(micrographs, *arguments, **more)
        finally:
            away.rename(folder)
            monkeypatch.setattr(watch_job, "pick", picking)

    monkeypatch.setattr(watch_job, "pick", unmounted)
    result = watch(
        [str(folder)], model, tmp_path / "out", until=SOON, pixel_size=PIXEL_SIZE, **OPTIONS
    )
    assert (len(result.picks), result.failures) == (2, {})


def test_a_watch_that_is_stopped_in_its_first_round_says_so(ready, model, tmp_path, monkeypatch):
    bring(ready, tmp_path / "in", 30)

    def stopped(*arguments, **more):
        raise KeyboardInterrupt

    monkeypatch.setattr(watch_job, "pick", stopped)
    with pytest.raises(KeyboardInterrupt):
        watch([str(tmp_path / "in")], model, tmp_path / "out", until=SOON, **OPTIONS)
    assert watch([str(tmp_path / "none")], model, tmp_path / "out2", until=SOON, **OPTIONS) is None


def test_a_fitted_folder_does_not_wait_for_twelve(ready, tmp_path):
    folder, output = tmp_path / "in", tmp_path / "out"
    bring(ready, folder, 30)
    settings = PickSettings(diameter=DIAMETER)
    watch([str(folder)], "general", output, settings, SOON, PIXEL_SIZE, **OPTIONS)
    run = PickRun(output)
    assert fit_job.least_number("general", settings, run) == 1
    other = PickSettings(diameter=1.5 * DIAMETER)
    assert fit_job.least_number("general", other, run) == fit_job.MICROGRAPHS_FITTED
