# SPDX-License-Identifier: GPL-3.0-or-later
"""What holds for all tests."""

import os
import resource
from datetime import timedelta

import pytest
import torch
from hypothesis import settings

# no input may take longer, nor need more memory
LONGEST = timedelta(seconds=10)
MOST_KIB = 2**20
settings.register_profile("quick", max_examples=25, deadline=LONGEST)
settings.register_profile("full", max_examples=200, deadline=LONGEST)
settings.load_profile("quick")


@pytest.fixture(scope="session", autouse=True)
def one_thread_in_children():
    """As `one_thread`, for the programs that tests start."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(autouse=True)
def one_thread():
    """Tests run side by side and compute little: more threads would only get in the way."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def little_memory(request):
    """Whatever is made up for a test, it is read in less than 1 GiB."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    if request.node.get_closest_marker("hypothesis"):
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MOST_KIB
