# SPDX-License-Identifier: GPL-3.0-or-later
"""The report's data, against counting by hand, and what it says where something is amiss."""

import base64
import io
import json
import re
import shutil

import numpy as np
import pytest
from helpers.programs import call_pupick
from helpers.simulated import (
    DIAMETER,
    HASTY,
    UNCHECKED,
    as_picks,
    shared_model,
    simulate_faint,
    simulate_set,
    trained_run,
)

from scipion_pupick.engine import (
    Coordinates,
    PickSettings,
    TrainSettings,
    find_micrographs,
    pick,
    report,
    train,
)
from scipion_pupick.engine.calibration.precision_recall_estimate import estimate_precision_recall
from scipion_pupick.engine.errors import UsageError
from scipion_pupick.engine.micrographs import Micrograph, write_image
from scipion_pupick.engine.picking.peaks_file import MicrographPeaks, save_peaks
from scipion_pupick.engine.reporting import pictures
from scipion_pupick.engine.reporting.packing import grey_image, pack, png
from scipion_pupick.engine.reporting.page import Page, render, to_json
from scipion_pupick.engine.reporting.pictures import choose_cuts, choose_shown
from scipion_pupick.engine.reporting.tables import tabulate, threshold_grid
from scipion_pupick.engine.runs.lists import write_micrographs
from scipion_pupick.engine.runs.pick_run import PickRun, read_pick_run

FAINT = PickSettings(threshold=-1.0)


@pytest.fixture(scope="module")
def picked(tmp_path_factory):
    """A run on three micrographs and one that is damaged."""
    model = trained_run(tmp_path_factory) / "model.safetensors"
    folder = tmp_path_factory.mktemp("picked")
    simulate_faint(folder / "mics")
    (folder / "mics" / "damaged.mrc").write_bytes(b"no image")
    micrographs = find_micrographs([str(folder / "mics")])
    pick(micrographs, model, folder / "run", FAINT, device="cpu", threads=1)
    return folder / "run"


@pytest.fixture
def run(picked, tmp_path):
    """A copy that a test may change."""
    return shutil.copytree(picked, tmp_path / "run")


def data_of(path):
    text = re.search(r'id="data">(.*?)</script>', path.read_text(encoding="utf-8"), re.S)[1]
    return json.loads(text)


def words_of(path):
    """The text of the page without data, style and script, on one line."""
    text = re.sub(r"<(script|style).*?</\1>", "", path.read_text(encoding="utf-8"), flags=re.S)
    return " ".join(re.sub(r"<[^>]*>", " ", text).split())


def change_summary(run, **changes):
    summary = {**json.loads((run / "pick.json").read_text()), **changes}
    PickRun(run).write_record({k: v for k, v in summary.items() if v is not None})


def fake_run(folder, counts, size=1000.0, own=0.5):
    """A run of made-up peaks, and their scores; its micrographs are not there."""
    random = np.random.default_rng(0)
    micrographs = [Micrograph(folder / f"m{i}.mrc", f"m{i}.mrc") for i in range(len(counts))]
    scores = [np.sort(random.normal(0, 2, n).clip(-8, None))[::-1] for n in counts]
    for micrograph, score in zip(micrographs, scores):
        xy = random.uniform(0, size - 1, (2, len(score)))
        kept = MicrographPeaks(Coordinates(*xy, score), (int(size), int(size)), 2.0, "")
        save_peaks(kept, PickRun(folder).peaks_path(micrograph.name))
    write_micrographs(micrographs, folder)
    PickRun(folder).write_record({"threshold": own, "diameter": 100, "edge": 0, "seconds": 1})
    return read_pick_run(folder), scores


def test_thresholds_are_hundredths_and_the_runs_own():
    grid = threshold_grid(3.141, 0.123456789)
    assert (grid[0], grid[-1]) == (-8.0, 3.16)
    assert 0.123456789 in grid
    assert {float(f"{i / 100:.2f}") for i in range(-800, 316)} <= set(grid.tolist())
    assert (np.diff(grid) > 0).all()


