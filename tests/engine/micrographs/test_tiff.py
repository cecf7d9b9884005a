# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading TIFF files, against bytes made by hand and files written by tifffile."""

import os
import resource
import struct
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scipion_pupick.engine.errors import MicrographError
from scipion_pupick.engine.micrographs import image_shape, read_image, read_pixel_size

tifffile = pytest.importorskip("tifffile")

LONG = 4
DEFLATE = 8
LZW = 5


def tiff_bytes(order="<", shape=(2, 3), bits=16, compression=1, data=None, count=None):
    """Make a TIFF file of one strip by hand, by the TIFF 6.0 specification."""
    ny, nx = shape
    if data is None:
        data = struct.pack(f"{order}6H", 10, 11, 12, 20, 21, 65535)
    entries = {256: nx, 257: ny, 258: bits, 259: compression, 262: 1, 277: 1, 278: ny}
    start = 8 + 2 + 12 * (len(entries) + 2) + 4
    entries.update({273: start, 279: len(data) if count is None else count})
    content = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8)
    content += struct.pack(f"{order}H", len(entries))
    for tag, value in sorted(entries.items()):
        content += struct.pack(f"{order}HHII", tag, LONG, 1, value)
    return content + struct.pack(f"{order}I", 0) + data


def save(path, content):
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("order", "<>")
def test_a_file_made_by_hand(tmp_path, order):
    path = save(tmp_path / "a.tif", tiff_bytes(order))
    image = read_image(path)
    assert image.tolist() == [[10, 11, 12], [20, 21, 65535]]
    assert image.dtype == np.dtype("u2").newbyteorder(order)
    assert image_shape(path) == (2, 3)
    assert not image.flags.writeable


@pytest.mark.parametrize(
    "options", [{}, {"compression": "zlib"}, {"tile": (16, 16)}, {"rowsperstrip": 3}]
)
@pytest.mark.parametrize("number_type", ["u1", "i1", "u2", "i2", "i4", "f2", "f4", "f8"])
@pytest.mark.parametrize("order", "<>")
def test_files_written_by_tifffile(tmp_path, order, number_type, options):
    data = np.arange(17 * 19).reshape(17, 19).astype(number_type)
    path = tmp_path / "a.tiff"
    tifffile.imwrite(path, data, byteorder=order, **options)
    image = read_image(path)
    np.testing.assert_array_equal(image, data)
    assert image.dtype.newbyteorder("=") == data.dtype
    assert image_shape(path) == (17, 19)
    assert not image.flags.writeable


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1)])
def test_one_row_or_column_stays_two_dimensional(tmp_path, shape):
    tifffile.imwrite(tmp_path / "a.tif", np.ones(shape, "f4"))
    assert read_image(tmp_path / "a.tif").shape == shape
    assert image_shape(tmp_path / "a.tif") == shape


def test_big_tiff(tmp_path):
    data = np.arange(12, dtype="f4").reshape(3, 4)
    tifffile.imwrite(tmp_path / "a.tif", data, bigtiff=True)
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), data)


def test_a_tiff_file_is_known_by_its_content(tmp_path):
    path = save(tmp_path / "renamed.mrc", tiff_bytes())
    assert image_shape(path) == (2, 3)


def test_no_pixel_size_is_taken_from_resolution_tags(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.ones((4, 4), "f4"), resolution=(1e8, 1e8))
    assert read_pixel_size(tmp_path / "a.tif") is None


def test_the_tables_of_a_large_file_are_read_without_the_rest(tmp_path):
    side = 2**15
    path = save(tmp_path / "huge.tif", tiff_bytes("<", (side, side), data=b"", count=2 * side**2))
    os.truncate(path, path.stat().st_size + 2 * side**2)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert image_shape(path) == (side, side)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**19


BAD_CONTENTS = {
    "mark only": (b"II*\0", "damaged"),
    "no page": (b"II*\0" + struct.pack("<I", 0), "damaged"),
    "page beyond the end": (b"II*\0" + struct.pack("<I", 10**6), "damaged"),
    "truncated": (tiff_bytes()[:-1], "truncated"),
    "cut in the table": (tiff_bytes()[:60], "a.tif"),
    "huge": (tiff_bytes(shape=(10**9, 10**9)), "cannot hold 1000000000 x 1000000000"),
    "huge with its byte count": (tiff_bytes(shape=(10**4, 10**4), count=2 * 10**8), "truncated"),
    "huge and compressed": (tiff_bytes(shape=(10**9, 10**9), compression=DEFLATE), "truncated"),
    "damaged deflate": (tiff_bytes(compression=DEFLATE), "damaged or cannot be decoded"),
    "unknown compression": (tiff_bytes(compression=65000), "a.tif"),
    "no bits": (tiff_bytes(bits=0), "a.tif"),
    "odd bits": (tiff_bytes(bits=77), "a.tif"),
    "zero width": (tiff_bytes(shape=(2, 0)), "not one greyscale image"),
}


@pytest.mark.parametrize("case", BAD_CONTENTS)
def test_bad_files_are_named_with_the_reason(tmp_path, case):
    content, reason = BAD_CONTENTS[case]
    path = save(tmp_path / "a.tif", content)
    with pytest.raises(MicrographError) as caught:
        read_image(path)
    assert str(path) in str(caught.value)
    assert reason in str(caught.value)


