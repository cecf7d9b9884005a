# SPDX-License-Identifier: GPL-3.0-or-later
"""Preprocessing from files to files: size, pixel size, grey values, and what fails."""

from pathlib import Path

import mrcfile
import numpy as np
import pytest
from helpers.simulated import DIAMETER, draw, place, simulate, simulate_set, write_mrc
from scipy import signal

from scipion_pupick.engine import find_micrographs, preprocess
from scipion_pupick.engine.errors import UsageError
from scipion_pupick.engine.files.lock import only_owner


def run(source, output, **options):
    return preprocess(find_micrographs([str(source)]), DIAMETER, output, threads=1, **options)


def read(path):
    with mrcfile.open(path) as file:
        return file.data.copy(), file.voxel_size


@pytest.mark.parametrize(
    ("pixel_size", "diameter_px", "width"), [(4.0, 24.0, 256), (2.0, 24.0, 128), (3.0, 16.0, 128)]
)
def test_size_and_pixel_size_follow_the_diameter(tmp_path, pixel_size, diameter_px, width):
    simulate(tmp_path / "in" / "m.mrc", 0, pixel_size=pixel_size, particles=5)
    result = run(tmp_path / "in", tmp_path / "out", diameter_px=diameter_px)
    image, voxel_size = read(result.written[0])
    assert image.shape == (width, width)
    assert image.dtype == np.float32
    assert float(voxel_size.x) == pytest.approx(DIAMETER / diameter_px, rel=0.01)
    assert float(voxel_size.y) == float(voxel_size.x)
    assert mrcfile.validate(result.written[0])


def test_an_image_is_that_of_fourier_resampling(tmp_path):
    random = np.random.default_rng(0)
    image = draw((240, 320), place((240, 320), 6, 60.0, random), 48.0, random)
    write_mrc(tmp_path / "in" / "m.mrc", 17 + 5 * image, 2.0)
    result = run(tmp_path / "in", tmp_path / "out", normalisation="affine")
    written, _ = read(result.written[0])
    expected = signal.resample(signal.resample(image, 120, axis=0), 160, axis=1)
    expected = (expected - expected.mean()) / expected.std()
    # the highest frequency, which scipy keeps, is dropped
    assert np.corrcoef(written.ravel(), expected.ravel())[0, 1] > 0.99


@pytest.mark.parametrize("normalisation", ["micrograph", "joint"])
def test_the_background_has_mean_0_and_deviation_1(tmp_path, normalisation):
    for seed, (gain, offset) in enumerate([(1, 0), (1, 0), (3, 0)]):
        random = np.random.default_rng(seed)
        image = 20 + draw((256, 256), place((256, 256), 8, 30.0, random), 24.0, random)
        write_mrc(tmp_path / "in" / f"m{seed}.mrc", gain * image + offset)
    for path in run(tmp_path / "in", tmp_path / "out", normalisation=normalisation).written:
        image, _ = read(path)
        assert np.median(image) == pytest.approx(0, abs=0.12)
        low, high = np.percentile(image, [25, 75])
        assert (high - low) / 1.349 == pytest.approx(1, abs=0.12)


def test_extreme_pixels_are_limited(tmp_path):
    simulate(tmp_path / "in" / "m.mrc", 0)
    with mrcfile.open(tmp_path / "in" / "m.mrc", "r+") as file:
        # too large for a hot pixel, which would be taken out
        file.data[100:110, 100:110] = 1e4
    image, _ = read(run(tmp_path / "in", tmp_path / "out").written[0])
    assert image.max() == pytest.approx(10)


def test_the_folders_of_the_names_are_mirrored(tmp_path, monkeypatch):
    for folder in ("a", "b"):
        simulate_set(tmp_path / folder, [1], particles=5)
    monkeypatch.chdir(tmp_path)
    micrographs = find_micrographs(["a", "b"])
    result = preprocess(micrographs, DIAMETER, "out", threads=1)
    assert [path.as_posix() for path in result.written] == ["out/a/m1.mrc", "out/b/m1.mrc"]
    assert all(path.is_file() for path in result.written)


