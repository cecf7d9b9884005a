# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line: every command from its arguments to its exit code and its files."""

import json
import os
import subprocess
import sys

import mrcfile
import numpy as np
import pytest
from helpers.programs import run_pupick
from helpers.simulated import (
    DIAMETER,
    PIXEL_SIZE,
    as_picks,
    shared_model,
    sharing,
    simulate_set,
)

import scipion_pupick
from scipion_pupick.engine import (
    Coordinates,
    evaluate,
    find_micrographs,
    pick,
    read_picks,
    show_model,
    write_picks,
)
from scipion_pupick.engine.cli.main import main, make_parser

COMMANDS = (
    "preprocess",
    "train",
    "pick",
    "evaluate",
    "convert",
    "model",
    "demo",
    "pretrain",
    "simulate",
)
ONE_CPU = ("--device", "cpu", "--threads", "1")


def call(*arguments):
    return main([*map(str, arguments)])


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return shared_model(tmp_path_factory)


@pytest.fixture(scope="module")
def unseen(tmp_path_factory):
    folder = sharing(tmp_path_factory, "unseen", lambda folder: None)
    return folder, simulate_set(folder, range(30, 33))


def python(code, **environment):
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **environment},
    ).stdout


@pytest.mark.parametrize("command", [[], *[[name] for name in COMMANDS], ["model", "show"]])
def test_every_command_explains_itself(command, capsys):
    with pytest.raises(SystemExit) as caught:
        call(*command, "--help")
    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith(" ".join(["usage: pupick", *command]))


def test_the_help_names_every_command():
    assert all(name in make_parser().format_help() for name in COMMANDS)


def test_every_option_is_explained():
    for command in make_parser()._subparsers._group_actions[0].choices.values():
        for action in command._actions:
            assert action.help or action.dest == "action", action


def test_the_version_is_that_of_the_package(capsys):
    with pytest.raises(SystemExit) as caught:
        call("--version")
    assert caught.value.code == 0
    assert capsys.readouterr().out.strip() == scipion_pupick.__version__