@pytest.mark.parametrize("field_type", [2, 7])
def test_a_width_that_is_no_number(tmp_path, field_type):
    content = bytearray(tiff_bytes())
    assert struct.unpack_from("<HH", content, 10) == (256, LONG)
    struct.pack_into("<HHI", content, 10, 256, field_type, 4)
    path = save(tmp_path / "a.tif", content)
    with pytest.raises(MicrographError, match=r"a\.tif"):
        image_shape(path)


def test_truncation_is_noticed_from_the_tables_alone(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.ones((64, 64), "f4"), rowsperstrip=8)
    os.truncate(tmp_path / "a.tif", 9000)
    with pytest.raises(MicrographError, match=r"a\.tif: is truncated .* 64 x 64 pixels"):
        image_shape(tmp_path / "a.tif")


@pytest.mark.parametrize(
    ("data", "options", "reason"),
    [
        (np.ones((3, 5, 7), "u2"), {"photometric": "minisblack"}, "has 3 pages, as of a movie"),
        (np.ones((5, 7, 3), "u1"), {"photometric": "rgb"}, "not one greyscale image"),
        (np.ones((5, 7), "c8"), {}, "not one greyscale image of real numbers"),
    ],
)
def test_movies_colours_and_complex_numbers_are_refused(tmp_path, data, options, reason):
    tifffile.imwrite(tmp_path / "a.tif", data, **options)
    for function in (read_image, image_shape):
        with pytest.raises(MicrographError, match=reason):
            function(tmp_path / "a.tif")


def test_without_tifffile_the_error_names_the_extra(tmp_path, monkeypatch):
    path = save(tmp_path / "a.tif", tiff_bytes())
    monkeypatch.setitem(sys.modules, "tifffile", None)
    for function in (read_image, image_shape):
        with pytest.raises(MicrographError, match=r"a\.tif: .* 'scipion-em-pupick\[tiff\]'"):
            function(path)
    assert read_pixel_size(path) is None


@pytest.mark.parametrize("options", [{}, {"predictor": True}, {"rowsperstrip": 3}])
@pytest.mark.parametrize("number_type", ["u1", "u2", "i2", "f4"])
def test_lzw_as_serialem_and_epu_write_it(tmp_path, number_type, options):
    pytest.importorskip("imagecodecs")
    data = np.arange(17 * 19).reshape(17, 19).astype(number_type)
    if number_type == "f4" and "predictor" in options:
        options = {"predictor": 3}
    tifffile.imwrite(tmp_path / "a.tif", data, compression="lzw", **options)
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), data)


def test_without_imagecodecs_the_error_names_the_extra(tmp_path, monkeypatch):
    pytest.importorskip("imagecodecs")
    tifffile.imwrite(tmp_path / "a.tif", np.ones((4, 4), "u2"), compression="lzw")
    monkeypatch.setattr("scipion_pupick.engine.micrographs.tiff.find_spec", lambda name: None)
    with pytest.raises(MicrographError, match=r"compressed by LZW .* 'scipion-em-pupick\[tiff\]'"):
        read_image(tmp_path / "a.tif")
    tifffile.imwrite(tmp_path / "a.tif", np.ones((4, 4), "u2"), compression="zlib")
    assert read_image(tmp_path / "a.tif").sum() == 16


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize(
    ("number_type", "expected"),
    [("u1", [255, 254, 55]), ("u2", [65535, 65534, 65335]), ("i2", [-1, -2, -201]), ("f4", None)],
)
def test_where_the_least_is_white_grey_values_are_turned_round(
    tmp_path, number_type, expected, compression
):
    data = np.array([[0, 1, 200]], number_type)
    tifffile.imwrite(tmp_path / "a.tif", data, photometric="miniswhite", compression=compression)
    image = read_image(tmp_path / "a.tif")
    assert image.tolist() == [expected or [0, -1, -200]]
    assert image.dtype == data.dtype
    assert not image.flags.writeable


def test_a_bomb_is_refused_before_anything_is_decoded(tmp_path):
    content = tiff_bytes(shape=(2**15, 2**15), compression=DEFLATE, data=bytes(2**20))
    path = save(tmp_path / "a.tif", content)
    with pytest.raises(MicrographError, match="is compressed, and its header asks for 2147483648"):
        read_image(path)


def originals():
    yield tiff_bytes("<")
    yield tiff_bytes(">")
    yield tiff_bytes("<", compression=DEFLATE)
    yield tiff_bytes("<", compression=LZW, data=bytes([128, 0, 1, 64, 128, 96, 64]))


@given(
    original=st.sampled_from(list(originals())),
    changes=st.lists(st.tuples(st.integers(4, 130), st.integers(0, 255)), min_size=1, max_size=4),
    cut=st.integers(0, 60),
)
def test_damage_gives_an_image_or_a_micrograph_error(tmp_path_factory, original, changes, cut):
    content = bytearray(original)
    for place, value in changes:
        content[place % len(content)] = value
    path = save(tmp_path_factory.mktemp("damage") / "a.tif", content[: len(content) - cut])
    for function in (read_image, image_shape):
        try:
            outcome = function(path)
        except MicrographError as error:
            outcome = str(error)
        assert not isinstance(outcome, str) or outcome.startswith(f"{path}: ")