def test_counts_are_those_of_counting(tmp_path):
    own = 0.123456
    run, scores = fake_run(tmp_path, [50, 0, 200, 7], own=own)
    scores[0][0] = 3.25
    kept = MicrographPeaks(Coordinates(*np.ones((2, 50)), scores[0]), (1000, 1000), 2.0, "")
    save_peaks(kept, PickRun(tmp_path).peaks_path("m0.mrc"))
    tables = tabulate(run, dict(run.peaks()))
    for threshold in (-8.0, -1.0, own, 0.12, 0.13, 3.25, 3.26):
        level = int(np.searchsorted(tables.grid, threshold))
        assert tables.grid[level] == threshold
        expected = [np.count_nonzero(each >= threshold) for each in scores]
        assert tables.counts[level] == sum(expected)
        column = tables.levels.tolist().index(level)
        assert tables.per_micrograph[:, column].tolist() == expected
    assert tables.own_counts.tolist() == [np.count_nonzero(each >= own) for each in scores]


def test_tables_of_many_micrographs_are_summarised_but_exact_where_it_matters(
    tmp_path, monkeypatch
):
    from scipion_pupick.engine.reporting import tables as module

    monkeypatch.setattr(module, "COUNTS_IN_TABLE", 600)
    run, scores = fake_run(tmp_path, [30] * 20)
    tables = tabulate(run, dict(run.peaks()))
    assert tables.per_micrograph.shape[1] <= 33
    assert tables.own_counts.tolist() == [np.count_nonzero(each >= 0.5) for each in scores]
    assert tables.counts[0] == 600
    steps = -np.diff(tables.counts[tables.levels])
    assert steps.max() < 60


def test_the_plane_holds_every_pick_of_its_threshold(tmp_path):
    run, scores = fake_run(tmp_path, [80, 80])
    tables = tabulate(run, dict(run.peaks()))
    expected = tables.counts[tables.plane_levels]
    assert tables.plane.sum(axis=(1, 2)).tolist() == expected.tolist()
    assert tables.own in tables.plane_levels


def test_shown_are_the_fullest_the_emptiest_and_others_from_everywhere():
    counts = np.random.default_rng(0).permutation(1000)
    chosen = choose_shown(counts.tolist(), 16)
    assert len(chosen) <= 16
    assert {int(np.argmax(counts)), int(np.argmin(counts)), 0, 999} <= set(chosen)
    assert np.diff(chosen).max() <= 100
    assert choose_shown([3, 1], 16) == [0, 1]
    assert choose_shown([]) == []


def test_cut_outs_cover_the_whole_range_of_scores():
    scores = np.append(np.random.default_rng(0).normal(-5, 0.5, 5000), [4.0, 3.0, 0.0])
    chosen = choose_cuts(scores, 400)
    assert len(chosen) <= 450
    assert (np.diff(scores[chosen]) <= 0).all()
    assert scores[chosen][:3].tolist() == [4.0, 3.0, 0.0]
    assert scores[chosen][-1] == scores.min()
    assert choose_cuts(np.array([1.0, 2.0])).tolist() == [1, 0]


def test_a_png_is_read_by_others():
    imread = pytest.importorskip("matplotlib.image").imread
    image = np.random.default_rng(0).integers(0, 256, (30, 41)).astype(np.uint8)
    read = imread(io.BytesIO(png(image)))
    np.testing.assert_array_equal(np.round(read * 255), image)


def test_grey_values_are_limited_to_the_range():
    image = grey_image(np.array([[-9.0, 0.0, 1.0, 9.0]]), -1, 1)
    assert image[0, 0] == 0
    assert image[0, -1] == 255
    assert 120 < image[0, 1] < 136


def test_packed_numbers_come_back():
    packed = pack(np.array([[0, 7], [65535, 70000]]), "uint16")
    assert packed["type"] == "uint16"
    found = np.frombuffer(base64.b64decode(packed["data"]), "<u2")
    assert found.tolist() == [0, 7, 65535, 65535]


def test_no_text_can_end_the_script_that_holds_it():
    value = {"</script><script>": ["<!--", "&amp;", "\u2028", 'a"b', float("nan"), 1.5]}
    text = to_json(value)
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == {"</script><script>": ["<!--", "&amp;", "\u2028", 'a"b', None, 1.5]}


def test_words_are_escaped():
    bad = "<script>alert('x')</script>\"&"
    page = Page(bad, bad, [(bad, bad)], [bad], [(bad, bad)])
    html = render(page)
    assert "alert('x')" not in html
    assert html.count("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&#34;&amp;") == 8


