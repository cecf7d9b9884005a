# SPDX-License-Identifier: GPL-3.0-or-later
"""What holds for all tests."""

import os

import pytest
import torch
from hypothesis import settings

# a machine that others use, too, may take longer for an example than hypothesis' deadline
settings.register_profile("quick", max_examples=25, deadline=None)
settings.register_profile("full", max_examples=200, deadline=None)
settings.load_profile("quick")


@pytest.fixture(scope="session", autouse=True)
def one_thread_in_children():
    """As `one_thread`, for the programs that tests start."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(autouse=True)
def one_thread():
    """Tests run side by side and compute little: more threads would only get in the way."""
    torch.set_num_threads(1)
