# SPDX-License-Identifier: GPL-3.0-or-later
"""What can go wrong in a way that the user can mend."""


class PupickError(Exception):
    """A failure that the user can act on: the text names the file, the value and what to do."""


class UsageError(PupickError, ValueError):
    """An argument or a table that makes no sense as given; nothing has been done yet."""


class MicrographError(PupickError):
    """One micrograph that cannot be used; the others can."""
