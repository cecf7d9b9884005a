# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading and writing MRC files, against mrcfile and against bytes made by hand."""

import bz2
import gzip
import logging
import os
import resource
import struct

import mrcfile
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scipion_pupick.engine.errors import MicrographError, UsageError
from scipion_pupick.engine.micrographs import (
    image_shape,
    mrc,
    read_image,
    read_pixel_size,
    write_image,
)

# mode: (numpy type, struct code, values that its range and sign can be told by)
MODES = {
    0: ("i1", "b", [-128, -1, 0, 1, 127, 5]),
    1: ("i2", "h", [-32768, -1, 0, 1, 32767, 258]),
    2: ("f4", "f", [-1.5, 0.0, 1e-30, 3.25, 1e30, 7.0]),
    6: ("u2", "H", [0, 1, 255, 256, 32768, 65535]),
    12: ("f2", "e", [-1.5, 0.0, 0.25, 65504.0, 2.0, 7.0]),
}
STAMPS = {"<": b"\x44\x44\0\0", ">": b"\x11\x11\0\0"}
COMPRESSIONS = {"": bytes, ".gz": gzip.compress, ".bz2": bz2.compress}


def mrc_bytes(
    shape=(2, 3),
    mode=2,
    order="<",
    data=None,
    nz=1,
    extended=b"",
    grid=None,
    cell=(0.0, 0.0),
    mark=b"MAP ",
    stamp=None,
    imod=(0, 0),
    nsymbt=None,
):
    """Make an MRC file by hand, by the byte offsets of the MRC2014 paper."""
    ny, nx = shape
    mx, my = (nx, ny) if grid is None else grid
    header = bytearray(1024)
    struct.pack_into(f"{order}4i", header, 0, nx, ny, nz, mode)
    struct.pack_into(f"{order}3i", header, 28, mx, my, 1)
    struct.pack_into(f"{order}2f", header, 40, *cell)
    struct.pack_into(f"{order}3i", header, 64, 1, 2, 3)
    struct.pack_into(f"{order}i", header, 92, len(extended) if nsymbt is None else nsymbt)
    struct.pack_into(f"{order}2i", header, 152, *imod)
    header[208:212] = mark
    header[212:216] = STAMPS[order] if stamp is None else stamp
    if data is None:
        _, code, values = MODES[mode]
        data = struct.pack(f"{order}{len(values)}{code}", *values)
    return bytes(header) + extended + data


def save(path, content):
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("extended", [b"", b"FEI2" * 200], ids=["plain", "extended"])
@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("mode", MODES)
def test_every_mode_byte_order_and_compression(tmp_path, mode, order, extended, compression):
    content = mrc_bytes(mode=mode, order=order, extended=extended, cell=(3 * 1.25, 2 * 1.25))
    path = save(tmp_path / f"a.mrc{compression}", COMPRESSIONS[compression](content))

    image = read_image(path)

    number_type, _, values = MODES[mode]
    assert image.dtype == np.dtype(number_type).newbyteorder(order)
    np.testing.assert_array_equal(image, np.array(values, number_type).reshape(2, 3))
    assert image_shape(path) == (2, 3)
    assert read_pixel_size(path) == pytest.approx(1.25, rel=1e-6)
    assert not image.flags.writeable


@pytest.mark.parametrize("compression", [None, "gzip", "bzip2"])
@pytest.mark.parametrize("number_type", ["i1", "i2", "f4", "u2", "f2"])
@pytest.mark.parametrize("order", "<>")
def test_files_written_by_mrcfile(tmp_path, number_type, order, compression):
    data = np.arange(5 * 7).reshape(5, 7).astype(np.dtype(number_type).newbyteorder(order))
    path = tmp_path / "a.mrcs"
    with mrcfile.new(path, data, compression=compression) as file:
        file.voxel_size = 0.885

    np.testing.assert_array_equal(read_image(path), data)
    assert image_shape(path) == (5, 7)
    assert read_pixel_size(str(path)) == pytest.approx(0.885, rel=1e-6)


def test_row_zero_is_the_first_in_the_file(tmp_path):
    data = struct.pack("<6f", 10, 11, 12, 20, 21, 22)
    image = read_image(save(tmp_path / "a.mrc", mrc_bytes(data=data)))
    assert image[0].tolist() == [10, 11, 12]
    assert image[1, 2] == 22


