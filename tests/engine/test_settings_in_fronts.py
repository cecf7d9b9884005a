# SPDX-License-Identifier: GPL-3.0-or-later
"""A setting stands in one table, and every front has it from there; Scipion's forms have a test
of their own."""

import argparse
import importlib.util
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from relion_external.parameters import PICK, TRAIN, parameters_from, parameters_of
from scipion_pupick.engine.cli.main import make_parser
from scipion_pupick.engine.cli.options import add_settings, given_settings, option_of
from scipion_pupick.engine.errors import UsageError
from scipion_pupick.engine.settings import (
    Augmentation,
    EvaluateSettings,
    OptimizerSettings,
    PickSettings,
    PicksSettings,
    PreprocessSettings,
    Setting,
    TrainSettings,
    WatchSettings,
    make_settings,
    offered_settings,
    settings_of,
)
from scipion_pupick.engine.settings.constants import OBJECTIVES, RECIPES
from scipion_pupick.engine.settings.recipes import recipe_values

ROOT = Path(__file__).parents[2]
COMMANDS = {
    "train": TrainSettings,
    "pick": PickSettings,
    "preprocess": PreprocessSettings,
    "evaluate": EvaluateSettings,
    "convert": PicksSettings,
    "watch": WatchSettings,
}
JOBS = {TRAIN: TrainSettings, PICK: PickSettings}


@dataclass(frozen=True)
class More(PickSettings):
    sharpness: float = field(
        default=0.5,
        metadata={
            "setting": Setting("Sharpness", "of the peaks", unit="px", above=0, old_name="blur")
        },
    )


def in_each(fronts):
    return pytest.mark.parametrize(
        ("front", "setting"),
        [(name, setting) for name, kind in fronts.items() for setting in offered_settings(kind)],
        ids=lambda value: getattr(value, "name", value),
    )


@pytest.fixture(scope="module")
def tables():
    path = ROOT / "docs" / "settings_tables.py"
    spec = importlib.util.spec_from_file_location("settings_tables", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def actions_of(command):
    parser = make_parser()._subparsers._group_actions[0].choices[command]
    return {option: action for action in parser._actions for option in action.option_strings}


@in_each(COMMANDS)
def test_every_setting_is_an_option(front, setting):
    action = actions_of(front)[option_of(setting.name)]
    # a run whose picks were corrected has a diameter
    required = setting.required and (front, setting.name) != ("train", "diameter")
    assert (action.default, action.required) == (setting.default, required)
    assert setting.help in action.help
    assert not setting.old_name or option_of(setting.old_name) in actions_of(front)


@in_each(JOBS)
def test_every_setting_is_a_parameter_of_relion(front, setting):
    parameter = parameters_of(front)[setting.name]
    assert setting.help in parameter.text
    assert (parameter.required, parameter.old_name) == (setting.required, setting.old_name)


@in_each(COMMANDS)
def test_every_setting_is_in_the_documents(tables, front, setting):
    table = tables.settings_table(COMMANDS[front])
    assert f"| `{option_of(setting.name)}` |" in table
    assert table in (ROOT / "docs" / "command_line.md").read_text(encoding="utf-8")


def test_the_tables_of_the_documents_are_those_of_the_settings(tables):
    assert tables.main(["--check"]) == 0


def test_a_new_field_is_found_in_all_fronts(tables):
    parser = argparse.ArgumentParser()
    parser.set_defaults(renamed=())
    add_settings(parser, More)
    options = parser.parse_args(["--sharpness", "2"])
    assert make_settings(More, vars(options)) == More(sharpness=2.0)
    assert "of the peaks, px; default: 0.5" in parser.format_help()
    assert parser.parse_args(["--blur", "3"]).sharpness == 3
    (parameter,) = (p for p in parameters_from(More) if p.name == "sharpness")
    assert parameter.kind.read("2") == 2
    with pytest.raises(ValueError, match="0"):
        parameter.kind.read("0")
    assert "| `--sharpness` | px | 0.5 | of the peaks |" in tables.settings_table(More)


def test_settings_within_settings_are_made_by_their_names():
    made = make_settings(TrainSettings, {"diameter": 180.0, "epochs": 3, "unknown": 1})
    assert made == TrainSettings(180.0, training=OptimizerSettings(epochs=3))
    names = [setting.name for setting in settings_of(TrainSettings)]
    assert names[:2] == ["diameter", "particles_per_micrograph"]
    assert "learning_rate" in names


def test_a_recipe_says_what_is_not_given_wherever_it_stands():
    """The paper's: conv3 and Adam with 2e-4, where the command line does not say otherwise."""
    words = ["train", "--micrographs", ".", "--picks", ".", "--output", ".", "--diameter", "180"]
    recipe, other = ["--recipe", "paper"], ["--network", "resnet8", "--epochs", "12"]
    for given in ([*recipe, *other], [*other, *recipe]):
        options = make_parser().parse_args([*words, *given])
        made = make_settings(TrainSettings, given_settings(options))
        training = made.training
        assert (training.network, training.epochs) == ("resnet8", 12)
        assert (training.objective, training.learning_rate) == ("ge-binomial", 2e-4)
        assert (made.normalisation, made.held_out) == ("joint", 0.0)
        assert training.augmentation == Augmentation(0.0, 0.0, 0.0, faintest=1.0)
    plain = make_settings(TrainSettings, given_settings(make_parser().parse_args(words)))
    assert plain == TrainSettings(180.0)
    named = make_parser().parse_args([*words, "--recipe", "pupick"])
    assert make_settings(TrainSettings, given_settings(named)) == plain


def test_a_recipe_that_is_not_known_names_the_known():
    with pytest.raises(UsageError, match="'papers': choose one of pupick, paper"):
        make_settings(TrainSettings, {"diameter": 180.0, "recipe": "papers"})


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_only_has_settings_that_there_are(name):
    known = {setting.name for setting in settings_of(TrainSettings)} | {"augmentation"}
    assert set(recipe_values({"recipe": name})) <= known


def test_recipes_leave_settings_without_recipes_alone():
    values = {"recipe": "paper", "threshold": 1.0}
    assert make_settings(PickSettings, values) == PickSettings(threshold=1.0)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_papers_recipe_goes_with_every_objective(objective):
    values = {"diameter": 180.0, "recipe": "paper", "objective": objective}
    training = make_settings(TrainSettings, values).training
    assert training.objective == objective
    pools = objective.startswith("ge-")
    assert training.negatives_weight == ("pooled" if pools else "class")
