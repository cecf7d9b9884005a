# SPDX-License-Identifier: GPL-3.0-or-later
"""`pupick combine`: one set of picks out of those of several pickers."""

import json
import shutil

import mrcfile
import numpy as np
import pytest
from helpers.simulated import DIAMETER, MODEL, PIXEL_SIZE, simulate_set

from scipion_pupick.engine import (
    CombineSettings,
    Coordinates,
    UsageError,
    combine,
    diameter_px,
    find_micrographs,
    pick,
    read_picks,
    read_sets,
    threshold,
    write_image,
    write_picks,
)
from scipion_pupick.engine.cli.main import main

SIZE = ["--diameter", "100", "--pixel-size", "2"]
# three pickers, and where each found something; 0.4 diameters are 20 px
A = {"m1.mrc": [(100, 100, 0.9), (200, 200, 0.5), (300, 300, 0.2)], "m2.mrc": [(50, 50, 0.6)]}
B = {"m1.mrc": [(110, 100, 0.6), (300, 321, 0.7)], "m3.mrc": [(10, 10, 0.99)]}
C = {"m1.mrc": [(95, 95, 0.95), (305, 310, 0.8)]}


def write(path, rows, change=lambda score: score):
    picks = {}
    for name, points in rows.items():
        x, y, score = np.array(points, float).T
        picks[name] = Coordinates(x, y, change(score))
    write_picks(picks, path)
    return str(path)


@pytest.fixture
def sources(tmp_path):
    return [write(tmp_path / f"{n}.csv", rows) for n, rows in (("a", A), ("b", B), ("c", C))]


def combined(sources, tmp_path, *options):
    output = tmp_path / "out.csv"
    assert main(["combine", *sources, *SIZE, *options, "--output", str(output)]) == 0
    return {name: sorted(c.xy.tolist()) for name, c in read_picks(output).items() if len(c)}


def test_union_has_each_particle_once(sources, tmp_path, capsys):
    found = combined(sources, tmp_path)
    # B's (300, 321) is 21 px from A's, so it is another particle; C's lies near both
    assert found == {
        "m1.mrc": [[95, 95], [200, 200], [300, 321], [305, 310]],
        "m2.mrc": [[50, 50]],
        "m3.mrc": [[10, 10]],
    }
    assert "6 particles in 3 micrographs out of 4, 3, 2 picks" in capsys.readouterr().out


def test_the_result_can_be_given_to_cryosparc(sources, tmp_path):
    for name in ("m1.mrc", "m2.mrc", "m3.mrc"):
        mrcfile.write(tmp_path / name, np.zeros((400, 500), np.float32), voxel_size=2.0)
    output = tmp_path / "out.cs"
    asked = ["combine", *sources, *SIZE, "--intersection", "--output", str(output)]
    assert main([*asked, "--micrographs", str(tmp_path / "m?.mrc")]) == 0
    row = np.load(output)[0]
    assert row["location/center_x_frac"] == pytest.approx(95.5 / 500, abs=2e-3)
    assert row["location/micrograph_shape"].tolist() == [400, 500]
    (found,) = (c for c in read_picks(output).values() if len(c))
    assert np.abs(found.xy - [[95, 95]]).max() < 0.01


def test_intersection_is_what_all_found(sources, tmp_path):
    assert combined(sources, tmp_path, "--intersection") == {"m1.mrc": [[95, 95]]}


def test_minus_is_what_only_the_first_found(sources, tmp_path):
    found = combined(sources[:2], tmp_path, "--minus")
    assert found == {"m1.mrc": [[200, 200], [300, 300]], "m2.mrc": [[50, 50]]}
    assert combined(sources[1::-1], tmp_path, "--minus") == {
        "m1.mrc": [[300, 321]],
        "m3.mrc": [[10, 10]],
    }


def test_votes_are_counted(sources, tmp_path):
    assert combined(sources, tmp_path, "--vote", "2") == {"m1.mrc": [[95, 95], [305, 310]]}
    assert combined(sources, tmp_path, "--vote", "3") == {"m1.mrc": [[95, 95]]}
    arguments = ["combine", *sources, *SIZE, "--vote", "4", "--output", str(tmp_path / "no.csv")]
    assert main(arguments) == 2


