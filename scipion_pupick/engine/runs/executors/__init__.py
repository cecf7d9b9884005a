# SPDX-License-Identifier: GPL-3.0-or-later
"""Who scores the micrographs of a run: this process, others on this computer, or a cluster."""

from .choose import executor_on
from .executor import Executor
from .in_process import InProcess
from .processes import Processes

__all__ = ["Executor", "InProcess", "Processes", "executor_on"]
