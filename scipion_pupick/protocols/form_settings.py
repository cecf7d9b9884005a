# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine's settings as parameters of Scipion's forms, and back as the engine's arguments."""

from __future__ import annotations

from typing import Any, Iterable, List, Optional

import pyworkflow.protocol.params as params

from ..engine.settings import ADVANCED, Setting, settings_of

# settings whose old names, which projects have in their databases, others have now
NAMES_IN_PROJECTS = {"autoencoder_per_pixel": "autoencoder", "autoencoder": "autoencoder_sum"}
PARAMETERS = {float: params.FloatParam, int: params.IntParam, str: params.StringParam}


def setting(kind: type, name: str) -> Setting:
    """Return a setting of a dataclass of settings by its name."""
    return {setting.name: setting for setting in settings_of(kind)}[name]


def form_name(setting: Setting) -> str:
    """Return the name of the parameter: the old one where projects have it in their databases."""
    name = NAMES_IN_PROJECTS.get(setting.name, setting.old_name or setting.name)
    first, *others = name.split("_")
    return "".join([first, *map(str.capitalize, others)])


def form_label(setting: Setting) -> str:
    """Return the label of the parameter, such as 'Border (Å)'."""
    return f"{setting.label} ({setting.unit})" if setting.unit else setting.label


def automatic(setting: Setting) -> Optional[float]:
    """Return the number by which a form asks for what is taken automatically; None: left empty."""
    if setting.above == 0:
        return 0
    return None if setting.allows(-1) else -1


def add_setting(
    form: Any, setting: Setting, note: str = "", paramClass: Any = None, **changes: Any
) -> None:
    """Add a parameter for a setting.

    Args:
        form: to add it to.
        setting: of the engine.
        note: to be added to its help.
        paramClass: kind of parameter; None for the one that fits the setting.
        changes: to what follows from the setting, such as a condition.
    """
    default = _default(setting)
    arguments = {
        "default": default,
        "allowsNull": default is None,
        "label": form_label(setting),
        "help": _help(setting, note),
        "validators": _validators(setting),
    }
    if setting.level == ADVANCED:
        arguments["expertLevel"] = params.LEVEL_ADVANCED
    if setting.choices:
        arguments["choices"] = list(setting.choices)
        arguments["display"] = params.EnumParam.DISPLAY_COMBO
    usual = params.EnumParam if setting.choices else PARAMETERS[setting.kind]
    form.addParam(form_name(setting), paramClass or usual, **{**arguments, **changes})


def _is_automatic(setting: Setting) -> bool:
    return setting.default is None and bool(setting.automatic)


def _default(setting: Setting) -> Any:
    if setting.choices:
        return list(setting.choices).index(setting.default)
    return automatic(setting) if _is_automatic(setting) else setting.default


def _help(setting: Setting, note: str) -> str:
    sentences = [f"{setting.help[:1].upper()}{setting.help[1:]}.", setting.more, note]
    lines = [" ".join(filter(None, sentences))]
    lines += [f"_{name}_: {what}." for name, what in setting.choices.items()]
    if _is_automatic(setting):
        value = automatic(setting)
        lines.append(f"{'Empty' if value is None else value}: {setting.automatic}.")
    return "\n".join(lines)


def _validators(setting: Setting) -> List[Any]:
    """Refuse what is too low or too high; below 0, any number may stand for the automatic value."""
    if _is_automatic(setting):
        if setting.above is None:
            return []
        return [params.GE(0, error=f"cannot be negative: 0 is {setting.automatic}.")]
    error = f"must be {setting.wanted}{setting.advice}."
    if setting.above is not None:
        return [params.GT(setting.above, error=error)]
    if setting.least is not None and setting.most is not None:
        return [params.Range(setting.least, setting.most, error=error)]
    return [] if setting.least is None else [params.GE(setting.least, error=error)]


def arguments_of(protocol: Any, settings: Iterable[Setting]) -> List[str]:
    """Return the engine's arguments for those settings of a form that are not as they came."""
    arguments: List[str] = []
    for setting in settings:
        value = getattr(protocol, form_name(setting)).get()
        if not _is_as_it_came(setting, value):
            text = list(setting.choices)[value] if setting.choices else f"{value:.15g}"
            arguments += [f"--{setting.name.replace('_', '-')}", text]
    return arguments


def _is_as_it_came(setting: Setting, value: Any) -> bool:
    if value is None or value == _default(setting):
        return True
    asked = automatic(setting) if _is_automatic(setting) else None
    return asked is not None and value < max(0, asked)