def test_another_fraction_of_the_diameter(sources, tmp_path):
    found = combined(sources[:2], tmp_path, "--intersection", "--within", "0.5")
    assert len(found["m1.mrc"]) == 2


def test_probabilities_become_log_odds(sources, tmp_path):
    output = tmp_path / "out.csv"
    assert main(["combine", *sources, *SIZE, "--intersection", "--output", str(output)]) == 0
    (score,) = read_picks(output)["m1.mrc"].score
    assert score == pytest.approx(np.log(0.95 / 0.05), rel=1e-4)


def test_scores_that_mean_something_else_are_kept_as_the_first_picker_has_them(tmp_path, caplog):
    first = write(tmp_path / "a.csv", A)
    second = write(tmp_path / "other.csv", B, lambda score: 100 * score)
    output = tmp_path / "out.csv"
    arguments = ["combine", first, second, *SIZE, "--intersection", "--output", str(output)]
    assert main(arguments) == 0
    found = read_picks(output)["m1.mrc"]
    assert found.xy.tolist() == [[100, 100]]
    assert found.score[0] == pytest.approx(np.log(9), rel=1e-4)
    assert "The scores of other.csv are no log-odds" in caplog.text


def to_repic(sources, folder):
    arguments = ["combine", *sources, *SIZE, "--to", "repic", "--box-size", "64"]
    return main([*arguments, "--output", str(folder)])


def rows_of(path):
    return [line.split("\t") for line in path.read_text().splitlines()]


def test_the_layout_of_repic_goes_out_and_comes_in(sources, tmp_path):
    folder = tmp_path / "repic"
    assert to_repic(sources, folder) == 0
    assert rows_of(folder / "b.csv" / "m1.box") == [
        ["78", "68", "64", "64", "0.600000"],
        ["268", "289", "64", "64", "0.700000"],
    ]
    again = {name: xy for name, xy in combined([str(folder)], tmp_path).items()}
    assert again == {name.split(".")[0]: xy for name, xy in combined(sources, tmp_path).items()}


def test_repic_finds_a_file_of_each_picker_for_each_micrograph(sources, tmp_path):
    """It skips those in which one of the pickers found nothing, and stops where a file lacks."""
    folder = tmp_path / "repic"
    assert to_repic(sources, folder) == 0
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*.box")}
    assert files == {f"{p}.csv/m{i}.box" for p in "abc" for i in (1, 2, 3)}
    assert (folder / "c.csv" / "m2.box").read_text() == ""


def test_what_repic_has_agreed_on_comes_in(sources, tmp_path):
    """As its get_cliques and run_ilp leave their folder, inside that of the pickers."""
    folder = tmp_path / "repic"
    assert to_repic(sources, folder) == 0
    agreed = folder / "clique_files"
    agreed.mkdir()
    (agreed / "m1.box").write_text("68\t68\t64\t64\t0.92500001\n268\t268\t64\t64\t0.75\n")
    (agreed / "m2.box").touch()
    (agreed / "m1_runtime.tsv").write_text("0.0123\t3\t2\n0.0034\n")
    for kind in ("weight_vector", "constraint_matrix", "consensus_coords"):
        (agreed / f"m1_{kind}.pickle").write_bytes(b"\x80\x04")
    found = read_picks(agreed)
    assert found["m1"].xy.tolist() == [[100, 100], [300, 300]]
    assert found["m1"].score.tolist() == pytest.approx([0.925, 0.75])
    assert len(found["m2"]) == 0
    # and is no picker of its own
    assert to_repic([str(folder)], tmp_path / "again") == 0
    assert {path.name for path in (tmp_path / "again").iterdir()} == {"a.csv", "b.csv", "c.csv"}