@pytest.mark.parametrize(("flags", "expected"), [(0, 200), (1, 200 - 256)])
def test_imod_says_whether_bytes_have_a_sign(tmp_path, flags, expected):
    content = mrc_bytes((1, 1), mode=0, data=b"\xc8", imod=(1146047817, flags))
    assert read_image(save(tmp_path / "a.mrc", content))[0, 0] == expected


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize(
    ("limits", "imod", "expected"),
    [
        ((0, 255), (0, 0), 200),
        ((3, 128), (7, 1), 200),
        ((-128, 127), (0, 0), 200 - 256),
        ((0, 127), (0, 0), 200 - 256),
        ((0, -1), (0, 0), 200 - 256),
        ((0, 1e9), (0, 0), 200 - 256),
        ((float("nan"), 255), (0, 0), 200 - 256),
        ((0, 255), (1146047817, 1), 200 - 256),
    ],
)
def test_minimum_and_maximum_say_whether_bytes_have_a_sign(tmp_path, order, limits, imod, expected):
    content = bytearray(mrc_bytes((1, 1), mode=0, order=order, data=b"\xc8", imod=imod))
    struct.pack_into(f"{order}2f", content, 76, *limits)
    assert read_image(save(tmp_path / "a.mrc", bytes(content)))[0, 0] == expected


@pytest.mark.parametrize(("middle", "doubted"), [(128, True), (0, False), (60, False)])
def test_bytes_that_look_unsigned_are_doubted(tmp_path, middle, doubted, caplog):
    grey = np.random.default_rng(0).normal(middle, 20, (64, 64)).astype(int).astype(np.uint8)
    path = save(tmp_path / "a.mrc", mrc_bytes((64, 64), mode=0, data=grey.tobytes()))
    assert read_image(path).dtype == np.int8
    assert ("look as if they had none" in caplog.text) == doubted


def test_imod_flags_without_the_stamp_mean_nothing(tmp_path):
    content = mrc_bytes((1, 1), mode=0, data=b"\xc8", imod=(7, 0))
    assert read_image(save(tmp_path / "a.mrc", content))[0, 0] == 200 - 256


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("mark", [b"MAP ", b"\0\0\0\0"], ids=["marked", "unmarked"])
@pytest.mark.parametrize("stamp", [b"\0\0\0\0", "other"], ids=["unstamped", "wrong stamp"])
@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("mode", MODES)
def test_a_missing_mark_or_stamp_is_tolerated(tmp_path, mode, order, stamp, mark, compression):
    if stamp == "other":
        stamp = STAMPS[">" if order == "<" else "<"]
    content = mrc_bytes(mode=mode, order=order, mark=mark, stamp=stamp)
    path = save(tmp_path / "a.mrc", COMPRESSIONS[compression](content))
    number_type, _, values = MODES[mode]
    np.testing.assert_array_equal(read_image(path).ravel(), np.array(values, number_type))


def test_a_compressed_file_is_known_by_its_content(tmp_path):
    path = save(tmp_path / "renamed.mrc", gzip.compress(mrc_bytes()))
    assert read_image(path).shape == (2, 3)
    path = save(tmp_path / "decompressed.mrc.gz", mrc_bytes())
    assert read_image(path).shape == (2, 3)


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_a_longer_file_is_read_with_a_warning(tmp_path, caplog, compression):
    path = save(tmp_path / "a.mrc", COMPRESSIONS[compression](mrc_bytes() + b"trailer"))
    with caplog.at_level(logging.WARNING):
        image = read_image(path)
    assert image.ravel().tolist() == np.array(MODES[2][2], "f4").tolist()
    assert str(path) in caplog.text
    assert "longer than the 1048 bytes" in caplog.text