def test_picking_writes_the_report(picked):
    path = picked / "report.html"
    assert path.stat().st_size < 3e6
    summary = json.loads((picked / "pick.json").read_text())
    words = words_of(path)
    assert f"{summary['picks']:,} particles picked in 3 micrographs" in words
    assert "1 micrograph failed" in words
    assert "damaged.mrc" in words
    data = data_of(path)
    assert data["tables"]["counts"][data["tables"]["own"]] == summary["picks"]
    assert len(data["shown"]) == 3
    assert all("map" in shown and "image" in shown for shown in data["shown"])
    assert data["training"]["best"] == summary["training"]["best_epoch"]
    assert "http" not in path.read_text().replace("http-equiv", "").replace(
        "http://www.w3.org/2000/svg", ""
    )


def test_labels_of_the_training_are_shown_on_their_micrographs(tmp_path_factory, tmp_path):
    folder = trained_run(tmp_path_factory)
    micrographs = find_micrographs([str(folder / "train")])
    pick(micrographs, folder / "model.safetensors", tmp_path, device="cpu", threads=1)
    data = data_of(tmp_path / "report.html")
    labels = [len(base64.b64decode(m["reference"]["data"])) // 4 for m in data["shown"]]
    assert labels == [25, 25, 25, 25]


def test_known_particles_are_shown_where_they_are(picked, tmp_path):
    reference = {"m12": Coordinates.unscored([10.0, 255.0], [20.0, 0.0])}
    path = report(picked, tmp_path / "with.html", reference, device="cpu", threads=1)
    shown = {m["name"].rsplit("/", 1)[-1]: m for m in data_of(path)["shown"]}
    m = shown["m12.mrc"]
    xy = np.frombuffer(base64.b64decode(m["reference"]["data"]), "<u2").reshape(-1, 2) / 16
    expected = (np.array([[10, 20], [255, 0]]) + 0.5) * m["width"] / 256
    np.testing.assert_allclose(xy, expected, atol=0.5)
    assert shown["m11.mrc"]["reference"]["data"] == ""


def crosses_of(path):
    """Places of known particles by micrograph, px of the pictures."""
    packed = {m["name"]: base64.b64decode(m["reference"]["data"]) for m in data_of(path)["shown"]}
    return {
        name.rsplit("/", 1)[-1]: np.frombuffer(data, "<u2").reshape(-1, 2) / 16
        for name, data in packed.items()
    }


def test_known_particles_of_unbinned_micrographs_are_shown_where_they_are(picked, tmp_path):
    """Their file states a quarter of the micrographs' 4 Å/px, so px are a quarter as wide."""
    head = "data_optics\nloop_\n_rlnOpticsGroup #1\n_rlnMicrographPixelSize #2\n1 1.0\n\n"
    columns = ("MicrographName", "CoordinateX", "CoordinateY", "OpticsGroup")
    names = "".join(f"_rln{name} #{i}\n" for i, name in enumerate(columns, 1))
    unbinned, binned = tmp_path / "unbinned.star", tmp_path / "binned.csv"
    unbinned.write_text(f"{head}data_particles\nloop_\n{names}m12.mrc 400 800 1\n")
    binned.write_text("image_name,x_coord,y_coord\nm12,100,200\n")
    pages = [tmp_path / f"{file.stem}.html" for file in (unbinned, binned)]
    for file, page in zip((unbinned, binned), pages):
        done = call_pupick(
            "report", picked, "--reference", file, "--output", page, "--no-score-maps"
        )
        assert done[0] == 0, done[2]
        assert ("converted" in done[2]) is (file == unbinned)
    first, second = (crosses_of(page)["m12.mrc"] for page in pages)
    assert len(first) == 1
    np.testing.assert_allclose(first, second, atol=1)


@pytest.mark.parametrize(
    ("reference", "text"),
    [
        ({"x.mrc": Coordinates.unscored([1.0], [1.0])}, "of 1 micrograph, such as x.mrc, and this"),
        ({}, "Not shown: reference. It holds no particle."),
    ],
    ids=["other names", "empty"],
)
def test_a_reference_that_is_shown_nowhere_is_told(picked, tmp_path, reference, text):
    path = report(picked, tmp_path / "r.html", reference, score_maps=False)
    assert text in words_of(path)


def test_known_particles_are_shown_on_the_micrographs_of_a_training(tmp_path_factory, tmp_path):
    folder = trained_run(tmp_path_factory)
    name = find_micrographs([str(folder / "train")])[0].path.name
    reference = {name: Coordinates.unscored([100.0, 50.0], [20.0, 60.0])}
    path = report(folder, tmp_path / "r.html", reference)
    crosses = crosses_of(path)
    assert list(crosses) == [name]
    assert len(crosses[name]) == 2
    assert data_of(path)["referenceIs"] == "reference"


def test_many_micrographs_make_no_larger_file(picked, tmp_path, monkeypatch):
    few, many = (tmp_path / f"{n}.html" for n in ("few", "many"))
    monkeypatch.setattr(pictures, "PIXELS_IN_ALL", 3 * 100**2)
    report(picked, few, device="cpu", threads=1)
    monkeypatch.setattr(pictures, "PIXELS_IN_ALL", 12 * 100**2)
    report(picked, many, device="cpu", threads=1)
    assert {m["width"] for m in data_of(few)["shown"]} == {100}
    assert few.stat().st_size < many.stat().st_size


def test_a_run_that_was_stopped(run):
    change_summary(run, seconds=None, picks=None)
    last = read_pick_run(run).micrographs[-1]
    PickRun(run).peaks_path(last.name).unlink()
    words = words_of(report(run, device="cpu", threads=1))
    assert "This run has not ended: 1 micrograph of 4 not picked yet" in words
    assert "picked in 2 micrographs" in words


def test_a_run_of_which_nothing_has_been_picked_yet(run):
    change_summary(run, seconds=None, picks=None)
    shutil.rmtree(run / "scores")
    path = report(run, device="cpu", threads=1)
    assert "No micrograph has been picked" in words_of(path)
    assert data_of(path)["shown"] == []


def test_a_run_without_picks(tmp_path_factory, tmp_path):
    folder = shared_model(tmp_path_factory)
    micrographs = find_micrographs([str(folder / "train")])[:1]
    settings = PickSettings(threshold=60.0)
    pick(micrographs, folder / "model.safetensors", tmp_path, settings, device="cpu", threads=1)
    words = words_of(tmp_path / "report.html")
    assert "No particle picked in 1 micrograph" in words
    assert "No score reaches the threshold of 60.00" in words
    assert data_of(tmp_path / "report.html")["tables"]["counts"][0] > 0


def test_a_report_is_the_same_from_any_folder(tmp_path, tmp_path_factory, monkeypatch):
    model = shared_model(tmp_path_factory) / "model.safetensors"
    simulate_faint(tmp_path / "mics")
    shutil.copy(model, tmp_path / "own.safetensors")
    monkeypatch.chdir(tmp_path)
    pick(find_micrographs(["mics"]), "own.safetensors", "run", FAINT, device="cpu", threads=1)
    whole = data_of(tmp_path / "run" / "report.html")
    assert all("image" in m and "map" in m for m in whole["shown"])
    monkeypatch.chdir("run")
    again = data_of(report(".", device="cpu", threads=1))
    assert again["shown"] == whole["shown"]
    assert again["chosen"] == f"{tmp_path / 'run'}-chosen"


def test_micrographs_that_are_gone_leave_their_picks(run):
    whole = data_of(report(run, device="cpu", threads=1))
    (run / "micrographs.tsv").write_text(
        "micrograph\tfile\tpixel_size\n"
        + "".join(f"{m['name']}\t/nowhere/{i}.mrc\t\n" for i, m in enumerate(whole["shown"]))
    )
    path = report(run, device="cpu", threads=1)
    assert "3 micrographs chosen to be shown here cannot be read any more" in words_of(path)
    data = data_of(path)
    assert [len(m["ranks"]["data"]) for m in data["shown"]] == [
        len(m["ranks"]["data"]) for m in whole["shown"]
    ]
    assert not any("image" in m for m in data["shown"])
    assert data["gallery"]["ranks"] == []


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"model": "gone.safetensors"}, "the model cannot be read"),
        ({"digest": "of another"}, "is another model by now"),
    ],
)
def test_without_its_model_a_report_has_no_score_maps(run, changes, text):
    change_summary(run, **changes)
    path = report(run, device="cpu", threads=1)
    assert text in words_of(path)
    assert not any("map" in m for m in data_of(path)["shown"])
    assert all("image" in m for m in data_of(path)["shown"])


