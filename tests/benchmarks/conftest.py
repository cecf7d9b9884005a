# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the benchmarks' modules found by the tests of this folder."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module", autouse=True)
def _benchmarks_path():
    sys.path.insert(0, str(ROOT))
    yield
    sys.path.remove(str(ROOT))
