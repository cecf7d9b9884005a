# SPDX-License-Identifier: GPL-3.0-or-later
"""What can go wrong in a way that the user can mend."""

from __future__ import annotations

from typing import Callable, Sequence, Union


class PupickError(Exception):
    """A failure that the user can act on: the text names the file, the value and what to do.

    Attributes:
        settings: names of the settings to change. The text does not say how they are given, since
            that differs between the command line and forms: `worded` adds it.
    """

    def __init__(self, text: str, setting: Union[str, Sequence[str]] = ()) -> None:
        super().__init__(text)
        self.settings = (setting,) if isinstance(setting, str) else tuple(setting)

    def worded(self, name_of: Callable[[str], str]) -> str:
        """Return the text, and in brackets what a front calls the settings to change.

        Args:
            name_of: what it calls a setting, by the setting's name; empty if it has none.
        """
        names = ", ".join(filter(None, map(name_of, self.settings)))
        text = str(self)
        if not names:
            return text
        return f"{text[:-1]} ({names})." if text.endswith(".") else f"{text} ({names})"


class UsageError(PupickError, ValueError):
    """An argument or a table that makes no sense as given; nothing has been done yet."""


class MicrographError(PupickError):
    """One micrograph that cannot be used; the others can."""


# whatever may go wrong in what a job can do without, such as a report: the job has ended well
UNFORESEEN = (
    PupickError,
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    ImportError,
    LookupError,
    MemoryError,
    NameError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)


class FolderInUseError(UsageError):
    """Another run works in the folder; it may have ended soon."""


class AlreadyServedError(UsageError):
    """Another program serves the page on which the picks of a run are corrected."""


class OtherTrainingError(UsageError):
    """A folder holds a training that was begun with something else."""
