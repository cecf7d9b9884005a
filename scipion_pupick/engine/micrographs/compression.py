# SPDX-License-Identifier: GPL-3.0-or-later
"""Files compressed with gzip or bzip2."""

from __future__ import annotations

import bz2
import gzip
import zlib
from pathlib import Path
from typing import Union

from ..errors import MicrographError

_GZIP = b"\x1f\x8b\x08"
_BZIP2 = b"BZh"
_CHUNK_BYTES = 2**24
# 16384 x 16384 px of float32 with their header, larger than any camera's
LARGEST_DECODED_BYTES = 2**30 + 2**20


def is_compressed(start: Union[bytes, bytearray]) -> bool:
    """Tell whether a file that begins with `start` is compressed with gzip or bzip2."""
    return start[:3] in (_GZIP, _BZIP2)


def check_decoded_size(path: Path, size: int) -> None:
    """Refuse an image whose decoded bytes would fill the memory, before any is decoded.

    Raises:
        MicrographError: it has more than a GiB.
    """
    if size > LARGEST_DECODED_BYTES:
        raise MicrographError(
            f"{path}: is compressed, and its header asks for {size} bytes, more than "
            f"{LARGEST_DECODED_BYTES}: it is damaged, or has to be decompressed first"
        )


def decompress(path: Path, start: Union[bytes, bytearray], limit: int) -> bytearray:
    """Decompress at most `limit` bytes of a file that begins with `start`.

    Memory grows with what the file really holds, whatever its header promises.

    Raises:
        MicrographError: the compressed data are damaged or cut off.
    """
    content = bytearray()
    try:
        with gzip.open(path) if start[:3] == _GZIP else bz2.open(path) as stream:
            while len(content) < limit:
                chunk = stream.read(min(_CHUNK_BYTES, limit - len(content)))
                if not chunk:
                    break
                content += chunk
    except (OSError, EOFError, zlib.error) as error:
        raise MicrographError(
            f"{path}: the compressed file is damaged ({error}): copy or compress it again"
        ) from error
    return content
