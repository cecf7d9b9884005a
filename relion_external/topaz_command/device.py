# SPDX-License-Identifier: GPL-3.0-or-later
"""The processor that Topaz's options mean."""

from __future__ import annotations

import logging

import torch

from scipion_pupick.engine.device import set_threads

log = logging.getLogger(__name__)


def device_of_number(number: int, threads: int) -> torch.device:
    """Return the GPU of a number, or the CPU below 0 and where there is no such GPU.

    Args:
        number: of the GPU.
        threads: of the CPU; all cores for 0 or less.
    """
    set_threads(max(0, threads))
    if number < 0:
        return torch.device("cpu")
    if torch.cuda.is_available() and number < torch.cuda.device_count():
        return torch.device("cuda", number)
    log.warning("There is no GPU %d: computing on the CPU.", number)
    return torch.device("cpu")
