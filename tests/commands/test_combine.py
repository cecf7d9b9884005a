# SPDX-License-Identifier: GPL-3.0-or-later
"""`pupick combine`: one set of picks out of those of several pickers."""

import mrcfile
import numpy as np
import pytest

from scipion_pupick.engine import Coordinates, read_picks, write_picks
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


def test_the_layout_of_repic_goes_out_and_comes_in(sources, tmp_path):
    folder = tmp_path / "repic"
    arguments = ["combine", *sources, *SIZE, "--to", "repic", "--box-size", "64"]
    assert main([*arguments, "--output", str(folder)]) == 0
    lines = (folder / "b.csv" / "m1.box").read_text().splitlines()
    assert [line.split("\t") for line in lines] == [
        ["78", "68", "64", "64", "0.600000"],
        ["268", "289", "64", "64", "0.700000"],
    ]
    again = {name: xy for name, xy in combined([str(folder)], tmp_path).items()}
    assert again == {name.split(".")[0]: xy for name, xy in combined(sources, tmp_path).items()}


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
