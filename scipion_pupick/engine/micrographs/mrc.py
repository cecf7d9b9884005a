# SPDX-License-Identifier: GPL-3.0-or-later
"""The MRC format: its header, checked before anything is read by it, and writing.

The layout is that of MRC2014 (Cheng et al., J. Struct. Biol. 192, 146, 2015).
"""

from __future__ import annotations

import logging
import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Optional, Tuple, Union

import mrcfile
import numpy as np
import numpy.typing as npt
from mrcfile.dtypes import HEADER_DTYPE

from ..errors import MicrographError, UsageError
from ..files.atomic import PathLike, atomic_write

HEADER_BYTES = 1024

_ByteOrder = Literal["<", ">"]
_HEADERS = {order: HEADER_DTYPE.newbyteorder(order) for order in ("<", ">")}

_MODES = {0: np.int8, 1: np.int16, 2: np.float32, 6: np.uint16, 12: np.float16}
_UNSUPPORTED_MODES = {3: "complex integers", 4: "a Fourier transform", 101: "4-bit integers"}
_BIG_ENDIAN_STAMP = b"\x11\x11"
_IMOD_BYTES = 152
_IMOD_STAMP = 1146047817
_IMOD_SIGNED = 1
# largest numbers in a byte, with and without a sign
_MOST_SIGNED, _MOST_UNSIGNED = 127, 255
# Å/px; what lies outside is a header in other units or without a pixel size.
_PIXEL_SIZES = (0.05, 500.0)
_SQUARE_WITHIN = 0.01

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class MrcHeader:
    """What the header of an MRC file with one image says.

    Attributes:
        shape: (ny, nx).
        dtype: the number type of the pixels, in the byte order of the file.
        offset: where the pixels begin, in bytes.
        pixel_size: Å/px. None where it is zero, beyond any real one, differs between x and y by
            more than 1 %, or where the header's grid (mx, my) is not the image's: programs that
            bin without mending the header leave the old pixel size behind like this.
        marked: whether the 'MAP ' mark is there, which old and careless programs leave out.
    """

    shape: Tuple[int, int]
    dtype: np.dtype[Any]
    offset: int
    pixel_size: Optional[float]
    marked: bool

    @property
    def pixels(self) -> int:
        """The number of pixels."""
        return math.prod(self.shape)

    @property
    def end(self) -> int:
        """The size in bytes that the file must have."""
        return self.offset + self.pixels * self.dtype.itemsize

    def check_size(self, path: Path, size: int) -> None:
        """Compare the header with the `size` of the file in bytes.

        Raises:
            MicrographError: the file is too short, or has neither the right size nor the mark.
        """
        if size < self.end:
            raise MicrographError(
                f"{path}: is truncated or its header is wrong: it has {size} bytes, the header "
                f"asks for {self._asked}: copy or export it again"
            )
        if size > self.end and not self.marked:
            raise MicrographError(_not_mrc(path, f"no 'MAP ' mark and not the {self._asked}"))

    def warn_if_longer(self, path: Path, size: int) -> None:
        """Say in the log that a file of `size` bytes is longer than its header says, if it is."""
        if size > self.end:
            logger.warning("%s: is longer than the %s that its header asks for", path, self._asked)

    @property
    def _asked(self) -> str:
        ny, nx = self.shape
        return f"{self.end} bytes for {nx} x {ny} pixels of {self.dtype.name}"


def parse_header(block: Union[bytes, bytearray], path: Path) -> MrcHeader:
    """Make sense of the first 1024 bytes of an MRC file.

    The machine stamp tells the byte order; where that is missing or wrong, the byte order is the
    one in which there is exactly one section.

    Args:
        block: the bytes.
        path: the file, for errors.

    Raises:
        MicrographError: it is no MRC header, or that of something other than one real image.
    """
    if len(block) < HEADER_BYTES:
        raise MicrographError(
            f"{path}: has {len(block)} bytes, fewer than the {HEADER_BYTES} of an MRC header: "
            "copy or export it again"
        )
    orders: Tuple[_ByteOrder, ...] = ("<", ">")
    if block[212:214] == _BIG_ENDIAN_STAMP:
        orders = (">", "<")
    problems = []
    for order in orders:
        fields = np.frombuffer(block, _HEADERS[order], 1)[0]
        problem = _find_problem(fields, path)
        if problem is None:
            return _interpret(fields, block, order)
        problems.append(problem)
    raise MicrographError(problems[0])