def test_scores_are_told_to_repic_as_it_takes_them_itself(tmp_path, caplog):
    first = write(tmp_path / "a.csv", A)
    # log-likelihood ratios, as Topaz's, and none, as a person's
    second = write(tmp_path / "topaz.csv", B, lambda score: 10 * score - 6.5)
    third = write(tmp_path / "person.csv", C, lambda score: np.full(len(score), np.nan))
    folder = tmp_path / "repic"
    assert to_repic([first, second, third], folder) == 0
    scores = [float(row[4]) for row in rows_of(folder / "topaz.csv" / "m1.box")]
    assert scores == pytest.approx([1 / (1 + np.exp(0.5)), 1 / (1 + np.exp(-0.5))], abs=1e-5)
    assert {row[4] for row in rows_of(folder / "person.csv" / "m1.box")} == {"1.000000"}
    assert "topaz.csv: its scores are taken for log-odds" in caplog.text
    assert "person.csv: its picks have no scores" in caplog.text


def test_what_repic_cannot_take_is_said(tmp_path, caplog):
    first = write(tmp_path / "a.csv", {"m1.mrc": A["m1.mrc"], "m10.mrc": A["m2.mrc"]})
    second = write(tmp_path / "b.csv", B)
    assert to_repic([first, second], tmp_path / "nested") == 0
    assert "The name m1 is a part of another micrograph's" in caplog.text
    (tmp_path / "c").mkdir()
    assert to_repic([first, write(tmp_path / "c" / "a.csv", C)], tmp_path / "same") == 2
    assert "Two of the pickers have one name" in caplog.text
    far = write(tmp_path / "far.csv", B, lambda score: 100 * score)
    assert to_repic([first, far], tmp_path / "far") == 1
    assert "what these scores mean is not known" in caplog.text


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["a.csv", *SIZE], "two pickers or more"),
        (["a.csv", "b.csv"], "(--diameter, --pixel-size)"),
        (["a.csv", "none.csv", *SIZE], "none.csv"),
        (["a.csv", "b.csv", *SIZE, "--to", "repic"], "box size"),
    ],
)
def test_what_makes_no_sense_is_named(sources, tmp_path, monkeypatch, caplog, arguments, named):
    monkeypatch.chdir(tmp_path)
    assert main(["combine", *arguments, "--output", str(tmp_path / "out.csv")]) == 2
    assert named in caplog.text
    assert not (tmp_path / "out.csv").exists()


def stated(path, pixel_size, *places, name="m1.mrc"):
    """Picks that say of which pixel size their images are."""
    rows = "".join(f"{name} {x} {y} {pixel_size}\n" for x, y in places)
    path.write_text(
        "data_particles\nloop_\n_rlnMicrographName\n_rlnCoordinateX\n_rlnCoordinateY\n"
        "_rlnMicrographPixelSize\n" + rows
    )
    return str(path)


@pytest.fixture
def binned(tmp_path):
    """The same two particles on the micrograph, 1.2 Å/px, and binned by four; one more."""
    full = stated(tmp_path / "full.star", 1.2, (400, 400), (800, 200))
    small = stated(tmp_path / "small.star", 4.8, (100, 100), (200, 50), (10, 20))
    return [full, small]


SMALL = ["--diameter", "100", "--pixel-size", "1.2"]


def test_picks_of_binned_micrographs_are_converted(binned, tmp_path, caplog):
    output = str(tmp_path / "out.csv")
    assert main(["combine", *binned, *SMALL, "--intersection", "--output", output]) == 0
    assert sorted(read_picks(output)["m1.mrc"].xy.tolist()) == [[400, 400], [800, 200]]
    assert "picks of small.star of 1 micrographs" in caplog.text
    assert "4.8 Å/px" in caplog.text
    assert main(["combine", *binned, *SMALL, "--union", "--output", output]) == 0
    assert [40, 80] in read_picks(output)["m1.mrc"].xy.tolist()