def test_a_file_of_the_right_size_gives_no_warning(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        read_image(save(tmp_path / "a.mrc", mrc_bytes()))
    assert not caplog.records


BAD_CONTENTS = {
    "empty": (b"", "empty"),
    "short header": (mrc_bytes()[:1000], "1000 bytes, fewer than the 1024"),
    "truncated": (mrc_bytes()[:-1], "1047 bytes, the header asks for 1048"),
    "header only": (mrc_bytes()[:1024], "truncated"),
    "truncated extended header": (mrc_bytes(nsymbt=80), "truncated"),
    "huge nx": (mrc_bytes((2, 2**31 - 1)), "truncated or its header is wrong"),
    "huge nx and ny": (mrc_bytes((2**31 - 1, 2**31 - 1)), "2147483647 x 2147483647"),
    "huge extended header": (mrc_bytes(nsymbt=2**31 - 1), "truncated"),
    "negative nx": (mrc_bytes((2, -3)), "-3 x 2 pixels"),
    "negative nx and ny": (mrc_bytes((-2, -3)), "-3 x -2 pixels"),
    "zero ny": (mrc_bytes((0, 3)), "3 x 0 pixels"),
    "negative extended header": (mrc_bytes(nsymbt=-80), "extended header has -80"),
    "movie": (mrc_bytes(nz=40), "40 sections, as of a movie"),
    "big-endian movie": (mrc_bytes(nz=40, order=">"), "40 sections, as of a movie"),
    "no section": (mrc_bytes(nz=0), "0 sections"),
    "complex": (mrc_bytes(mode=3, data=b""), "mode 3 (complex integers)"),
    "transform": (mrc_bytes(mode=4, data=b""), "mode 4 (a Fourier transform)"),
    "4 bits": (mrc_bytes(mode=101, data=b""), "mode 101 (4-bit integers)"),
    "unknown mode": (mrc_bytes(mode=77, data=b""), "mode 77 (unknown)"),
    "negative mode": (mrc_bytes(mode=-1, data=b""), "mode -1"),
    "text": (b"x_coord y_coord\n" * 200, "neither an MRC nor a TIFF file"),
    "short text": (b"hello", "5 bytes, fewer"),
    "zeros": (bytes(5000), "0 x 0 pixels"),
    "unmarked with the wrong size": (mrc_bytes(mark=b"\0" * 4) + b"x", "neither an MRC nor a TIFF"),
    "png": (b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 8, "neither an MRC nor a TIFF"),
}


@pytest.mark.parametrize("function", [read_image, image_shape, read_pixel_size])
@pytest.mark.parametrize("case", BAD_CONTENTS)
def test_bad_files_are_named_with_the_reason(tmp_path, case, function):
    content, reason = BAD_CONTENTS[case]
    path = save(tmp_path / "bad.mrc", content)
    with pytest.raises(MicrographError) as caught:
        function(path)
    assert str(path) in str(caught.value)
    assert reason in str(caught.value)


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress])
@pytest.mark.parametrize("case", [case for case in BAD_CONTENTS if case != "empty"])
def test_bad_files_inside_a_compressed_file(tmp_path, case, compress):
    content, _ = BAD_CONTENTS[case]
    path = save(tmp_path / "bad.mrc.gz", compress(content))
    with pytest.raises(MicrographError, match=r"bad\.mrc\.gz"):
        read_image(path)


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress])
@pytest.mark.parametrize("cut", [4, 0.5, -1])
def test_truncated_compressed_files(tmp_path, compress, cut):
    noise = np.random.default_rng(0).integers(0, 256, 4000, dtype=np.uint8).tobytes()
    content = compress(mrc_bytes((40, 25), data=noise))
    kept = int(cut * len(content)) if isinstance(cut, float) else cut
    path = save(tmp_path / "bad.mrc.gz", content[:kept])
    with pytest.raises(MicrographError, match="compressed file is damaged"):
        read_image(path)


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress])
@pytest.mark.parametrize("place", [20, -6])
def test_corrupt_compressed_files(tmp_path, compress, place):
    content = bytearray(compress(mrc_bytes()))
    content[place] ^= 0xFF
    path = save(tmp_path / "bad.mrc.gz", content)
    with pytest.raises(MicrographError, match="compressed file is damaged"):
        read_image(path)


@pytest.mark.parametrize("function", [read_image, image_shape, read_pixel_size])
class TestFilesThatCannotBeOpened:
    def test_missing(self, tmp_path, function):
        with pytest.raises(MicrographError, match=r"none\.mrc: no such file"):
            function(tmp_path / "none.mrc")

    def test_folder(self, tmp_path, function):
        with pytest.raises(MicrographError, match="folder"):
            function(tmp_path)

    def test_pipe_does_not_block(self, tmp_path, function):
        os.mkfifo(tmp_path / "pipe.mrc")
        with pytest.raises(MicrographError, match="folder or a device"):
            function(tmp_path / "pipe.mrc")

    def test_permission_denied(self, tmp_path, function):
        path = save(tmp_path / "secret.mrc", mrc_bytes())
        path.chmod(0)
        user = os.geteuid()
        if user == 0:
            os.seteuid(65534)
        try:
            with pytest.raises(MicrographError, match=r"secret\.mrc: cannot be read \(Permission"):
                function(path)
        finally:
            os.seteuid(user)

    def test_endless_link(self, tmp_path, function):
        (tmp_path / "loop.mrc").symlink_to(tmp_path / "loop.mrc")
        with pytest.raises(MicrographError, match=r"loop\.mrc: cannot be read"):
            function(tmp_path / "loop.mrc")