@pytest.mark.parametrize("arguments", [[], ["dance"], ["train"], ["pick", "--model"], ["model"]])
def test_wrong_arguments_exit_with_2(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        call(*arguments)
    assert caught.value.code == 2
    assert "usage: pupick" in capsys.readouterr().err


def test_help_needs_no_unicode_terminal():
    code, output, error = run_pupick("train", "--help", environment={"LC_ALL": "C"})
    assert (code, error) == (0, "")
    assert "--diameter" in output


def test_importing_the_engine_loads_no_heavy_package():
    code = "import sys, scipion_pupick.engine; print(*sorted(sys.modules))"
    loaded = {name.split(".")[0] for name in python(code).split()}
    assert "scipion_pupick" in loaded
    assert loaded.isdisjoint({"torch", "numpy", "scipy", "pwem", "pyworkflow", "matplotlib"})


def test_all_names_of_the_engine_are_there():
    code = (
        "from scipion_pupick.engine import *; import scipion_pupick.engine as e; print(*e.__all__)"
    )
    names = python(
        f"{code}; assert all(callable(getattr(e, n)) or n == 'Picks' for n in e.__all__)"
    )
    assert {"train", "pick", "find_micrographs"} <= set(names.split())
    import scipion_pupick.engine

    with pytest.raises(AttributeError, match="no attribute 'dance'"):
        scipion_pupick.engine.dance  # noqa: B018


def test_train_then_pick_then_evaluate(trained, unseen, tmp_path, capsys):
    folder, particles = unseen
    code = call(
        *("train", "--micrographs", trained / "train", "--picks", trained / "picks.star"),
        *("--diameter", DIAMETER, "--particles-per-micrograph", 25, "--network", "conv3"),
        *("--epochs", 2, "--steps", 4, "--autoencoder", 0, "--training-radius", 1),
        *("--output", tmp_path / "train", *ONE_CPU),
    )
    assert code == 0
    model = tmp_path / "train" / "model.safetensors"
    assert capsys.readouterr().out == f"Model written to {model}\n"
    settings = show_model(model)["training"]["settings"]
    assert (settings["epochs"], settings["steps"], settings["training_radius"]) == (2, 4, 1)
    # the model that was trained for longer picks
    model = trained / "model.safetensors"
    code = call(
        *("pick", "--micrographs", folder / "*.mrc", "--model", model),
        *("--output", tmp_path / "pick", "--threshold", 1.5, "--border", 10, "--min-distance", 60),
        *("--diameter", 97, *ONE_CPU),
    )
    assert code == 0
    summary = json.loads((tmp_path / "pick" / "pick.json").read_text())
    given = [summary[name] for name in ("threshold", "edge", "separation", "diameter")]
    assert given == [1.5, 10, 60, 97]
    assert "particles in 3 micrographs (log-odds 1.50 or more)" in capsys.readouterr().out
    write_picks(as_picks(particles), tmp_path / "reference.csv")
    picks, reference = tmp_path / "pick" / "picks.star", tmp_path / "reference.csv"
    code = call(
        *("evaluate", "--picks", picks, "--reference", reference, "--tolerance", 9),
        *("--border", 20, "--micrographs", folder / "*.mrc", "--table", tmp_path / "curve.tsv"),
    )
    assert code == 0
    micrographs = find_micrographs([str(folder)])
    expected = evaluate(read_picks(picks), read_picks(reference), 9, 20, micrographs)
    printed = capsys.readouterr().out
    assert f"average precision {expected.curve.average_precision:.3f}" in printed
    assert f"best possible F1 {expected.curve.best_f1:.3f}" in printed
    assert f"hits {expected.localisation_error:.2f} px" in printed
    assert expected.curve.average_precision > 0.9
    rows = (tmp_path / "curve.tsv").read_text().splitlines()
    assert len(rows) == len(expected.curve.threshold) + 1


def test_old_names_of_options_still_work_and_are_warned_of(trained, unseen, tmp_path, caplog):
    arguments = ("--micrographs", unseen[0] / "m30.mrc", "--model", trained / "model.safetensors")
    old, new = ("--edge", 10, "--separation", 60), ("--border", 10, "--min-distance", 60)
    for name, options in (("old", old), ("new", new)):
        output = ("--output", tmp_path / name)
        assert call("pick", *arguments, *output, *options, "--no-report", *ONE_CPU) == 0
    first, second = ((tmp_path / name / "picks.star").read_bytes() for name in ("old", "new"))
    assert first == second
    warned = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert warned == [
        "pupick pick: --edge is called --border now.",
        "pupick pick: --separation is called --min-distance now.",
    ]


def test_pick_without_options_is_that_of_the_engine(trained, unseen, tmp_path):
    model, (folder, _) = trained / "model.safetensors", unseen
    arguments = ("--micrographs", folder, "--model", model, "--output", tmp_path / "a")
    assert call("pick", *arguments, *ONE_CPU) == 0
    pick(find_micrographs([str(folder)]), model, tmp_path / "b", device="cpu", threads=1)
    first, second = ((tmp_path / name / "picks.star").read_bytes() for name in "ab")
    assert first == second


def test_preprocess_writes_images(unseen, tmp_path, capsys):
    folder, _ = unseen
    code = call(
        *("preprocess", "--micrographs", folder / "m30.mrc", folder / "m31.mrc"),
        *("--diameter", DIAMETER, "--diameter-px", 12, "--output", tmp_path, "--threads", 1),
    )
    assert code == 0
    assert capsys.readouterr().out == f"2 micrographs written to {tmp_path}\n"
    written = sorted(tmp_path.rglob("*.mrc"))
    assert [path.name for path in written] == ["m30.mrc", "m31.mrc"]
    with mrcfile.open(written[0]) as file:
        assert file.data.shape == (128, 128)
        assert float(file.voxel_size.x) == pytest.approx(2 * PIXEL_SIZE)
        assert abs(np.median(file.data)) < 0.5


def test_model_show_prints_the_metadata(trained, capsys):
    assert call("model", "show", trained / "model.safetensors") == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == show_model(trained / "model.safetensors")
    assert printed["diameter"] == DIAMETER


def test_convert_writes_other_formats(tmp_path, capsys):
    picks = {"a": Coordinates.unscored([10.0, 20.0], [30.0, 40.0])}
    write_picks(picks, tmp_path / "picks.star")
    out = tmp_path / "picks.csv"
    assert call("convert", tmp_path / "picks.star", "--output", out, "--scale", 2) == 0
    assert capsys.readouterr().out == f"2 picks in 1 micrographs written to {out}\n"
    np.testing.assert_array_equal(read_picks(out)["a"].x, [20, 40])
    boxes = ("--to", "box", "--box-size", 8, "--per-micrograph", "--output", tmp_path / "boxes")
    assert call("convert", out, *boxes) == 0
    assert (tmp_path / "boxes" / "a.box").read_text().split()[:4] == ["16", "56", "8", "8"]


def test_convert_says_what_is_missing(tmp_path, caplog):
    write_picks({"a": Coordinates.unscored([1.0], [1.0])}, tmp_path / "picks.star")
    assert call("convert", tmp_path / "picks.star", "--output", tmp_path / "a.box") == 2
    assert "box" in caplog.text
    assert not (tmp_path / "a.box").exists()


def test_a_process_ends_with_the_exit_code_and_one_line(tmp_path):
    code, output, error = run_pupick("model", "show", tmp_path / "none.safetensors")
    assert (code, output) == (2, "")
    assert error.splitlines() == [
        f"pupick model: {tmp_path / 'none.safetensors'}: the model cannot be read: "
        "No such file or directory."
    ]


def test_a_warning_comes_once(tmp_path):
    path = tmp_path / "a.mrc"
    with mrcfile.new(path) as file:
        file.set_data(np.zeros((64, 64), np.float32))
        file.voxel_size = 10
    path.write_bytes(path.read_bytes() + b"trailer")
    sources = ["--micrographs", str(path), "--output", str(tmp_path / "out")]
    settings = ["--diameter", "100", "--normalisation", "joint"]
    _, _, error = run_pupick("preprocess", *sources, *settings)
    assert error.count("is longer than") == 1
