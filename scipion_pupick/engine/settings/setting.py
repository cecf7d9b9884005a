# SPDX-License-Identifier: GPL-3.0-or-later
"""What a setting is: its name, its texts, and which values make sense."""

from __future__ import annotations

import math
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass, replace
from typing import (
    Any,
    Dict,
    Mapping,
    Optional,
    Tuple,
    Type,
    TypeVar,
    Union,
    get_args,
    get_type_hints,
)

from ..errors import UsageError

BASIC, ADVANCED, INTERNAL = "basic", "advanced", "internal"

KEY = "setting"
_Settings = TypeVar("_Settings")


@dataclass(frozen=True)
class Setting:
    """What a field of the settings is called, what it means, and which values make sense.

    Attributes:
        label: in forms.
        help: what it means, in words that can follow its name.
        unit: of its value.
        level: `BASIC`, `ADVANCED`, or `INTERNAL`, which only Python can set.
        choices: what each stands for, by name.
        least: its value is this or more.
        above: its value is more than this.
        below: its value is less than this.
        most: its value is this or less.
        automatic: what is taken where nothing is given.
        more: further sentences, where there is room for them.
        advice: what else can be done where the value makes no sense.
        placeholder: for its value in a command line; the unit if empty.
        old_name: under which users may still have it.
        name: of the field.
        kind: of its value: float, int or str.
        default: None where there is none.
        required: whether it has to be given.
    """

    label: str
    help: str
    unit: str = ""
    level: str = BASIC
    choices: Mapping[str, str] = field(default_factory=dict)
    least: Optional[float] = None
    above: Optional[float] = None
    below: Optional[float] = None
    most: Optional[float] = None
    automatic: str = ""
    more: str = ""
    advice: str = ""
    placeholder: str = ""
    old_name: str = ""
    name: str = ""
    kind: Type[Union[float, int, str]] = float
    default: Any = None
    required: bool = False

    @property
    def wanted(self) -> str:
        """Which values make sense, such as 'a number above 0'."""
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        what = {float: "a number", int: "a whole number", str: "a text"}[self.kind]
        if self.above is not None:
            return f"{what} above {_number(self.above)}"
        if self.least is None:
            return what
        if self.most is not None:
            return f"{what} from {_number(self.least)} to {_number(self.most)}"
        if self.below is None:
            return f"{what} of {_number(self.least)} or more"
        return f"{what} from {_number(self.least)} to below {_number(self.below)}"

    @property
    def usual(self) -> str:
        """What is taken where nothing is given, such as '0.4 diameters'; empty if required."""
        if self.default is None:
            return self.automatic
        return self.default if self.kind is str else _number(self.default)

    @property
    def sentence(self) -> str:
        """Meaning, unit and default in one line; the choices are for the front to list."""
        unit = f", {self.unit}" if self.unit else ""
        default = f"; default: {self.usual}" if self.usual else ""
        return f"{self.help}{unit}{default}"

    def allows(self, value: Any) -> bool:
        """Whether a value that is not None makes sense."""
        if self.choices:
            return value in self.choices
        return (
            self.kind is str
            or -math.inf < value < math.inf
            and (self.least is None or value >= self.least)
            and (self.above is None or value > self.above)
            and (self.below is None or value < self.below)
            and (self.most is None or value <= self.most)
        )

    def check(self, value: Any) -> None:
        """Refuse a value that makes no sense; None stands for what is taken automatically.

        Raises:
            UsageError: it makes none.
        """
        if value is None and not self.required or value is not None and self.allows(value):
            return
        if self.choices:
            names = ", ".join(self.choices)
            raise UsageError(
                f"There is no {self.name} {value!r}: choose one of {names}.", self.name
            )
        amount = f"{_number(value)} {self.unit}".rstrip()
        raise UsageError(f"{self.name} is {amount}: give {self.wanted}{self.advice}.", self.name)


def _number(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else f"{value}"


def about(label: str, help: str, **more: Any) -> Dict[str, Setting]:
    """Return the metadata of a field; see `Setting`."""
    return {KEY: Setting(label, help, **more)}


def settings_of(kind: type) -> Tuple[Setting, ...]:
    """List the settings in a dataclass and in dataclasses that are its fields, in their order."""
    nested = [_nested(part) for part in fields(kind)]
    inner = [
        replace(setting, default=getattr(default, setting.name))
        for default in nested
        if default is not None
        for setting in settings_of(type(default))
    ]
    return (*own_settings(kind), *inner)


def offered_settings(kind: type) -> Tuple[Setting, ...]:
    """List the settings of a dataclass that users are offered, the advanced ones last."""
    settings = [setting for setting in settings_of(kind) if setting.level != INTERNAL]
    return tuple(sorted(settings, key=lambda setting: setting.level == ADVANCED))


def settings_from(kind: Type[_Settings], values: Mapping[str, Any]) -> _Settings:
    """Make settings from values by name alone; names of other things are left out.

    Raises:
        UsageError: a value makes no sense.
    """
    values_of_fields: Dict[str, Any] = {}
    for part in fields(kind):  # type: ignore[arg-type]
        default = _nested(part)
        if default is not None:
            inner = {f.name: values[f.name] for f in fields(default) if f.name in values}
            values_of_fields[part.name] = replace(default, **inner)
        elif part.name in values:
            values_of_fields[part.name] = values[part.name]
    return kind(**values_of_fields)


def _nested(part: Field[Any]) -> Any:
    """Return the default of a field that holds settings itself; None for any other."""
    made = part.default if part.default_factory is MISSING else part.default_factory()
    return made if is_dataclass(made) else None


def own_settings(kind: type) -> Tuple[Setting, ...]:
    """List the settings in a dataclass, but for those of dataclasses that are its fields."""
    hints = get_type_hints(kind)
    return tuple(
        replace(
            part.metadata[KEY],
            name=part.name,
            kind=next(iter(get_args(hints[part.name])), hints[part.name]),
            default=None if part.default is MISSING else part.default,
            required=part.default is MISSING,
        )
        for part in fields(kind)
        if KEY in part.metadata
    )


class Checked:
    """Settings that refuse values that make no sense as soon as they are made."""

    def __post_init__(self) -> None:
        for setting in own_settings(type(self)):
            setting.check(getattr(self, setting.name))
