# SPDX-License-Identifier: GPL-3.0-or-later
"""Particles made from the atoms of proteins."""

import numpy as np
import pytest

from scipion_pupick.engine.errors import UsageError
from scipion_pupick.engine.simulation import Protein, read_proteins


def rod(length=100.0, radius=15.0):
    random = np.random.default_rng(0)
    xyz = random.uniform(-1, 1, (6000, 3)) * [radius, radius, length / 2]
    return xyz[np.hypot(xyz[:, 0], xyz[:, 1]) < radius] + [40.0, -3.0, 7.0]


def test_the_density_has_the_shape_of_the_atoms():
    density = Protein("rod", rod()).density()
    side = len(density.values)
    z, y, x = (np.indices(density.values.shape) - side // 2) * density.pixel_size
    mass = density.values / density.values.sum()
    # a cylinder: length² / 12 along its axis and radius² / 4 across, and the blur of an atom
    assert np.sqrt((mass * z**2).sum()) == pytest.approx(np.sqrt(100**2 / 12 + 9), rel=0.05)
    assert np.sqrt((mass * x**2).sum()) == pytest.approx(np.sqrt(15**2 / 4 + 9), rel=0.1)
    assert density.diameter == pytest.approx(100, rel=0.12)


def test_an_enlarged_protein_is_as_much_wider():
    protein = Protein("rod", rod())
    assert protein.density(1.5).diameter == pytest.approx(
        1.5 * protein.density().diameter, rel=0.02
    )


def test_an_archive_holds_several(tmp_path):
    xyz = np.arange(30, dtype=np.float16).reshape(10, 3)
    path = tmp_path / "proteins.npz"
    np.savez(path, names=np.array(["1ABC", "2XYZ"]), offsets=np.array([0, 4, 10]), xyz=xyz)
    first, second = read_proteins(path)
    assert (first.name, second.name) == ("1ABC", "2XYZ")
    np.testing.assert_array_equal(first.xyz, xyz[:4])
    np.testing.assert_array_equal(second.xyz, xyz[4:])


@pytest.mark.parametrize("content", [None, b"", b"no archive"])
def test_other_files_are_refused_by_name(tmp_path, content):
    path = tmp_path / "proteins.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=r"proteins\.npz: cannot be read as proteins"):
        read_proteins(path)


def test_an_archive_that_is_cut_off_and_a_single_array_are_refused(tmp_path):
    whole = tmp_path / "whole.npz"
    np.savez(whole, names=["1ABC"], offsets=[0, 500], xyz=np.random.default_rng(0).random((500, 3)))
    cut, single = tmp_path / "cut.npz", tmp_path / "single.npy"
    cut.write_bytes(whole.read_bytes()[:4000])
    np.save(single, np.zeros((9, 3)))
    for path in (cut, single):
        with pytest.raises(UsageError, match=rf"{path.name}: cannot be read as proteins"):
            read_proteins(path)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"names": []}, "0 names and 3 offsets"),
        ({"names": ["1ABC", "2XYZ", "3DEF"]}, "3 names and 3 offsets"),
        ({"offsets": [0.0, 4.0, 10.0]}, "no list of whole numbers"),
        ({"offsets": [0, 4, 11]}, "from 0 to 11 of 10 atoms"),
        ({"offsets": [-4, 4, 10]}, "from -4 to 10 of 10 atoms"),
        ({"offsets": [0, 10, 10]}, "2XYZ has fewer than 2 atoms"),
        ({"offsets": [0, 10, 4]}, "2XYZ has fewer than 2 atoms"),
        ({"xyz": np.ones((10, 2))}, r"shape \(10, 2\)"),
        ({"xyz": np.where(np.arange(30).reshape(10, 3) == 5, np.nan, 1.0)}, "1 of 10 atoms"),
    ],
)
def test_arrays_that_are_no_proteins_are_refused(tmp_path, change, reason):
    xyz = np.arange(30, dtype=np.float16).reshape(10, 3)
    path = tmp_path / "proteins.npz"
    np.savez(path, **{"names": ["1ABC", "2XYZ"], "offsets": [0, 4, 10], "xyz": xyz, **change})
    with pytest.raises(UsageError, match=rf"cannot be read as proteins: .*{reason}"):
        read_proteins(path)
