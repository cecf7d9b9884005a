# SPDX-License-Identifier: GPL-3.0-or-later
"""Picking with a model that knows contamination: what is dropped, counted, said and masked."""

import base64
import csv
import io
import json
import re
import shutil

import mrcfile
import numpy as np
import pytest
from helpers.dirty import (
    DIRTY_COLUMNS,
    dirty_model,
    in_dirt,
    in_the_clear,
    read_mask,
    simulate_dirty,
)
from helpers.simulated import PIXEL_SIZE, SIDE, shared_model
from PIL import Image

from scipion_pupick.engine import (
    PickSettings,
    find_micrographs,
    pick,
    read_picks,
    report,
    threshold,
)
from scipion_pupick.engine.cli.main import main
from scipion_pupick.engine.runs.pick_run import PickRun, read_pick_run

EDGE = 8  # px of the working image by which the model may see contamination end elsewhere


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return dirty_model(tmp_path_factory.mktemp("model") / "model.safetensors")


@pytest.fixture
def folder(tmp_path):
    for seed in (1, 2):
        simulate_dirty(tmp_path / "in" / f"m{seed}.mrc", seed)
    return tmp_path / "in"


def run(folder, model, output, most=0.5, **options):
    settings = PickSettings(contamination=most)
    found = find_micrographs([str(folder)])
    return pick(found, model, output, settings, device="cpu", threads=1, report=False, **options)


