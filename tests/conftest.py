# SPDX-License-Identifier: GPL-3.0-or-later
"""What holds for all tests."""

import pytest
import torch


@pytest.fixture(autouse=True)
def one_thread():
    """Tests run side by side and compute little: more threads would only get in the way."""
    torch.set_num_threads(1)