def test_a_run_among_the_pickers_says_which_pixels_are_wanted(tmp_path):
    simulate_set(tmp_path / "mics", [30])
    micrographs = find_micrographs([str(tmp_path / "mics")])
    run = tmp_path / "run"
    pick(micrographs, MODEL, run, device="cpu", threads=1, report=False)
    (found,) = read_picks(run).values()
    halves = [(x / 2, y / 2) for x, y in found.xy[:3]]
    small = stated(tmp_path / "small.star", 2 * PIXEL_SIZE, *halves, name="m30.mrc")
    output = str(tmp_path / "out.csv")
    assert main(["combine", str(run), small, "--intersection", "--output", output]) == 0
    (both,) = read_picks(output).values()
    np.testing.assert_allclose(sorted(both.xy.tolist()), sorted(found.xy[:3].tolist()), atol=0.1)


@pytest.fixture(scope="module")
def picked(tmp_path_factory):
    """A run on three micrographs with picks in two, and another threshold for it."""
    folder = tmp_path_factory.mktemp("picked")
    simulate_set(folder / "mics", [30, 31])
    empty = np.random.default_rng(0).normal(size=(256, 256)).astype(np.float32)
    write_image(folder / "mics" / "noise.mrc", empty, PIXEL_SIZE)
    micrographs = find_micrographs([str(folder / "mics")])
    pick(micrographs, MODEL, folder / "run", device="cpu", threads=1, report=False)
    assert not any("noise" in name for name in read_picks(folder / "run"))
    threshold(folder / "run", folder / "chosen", 0.0)
    return folder


def warnings(caplog):
    return [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]


@pytest.mark.parametrize(
    "name", ["run", "run/picks.star", "chosen", "chosen/picks.star", "moved/chosen"]
)
def test_what_a_run_has_found_has_log_odds_and_a_diameter_at_any_threshold(
    picked, tmp_path, monkeypatch, caplog, name
):
    if name == "moved/chosen":
        # a threshold's folder that names its run from the folder that was worked in
        project = tmp_path / "moved"
        shutil.copytree(picked, project)
        record = json.loads((project / "chosen" / "threshold.json").read_text())
        record["run"] = "run"
        (project / "chosen" / "threshold.json").write_text(json.dumps(record))
        picked = tmp_path
    ours, other = picked / name, write(tmp_path / "b.csv", {"noise.mrc": [(9, 9, 0.9)]})
    assert diameter_px([other, ours]) == pytest.approx(DIAMETER / PIXEL_SIZE)
    (first, _) = read_sets([ours, other])
    assert first.calibrated
    assert len(first.picks) == 3
    output = str(tmp_path / "out.csv")
    assert main(["combine", str(ours), other, "--output", output]) == 0
    assert "do not compare" not in caplog.text


def test_a_threshold_whose_run_is_gone_says_no_more_than_its_picks(picked, tmp_path):
    shutil.copytree(picked / "chosen", tmp_path / "chosen")
    record = tmp_path / "chosen" / "threshold.json"
    for text in ('{"run": "gone"}', '{"run": null}', "{}", "{"):
        record.write_text(text)
        assert diameter_px([tmp_path / "chosen"]) is None
        assert [one.calibrated for one in read_sets([tmp_path / "chosen"] * 2)] == [False, False]


def test_micrographs_that_a_picker_does_not_name_are_counted(picked, sources, tmp_path, caplog):
    combined(sources, tmp_path, "--minus")
    assert [text.partition(": ")[0] for text in warnings(caplog)] == [
        "a.csv does not name 1 of the 3 micrographs, such as m3.mrc",
        "b.csv does not name 1 of the 3 micrographs, such as m2.mrc",
        "c.csv does not name 2 of the 3 micrographs, such as m2.mrc",
    ]
    # a run has seen what it has no picks of, at any threshold; so has an empty file
    files = tmp_path / "files"
    files.mkdir()
    for name in ("m30", "m31"):
        (files / f"{name}.box").write_text("100\t100\t40\t40\n")
    (files / "noise.box").touch()
    caplog.clear()
    combined([str(picked / "run"), str(picked / "chosen"), str(files)], tmp_path)
    assert not any("does not name" in text for text in warnings(caplog))
    (files / "noise.box").unlink()
    combined([str(picked / "chosen"), str(files)], tmp_path)
    assert any("files does not name 1 of the 3" in text for text in warnings(caplog))


