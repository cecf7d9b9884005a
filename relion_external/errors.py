# SPDX-License-Identifier: GPL-3.0-or-later
"""What the user of a job can mend before the engine is started."""


class JobError(Exception):
    """The job was set up in a way that makes no sense; the text says what to change."""
