# SPDX-License-Identifier: GPL-3.0-or-later
"""Bad input through the command line: exit code, a message that helps, and nothing half done."""

import shutil

import mrcfile
import numpy as np
import pytest
import torch
from helpers.full_disk import files_of_at_most
from helpers.programs import call_pupick
from helpers.simulated import (
    DIAMETER,
    as_picks,
    modified,
    shared_model,
    simulate,
    simulate_set,
    write_mrc,
)
from safetensors.torch import save_file

from scipion_pupick.engine import read_picks, write_picks
from scipion_pupick.engine.cli.main import main

FAILED, MISUSED = 1, 2
ONE_CPU = ("--device", "cpu", "--threads", "1")
HASTY = (
    *("--network", "conv3", "--epochs", "1", "--steps", "1", "--autoencoder", "0"),
    *("--particles-per-micrograph", "9"),
)


def call(*arguments):
    return main([*map(str, arguments)])


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return shared_model(tmp_path_factory) / "model.safetensors"


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A micrograph of 144 x 144 px, 4 Å/px, that a test may copy."""
    path = tmp_path_factory.mktemp("good") / "good.mrc"
    simulate(path, 0, side=144, particles=8)
    return path


def truncated(path, good):
    path.write_bytes(good.read_bytes()[:-1000])


def lying_header(path, good):
    shutil.copy(good, path)
    with mrcfile.open(path, "r+", permissive=True) as file:
        file.header.nx = 20000


def zero_bytes(path, good):
    path.write_bytes(b"")


def text(path, good):
    path.write_text("# coordinates, not an image\n" * 100)


def with_pixel(value):
    def make(path, good):
        shutil.copy(good, path)
        with mrcfile.open(path, "r+") as file:
            file.data[10, 20] = value

    return make


def constant(path, good):
    write_mrc(path, np.full((144, 144), 7, np.float32))


def unknown_mode(path, good):
    shutil.copy(good, path)
    with mrcfile.open(path, "r+") as file:
        file.header.mode = 77


def complex_mode(path, good):
    write_mrc(path, np.ones((20, 20), np.complex64))


def stack(path, good):
    with mrcfile.new(path) as file:
        file.set_data(np.random.default_rng(0).random((3, 144, 144)).astype(np.float32))
        file.voxel_size = 4.0


def zero_pixel_size(path, good):
    shutil.copy(good, path)
    with mrcfile.open(path, "r+") as file:
        file.voxel_size = 0.0


def too_small(path, good):
    write_mrc(path, np.random.default_rng(0).random((20, 20)).astype(np.float32))


def a_folder(path, good):
    path.mkdir()


BROKEN = {
    "truncated": (truncated, "truncated"),
    "lying header": (lying_header, "its header is wrong"),
    "zero bytes": (zero_bytes, "0 bytes"),
    "text": (text, "neither an MRC nor a TIFF"),
    "NaN": (with_pixel(np.nan), "1 of 20736 pixels are NaN"),
    "infinite": (with_pixel(np.inf), "1 of 20736 pixels are NaN or infinite"),
    "constant": (constant, "blank"),
    "unknown mode": (unknown_mode, "mode 77"),
    "complex mode": (complex_mode, "mode 4"),
    "stack": (stack, "3 sections"),
    "zero pixel size": (zero_pixel_size, "give the pixel size"),
    "smaller than a particle": (too_small, "larger than the image of 20 x 20 px"),
}


@pytest.fixture(params=BROKEN)
def mixed(request, good, tmp_path):
    """A folder with good.mrc, bad.mrc and last.mrc, and what is said of bad.mrc."""
    make, reason = BROKEN[request.param]
    folder = tmp_path / "in"
    folder.mkdir()
    shutil.copy(good, folder / "good.mrc")
    shutil.copy(good, folder / "last.mrc")
    make(folder / "bad.mrc", good)
    return folder, reason


def test_a_bad_micrograph_is_counted_and_the_good_ones_are_picked(
    mixed, model, tmp_path, capsys, caplog
):
    folder, reason = mixed
    before = modified(folder)
    out = tmp_path / "out"
    code = call("pick", "--micrographs", folder, "--model", model, "--output", out, *ONE_CPU)
    assert code == FAILED
    assert reason in caplog.text
    assert "1 of 3 micrographs failed" in caplog.text
    assert "in 2 micrographs" in capsys.readouterr().out
    _, row = (out / "failed.tsv").read_text().splitlines()
    assert row.startswith(f"{folder.as_posix()}/bad.mrc\t")
    assert reason in row
    counts = {
        name.rsplit("/", 1)[1]: len(found) for name, found in read_picks(out / "picks.star").items()
    }
    assert set(counts) == {"good.mrc", "last.mrc"}
    assert all(6 <= count <= 12 for count in counts.values())
    assert modified(folder) == before


@pytest.mark.slow
def test_training_goes_on_without_a_bad_micrograph(mixed, good, tmp_path, caplog):
    folder, reason = mixed
    xy = simulate(tmp_path / "copy.mrc", 0, side=144, particles=8)
    picks = {str(folder / "good.mrc"): xy, str(folder / "bad.mrc"): xy}
    write_picks(as_picks(picks), tmp_path / "picks.star")
    out = tmp_path / "out"
    code = call(
        *("train", "--micrographs", folder, "--picks", tmp_path / "picks.star"),
        *("--diameter", DIAMETER, "--output", out, *HASTY, *ONE_CPU),
    )
    assert code == FAILED
    assert reason in caplog.text
    assert "1 of 3 micrographs failed" in caplog.text
    assert (out / "model.safetensors").is_file()


@pytest.mark.parametrize("normalisation", ["micrograph", "joint"])
def test_preprocessing_goes_on_without_a_bad_micrograph(
    mixed, tmp_path, normalisation, capsys, caplog
):
    folder, reason = mixed
    out = tmp_path / "out"
    code = call(
        *("preprocess", "--micrographs", folder, "--diameter", DIAMETER, "--output", out),
        *("--normalisation", normalisation),
    )
    assert code == FAILED
    assert reason in caplog.text
    assert capsys.readouterr().out.startswith("2 micrographs written")
    assert sorted(path.name for path in out.rglob("*.mrc")) == ["good.mrc", "last.mrc"]


def pick_one(micrograph, model, out, *options):
    return call(
        *("pick", "--micrographs", micrograph, "--model", model, "--output", out),
        *ONE_CPU,
        *options,
    )


def test_a_hot_pixel_does_no_harm(good, model, tmp_path, capsys):
    with_pixel(3e38)(tmp_path / "bad.mrc", good)
    assert pick_one(tmp_path / "bad.mrc", model, tmp_path / "out") == 0
    assert pick_one(good, model, tmp_path / "undamaged") == 0
    damaged, undamaged = capsys.readouterr().out.splitlines()
    assert damaged.split(" (")[0] == undamaged.split(" (")[0]


def test_huge_values_are_no_crash(good, model, tmp_path, caplog):
    shutil.copy(good, tmp_path / "bad.mrc")
    with mrcfile.open(tmp_path / "bad.mrc", "r+") as file:
        file.data[10:50, 20:60] = 3e38
    code = pick_one(tmp_path / "bad.mrc", model, tmp_path / "out")
    assert code == FAILED
    assert "bad.mrc: " in caplog.text


def test_a_pixel_size_given_mends_a_missing_one(good, model, tmp_path):
    zero_pixel_size(tmp_path / "bad.mrc", good)
    assert pick_one(tmp_path / "bad.mrc", model, tmp_path / "out", "--pixel-size", 4) == 0


def test_an_image_smaller_than_the_field_of_view_is_picked(model, tmp_path):
    image = np.random.default_rng(0).normal(0, 1, (26, 26)).astype(np.float32)
    write_mrc(tmp_path / "small.mrc", image)
    assert pick_one(tmp_path / "small.mrc", model, tmp_path / "out") == 0


def test_all_micrographs_may_fail(model, tmp_path, capsys):
    (tmp_path / "bad.mrc").write_bytes(b"")
    assert pick_one(tmp_path / "bad.mrc", model, tmp_path / "out") == FAILED
    assert "0 particles in 0 micrographs" in capsys.readouterr().out
    assert sum(map(len, read_picks(tmp_path / "out" / "picks.star").values())) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--device", "cuda:99"), "cuda:99"),
        (("--device", "abacus"), "'abacus'"),
        (("--threads", -2), "-2 threads"),
        (("--border", -1), "border is -1"),
        (("--min-distance", "nan"), "min_distance is nan"),
        (("--threshold", "nan"), "threshold is nan"),
        (("--diameter", -96), "-96 Å"),
        (("--diameter", 0), "0 Å"),
        (("--diameter", "inf"), "inf Å"),
        (("--pixel-size", 0), "not 0"),
        (("--pixel-size", -1), "not -1"),
        (("--pixel-size", "nan"), "not nan"),
    ],
)
def test_numbers_that_make_no_sense_are_misuse(good, model, tmp_path, caplog, options, message):
    assert pick_one(good, model, tmp_path / "out", *options) == MISUSED
    assert message in caplog.text
    assert caplog.text.count("pupick pick: ") == 1
    assert not (tmp_path / "out" / "picks.star").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [(("--diameter", 1e5), "larger than the image"), (("--diameter", 8), "too small to be seen")],
)
def test_a_diameter_that_does_not_fit_the_image_fails(
    good, model, tmp_path, caplog, options, message
):
    assert pick_one(good, model, tmp_path / "out", *options) == MISUSED
    assert message in caplog.text
    assert "check the diameter (Å) and the pixel size (Å/px)" in caplog.text


@pytest.mark.parametrize("source", ["none.mrc", "none*.mrc", "."])
def test_micrographs_that_are_not_there_are_misuse(source, model, tmp_path, caplog):
    assert pick_one(tmp_path / source, model, tmp_path / "out") == MISUSED
    assert str(tmp_path / source) in caplog.text


def test_a_model_of_other_software_is_misuse(good, tmp_path, caplog):
    torch.save({"weight": torch.zeros(3)}, tmp_path / "topaz.sav")
    assert pick_one(good, tmp_path / "topaz.sav", tmp_path / "out") == MISUSED
    assert "topaz.sav is a pickled PyTorch file" in caplog.text
    save_file({"weight": torch.zeros(3)}, tmp_path / "other.safetensors")
    assert pick_one(good, tmp_path / "other.safetensors", tmp_path / "out") == MISUSED
    assert "other.safetensors holds weights of some other software" in caplog.text
    assert call("model", "show", tmp_path / "topaz.sav") == MISUSED


def test_an_output_that_is_a_file_is_misuse(good, model, tmp_path, caplog):
    (tmp_path / "taken").write_text("mine")
    for out in (tmp_path / "taken", tmp_path / "taken" / "below"):
        assert pick_one(good, model, out) == MISUSED
        assert train_on(good, [[30.0, 30.0]], out) == MISUSED
        arguments = ("--micrographs", good, "--diameter", DIAMETER, "--output", out)
        assert call("preprocess", *arguments) == MISUSED
    assert caplog.text.count("a file is in the place of this folder") == 6
    assert (tmp_path / "taken").read_text() == "mine"


def train_on(good, places, out, *options):
    out.parent.mkdir(exist_ok=True) if not out.parent.is_file() else None
    picks = good.with_suffix(".csv")
    write_picks(as_picks({str(good): np.array(places, float).reshape(-1, 2)}), picks)
    return call(
        *("train", "--micrographs", good, "--picks", picks, "--diameter", DIAMETER),
        *("--output", out, *HASTY, *ONE_CPU, *options),
    )


@pytest.fixture
def own(good, tmp_path):
    """A micrograph with a folder of its own."""
    (tmp_path / "own").mkdir()
    return shutil.copy(good, tmp_path / "own" / "good.mrc")


def test_one_label_is_enough(own, tmp_path):
    assert train_on(own, [[70, 70]], tmp_path / "out") == 0
    assert pick_one(own, tmp_path / "out" / "model.safetensors", tmp_path / "picked") == 0


def test_no_label_is_misuse(own, tmp_path, caplog):
    assert train_on(own, [], tmp_path / "out") == MISUSED
    assert "pick at least one" in caplog.text


def test_picks_outside_the_image_are_left_out(own, tmp_path, caplog):
    places, unchecked = [[70, 70], [500, 70], [70, -20]], ("--check-picks", "off")
    assert train_on(own, places, tmp_path / "out") == 2
    assert "2 of 3 picks looked at lie outside their micrographs" in caplog.text
    assert train_on(own, places, tmp_path / "out", *unchecked) == 0
    assert "good.mrc: 2 of 3 picks lie outside the image of 144 x 144 px" in caplog.text
    assert train_on(own, [[500, 70]], tmp_path / "other", *unchecked) == FAILED
    assert "all picks lie outside" in caplog.text


@pytest.fixture
def table(own, tmp_path):
    """Train on a table of picks written by the test: exit code."""

    def train(text):
        path = tmp_path / "picks.star"
        path.write_text(text)
        return call(
            *("train", "--micrographs", own, "--picks", path, "--diameter", DIAMETER),
            *("--output", tmp_path / "out", *HASTY, *ONE_CPU),
        )

    return train


HEAD = "data_\n\nloop_\n_rlnMicrographName #1\n_rlnCoordinateX #2\n_rlnCoordinateY #3\n"


def test_picks_of_some_unknown_micrographs_are_left_out(table, caplog):
    assert table(f"{HEAD}good.mrc 70 70\nother.mrc 20 20\nmore.mrc 20 20\n") == 0
    assert "of 2 other micrographs, such as other.mrc" in caplog.text


def test_picks_of_unknown_micrographs_only_are_misuse(table, caplog):
    assert table(f"{HEAD}other.mrc 70 70\n") == MISUSED
    assert "picks are of other micrographs (such as other.mrc)" in caplog.text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "data_\n\nloop_\n_rlnMicrographName #1\n_rlnCoordinateX #2\ngood.mrc 7\n",
            "rlnCoordinateY",
        ),
        ("data_\n\nloop_\n_rlnCoordinateY #1\n7\n", "rlnCoordinateX"),
        (f"{HEAD}good.mrc 70 wide\n", "'wide', not a number"),
        (f"{HEAD}good.mrc nan 70\n", "not a number"),
        (HEAD, "pick at least one"),
        ("", "pick at least one"),
        ("this is no table\n", "is not a table of picks"),
    ],
)
def test_tables_that_hold_no_picks_are_misuse(table, caplog, text, message):
    assert table(text) == MISUSED
    assert message in caplog.text
    assert "pupick train: " in caplog.text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--diameter", -5), "-5 Å"),
        (("--seed", -1), "seed is -1"),
        (("--epochs", 0), "epochs is 0"),
        (("--network", "alexnet"), "'alexnet'"),
        (("--objective", "hinge"), "'hinge'"),
        (("--slack", -1), "slack is -1"),
        (("--held-out", 2), "held_out is 2"),
        (("--particles-per-micrograph", 0), "particles_per_micrograph is 0"),
        (("--particles-per-micrograph", 1e6), "do not fit"),
        (("--start", "none.safetensors"), "none.safetensors"),
        (("--negatives", "none.star"), "none.star"),
        (("--threads", -1), "-1 threads"),
    ],
)
def test_training_options_that_make_no_sense_are_misuse(own, tmp_path, caplog, options, message):
    assert train_on(own, [[70, 70]], tmp_path / "out", *options) == MISUSED
    assert message in caplog.text
    assert not (tmp_path / "out" / "model.safetensors").exists()


def test_a_learning_rate_that_diverges_fails_with_advice(own, tmp_path, caplog):
    code = train_on(own, [[70, 70]], tmp_path / "out", "--learning-rate", 1e38, "--steps", 5)
    assert code == FAILED
    assert "Lower the learning rate" in caplog.text


@pytest.mark.parametrize("threads", [-1, -100])
def test_negative_threads_are_misuse_for_preprocessing(own, tmp_path, caplog, threads):
    arguments = ("--micrographs", own, "--diameter", DIAMETER, "--output", tmp_path / "out")
    assert call("preprocess", *arguments, "--threads", threads) == MISUSED
    assert f"{threads} threads" in caplog.text
    assert "--threads" in caplog.text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--tolerance", 0), "tolerance is 0"),
        (("--tolerance", "nan"), "tolerance is nan"),
        (("--tolerance", 5, "--border", 9), "--micrographs"),
        (("--tolerance", 5, "--border", -9), "border is -9"),
        (("--tolerance", 5, "--plot", "curve.exe"), "curve.exe"),
    ],
)
def test_evaluation_options_that_make_no_sense_are_misuse(tmp_path, caplog, options, message):
    pytest.importorskip("matplotlib")
    picks = tmp_path / "picks.csv"
    write_picks(as_picks({"a": np.ones((2, 2))}), picks)
    assert call("evaluate", "--picks", picks, "--reference", picks, *options) == MISUSED
    assert message in caplog.text


def test_a_full_disk_while_training_leaves_nothing_half_written(tmp_path):
    particles = simulate_set(tmp_path / "in", range(1), side=144, particles=8)
    write_picks(as_picks(particles), tmp_path / "picks.star")
    out = tmp_path / "out"
    arguments = (
        *("train", "--micrographs", tmp_path / "in", "--picks", tmp_path / "picks.star"),
        *("--diameter", DIAMETER, "--output", out, *HASTY, *ONE_CPU),
    )
    with files_of_at_most(100_000):
        code, _, error = call_pupick(*arguments)
    assert code == FAILED
    last = error.splitlines()[-1]
    assert last.startswith("pupick train: ")
    assert "File too large" in last
    assert str(out / "checkpoint.safetensors") in last
    assert "Traceback" not in error
    assert {path.name for path in out.iterdir()} == {"view.json", "labels.csv", "micrographs.tsv"}
    assert call(*arguments) == 0


def test_a_full_disk_while_picking_leaves_nothing_half_written(good, model, tmp_path):
    arguments = ("pick", "--micrographs", good, "--model", model, "--output", tmp_path, *ONE_CPU)
    with files_of_at_most(300):
        code, _, error = call_pupick(*arguments)
    assert code == FAILED
    last = error.splitlines()[-1]
    assert "File too large" in last
    assert "pick.json" in last
    assert "Traceback" not in error
    left = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    # the record, which says whose folder it is, comes first
    assert left == set()
    assert call(*arguments) == 0


def test_a_full_disk_while_preprocessing_leaves_nothing_half_written(good, tmp_path):
    arguments = ("--micrographs", good, "--diameter", DIAMETER, "--output", tmp_path)
    with files_of_at_most(40_000):
        code, output, error = call_pupick("preprocess", *arguments)
    assert code == FAILED
    assert output == ""
    assert error.splitlines()[-1].startswith("pupick preprocess: ")
    assert "good.mrc" in error.splitlines()[-1]
    assert "Traceback" not in error
    left = [path.name for path in tmp_path.rglob("*") if path.is_file()]
    # the record says whose folder it is
    assert left == ["preprocess.json"]
    assert call("preprocess", *arguments) == 0


@pytest.mark.parametrize(
    "arguments",
    [
        "pick --micrographs {0} --model general --diameter 96 --output {1} --failures {0}",
        "evaluate --picks {1} --reference {1} --tolerance 5 --table {0}",
        "evaluate --picks {1} --reference {1} --tolerance 5 --summary {0}",
        "convert {1} --to csv --output {0}",
        "report {1} --output {0}",
    ],
)
def test_no_table_is_written_over_a_micrograph(good, tmp_path, arguments, capsys):
    path = tmp_path / "m.mrc"
    shutil.copy(good, path)
    with pytest.raises(SystemExit) as caught:
        call(*arguments.format(path, tmp_path / "other").split())
    assert caught.value.code == MISUSED
    assert "is the name of an image" in capsys.readouterr().err
    assert path.read_bytes() == good.read_bytes()


def test_a_plot_that_cannot_be_drawn_is_refused_before_the_table(good, tmp_path, caplog):
    (tmp_path / "p.csv").write_text("micrograph,x,y,score\nm.mrc,3,4,1\n")
    picks = ("evaluate", "--picks", tmp_path / "p.csv", "--reference", tmp_path / "p.csv")
    table = tmp_path / "table.tsv"
    plot = ("--tolerance", 5, "--table", table, "--plot", tmp_path / "curve.foo")
    assert call(*picks, *plot) == MISUSED
    assert "no plot can have this suffix" in caplog.text
    assert not table.exists()


def test_a_setting_given_twice_is_refused(tmp_path, caplog):
    twice = ("--set", "defocus=15000", "defocus=20000")
    assert call("simulate", "--output", tmp_path / "new", *twice) == MISUSED
    assert "a name twice" in caplog.text
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ("report", "run", "--output"),
        *(
            ("evaluate", "--picks", "p", "--reference", "r", "--tolerance", 5, option)
            for option in ("--table", "--summary")
        ),
    ],
    ids=lambda arguments: f"{arguments[0]} {arguments[-1]}",
)
def test_a_folder_in_the_place_of_a_file_is_refused_at_once(tmp_path, arguments):
    code, _, error = call_pupick(*arguments, tmp_path)
    assert code == 2
    assert f"{tmp_path} is a folder: give the name of a file" in error