class TestPixelSize:
    def read(self, tmp_path, **fields):
        return read_pixel_size(save(tmp_path / "a.mrc", mrc_bytes((2, 3), **fields)))

    def test_is_the_cell_over_the_grid(self, tmp_path):
        assert self.read(tmp_path, cell=(3 * 0.66, 2 * 0.66)) == pytest.approx(0.66, rel=1e-6)

    def test_a_slightly_anisotropic_one_is_taken(self, tmp_path):
        assert self.read(tmp_path, cell=(3.0, 2.01)) == 1.0

    @pytest.mark.parametrize(
        "cell",
        [
            (0.0, 0.0),
            (3.0, 0.0),
            (-3.0, -2.0),
            (3.0, 2.03),
            (float("nan"), float("nan")),
            (3.0, float("nan")),
            (float("inf"), float("inf")),
            (3e-10, 2e-10),
            (3e6, 2e6),
        ],
    )
    def test_none_for_a_senseless_cell(self, tmp_path, cell):
        assert self.read(tmp_path, cell=cell) is None

    @pytest.mark.parametrize("grid", [(0, 0), (-3, -2), (12, 8), (3, 1)])
    def test_none_for_a_grid_that_is_not_the_image(self, tmp_path, grid):
        assert self.read(tmp_path, cell=(12.0, 8.0), grid=grid) is None


def test_the_header_of_a_large_file_is_read_without_the_rest(tmp_path):
    """A sparse file of 4 GiB, with at most 512 MiB of memory to put anything in."""
    side = 2**15
    path = save(tmp_path / "huge.mrc", mrc_bytes((side, side), data=b""))
    os.truncate(path, 1024 + 4 * side * side)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert image_shape(path) == (side, side)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**19


def test_a_file_that_is_cut_after_its_header_was_read_is_an_error(tmp_path, monkeypatch):
    path = save(tmp_path / "a.mrc", mrc_bytes())
    check = mrc.MrcHeader.check_size

    def check_and_cut(header, path, size):
        check(header, path, size)
        os.truncate(path, 1030)

    monkeypatch.setattr(mrc.MrcHeader, "check_size", check_and_cut)
    with pytest.raises(MicrographError, match="truncated or its header is wrong"):
        read_image(path)


def test_an_image_that_was_read_stays_when_its_file_is_cut(tmp_path):
    path = save(tmp_path / "a.mrc", mrc_bytes())
    image = read_image(path)
    before = image.copy()
    os.truncate(path, 0)
    assert (image == before).all()


