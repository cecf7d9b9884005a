# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading a micrograph of any supported format; what a file is, its first bytes tell.

Formats: MRC (modes 0, 1, 2, 6 and 12, either byte order), plain or compressed with gzip or bzip2,
and TIFF with one greyscale page. Row 0 of an array is the first row in the file; nothing is
flipped.
"""

from __future__ import annotations

import logging
import os
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Iterator, Optional, Sequence, Tuple, Union

import numpy as np
import numpy.typing as npt

from ..errors import MicrographError
from ..files.atomic import PathLike
from ..files.reading import read_part, read_starts
from . import compression, mrc, tiff

# by which bytes are told that were read with a sign and have none
_ROWS_LOOKED_AT = 64
_FAR_FROM_ZERO = 64
_MOSTLY = 0.75

log = logging.getLogger(__name__)


def read_image(path: PathLike) -> npt.NDArray[Any]:
    """Read a micrograph.

    Returns:
        (ny, nx) array, read-only, in the number type and byte order of the file.

    Raises:
        MicrographError: the file is missing, unreadable, damaged, of another format, or holds more
            than one image.
    """
    path = Path(path)
    start = _read_start(path)
    if tiff.is_tiff(start):
        return tiff.read_page(path)
    header = _mrc_header(path, start)
    if compression.is_compressed(start):
        compression.check_decoded_size(path, header.end)
        content = compression.decompress(path, start, header.end + 1)
        header.check_size(path, len(content))
        header.warn_if_longer(path, len(content))
        image = np.frombuffer(content, header.dtype, header.pixels, header.offset)
        image.flags.writeable = False
        image = image.reshape(header.shape)
    else:
        content = _read(path, header.offset, header.end + 1 - header.offset)
        header.check_size(path, header.offset + len(content))
        header.warn_if_longer(path, header.offset + len(content))
        image = np.frombuffer(content, header.dtype, header.pixels).reshape(header.shape)
        image.flags.writeable = False
    _doubt_sign(path, image)
    return image


def image_shape(path: PathLike) -> Tuple[int, int]:
    """Return (ny, nx) from the header alone.

    A truncated file is noticed too, unless it is compressed: only reading it tells then.

    Raises:
        MicrographError: as `read_image`.
    """
    path = Path(path)
    start = _read_start(path)
    return tiff.page_shape(path) if tiff.is_tiff(start) else _mrc_header(path, start).shape


def read_pixel_size(path: PathLike) -> Optional[float]:
    """Return the pixel size in Å/px from the MRC header alone.

    Returns:
        None where the header has none that can be trusted (see `mrc.MrcHeader`), and for TIFF,
        whose resolution tags mean something else in each program.

    Raises:
        MicrographError: as `read_image`.
    """
    path = Path(path)
    return _pixel_size(path, _read_start(path))


def read_pixel_sizes_of(
    paths: Sequence[Path],
) -> Iterator[Union[float, MicrographError, None]]:
    """Return what `read_pixel_size` does for many files, or the error that it raises."""
    for path, start in zip(paths, read_starts(paths, mrc.HEADER_BYTES)):
        try:
            with _errors_explained(path):
                if isinstance(start, Exception):
                    raise start
            yield _pixel_size(path, start)
        except MicrographError as error:
            yield error


def _pixel_size(path: Path, start: bytearray) -> Optional[float]:
    _refuse_empty(path, start)
    return None if tiff.is_tiff(start) else _mrc_header(path, start).pixel_size


def _doubt_sign(path: Path, image: npt.NDArray[Any]) -> None:
    """Say so if bytes with a sign are mostly far from 0, as those without one come out."""
    if image.dtype != np.int8:
        return
    rows = image[:: max(1, len(image) // _ROWS_LOOKED_AT)].astype(np.int16)
    if (np.abs(rows) > _FAR_FROM_ZERO).mean() > _MOSTLY and rows.min() < 0 < rows.max():
        log.warning(
            "%s: its bytes are read with a sign, but look as if they had none. If so, the header's "
            "minimum and maximum are wrong: mend them, or convert it to MRC mode 2.",
            path,
        )


def _read_start(path: Path) -> bytearray:
    """Read the first bytes, as many as an MRC header has, of a file that is not empty."""
    start = _read(path, 0, mrc.HEADER_BYTES)
    _refuse_empty(path, start)
    return start


def _refuse_empty(path: Path, start: bytearray) -> None:
    if not start:
        raise MicrographError(f"{path}: is empty (0 bytes): copy or export it again")


def _read(path: Path, start: int, count: int) -> bytearray:
    with _errors_explained(path):
        return read_part(path, start, count)


@contextmanager
def _errors_explained(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise MicrographError(f"{path}: no such file") from error
    except OSError as error:
        if os.path.exists(path) and not os.path.isfile(path):
            reason = f"{path}: is a folder or a device, not an image file"
            raise MicrographError(reason) from error
        raise MicrographError(
            f"{path}: cannot be read ({error.strerror}): check its permissions and the disk"
        ) from error
    except MemoryError as error:
        raise MicrographError(f"{path}: there is too little memory for it") from error


def _mrc_header(path: Path, start: Union[bytes, bytearray]) -> mrc.MrcHeader:
    """Parse the header, and check it against the size of the file unless that is compressed."""
    if compression.is_compressed(start):
        return mrc.parse_header(compression.decompress(path, start, mrc.HEADER_BYTES), path)
    header = mrc.parse_header(start, path)
    try:
        size = path.stat().st_size
    except OSError as error:
        raise MicrographError(f"{path}: cannot be read any more ({error.strerror})") from error
    header.check_size(path, size)
    return header