def test_a_training_has_its_own_report(tmp_path):
    particles = simulate_set(tmp_path / "mics", range(4))
    labels = as_picks(particles, 15)
    settings = TrainSettings(
        DIAMETER, particles_per_micrograph=25, training=HASTY, labels=UNCHECKED
    )
    micrographs = find_micrographs([str(tmp_path / "mics")])
    train(micrographs, labels, tmp_path / "run", settings, device="cpu", threads=1)
    path = tmp_path / "run" / "report.html"
    assert "A model trained on" in words_of(path)
    assert "more held out" in words_of(path)
    data = data_of(path)
    assert data["training"]["epoch"] == [1, 2, 3]
    assert len(data["shown"]) == 4
    assert data["tables"] is None
    (tmp_path / "run" / "model.safetensors").unlink()
    report(tmp_path / "run", device="cpu", threads=1)
    assert "This training has not ended" in words_of(path)
    assert "cannot be read" not in words_of(path)
    assert [m["name"] for m in data_of(path)["shown"]] == [m["name"] for m in data["shown"]]
    assert all(m["reference"]["data"] and "image" in m for m in data_of(path)["shown"])


def test_labels_are_those_of_their_own_folder(tmp_path):
    """Of two days' micrographs with the same names, labels of the first are not the second's."""
    names = [f"{day}/m{i:02d}.mrc" for day in ("day1", "day2") for i in range(12)]
    random = np.random.default_rng(0)
    micrographs = [Micrograph(tmp_path / name, name) for name in names]
    for micrograph in micrographs:
        xy = random.uniform(20, 200, (2, 30))
        kept = MicrographPeaks(Coordinates(*xy, random.normal(0, 2, 30)), (256, 256), 2.0, "")
        save_peaks(kept, PickRun(tmp_path).peaks_path(micrograph.name))
        write_image(tmp_path / micrograph.name, random.normal(size=(256, 256)), 2.0)
    write_micrographs(micrographs, tmp_path)
    PickRun(tmp_path).write_record({"threshold": 0.5, "diameter": 40, "edge": 0, "seconds": 1})
    reference = {f"day1/m{i:02d}": Coordinates.unscored([50.0], [60.0]) for i in range(12)}
    shown = data_of(report(tmp_path, None, reference, "cpu", 1))["shown"]
    days = {m["name"].split("/")[0] for m in shown}
    assert days == {"day1", "day2"}
    assert len(shown) < len(names)
    for m in shown:
        assert bool(m["reference"]["data"]) is m["name"].startswith("day1"), m["name"]