def table(output):
    with (output / "micrographs.tsv").open(newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def all_places(picks):
    return np.concatenate([coordinates.xy for coordinates in picks.values()])


def test_picks_on_contamination_are_dropped_and_counted(folder, model, tmp_path, capsys):
    clean = run(folder, model, tmp_path / "out")
    everything = run(folder, model, tmp_path / "all", most=1.0)
    assert in_dirt(all_places(everything.picks)).sum() > 4
    assert in_dirt(all_places(clean.picks)).sum() == 0
    in_clear = [in_the_clear(all_places(result.picks)).sum() for result in (clean, everything)]
    assert in_clear[0] == in_clear[1] > 20
    dropped = everything.count - clean.count
    rows = table(tmp_path / "out")
    assert sum(int(row["on_contamination"]) for row in rows) == dropped
    assert [float(row["usable"]) for row in rows] == pytest.approx([1 - DIRTY_COLUMNS / SIDE] * 2,
                                                                  abs=0.05)  # fmt: skip
    assert [int(row["on_contamination"]) for row in table(tmp_path / "all")] == [0, 0]
    record = json.loads((tmp_path / "out" / "pick.json").read_text())
    assert record["on_contamination"] == dropped
    assert record["usable"] == pytest.approx(np.mean([float(row["usable"]) for row in rows]), 1e-3)
    assert f"% of the area is usable, and {dropped} picks on contam" in clean.summary()
    # the list is read as before
    assert len(read_pick_run(tmp_path / "out").micrographs) == 2


def test_a_model_that_knows_none_says_nothing_of_contamination(
    folder, tmp_path_factory, tmp_path, caplog
):
    model = shared_model(tmp_path_factory) / "model.safetensors"
    result = run(folder, model, tmp_path / "out", masks=True)
    assert "usable" not in result.summary()
    assert "usable" not in table(tmp_path / "out")[0]
    assert "usable" not in json.loads((tmp_path / "out" / "pick.json").read_text())
    assert not (tmp_path / "out" / "masks").exists()
    assert "knows no contamination" in caplog.text


def test_masks_are_images_of_what_the_network_sees(folder, model, tmp_path):
    run(folder, model, tmp_path / "out", masks=True)
    path = PickRun(tmp_path / "out").mask_path(find_micrographs([str(folder)])[0].name)
    mask, pixel_size = read_mask(path)
    assert (mask.dtype, mask.shape) == (np.int8, (SIDE, SIDE))
    assert pixel_size == pytest.approx(PIXEL_SIZE)
    assert {*np.unique(mask)} == {0, 1}
    assert mask[:, : DIRTY_COLUMNS - EDGE].mean() > 0.95
    assert mask[:, DIRTY_COLUMNS + EDGE :].mean() < 0.05
    assert mrcfile.validate(path)


def test_masks_come_from_kept_peaks_without_scoring_again(folder, model, tmp_path):
    run(folder, model, tmp_path / "out")
    assert not (tmp_path / "out" / "masks").exists()
    again = run(folder, model, tmp_path / "out", masks=True)
    assert again.reused == 2
    fresh = run(folder, model, tmp_path / "fresh", masks=True)
    assert fresh.reused == 0
    written = sorted((tmp_path / "out").rglob("*.mrc"))
    assert len(written) == 2
    for path in written:
        same = tmp_path / "fresh" / path.relative_to(tmp_path / "out")
        assert path.read_bytes() == same.read_bytes()


def test_the_mask_of_a_changed_micrograph_is_not_kept(folder, model, tmp_path):
    run(folder, model, tmp_path / "out", masks=True)
    name = find_micrographs([str(folder)])[0].name
    before, _ = read_mask(PickRun(tmp_path / "out").mask_path(name))
    simulate_dirty(folder / "m1.mrc", 1, dirty=40)
    run(folder, model, tmp_path / "out")
    assert not PickRun(tmp_path / "out").mask_path(name).exists()
    run(folder, model, tmp_path / "out", masks=True)
    after, _ = read_mask(PickRun(tmp_path / "out").mask_path(name))
    assert after.mean() < before.mean() - 0.1


def test_a_failed_micrograph_has_no_mask_and_no_share(folder, model, tmp_path):
    run(folder, model, tmp_path / "out", masks=True)
    path = folder / "m2.mrc"
    path.write_bytes(path.read_bytes()[:5000])
    run(folder, model, tmp_path / "out", masks=True)
    assert [mask.name for mask in (tmp_path / "out" / "masks").rglob("*.mrc")] == ["m1.mrc"]
    assert [bool(row["usable"]) for row in table(tmp_path / "out")] == [True, False]


def test_another_threshold_counts_what_it_drops(folder, model, tmp_path):
    run(folder, model, tmp_path / "out")
    everything = run(folder, model, tmp_path / "all", most=1.0)
    scores = np.concatenate([coordinates.score for coordinates in everything.picks.values()])
    cut = float(np.median(scores[in_dirt(all_places(everything.picks))]))
    higher = threshold(tmp_path / "out", tmp_path / "higher", threshold=cut)
    expected = int((scores >= cut).sum()) - higher.count
    assert expected > 0
    record = json.loads((tmp_path / "higher" / "threshold.json").read_text())
    assert record["on_contamination"] == expected
    assert f"{expected} picks on contamination were dropped" in higher.summary()
    threshold(tmp_path / "out", tmp_path / "out", threshold=cut)
    assert sum(int(row["on_contamination"]) for row in table(tmp_path / "out")) == expected
    assert json.loads((tmp_path / "out" / "pick.json").read_text())["on_contamination"] == expected


def test_masks_of_the_user_are_not_replaced(folder, model, tmp_path):
    mask = PickRun(tmp_path / "out").mask_path(find_micrographs([str(folder)])[0].name)
    mask.parent.mkdir(parents=True)
    shutil.copy(folder / "m1.mrc", mask)
    with pytest.raises(Exception, match="was not written by a picking run"):
        run(folder, model, tmp_path / "out", masks=True)


def test_the_command_writes_masks_and_says_what_was_dropped(folder, model, tmp_path, capsys):
    output = tmp_path / "out"
    arguments = ["--micrographs", str(folder), "--model", str(model), "--output", str(output)]
    assert main(["pick", *arguments, "--masks", "--device", "cpu", "--no-report"]) == 0
    assert "picks on contamination were dropped" in capsys.readouterr().out.splitlines()[-1]
    assert len([*(output / "masks").rglob("*.mrc")]) == 2
    assert len(read_picks(output / "picks.star")) == 2


def test_masks_are_written_of_micrographs_that_come_in(folder, model, tmp_path):
    output = tmp_path / "out"
    arguments = ["--micrographs", str(folder), "--model", str(model), "--output", str(output)]
    until = ["--interval", "0.01", "--idle", "0.001"]
    assert main(["watch", *arguments, *until, "--masks", "--device", "cpu", "--no-report"]) == 0
    assert len([*(output / "masks").rglob("*.mrc")]) == 2


def test_the_report_shows_contamination_and_sorts_by_it(folder, model, tmp_path):
    run(folder, model, tmp_path / "out")
    report(tmp_path / "out", device="cpu")
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.count('value="dirtiest"') == 2
    assert "on contamination dropped" in page
    data = json.loads(re.search(r'id="data">(.*?)</script>', page, re.DOTALL)[1])
    rows = table(tmp_path / "out")
    assert data["tables"]["usable"] == [float(row["usable"]) for row in rows]
    for shown, row in zip(data["shown"], rows):
        png = Image.open(io.BytesIO(base64.b64decode(shown["dirt"].split(",")[1])))
        places = read_pick_run(tmp_path / "out").kept_peaks(row["micrograph"]).mask.places
        np.testing.assert_array_equal(np.array(png) > 0, places)
        assert shown["dirtStep"] * places.shape[1] == pytest.approx(shown["width"])


def test_the_report_of_a_model_that_knows_none_does_not_speak_of_contamination(
    folder, tmp_path_factory, tmp_path
):
    run(folder, shared_model(tmp_path_factory) / "model.safetensors", tmp_path / "out")
    report(tmp_path / "out", score_maps=False)
    page = (tmp_path / "out" / "report.html").read_text()
    shown = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    assert "Median score of the picks" in page
    assert "dirtiest" not in shown
    assert "Usable area" not in shown
