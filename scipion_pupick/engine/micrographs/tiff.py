# SPDX-License-Identifier: GPL-3.0-or-later
"""TIFF files with one greyscale page, read by the optional library tifffile."""

from __future__ import annotations

import struct
import zlib
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Iterator, Tuple, Union

import numpy as np
import numpy.typing as npt

from ..errors import MicrographError
from ..files.reading import read_part
from .compression import check_decoded_size

if TYPE_CHECKING:
    from tifffile import TiffPage

_MARKS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_UNCOMPRESSED = 1
# deflate, by its two numbers, needs Python alone
_DECODED_BY_PYTHON = (_UNCOMPRESSED, 8, 32946)
_MIN_IS_WHITE = 0
# Deflate reaches 1032 and LZW about 2500, on blank images.
_LARGEST_COMPRESSION = 10_000
# What tifffile lets through when the tables inside a file are damaged.
_DAMAGE = (
    OSError,
    ValueError,
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    RuntimeError,
    TypeError,
    struct.error,
    zlib.error,
)


def is_tiff(start: Union[bytes, bytearray]) -> bool:
    """Tell whether a file that begins with `start` is a TIFF file."""
    return start[:4] in _MARKS


def page_shape(path: Path) -> Tuple[int, int]:
    """Return (ny, nx) of the page.

    Raises:
        MicrographError: as `read_page`.
    """
    with _open_page(path) as page:
        ny, nx = page.shape
        return int(ny), int(nx)


def read_page(path: Path) -> npt.NDArray[Any]:
    """Read the page.

    Where the least value stands for white, the grey values are turned round, so that dark stays
    dark.

    Returns:
        (ny, nx) array, read-only, in the number type of the file.

    Raises:
        MicrographError: a library is missing, or the file is damaged, compressed in a way that
            these cannot read, in colour, or has more than one page.
    """
    with _open_page(path) as page:
        image = _read_pixels(path, page)
        if page.photometric == _MIN_IS_WHITE:
            image = np.invert(image) if image.dtype.kind in "iu" else np.negative(image)
    image.flags.writeable = False
    return image


def _read_pixels(path: Path, page: TiffPage) -> npt.NDArray[Any]:
    if page.is_memmappable:
        dtype = np.dtype(page.dtype).newbyteorder(page.parent.byteorder)
        count = page.shape[0] * page.shape[1] * dtype.itemsize
        piece = read_part(path, page.dataoffsets[0], count)
        return np.frombuffer(piece, dtype).reshape(page.shape)
    _require_decoder(path, page)
    check_decoded_size(path, page.nbytes)
    image: npt.NDArray[Any] = page.asarray()
    return image


def _require_decoder(path: Path, page: TiffPage) -> None:
    if page.compression in _DECODED_BY_PYTHON or find_spec("imagecodecs") is not None:
        return
    name = getattr(page.compression, "name", page.compression)
    raise MicrographError(
        f"{path}: reading TIFF files compressed by {name} needs the library imagecodecs: "
        "pip install 'scipion-em-pupick[tiff]'"
    )


@contextmanager
def _open_page(path: Path) -> Iterator[TiffPage]:
    """Return the only page of the file, checked against the size of the file."""
    try:
        import tifffile
    except ImportError as error:
        raise MicrographError(
            f"{path}: reading TIFF files needs the library tifffile: "
            "pip install 'scipion-em-pupick[tiff]'"
        ) from error
    try:
        with tifffile.TiffFile(path) as file:
            page = file.pages[0]
            _check_kind(path, page, len(file.pages))
            _check_size(path, page, path.stat().st_size)
            yield page
    except (tifffile.TiffFileError, *_DAMAGE) as error:
        raise MicrographError(
            f"{path}: the TIFF file is damaged or cannot be decoded ({error}): export it again, "
            "uncompressed, or as MRC"
        ) from error


def _check_kind(path: Path, page: TiffPage, pages: int) -> None:
    if pages != 1:
        raise MicrographError(
            f"{path}: has {pages} pages, as of a movie or a stack: "
            "give micrographs, one image in each file"
        )
    # In a damaged table the width may be a text, and a number times a text fills the memory.
    is_plane = len(page.shape) == 2 and all(isinstance(n, int) and n > 0 for n in page.shape)
    is_real = page.dtype is not None and page.dtype.kind in "iuf"
    if not is_plane or not is_real or page.bitspersample != 8 * np.dtype(page.dtype).itemsize:
        raise MicrographError(
            f"{path}: is not one greyscale image of real numbers in whole bytes "
            f"(shape {page.shape}, type {page.dtype}): export it as greyscale or as MRC"
        )


def _check_size(path: Path, page: TiffPage, size: int) -> None:
    """Compare what the tables inside the file promise with what there is."""
    pieces = list(zip(page.dataoffsets, page.databytecounts))
    stored = sum(count for _, count in pieces)
    if page.compression != _UNCOMPRESSED:
        stored *= _LARGEST_COMPRESSION
    ny, nx = page.shape
    needed = ny * nx * np.dtype(page.dtype).itemsize
    if any(offset + count > size for offset, count in pieces) or stored < needed:
        raise MicrographError(
            f"{path}: is truncated or its tables are wrong: {size} bytes cannot hold "
            f"{nx} x {ny} pixels of {page.dtype}: copy or export it again"
        )