def test_a_bomb_is_judged_by_its_header(tmp_path):
    side = 2**15
    header = mrc_bytes((side, side), data=b"")
    path = tmp_path / "a.mrc.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(header)
        file.write(bytes(2**22))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(MicrographError, match="is compressed, and its header asks for"):
        read_image(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**16


def test_a_compressed_file_that_promises_too_much_takes_no_memory(tmp_path):
    path = save(tmp_path / "a.mrc.gz", gzip.compress(mrc_bytes((2**31 - 1, 2**31 - 1))))
    with pytest.raises(MicrographError, match="compressed, and its header asks for 1844"):
        read_image(path)
    assert image_shape(path) == (2**31 - 1, 2**31 - 1)


@given(block=st.binary(max_size=1100), marked=st.booleans())
def test_any_bytes_give_an_image_or_a_micrograph_error(tmp_path_factory, block, marked):
    content = bytearray(block)
    if marked and len(content) >= 212:
        content[208:212] = b"MAP "
    path = save(tmp_path_factory.mktemp("any") / "a.mrc", content)
    for function in (read_image, image_shape, read_pixel_size):
        try:
            outcome = function(path)
        except MicrographError as error:
            outcome = str(error)
        assert not isinstance(outcome, str) or outcome.startswith(f"{path}: ")


@given(
    fields=st.tuples(*[st.integers(-3, 5)] * 3, st.integers(-1, 13), st.integers(-9, 9)),
    order=st.sampled_from("<>"),
    extra=st.integers(0, 100),
)
def test_small_headers_are_read_if_and_only_if_they_fit(tmp_path_factory, fields, order, extra):
    nx, ny, nz, mode, nsymbt = fields
    data = bytes(range(extra))
    content = mrc_bytes((ny, nx), mode, order, data=data, nz=nz, nsymbt=nsymbt)
    path = save(tmp_path_factory.mktemp("small") / "a.mrc", content)
    plausible = nz == 1 and nx > 0 and ny > 0 and mode in MODES and nsymbt >= 0
    size = nsymbt + nx * ny * struct.calcsize(MODES[mode][1]) if plausible else None
    if size is None or size > extra:
        with pytest.raises(MicrographError, match=r"a\.mrc"):
            read_image(path)
        return
    image = read_image(path)
    number_type = np.dtype(MODES[mode][0]).newbyteorder(order)
    expected = np.frombuffer(data, number_type, nx * ny, nsymbt).reshape(ny, nx)
    np.testing.assert_array_equal(image, expected)


class TestWriteImage:
    def test_mrcfile_reads_it_back(self, tmp_path):
        image = np.random.default_rng(1).normal(100, 5, (31, 44))
        path = tmp_path / "deeper" / "a.mrc"
        write_image(path, image, 3.54)

        assert mrcfile.validate(path)
        with mrcfile.open(path) as file:
            np.testing.assert_array_equal(file.data, image.astype("f4"))
            header = file.header
            assert header.mode == 2
            assert (header.mx, header.my, header.mz) == (44, 31, 1)
            assert (header.mapc, header.mapr, header.maps) == (1, 2, 3)
            assert file.voxel_size.x == pytest.approx(3.54)
            assert file.voxel_size.y == pytest.approx(3.54)
            assert header.cella.x == pytest.approx(44 * 3.54)
            assert header.dmin == pytest.approx(image.min())
            assert header.dmax == pytest.approx(image.max())
            assert header.dmean == pytest.approx(image.mean())
            assert header.rms == pytest.approx(image.std(), rel=1e-4)

    def test_mark_and_stamp_are_in_their_places(self, tmp_path):
        write_image(tmp_path / "a.mrc", np.zeros((1, 1)), 1.0)
        content = (tmp_path / "a.mrc").read_bytes()
        assert content[208:214] == b"MAP " + STAMPS["<"][:2]
        assert len(content) == 1028

    @pytest.mark.parametrize("number_type", ["?", "i1", "u2", ">i4", "f2", ">f4", "f8"])
    def test_reads_back_what_it_wrote(self, tmp_path, number_type):
        image = np.arange(15).reshape(3, 5).astype(number_type)[:, ::-1]
        write_image(tmp_path / "a.mrc", image, 1.5)
        again = read_image(tmp_path / "a.mrc")
        assert again.dtype == np.float32
        np.testing.assert_array_equal(again, image)
        assert read_pixel_size(tmp_path / "a.mrc") == 1.5

    def test_equal_images_give_equal_files(self, tmp_path):
        image = np.ones((4, 4))
        write_image(tmp_path / "a.mrc", image, 1.0)
        write_image(tmp_path / "b.mrc", image, 1.0)
        assert (tmp_path / "a.mrc").read_bytes() == (tmp_path / "b.mrc").read_bytes()
        assert b"mrcfile" not in (tmp_path / "a.mrc").read_bytes()

    @pytest.mark.parametrize("shape", [(3,), (1, 3, 3), (0, 3), ()])
    def test_refuses_what_is_no_image(self, tmp_path, shape):
        with pytest.raises(UsageError, match=r"a\.mrc: an image must be a \(ny, nx\) array"):
            write_image(tmp_path / "a.mrc", np.zeros(shape), 1.0)
        assert not list(tmp_path.iterdir())

    def test_refuses_complex_numbers(self, tmp_path):
        with pytest.raises(UsageError, match="complex64"):
            write_image(tmp_path / "a.mrc", np.zeros((2, 2), "c8"), 1.0)

    @pytest.mark.parametrize("pixel_size", [0.0, -1.0, float("nan"), float("inf")])
    def test_refuses_a_senseless_pixel_size(self, tmp_path, pixel_size):
        with pytest.raises(UsageError, match=f"not {pixel_size}"):
            write_image(tmp_path / "a.mrc", np.zeros((2, 2)), pixel_size)

    @pytest.mark.parametrize("value", [np.nan, np.inf, -1e300])
    def test_refuses_what_float32_cannot_hold_and_leaves_the_old_file(self, tmp_path, value):
        path = save(tmp_path / "a.mrc", b"old")
        with pytest.raises(UsageError, match=r"a\.mrc: .* not finite"):
            write_image(path, np.full((2, 2), value), 1.0)
        assert path.read_bytes() == b"old"

    def test_a_failure_leaves_nothing_behind(self, tmp_path):
        (tmp_path / "a.mrc").mkdir()
        with pytest.raises(IsADirectoryError):
            write_image(tmp_path / "a.mrc", np.ones((2, 2)), 1.0)
        assert [entry.name for entry in tmp_path.iterdir()] == ["a.mrc"]
