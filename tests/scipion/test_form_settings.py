# SPDX-License-Identifier: GPL-3.0-or-later
"""Forms are made from the engine's settings, and give their values back as its arguments."""

from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest
from helpers.scipion_project import WARNINGS_OF_SCIPION, Domain, params

from scipion_pupick.engine.files.json_files import write_json
from scipion_pupick.engine.settings import (
    EvaluateSettings,
    PickSettings,
    PicksSettings,
    PreprocessSettings,
    Setting,
    TrainSettings,
    offered_settings,
)
from scipion_pupick.protocols.form_settings import (
    add_setting,
    arguments_of,
    form_label,
    form_name,
)

pytestmark = [pytest.mark.slow, WARNINGS_OF_SCIPION]

FORMS = {
    "PUPickProtTrain": TrainSettings,
    "PUPickProtPick": PickSettings,
    "PUPickProtPreprocess": PreprocessSettings,
    "PUPickProtEvaluate": EvaluateSettings,
    "PUPickProtImportCoordinates": PicksSettings,
}


@dataclass(frozen=True)
class More(PickSettings):
    sharpness: float = field(
        default=0.5, metadata={"setting": Setting("Sharpness", "of the peaks", unit="px", above=0)}
    )


def param_of(name, setting):
    definition = Domain.getProtocols()[name]().getDefinition()
    return definition.getParam(form_name(setting))


@pytest.mark.parametrize(
    ("name", "setting"),
    [(name, setting) for name, kind in FORMS.items() for setting in offered_settings(kind)],
    ids=lambda value: getattr(value, "name", value),
)
def test_every_setting_is_in_its_form_with_its_label_and_choices(name, setting):
    param = param_of(name, setting)
    assert param.label.get() == form_label(setting)
    assert param.help.get().lower().startswith(setting.help[:20].lower())
    if setting.choices:
        assert param.choices == list(setting.choices)
        assert param.default.get() == str(list(setting.choices).index(setting.default))
    elif setting.default is not None:
        assert float(param.default.get()) == setting.default


def test_a_new_setting_is_a_new_parameter():
    form = params.Form(Domain.getProtocols()["PUPickProtPick"]())
    form.addSection("Input")
    setting = next(s for s in offered_settings(More) if s.name == "sharpness")
    add_setting(form, setting)
    param = form.getParam("sharpness")
    assert param.label.get() == "Sharpness (px)"
    assert param.help.get() == "Of the peaks."
    assert param.default.get() == "0.5"
    assert param.validate(0.0)
    assert not param.validate(1.0)


def test_a_probability_is_from_0_to_1():
    param = Domain.getProtocols()["PUPickProtPick"]().getDefinition().getParam("contamination")
    assert param.validate(50.0) == ["must be a number from 0 to 1."]
    assert param.validate(-0.1)
    assert not param.validate(1.0)


def test_projects_keep_the_names_that_their_databases_have():
    definition = Domain.getProtocols()["PUPickProtPick"]().getDefinition()
    assert definition.getParam("edge").label.get() == "Border (Å)"
    label = definition.getParam("separation").label.get()
    assert label == "Minimum inter-particle distance (Å)"


@pytest.mark.parametrize(
    ("protocol", "setting", "label"),
    [
        ("PUPickProtPick", "border", "Border (Å)"),
        ("PUPickProtPick", "device", "Use GPU?"),
        ("PUPickProtTrain", "picks", "Picked particles"),
        ("PUPickProtTrain", "particles_per_micrograph", "Particles per micrograph"),
        ("PUPickProtTrain", "output", ""),
    ],
)
def test_what_the_engine_says_is_worded_with_the_labels_of_the_form(
    protocol, setting, label, tmp_path
):
    note = tmp_path / "error.json"
    write_json(note, {"text": "It is too far.", "settings": [setting]})
    said = Domain.getProtocols()[protocol]()._complaint("pick", note)
    assert said == f"pupick pick: It is too far{f' ({label})' if label else ''}."


def form_with(**values):
    names = {form_name(s): s for s in offered_settings(TrainSettings)}
    made = {name: SimpleNamespace(get=lambda value=None: value) for name in names}
    given = {name: SimpleNamespace(get=lambda value=value: value) for name, value in values.items()}
    return SimpleNamespace(**{**made, **given})


def test_only_what_was_changed_becomes_an_argument():
    changed = form_with(heldOut=0.25, steps=100, normalisation=2, learningRate=1e-4, slack=-1.0)
    arguments = arguments_of(changed, offered_settings(TrainSettings))
    pairs = dict(zip(arguments[::2], arguments[1::2]))
    assert pairs == {
        "--held-out": "0.25",
        "--steps": "100",
        "--normalisation": "affine",
        "--learning-rate": "0.0001",
    }
    as_made = form_with(heldOut=-1.0, steps=0, normalisation=0, learningRate=2e-3, epochs=12)
    assert arguments_of(as_made, offered_settings(TrainSettings)) == []
