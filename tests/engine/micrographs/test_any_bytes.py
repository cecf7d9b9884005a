# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever bytes a file has: an image or an error that names it, in little memory and time."""

import bz2
import gzip
import io
import resource
import struct
import time
import warnings
import zlib

import mrcfile
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scipion_pupick.engine.errors import MicrographError, UsageError
from scipion_pupick.engine.micrographs import (
    Micrograph,
    find_micrographs,
    image_shape,
    pixel_size_of,
    read_image,
    read_pixel_size,
)
from scipion_pupick.engine.preprocessing.scale import WorkingScale
from scipion_pupick.engine.preprocessing.working_image import prepare

MOST_SECONDS = 10
MOST_KIB = 2**20
SIDE = 24


def mrc(path, number_type, mode=None):
    with mrcfile.new(path) as file:
        file.set_data(np.arange(SIDE * SIDE).reshape(SIDE, SIDE).astype(number_type))
        file.voxel_size = 4.0
    content = bytearray(path.read_bytes())
    if mode is not None:
        struct.pack_into("<i", content, 12, mode)
    return bytes(content)


def tiff(**options):
    tifffile = pytest.importorskip("tifffile")
    stream = io.BytesIO()
    data = np.arange(SIDE * SIDE, dtype="u2").reshape(SIDE, SIDE)
    tifffile.imwrite(stream, data, **options)
    return stream.getvalue()


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    """Return good files by what they are."""
    folder = tmp_path_factory.mktemp("originals")
    plain = mrc(folder / "f4.mrc", "f4")
    files = {
        "mrc": plain,
        "bytes": mrc(folder / "i1.mrc", "i1"),
        "half": mrc(folder / "f2.mrc", "f2"),
        "gz": gzip.compress(plain),
        "bz2": bz2.compress(plain),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        files["tif"] = tiff()
        files["strips"] = tiff(rowsperstrip=5, byteorder=">")
        files["tiles"] = tiff(tile=(16, 16), compression="zlib")
        files["white"] = tiff(photometric="miniswhite")
        if tifffile_decodes_lzw():
            files["lzw"] = tiff(compression="lzw", predictor=True)
    return files


def tifffile_decodes_lzw():
    try:
        import imagecodecs  # noqa: F401
    except ImportError:
        return False
    return True


def complaint(kind, use, *arguments):
    """Return the text of an error of the kind that may come; empty if none comes."""
    try:
        use(*arguments)
    except kind as error:
        return str(error)
    return ""


def attempt(path):
    """Use a file in every way that the commands do; only what names it may go wrong."""
    micrograph = Micrograph(path, path.name, 4.0)
    scale = WorkingScale(96.0)
    started = time.monotonic()
    for use in (read_image, image_shape, read_pixel_size):
        text = complaint(MicrographError, use, path)
        assert not text or text.startswith(f"{path}: ")
    pixel_size_of(micrograph)
    text = complaint(MicrographError, prepare, micrograph, scale)
    assert not text or path.name in text
    assert time.monotonic() - started < MOST_SECONDS
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 2 * MOST_KIB


changes = st.lists(st.tuples(st.integers(0, 2**16), st.integers(0, 255)), max_size=6)
numbers = st.sampled_from([0, 1, -1, 2, 255, 2**15, 2**16, 2**31 - 1, -(2**31), SIDE, 10**9])
fields = st.lists(st.tuples(st.integers(0, 255), numbers), max_size=4)


@pytest.mark.parametrize(
    "kind", ["mrc", "bytes", "half", "gz", "bz2", "tif", "strips", "tiles", "white", "lzw"]
)
@given(changes=changes, fields=fields, cut=st.integers(0, 3000), extra=st.binary(max_size=9))
def test_damage_to_a_good_file(kind, changes, fields, cut, extra, originals, tmp_path_factory):
    if kind not in originals:
        pytest.skip("no decoder")
    content = bytearray(originals[kind])
    for place, value in changes:
        content[place % len(content)] = value
    if kind in ("mrc", "bytes", "half"):
        for place, value in fields:
            struct.pack_into("<i", content, 4 * place, value)
    path = tmp_path_factory.mktemp("damage") / f"a.{kind}"
    path.write_bytes(bytes(content[: max(0, len(content) - cut)]) + extra)
    attempt(path)


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress], ids=["gz", "bz2"])
@given(changes=changes, fields=fields, cut=st.integers(0, 3000))
def test_damage_inside_a_compressed_file(
    compress, changes, fields, cut, originals, tmp_path_factory
):
    content = bytearray(originals["mrc"])
    for place, value in changes:
        content[place % len(content)] = value
    for place, value in fields:
        struct.pack_into("<i", content, 4 * place, value)
    path = tmp_path_factory.mktemp("damage") / "a.mrc.gz"
    path.write_bytes(compress(bytes(content[: len(content) - cut])))
    attempt(path)


@given(
    content=st.binary(max_size=300),
    start=st.sampled_from([b"", b"II*\0", b"\x1f\x8b\x08", b"BZh9"]),
)
def test_any_bytes(content, start, tmp_path_factory):
    path = tmp_path_factory.mktemp("any") / "a.mrc"
    path.write_bytes(start + content)
    attempt(path)


@pytest.mark.parametrize("name", ["gz", "bz2"])
def test_a_bomb_takes_no_more_than_its_header_says(name, originals, tmp_path):
    zeros = bytes(2**24)
    path = tmp_path / f"a.mrc.{name}"
    with (gzip.open if name == "gz" else bz2.open)(path, "wb", 1) as file:
        file.write(originals["mrc"])
        for _ in range(16):
            file.write(zeros)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert read_image(path).shape == (SIDE, SIDE)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**16


def test_a_deflate_bomb_in_a_tiff_file_is_no_more_than_its_shape(tmp_path, originals):
    content = tiff(compression="zlib")
    data = zlib.compress(bytes(2**26), 9)
    tifffile = pytest.importorskip("tifffile")
    path = tmp_path / "a.tif"
    path.write_bytes(content)
    with tifffile.TiffFile(path, mode="r+") as file:
        page = file.pages[0]
        page.tags["StripOffsets"].overwrite(len(content))
        page.tags["StripByteCounts"].overwrite(len(data))
    path.write_bytes(path.read_bytes()[: len(content)] + data)
    attempt(path)


lines = st.lists(
    st.sampled_from(["a.mrc", "path", "file\tx", "\t", "# c", "\0", "é", "", "data_", "x\ty", "/"])
)


@given(words=lines, raw=st.binary(max_size=50))
def test_any_list(words, raw, tmp_path_factory):
    folder = tmp_path_factory.mktemp("list")
    (folder / "a.mrc").touch()
    path = folder / "list.txt"
    path.write_bytes("\n".join(words).encode() + raw)
    text = complaint(UsageError, find_micrographs, [str(path)])
    assert not text or str(path) in text