def test_micrographs_that_a_picker_does_not_name_are_counted_for_repic(sources, tmp_path, caplog):
    assert to_repic(sources[:2], tmp_path / "repic") == 0
    assert "a.csv does not name 1 of the 3 micrographs, such as m3.mrc" in caplog.text


def test_a_picker_that_found_nothing_leaves_the_scores_of_others_comparable(tmp_path, caplog):
    (tmp_path / "nothing").mkdir()
    (tmp_path / "nothing" / "m1.box").touch()
    sources = [
        write(tmp_path / "a.csv", A),
        str(tmp_path / "nothing"),
        write(tmp_path / "c.csv", C),
    ]
    assert [95, 95] in combined(sources, tmp_path)["m1.mrc"]
    assert "do not compare" not in caplog.text
    caplog.clear()
    assert to_repic(sources, tmp_path / "repic") == 0
    assert "no scores" not in caplog.text


def test_picks_of_other_pixels_are_refused_where_those_wanted_are_not_known(binned, tmp_path):
    run = tmp_path / "run.csv"
    with pytest.raises(UsageError, match="1.2 Å/px, and those of another with 4.8 Å/px"):
        combine(read_sets(binned), 80.0, CombineSettings(), run)
    assert not run.exists()


def test_repic_is_given_no_picks_of_other_pixels(binned, tmp_path, caplog):
    output = ["--to", "repic", "--box-size", "10", "--output", str(tmp_path / "repic")]
    assert main(["combine", *binned, *output]) == 2
    assert "give the micrographs' pixel size" in caplog.text
    assert main(["combine", *binned, "--pixel-size", "1.2", *output]) == 0


def test_what_was_tied_by_other_names_and_folders_is_said(tmp_path, caplog):
    caplog.set_level("INFO")
    given = {"f1/m.mrc": [(1, 1, 0.5)], "x/f2/n.mrc": [(1, 1, 0.5)]}
    first = write(tmp_path / "a.csv", given)
    other = {"f2/m.mrc": [(1, 1, 0.5)], "f2/123456789012345678_n_DW.mrc": [(1, 1, 0.5)]}
    second = write(tmp_path / "b.csv", other)
    assert combined([first, second], tmp_path, "--intersection").keys() == given.keys()
    assert "such as f2/m.mrc to f1/m.mrc: if these are different micrographs" in caplog.text
    assert "such as f2/123456789012345678_n_DW.mrc to x/f2/n.mrc" in caplog.text
    caplog.clear()
    combined([first, write(tmp_path / "c.csv", {"mics/f1/m.mrc": [(1, 1, 0.5)]})], tmp_path)
    assert "different micrographs" not in caplog.text


def test_conversion_keeps_what_the_picks_are_px_of(binned, tmp_path, caplog):
    with mrcfile.new(tmp_path / "m1.mrc") as file:
        file.set_data(np.zeros((1000, 1000), np.float32))
        file.voxel_size = 1.2
    kept, halved = tmp_path / "kept.star", tmp_path / "halved.star"
    assert main(["convert", binned[1], "--output", str(kept)]) == 0
    assert read_picks(kept)["m1.mrc"].pixel_size == pytest.approx(4.8)
    assert main(["convert", binned[1], "--scale", "0.5", "--output", str(halved)]) == 0
    assert read_picks(halved)["m1.mrc"].pixel_size == pytest.approx(9.6)
    given = ["--micrographs", str(tmp_path / "m1.mrc")]
    for source in (binned[1], str(kept), str(halved)):
        for name in ("out.cs", "out.star"):
            output = str(tmp_path / name)
            assert main(["convert", source, *given, "--output", output]) == 0
            (found,) = read_picks(output).values()
            np.testing.assert_allclose(found.xy, [[400, 400], [800, 200], [40, 80]], atol=0.01)
    assert "4.8 Å/px" in caplog.text
