# SPDX-License-Identifier: GPL-3.0-or-later
"""Picks from and to cryoSPARC's .cs files."""

import mrcfile
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scipion_pupick.engine.coordinates import Coordinates, convert, read_picks, write_picks
from scipion_pupick.engine.coordinates.assign_picks import assign_to_micrographs
from scipion_pupick.engine.errors import UsageError
from scipion_pupick.engine.micrographs import find_micrographs
from scipion_pupick.engine.micrographs.cryosparc import Exposure, read_exposures

FIELDS = [
    ("uid", "<u8"),
    ("location/micrograph_uid", "<u8"),
    ("location/micrograph_path", "S60"),
    ("location/micrograph_shape", "<u4", (2,)),
    ("location/center_x_frac", "<f4"),
    ("location/center_y_frac", "<f4"),
    ("pick_stats/ncc_score", "<f4"),
    ("ctf/df1_A", "<f4"),
]
NAME = "J1/imported/000000000000000000042_m0.mrc"


def particles():
    """Three particles of a micrograph of 400 rows and 600 columns."""
    records = np.zeros(3, FIELDS)
    records["uid"] = [2**63 + 1, 7, 9]
    records["location/micrograph_uid"] = 42
    records["location/micrograph_path"] = NAME.encode()
    records["location/micrograph_shape"] = (400, 600)
    records["location/center_x_frac"] = [0.25, 0.5, 0.75]
    records["location/center_y_frac"] = [0.1, 0.2, 0.3]
    records["pick_stats/ncc_score"] = [0.5, 0.25, 1]
    records["ctf/df1_A"] = 12345
    return records


def save(path, records, **how):
    with path.open("wb") as file:
        np.save(file, records, **how)
    return path


def test_places_are_fractions_of_columns_and_rows_from_the_first(tmp_path):
    picks = read_picks(save(tmp_path / "particles.cs", particles()))
    assert list(picks) == [NAME]
    np.testing.assert_allclose(picks[NAME].xy, [[150, 40], [300, 80], [450, 120]])
    assert picks[NAME].score.tolist() == [0.5, 0.25, 1]


def test_rows_can_be_counted_from_the_last(tmp_path):
    path = save(tmp_path / "particles.cs", particles())
    assert read_picks(path, "cs-from-last-row")[NAME].y.tolist() == [360, 320, 280]
    convert(path, tmp_path / "turned.cs", "cs-from-last-row")
    assert read_picks(tmp_path / "turned.cs")[NAME].y.tolist() == [360, 320, 280]
    assert read_picks(tmp_path / "turned.cs", "cs-from-last-row")[NAME].y.tolist() == [40, 80, 120]


def test_particles_keep_their_uid_and_what_stands_with_them(tmp_path):
    path = save(tmp_path / "particles.cs", particles())
    picks = read_picks(path)
    write_picks({NAME: picks[NAME].select([2, 0])}, tmp_path / "some.cs")
    expected = particles()[[2, 0]]
    written = np.load(tmp_path / "some.cs", allow_pickle=False)
    assert written.dtype == expected.dtype
    for field in expected.dtype.names:
        assert written[field].tolist() == expected[field].tolist()


def test_shifts_that_are_not_applied_are_said(tmp_path, caplog):
    records = np.zeros(3, [*FIELDS, ("alignments3D/shift", "<f4", (2,))])
    for name in particles().dtype.names:
        records[name] = particles()[name]
    read_picks(save(tmp_path / "unaligned.cs", records))
    assert caplog.text == ""
    records["alignments3D/shift"] = 4
    picks = read_picks(save(tmp_path / "aligned.cs", records))
    np.testing.assert_allclose(picks[NAME].xy[0], [150, 40])
    assert "alignments3D/shift is not applied" in caplog.text


def test_picks_get_the_uid_of_the_exposure_that_they_are_on(tmp_path):
    exposures = np.zeros(1, [("uid", "<u8"), ("micrograph_blob/path", "S60"),
                             ("micrograph_blob/shape", "<u4", (2,))])  # fmt: skip
    exposures["uid"], exposures["micrograph_blob/path"] = 42, b"J1/imported/m0.mrc"
    exposures["micrograph_blob/shape"] = (400, 600)
    save(tmp_path / "exposures.cs", exposures)
    (tmp_path / "p.csv").write_text("micrograph,x,y,score\nm0.mrc,150,40,3\nm0.mrc,1,2,4\n")
    listed = [str(tmp_path / "exposures.cs")]
    convert(tmp_path / "p.csv", tmp_path / "p.cs", micrographs=listed)
    written = np.load(tmp_path / "p.cs", allow_pickle=False)
    assert written["location/micrograph_uid"].tolist() == [42, 42]
    assert written["location/micrograph_path"].tolist() == [b"J1/imported/m0.mrc"] * 2
    assert written["location/micrograph_shape"].tolist() == [[400, 600]] * 2
    assert len(set(written["uid"].tolist())) == 2
    np.testing.assert_allclose(written["location/center_x_frac"][0], 0.25)
    np.testing.assert_allclose(written["location/center_y_frac"][0], 0.1)
    assert written["pick_stats/ncc_score"].tolist() == [3, 4]