def _find_problem(fields: np.void, path: Path) -> Optional[str]:
    """Say why the header, read in this byte order, is not that of one real image."""
    nx, ny, nz, mode = (int(fields[name]) for name in ("nx", "ny", "nz", "mode"))
    if mode not in _MODES and not _is_marked(fields):
        return _not_mrc(path, f"no 'MAP ' mark, mode field {mode}")
    if mode not in _MODES:
        content = _UNSUPPORTED_MODES.get(mode, "unknown")
        return f"{path}: MRC mode {mode} ({content}) is not supported: convert it to mode 2"
    if nx <= 0 or ny <= 0:
        return f"{path}: its header says {nx} x {ny} pixels: copy or export it again"
    if nz != 1:
        return (
            f"{path}: its header says {nz} sections, as of a movie or a stack: "
            "give micrographs, one image in each file"
        )
    if fields["nsymbt"] < 0:
        return f"{path}: its extended header has {fields['nsymbt']} bytes: export it again"
    return None


def _not_mrc(path: Path, reason: str) -> str:
    return (
        f"{path}: is neither an MRC nor a TIFF file ({reason}): "
        "give .mrc, .mrcs, .mrc.gz, .mrc.bz2, .tif or .tiff files"
    )


def _is_marked(fields: np.void) -> bool:
    return bool(fields["map"][:3] == b"MAP")


def _interpret(fields: np.void, block: Union[bytes, bytearray], order: _ByteOrder) -> MrcHeader:
    dtype = np.dtype(_MODES[int(fields["mode"])])
    if dtype == np.int8 and _has_unsigned_bytes(fields, block, order):
        dtype = np.dtype(np.uint8)
    return MrcHeader(
        shape=(int(fields["ny"]), int(fields["nx"])),
        dtype=dtype.newbyteorder(order),
        offset=HEADER_BYTES + int(fields["nsymbt"]),
        pixel_size=_pixel_size(fields),
        marked=_is_marked(fields),
    )


def _has_unsigned_bytes(fields: np.void, block: Union[bytes, bytearray], order: _ByteOrder) -> bool:
    """Tell whether the bytes of mode 0 have no sign, as in older files.

    IMOD's stamp says so. Without it the header's minimum and maximum may: none of 128 or more
    fits into a byte with a sign.
    """
    imod_stamp, imod_flags = struct.unpack_from(f"{order}ii", block, _IMOD_BYTES)
    if imod_stamp == _IMOD_STAMP:
        return not imod_flags & _IMOD_SIGNED
    return bool(fields["dmin"] >= 0 and _MOST_SIGNED < fields["dmax"] <= _MOST_UNSIGNED)


def _pixel_size(fields: np.void) -> Optional[float]:
    mx, my = int(fields["mx"]), int(fields["my"])
    if (mx, my) != (int(fields["nx"]), int(fields["ny"])):
        return None
    x, y = float(fields["cella"]["x"]) / mx, float(fields["cella"]["y"]) / my
    smallest, largest = _PIXEL_SIZES
    if not smallest <= x <= largest or not abs(x - y) <= _SQUARE_WITHIN * x:
        return None
    return x


def write_image(path: PathLike, image: npt.ArrayLike, pixel_size: float) -> None:
    """Write an MRC file of mode 2 (float32), whole or not at all.

    Args:
        path: the file; missing folders are made.
        image: (ny, nx) finite real numbers.
        pixel_size: Å/px of `image`.

    Raises:
        UsageError: the image is not two-dimensional, real and finite, or the pixel size is not
            positive.
        OSError: the file cannot be written.
    """
    pixels = np.asarray(image)
    if pixels.ndim != 2 or pixels.size == 0 or pixels.dtype.kind not in "biuf":
        raise UsageError(
            f"{path}: an image must be a (ny, nx) array of real numbers, "
            f"not of shape {pixels.shape} and type {pixels.dtype}"
        )
    with np.errstate(over="ignore"):
        pixels = pixels.astype(np.float32)
    if not np.isfinite(pixels).all():
        raise UsageError(f"{path}: the image has pixels that are not finite numbers in float32")
    _write(path, pixels, pixel_size)


def write_mask(path: PathLike, mask: npt.NDArray[np.int8], pixel_size: float) -> None:
    """Write an MRC file of mode 0 (int8), whole or not at all.

    Args:
        path: the file; missing folders are made.
        mask: (ny, nx) of 0 and 1.
        pixel_size: Å/px of `mask`.

    Raises:
        UsageError: the pixel size is not positive.
        OSError: the file cannot be written.
    """
    _write(path, mask, pixel_size)


def _write(path: PathLike, pixels: npt.NDArray[Any], pixel_size: float) -> None:
    check_pixel_size(pixel_size)
    with atomic_write(path) as temporary, mrcfile.new(temporary, overwrite=True) as file:
        file.set_data(pixels)
        file.voxel_size = pixel_size
        # The library's own label holds the time, which would make equal images unequal files.
        file.header.label[0] = b"Written by pupick"


def check_pixel_size(pixel_size: float) -> None:
    """Refuse a pixel size in Å/px that no image can have.

    Raises:
        UsageError: it is not a positive number.
    """
    if not (math.isfinite(pixel_size) and pixel_size > 0):
        raise UsageError(f"the pixel size must be a positive number of Å/px, not {pixel_size}")
