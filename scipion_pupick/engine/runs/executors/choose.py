# SPDX-License-Identifier: GPL-3.0-or-later
"""From devices and a number of processes to an executor."""

from __future__ import annotations

import itertools
from typing import Sequence

import torch

from ...device import usable_cores
from ...errors import UsageError
from .executor import Executor
from .in_process import InProcess
from .processes import Processes


def executor_on(devices: Sequence[torch.device], workers: int = 0, threads: int = 0) -> Executor:
    """Choose who scores micrographs on this computer: this process, or several others.

    Args:
        devices: to compute on.
        workers: number of processes, spread over the devices; 0 for one on each.
        threads: of the CPU, for all of them together; 0 for all cores.

    Raises:
        UsageError: the number of processes is negative, or smaller than that of devices.
    """
    if workers < 0 or 0 < workers < len(devices):
        raise UsageError(
            f"{workers} workers were asked for on {len(devices)} devices: give one or more for "
            "each device, or 0 for one on each.",
            setting="workers",
        )
    count = max(workers, len(devices))
    if count == 1:
        return InProcess(devices[0])
    spread = list(itertools.islice(itertools.cycle(devices), count))
    return Processes(spread, threads or usable_cores())
