# SPDX-License-Identifier: GPL-3.0-or-later
"""The transforms are SciPy's, bit for bit."""

import subprocess
import sys

import numpy as np
import pytest
from scipy import fft

from scipion_pupick.engine.preprocessing import pocketfft


@pytest.mark.parametrize("found", [True, False])
@pytest.mark.parametrize("threads", [None, 2])
@pytest.mark.parametrize("width", [64, 451])
def test_equal_those_of_scipy(width, threads, found, monkeypatch):
    if not found:
        monkeypatch.setattr(pocketfft, "_library", lambda: None)
    image = np.random.default_rng(width).normal(size=(100, width)).astype(np.float32)
    rows = pocketfft.rfft(image, threads)
    assert rows.dtype == np.complex64
    np.testing.assert_array_equal(rows, fft.rfft(image, axis=1))
    expected = fft.fft(rows, axis=0)
    np.testing.assert_array_equal(pocketfft.fft_columns(rows.copy(), threads), expected)
    back = pocketfft.ifft_columns(expected.copy(), threads)
    np.testing.assert_array_equal(back, fft.ifft(expected, axis=0))
    np.testing.assert_array_equal(
        pocketfft.irfft(rows, width, threads), fft.irfft(rows, n=width, axis=1)
    )


AT_ONCE = """
import sys, threading, time
import numpy as np
from scipion_pupick.engine.preprocessing import pocketfft

make = pocketfft.module_from_spec

def make_slowly(spec):
    module = make(spec)
    if sys.argv[1] == "imported":
        import scipy.fft
    time.sleep(0.2)
    return module

def transform():
    found.append(pocketfft.rfft(np.ones((4, 64), np.float32)).shape)

pocketfft.module_from_spec = make_slowly
found = []
threads = [threading.Thread(target=transform) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert found == [(4, 33)] * 4, found
"""


@pytest.mark.parametrize("meanwhile", ["alone", "imported"])
def test_threads_that_load_the_library_at_once_all_have_it(meanwhile):
    """In a process of its own, for a library is loaded once."""
    command = [sys.executable, "-c", AT_ONCE, meanwhile]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