def test_picks_without_a_size_are_refused_and_images_tell_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "p.csv").write_text("micrograph,x,y\nm0.mrc,30,10\n")
    with pytest.raises(UsageError, match=r"size of m0\.mrc is not known") as caught:
        convert("p.csv", "p.cs")
    assert caught.value.settings == ("micrographs",)
    mrcfile.write("m0.mrc", np.zeros((40, 60), dtype=np.int8))
    convert("p.csv", "p.cs", micrographs=["m0.mrc"])
    np.testing.assert_allclose(read_picks("p.cs")["m0.mrc"].xy, [[30, 10]])


@pytest.mark.parametrize(
    ("shape", "factor", "said"),
    [
        ((400, 600), 1, ""),
        ((100, 150), 0.25, "are converted"),
        ((99, 149), 0.248, "are converted"),
        ((600, 400), 1, "not converted, as that is another image"),
    ],
)
def test_places_are_the_same_share_of_binned_micrographs(
    tmp_path, monkeypatch, caplog, shape, factor, said
):
    monkeypatch.chdir(tmp_path)
    mrcfile.write("m0.mrc", np.zeros(shape, dtype=np.int8))
    found = read_picks(save(tmp_path / "particles.cs", particles()))
    picks = assign_to_micrographs(found, find_micrographs(["m0.mrc"]), "picks")
    expected = np.array([[150, 40], [300, 80], [450, 120]]) * factor
    np.testing.assert_allclose(picks["m0.mrc"].xy, expected, atol=0.3 if shape[0] == 99 else 1e-9)
    assert (said in caplog.text) if said else not caplog.text
    if said:
        assert "600 x 400 px, by their .cs file" in caplog.text


def test_scaled_picks_are_no_longer_those_of_the_file():
    picks = Coordinates([1], [2], [3], np.zeros(1, FIELDS))
    assert picks.scaled(2).record is None
    assert picks.scaled(1).record is not None


def test_one_particle_in_two_files_is_refused(tmp_path):
    files = [save(tmp_path / f"{name}.cs", particles()) for name in "ab"]
    with pytest.raises(UsageError, match="3 particles of .* given twice"):
        read_picks(files)


def without(*fields):
    return particles()[[name for name in particles().dtype.names if name not in fields]].copy()


def exposures_only():
    return np.zeros(1, [("uid", "<u8"), ("micrograph_blob/path", "S9")])


def with_value(field, value):
    records = particles()
    records[field] = value
    return records


@pytest.mark.parametrize(
    ("records", "message"),
    [
        (without("location/center_x_frac"), "has no location/center_x_frac: give the file of"),
        (exposures_only(), "it lists micrographs, not particles"),
        (np.zeros(3), "is a NumPy array, but not a table"),
        (with_value("location/center_y_frac", 40), r"record 1: .*y_frac is 40, not a fraction"),
        (with_value("location/center_x_frac", np.nan), "record 1: .* is nan, not a fraction"),
        (
            with_value("location/micrograph_shape", 0),
            r"record 1: the micrograph has the shape \[0 0",
        ),
    ],
)
def test_bad_records_are_named(tmp_path, records, message):
    with pytest.raises(UsageError, match=rf"p\.cs.*{message}"):
        read_picks(save(tmp_path / "p.cs", records))


def test_objects_are_never_loaded(tmp_path):
    save(tmp_path / "p.cs", particles().astype(object), allow_pickle=True)
    with pytest.raises(UsageError, match="holds Python objects"):
        read_picks(tmp_path / "p.cs")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x94CSDAT\x01", "internal format"),
        (b"\x93NUMPY\x01\x00\x05\x00{1:2}", "broken"),
        (b"\x93NUMPY\x09\x00", "broken"),
        (b"data_\n", "is not a .cs file"),
        (b"", "is not a .cs file"),
    ],
)
def test_other_files(tmp_path, content, message):
    (tmp_path / "p.cs").write_bytes(content)
    with pytest.raises(UsageError, match=message):
        read_picks(tmp_path / "p.cs")


def test_a_file_that_is_cut_off(tmp_path):
    path = save(tmp_path / "p.cs", particles())
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UsageError, match="it is cut off"):
        read_picks(path)


def test_exposures_need_their_fields(tmp_path):
    with pytest.raises(UsageError, match="has no micrograph_blob/shape"):
        read_exposures(save(tmp_path / "e.cs", exposures_only()))


def test_a_new_exposure_has_the_same_number_each_time():
    assert Exposure.of_file("a.mrc", (1, 2)) == Exposure.of_file("a.mrc", (1, 2))
    assert Exposure.of_file("a.mrc", (1, 2)).uid != Exposure.of_file("b.mrc", (1, 2)).uid


@given(st.data())
def test_any_change_of_bytes_gives_picks_or_a_clear_error(tmp_path_factory, data):
    path = save(tmp_path_factory.mktemp("f") / "p.cs", particles())
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        place = data.draw(st.integers(6, len(content) - 1))
        content[place] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(6, len(content)))])
    picks, message = outcome(path)
    assert "p.cs" in message
    assert all(np.isfinite(c.x).all() and np.isfinite(c.y).all() for c in picks.values())


def outcome(path):
    """Return what is read, or {} and the message of the one error that may come."""
    try:
        return read_picks(path), path.name
    except UsageError as error:
        return {}, str(error)
