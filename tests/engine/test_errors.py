# SPDX-License-Identifier: GPL-3.0-or-later
"""Errors name the settings to change, and each front says what it calls them."""

import pickle
import re
from pathlib import Path

import pytest

import scipion_pupick.engine
from scipion_pupick.engine.cli.options import option_of
from scipion_pupick.engine.errors import MicrographError, PupickError, UsageError
from scipion_pupick.engine.settings import PickSettings

ENGINE = Path(scipion_pupick.engine.__file__).parent
OPTION = re.compile(r"(?<![\w-])--[a-z]")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (UsageError("Too far.", setting="border"), "Too far (--border)."),
        (PupickError("no size", setting="pixel_size"), "no size (--pixel-size)"),
        (MicrographError("Both.", ("picks", "micrographs")), "Both (--picks, --micrographs)."),
        (UsageError("Damaged."), "Damaged."),
    ],
)
def test_a_front_adds_what_it_calls_the_settings(error, words):
    assert error.worded(option_of) == words


def test_a_setting_that_a_front_does_not_have_is_left_out():
    assert UsageError("Too far.", setting="border").worded(lambda name: "") == "Too far."


def test_settings_say_which_of_them_makes_no_sense():
    with pytest.raises(UsageError) as caught:
        PickSettings(min_distance=-1.0)
    assert caught.value.settings == ("min_distance",)


def test_errors_pass_between_processes_with_their_settings():
    error = pickle.loads(pickle.dumps(UsageError("Too far.", setting="border")))
    assert (str(error), error.settings) == ("Too far.", ("border",))


def modules():
    return [path for path in sorted(ENGINE.rglob("*.py")) if "cli" not in path.parts]


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ENGINE)))
def test_only_the_command_line_spells_its_options(path):
    assert not OPTION.search(path.read_text(encoding="utf-8"))