@pytest.mark.parametrize("normalisation", ["micrograph", "joint", "affine"])
def test_broken_micrographs_are_left_out(tmp_path, normalisation):
    simulate_set(tmp_path / "in", range(2), particles=5)
    write_mrc(tmp_path / "in" / "flat.mrc", np.full((256, 256), 3, np.float32))
    (tmp_path / "in" / "empty.mrc").write_bytes(b"")
    result = run(tmp_path / "in", tmp_path / "out", normalisation=normalisation)
    assert [path.name for path in result.written] == ["m0.mrc", "m1.mrc"]
    assert sorted(path.name for path in (tmp_path / "out").rglob("*.mrc")) == ["m0.mrc", "m1.mrc"]
    reasons = {name.rsplit("/", 1)[1]: reason for name, reason in result.failures.items()}
    assert reasons.keys() == {"flat.mrc", "empty.mrc"}
    assert "blank" in reasons["flat.mrc"]
    assert "0 bytes" in reasons["empty.mrc"]


@pytest.mark.parametrize("normalisation", ["micrograph", "joint"])
def test_all_broken_micrographs_are_no_crash(tmp_path, normalisation):
    write_mrc(tmp_path / "in" / "flat.mrc", np.full((256, 256), 3, np.float32))
    result = run(tmp_path / "in", tmp_path / "out", normalisation=normalisation)
    assert result.written == []
    assert len(result.failures) == 1


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"diameter_px": 0.0}, "0"),
        ({"diameter_px": float("nan")}, "nan"),
        ({"normalisation": "none"}, "none"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(tmp_path, options, text):
    simulate(tmp_path / "in" / "m.mrc", 0, particles=5)
    with pytest.raises(UsageError, match=text):
        run(tmp_path / "in", tmp_path / "out", **options)


def test_micrographs_that_would_share_a_file_are_refused(tmp_path):
    for name in ("m.mrc", "m.mrcs"):
        simulate(tmp_path / "in" / name, 0, particles=5)
    with pytest.raises(UsageError, match=r"m.mrc and .*m.mrcs would both be written"):
        run(tmp_path / "in", tmp_path / "out")


def test_no_micrograph_is_overwritten(tmp_path, monkeypatch):
    simulate(tmp_path / "mics" / "m.mrc", 0)
    before = (tmp_path / "mics" / "m.mrc").read_bytes()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=r"mics/m\.mrc would overwrite"):
        preprocess(find_micrographs(["mics"]), DIAMETER, ".", threads=1)
    assert (tmp_path / "mics" / "m.mrc").read_bytes() == before


def test_files_of_other_programs_are_replaced_only_if_that_is_allowed(tmp_path):
    simulate_set(tmp_path / "in", range(2), particles=5)
    paths = [Path(p) for p in run(tmp_path / "in", tmp_path / "out").written]
    # its own files, also with other settings
    run(tmp_path / "in", tmp_path / "out", diameter_px=16.0)
    (tmp_path / "out" / "preprocess.json").unlink()
    paths[1].write_bytes(b"denoised by another program")
    with pytest.raises(UsageError, match="was not written by pupick preprocess") as refused:
        run(tmp_path / "in", tmp_path / "out")
    assert refused.value.settings == ("overwrite",)
    assert paths[1].read_bytes() == b"denoised by another program"
    assert run(tmp_path / "in", tmp_path / "out", overwrite=True).written == paths


def test_two_at_once_in_one_folder_are_refused(tmp_path):
    simulate_set(tmp_path / "in", range(1), particles=5)
    (tmp_path / "out").mkdir()
    with only_owner(tmp_path / "out", "another"), pytest.raises(UsageError, match="in use by"):
        run(tmp_path / "in", tmp_path / "out")


def test_no_micrographs_are_refused(tmp_path):
    with pytest.raises(UsageError, match="no micrograph"):
        preprocess([], DIAMETER, tmp_path)


def test_one_that_fails_leaves_nothing_from_before(tmp_path):
    simulate_set(tmp_path / "in", range(2), particles=5)
    first = run(tmp_path / "in", tmp_path / "out")
    assert all(path.exists() for path in first.written)
    (tmp_path / "in" / "m1.mrc").write_bytes(b"no image")
    second = run(tmp_path / "in", tmp_path / "out", diameter_px=16.0)
    assert [path for path in first.written if path.exists()] == second.written
