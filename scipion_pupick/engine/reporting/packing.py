# SPDX-License-Identifier: GPL-3.0-or-later
"""Arrays and images as text, for a file that holds all it shows."""

from __future__ import annotations

import base64
import struct
import zlib
from typing import Any, Dict

import numpy as np

PNG_START = b"\x89PNG\r\n\x1a\n"
SUB = 1
# higher levels take several times longer for a few per cent
COMPRESSION = 3
GREY_LEVELS = 32


def pack(values: np.ndarray, dtype: str) -> Dict[str, Any]:
    """Pack numbers as base64 of a little-endian array; those that do not fit are limited.

    Args:
        values: of any shape.
        dtype: 'uint8', 'uint16', 'uint32', 'float32' or 'float64', as JavaScript's typed arrays.
    """
    array = values
    kind = np.dtype(dtype).newbyteorder("<")
    if kind.kind == "u":
        array = np.clip(np.round(array), 0, np.iinfo(kind).max)
    text = base64.b64encode(array.astype(kind).tobytes()).decode("ascii")
    return {"type": dtype, "data": text}


def grey_image(image: np.ndarray, low: float, high: float) -> np.ndarray:
    """Turn grey values into few levels of uint8, which compress well; (h, w)."""
    levels = np.clip((image - low) / max(high - low, 1e-6), 0, 1) * (GREY_LEVELS - 1)
    return (np.round(levels) * (255 / (GREY_LEVELS - 1))).astype(np.uint8)


def png_address(image: np.ndarray) -> str:
    """Write a grey image (h, w) uint8 as the address of a PNG that is its own content."""
    return "data:image/png;base64," + base64.b64encode(png(image)).decode("ascii")


def png(image: np.ndarray) -> bytes:
    """Write a grey image (h, w) uint8 as PNG (ISO/IEC 15948), each pixel as a difference."""
    height, width = image.shape
    rows = np.empty((height, width + 1), np.uint8)
    rows[:, 0] = SUB
    rows[:, 1] = image[:, 0]
    rows[:, 2:] = image[:, 1:] - image[:, :-1]
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = [
        (b"IHDR", header),
        (b"IDAT", zlib.compress(rows.tobytes(), COMPRESSION)),
        (b"IEND", b""),
    ]
    return PNG_START + b"".join(_chunk(name, part) for name, part in parts)


def _chunk(name: bytes, content: bytes) -> bytes:
    check = zlib.crc32(name + content)
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", check)
