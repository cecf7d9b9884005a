# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests of what version 0.1 has left behind: folders to go on with, models, options, names."""

import hashlib
import inspect
import json
import logging

import numpy as np
import pytest
from helpers.simulated import modified
from helpers.version_01 import (
    COMMANDS,
    EXPECTED,
    NAMES,
    OPTIONS,
    lay_out,
    same_numbers,
    weights_digest,
)
from scipy.spatial import cKDTree

from scipion_pupick import engine
from scipion_pupick.engine.cli.main import main, make_parser

VALUES = {"int": "3", "float": "0.5"}


@pytest.fixture
def folder(tmp_path, monkeypatch, caplog):
    """What lay in the working folder of 0.1, which is the working folder now."""
    caplog.set_level(logging.INFO)
    lay_out(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _same_picks(path, other):
    """In any order: two that score nearly the same change places on another processor."""
    first, second = engine.read_picks(path), engine.read_picks(other)
    assert first.keys() == second.keys()
    for name in first:
        one, two = (np.stack([p[name].x, p[name].y, p[name].score], 1) for p in (first, second))
        assert one.shape == two.shape
        found = cKDTree(two[:, :2]).query(one[:, :2])[1]
        assert len(set(found)) == len(one)
        assert np.allclose(one, two[found], atol=0.1)


def _alike_picks(path, other):
    """Most picks are the same, as after a training that has rounded in other ways."""
    first, second = engine.read_picks(path), engine.read_picks(other)
    assert first.keys() == second.keys()
    for name in first:
        one, two = (np.stack([p[name].x, p[name].y, p[name].score], 1) for p in (first, second))
        for some, others in ((one, two), (two, one)):
            found = cKDTree(others[:, :2]).query(some[:, :2])[1]
            near = (np.abs(some - others[found]) < [1.0, 1.0, 0.25]).all(axis=1)
            assert near.mean() > 0.8


@pytest.mark.parametrize("name", ["train-stopped", "train-scratch-stopped"])
def test_a_stopped_training_goes_on_to_the_same_weights(folder, name, capsys, caplog):
    expected = EXPECTED[name]
    assert main(COMMANDS[name]) == 0
    assert main(expected["pick"]) == 0
    history = (folder / name / "training.tsv").read_text()
    kept = (folder / "finished" / name / "training.tsv").read_text()
    # the first epoch is not trained again
    assert history.splitlines()[:2] == kept.splitlines()[:2]
    assert "epoch 2" in caplog.text
    assert "epoch 1:" not in caplog.text
    picked = folder / "finished" / f"{name}-picks"
    _alike_picks(picked / "picks.star", folder / "finished" / name / "picks.star")
    if same_numbers():
        assert history == kept
        assert weights_digest(folder / name / "model.safetensors") == expected["weights_sha256"]
        assert _sha256(picked / "picks.star") == expected["picks_star_sha256"]


def test_ge_binomial_goes_on_as_version_01_meant_it_and_is_the_papers_anew(folder, capsys, caplog):
    name = "train-scratch-stopped"
    again = [[*COMMANDS[name]], [*COMMANDS[name], "--objective", "ge-binomial-kl"]]
    again[1].remove("--autoencoder")
    again[1].remove("0.5")
    again[1] += ["--autoencoder-per-pixel", "0.5"]
    assert main(COMMANDS[name]) == 0
    model = engine.load_model(folder / name / "model.safetensors")
    assert model.training.objective == "ge-binomial-kl"
    caplog.clear()
    for command in again:
        assert main(command) == 0
    assert "epoch" not in caplog.text
    here = ["--particles-per-micrograph", "20", "--output"]
    for asked in ("ge-binomial", "ge-binomial-kl"):
        assert main([*COMMANDS[name], "--objective", asked, *here, asked]) == 0
        objective = engine.load_model(folder / asked / "model.safetensors").training.objective
        assert objective == asked
    first, second = ("ge-binomial", "ge-binomial-kl")
    assert main([*COMMANDS[name], "--objective", first, *here, second]) == 2
    assert "holds a training with other" in caplog.text


def test_a_finished_training_is_not_repeated(folder, capsys, caplog):
    assert main(COMMANDS["train"]) == 0
    assert "epoch 1" not in caplog.text
    if same_numbers():
        digest = weights_digest(folder / "train" / "model.safetensors")
        assert digest == EXPECTED["train"]["weights_sha256"]


@pytest.mark.parametrize("name", ["pick-trained", "pick-general"])
def test_a_picking_run_scores_nothing_again(folder, name, capsys):
    scores = folder / name / "scores"
    picks, before = (folder / name / "picks.star").read_bytes(), modified(scores)
    assert main(COMMANDS[name]) == EXPECTED[name]["exit_code"]
    assert modified(scores) == before
    assert (folder / name / "picks.star").read_bytes() == picks


@pytest.mark.parametrize("name", ["pick-trained", "pick-general"])
def test_a_new_run_picks_the_same(folder, name, capsys):
    # fits to micrographs have changed, so that of then is taken
    fitted = str(folder / "pick-general" / "adapted.safetensors")
    words = [fitted if word == "general" else word for word in COMMANDS[name][:-1]]
    assert main([*words, "new"]) == EXPECTED[name]["exit_code"]
    _same_picks(folder / "new" / "picks.star", folder / name / "picks.star")
    if same_numbers():
        assert _sha256(folder / "new" / "picks.star") == EXPECTED[name]["picks_star_sha256"]


@pytest.mark.parametrize("name", ["train", "pick-trained", "pick-general", "train-stopped"])
def test_reports_are_written_of_the_runs(folder, name, capsys):
    assert main(["report", name, "--device", "cpu", "--threads", "1"]) == 0
    assert (folder / name / "report.html").is_file()


def test_another_threshold_is_applied_to_the_picks(folder, capsys):
    summary = json.loads((folder / "pick-trained" / "pick.json").read_text())
    threshold = ["threshold", "pick-trained", "--threshold", str(summary["threshold"])]
    assert main([*threshold, "--output", "same"]) == 0
    _same_picks(folder / "same" / "picks.star", folder / "pick-trained" / "picks.star")


def _words(argument, option=None):
    """One way to give an argument on the command line."""
    if argument["kind"] in ("StoreTrueAction", "StoreConstAction"):
        return [option]
    value = (argument["choices"] or [VALUES.get(argument["type"], "a=1")])[-1]
    count = argument["nargs"] if isinstance(argument["nargs"], int) else 1
    return [*([option] if option else []), *[value] * count]


def _commands():
    for command, about in OPTIONS.items():
        for action, below in about.get("commands", {"": about}).items():
            yield [command, action] if action else [command], below["arguments"]


def _least(command, arguments, besides=None):
    """The shortest command line that is understood, less what an argument stands for."""
    groups = [a for a in arguments if a["one_of_required_group"] is not None]
    needed = [a for a in arguments if a["required"] and a["options"] and a is not besides]
    needed += [] if besides in groups else groups[:1]
    positional = [word for a in arguments if not a["options"] for word in _words(a)]
    return [*command, *positional, *(w for a in needed for w in _words(a, a["options"][0]))]


@pytest.mark.parametrize(("command", "arguments"), list(_commands()), ids=list(OPTIONS))
def test_all_options_are_still_understood(command, arguments):
    for argument in arguments:
        for option in argument["options"]:
            words = [*_least(command, arguments, argument), *_words(argument, option)]
            assert make_parser().parse_args(words).command == command[0]


@pytest.mark.parametrize(("command", "arguments"), list(_commands()), ids=list(OPTIONS))
def test_defaults_are_what_they_were(command, arguments):
    words = _least(command, arguments)
    chosen = vars(make_parser().parse_args(words))
    for argument in arguments:
        # an option may have got another name; the old one is understood then, as is tested above
        given = not argument["options"] or argument["options"][0] in words
        if not given and argument["kind"] != "StoreConstAction" and argument["dest"] in chosen:
            # where nothing is said the general model starts, unless picks of another are corrected
            default = "" if argument["dest"] == "start" else argument["default"]
            assert json.loads(json.dumps(chosen[argument["dest"]])) == default


def test_all_public_names_are_there():
    with pytest.deprecated_call():
        assert engine.TrainingSettings is engine.OptimizerSettings
    kept = {name: about for name, about in NAMES.items() if name != "TrainingSettings"}
    assert set(kept) <= set(engine.__all__)
    for name, about in kept.items():
        parameters = inspect.signature(getattr(engine, name)).parameters
        required = [p for p, default in about["parameters"].items() if default == "required"]
        now_required = [p.name for p in parameters.values() if p.default is p.empty]
        assert now_required[: len(required)] == required, name
