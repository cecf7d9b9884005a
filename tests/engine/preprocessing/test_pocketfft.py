# SPDX-License-Identifier: GPL-3.0-or-later
"""The transforms are SciPy's, bit for bit."""

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