def test_a_report_that_fails_is_no_failure_of_the_picks(tmp_path_factory, tmp_path, caplog):
    folder = shared_model(tmp_path_factory)
    micrographs = find_micrographs([str(folder / "train")])[:1]
    (tmp_path / "report.html").mkdir()
    result = pick(micrographs, folder / "model.safetensors", tmp_path, device="cpu", threads=1)
    assert len(result.picks) == 1
    assert "There is no report of" in caplog.text


def test_a_folder_that_is_no_run_is_named(tmp_path):
    with pytest.raises(UsageError, match="holds neither picks nor a training"):
        report(tmp_path)


def test_names_that_fit_several_micrographs_are_told(run, tmp_path):
    (tmp_path / "other").mkdir()
    with (run / "micrographs.tsv").open("a") as file:
        file.write(f"other/m11.mrc\t{tmp_path / 'other' / 'm11.mrc'}\t4\toption\n")
    source = next(m for m in read_pick_run(run).micrographs if m.name.endswith("m11.mrc"))
    shutil.copy(PickRun(run).peaks_path(source.name), tmp_path / "copy")
    target = PickRun(run).peaks_path("other/m11.mrc")
    target.parent.mkdir(parents=True)
    shutil.copy(tmp_path / "copy", target)
    reference = {"m11.mrc": Coordinates.unscored([1.0], [1.0])}
    path = report(run, reference=reference, device="cpu", threads=1)
    assert "Not shown: reference. " in words_of(path)


def test_the_command_names_the_file(picked, tmp_path):
    output = tmp_path / "r.html"
    code, said, _ = call_pupick("report", picked, "--output", output, "--device", "cpu")
    assert (code, said.strip()) == (0, f"Report written to {output}")
    assert output.stat().st_size > 10_000
    code, _, error = call_pupick("report", tmp_path)
    assert code == 2
    assert "holds neither picks nor a training" in error


def test_intervals_hold_the_error_that_scores_share(tmp_path):
    uncertainty = 0.8
    _, scores = fake_run(tmp_path, [200, 300], own=0.5)
    change_summary(tmp_path, training={"score_uncertainty": uncertainty})
    at = estimate_precision_recall(scores, uncertainty, [0.5]).at(0.5)
    assert at.precision_high - at.precision_low > 0.1
    run = read_pick_run(tmp_path)
    table = tabulate(run, dict(run.peaks()))
    for name in ("precision_low", "precision_high", "recall_low", "recall_high"):
        assert getattr(table.quality, name)[table.own] == pytest.approx(getattr(at, name))
