# SPDX-License-Identifier: GPL-3.0-or-later
"""SciPy's Fourier transforms, without the rest of `scipy.fft`.

`scipy.fft` loads SciPy's special functions and all of NumPy with it, which takes half a second:
an eighth of what picking in a micrograph costs. The transforms themselves are one small library,
which is loaded by itself here if it lies where all releases since 1.4 have it; the numbers are the
same. Where it lies elsewhere, `scipy.fft` is loaded.
"""

from __future__ import annotations

import importlib
from functools import lru_cache
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from threading import Lock
from typing import Any, Optional

import numpy as np

_MODULE = "scipy.fft._pocketfft.pypocketfft"
# how results are scaled: as they are, and by the number of values
_AS_THEY_ARE, _BY_NUMBER = 0, 2
_LOADING = Lock()


def _library() -> Optional[Any]:
    """Load the library once; None where it does not lie as expected."""
    # of two threads that load it at once, one is given an empty module
    with _LOADING:
        return _load()


@lru_cache(maxsize=1)
def _load() -> Optional[Any]:
    scipy = find_spec("scipy")
    folders = [] if scipy is None else scipy.submodule_search_locations or []
    for folder in folders:
        for suffix in EXTENSION_SUFFIXES:
            file = Path(folder, *_MODULE.split(".")[1:]).with_suffix(suffix)
            spec = spec_from_file_location(_MODULE, file)
            if file.is_file() and spec is not None and spec.loader is not None:
                module = module_from_spec(spec)
                spec.loader.exec_module(module)
                # it is empty if somebody else has imported SciPy's meanwhile
                return module if hasattr(module, "r2c") else None
    return None


def _scipy_fft() -> Any:
    return importlib.import_module("scipy.fft")


def rfft(rows: np.ndarray, threads: Optional[int] = None) -> np.ndarray:
    """Transform real rows: (n, w) floats to (n, w // 2 + 1), as `scipy.fft.rfft`."""
    library = _library()
    if library is None:
        return np.asarray(_scipy_fft().rfft(rows, axis=1, workers=threads))
    return np.asarray(library.r2c(rows, (1,), True, _AS_THEY_ARE, None, threads or 1))


def fft_columns(spectrum: np.ndarray, threads: Optional[int] = None) -> np.ndarray:
    """Transform the columns of a complex image in place, as `scipy.fft.fft`."""
    library = _library()
    if library is None:
        return np.asarray(_scipy_fft().fft(spectrum, axis=0, overwrite_x=True, workers=threads))
    return np.asarray(library.c2c(spectrum, (0,), True, _AS_THEY_ARE, spectrum, threads or 1))


def ifft_columns(spectrum: np.ndarray, threads: Optional[int] = None) -> np.ndarray:
    """Transform the columns of a complex image back in place, as `scipy.fft.ifft`."""
    library = _library()
    if library is None:
        return np.asarray(_scipy_fft().ifft(spectrum, axis=0, overwrite_x=True, workers=threads))
    return np.asarray(library.c2c(spectrum, (0,), False, _BY_NUMBER, spectrum, threads or 1))


def irfft(spectrum: np.ndarray, width: int, threads: Optional[int] = None) -> np.ndarray:
    """Transform rows back to real ones of a width, (n, width), as `scipy.fft.irfft`."""
    library = _library()
    if library is None:
        return np.asarray(_scipy_fft().irfft(spectrum, n=width, axis=1, workers=threads))
    return np.asarray(library.c2r(spectrum, (1,), width, False, _BY_NUMBER, None, threads or 1))
