# SPDX-License-Identifier: GPL-3.0-or-later
"""The simulation job: its files, and what happens when it runs again."""

import json

import mrcfile
import numpy as np
import pytest
from helpers.programs import call_pupick

from scipion_pupick.engine.coordinates import read_picks
from scipion_pupick.engine.errors import PupickError, UsageError
from scipion_pupick.engine.jobs.simulate import simulate
from scipion_pupick.engine.micrographs import find_micrographs, match_names, read_pixel_size
from scipion_pupick.engine.simulation import (
    Contamination,
    Crowding,
    SimulationSettings,
    random_phantom,
    random_settings,
    with_fixed,
)

SHAPE = (96, 120)
SETTINGS = SimulationSettings(snr=1.0, crowding=Crowding(0.2, 0.7))


def contents(folder):
    return {p.name: p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def write_map(path, seed):
    phantom = random_phantom(np.random.default_rng(seed), 120.0)
    mrcfile.write(path, phantom.values, voxel_size=phantom.pixel_size)
    return path


@pytest.fixture
def first(tmp_path):
    folder = tmp_path / "simulated"
    return folder, simulate(folder, count=3, shape=SHAPE, seed=4, settings=SETTINGS)


def test_micrographs_truth_and_parameters_are_written(first):
    folder, result = first
    micrographs = find_micrographs([str(folder / "micrographs" / "*.mrc")])
    picks = read_picks(result.truth)
    assert [m.path for m in micrographs] == result.files
    assert len(match_names(list(picks), micrographs)) == len(picks) == 3
    for name, particles in picks.items():
        with mrcfile.open(folder / name) as file:
            assert file.data.shape == SHAPE
            assert file.data.dtype == np.float32
        said = json.loads((folder / name).with_suffix(".json").read_text())
        xy = np.column_stack([particles.x, particles.y])
        np.testing.assert_allclose(xy, said["particles"], atol=0.01)
        assert said["settings"]["crowding"]["coverage"] == 0.2
        assert said["pixel_size"] == pytest.approx(said["diameter"] / 24)
        assert read_pixel_size(folder / name) == pytest.approx(said["pixel_size"], rel=1e-5)


def test_particles_are_darker_than_what_is_between(first):
    folder, result = first
    for name, particles in result.particles.items():
        with mrcfile.open(folder / name) as file:
            image = file.data
            at = np.round([particles.y, particles.x]).astype(int)
            assert image[at[0], at[1]].mean() < image.mean()


def test_same_seed_gives_the_same_files(first, tmp_path):
    folder, _ = first
    simulate(tmp_path / "again", count=3, shape=SHAPE, seed=4, settings=SETTINGS)
    simulate(tmp_path / "other", count=3, shape=SHAPE, seed=5, settings=SETTINGS)
    assert contents(folder) == contents(tmp_path / "again")
    assert contents(folder) != contents(tmp_path / "other")


def test_stopped_run_is_taken_up(first):
    folder, _ = first
    whole = contents(folder)
    (folder / "micrographs" / "simulated_0001.json").unlink()
    (folder / "micrographs" / "simulated_0002.mrc").unlink()
    (folder / "particles.star").unlink()
    kept = folder / "micrographs" / "simulated_0000.mrc"
    written = kept.stat().st_mtime_ns
    simulate(folder, count=3, shape=SHAPE, seed=4, settings=SETTINGS)
    assert contents(folder) == whole
    assert kept.stat().st_mtime_ns == written


def test_another_count_adds_or_removes_micrographs(first):
    folder, _ = first
    more = simulate(folder, count=5, shape=SHAPE, seed=4, settings=SETTINGS)
    assert len(more.files) == len(list(folder.rglob("*.mrc"))) == 5
    fewer = simulate(folder, count=2, shape=SHAPE, seed=4, settings=SETTINGS)
    assert sorted(folder.rglob("*.mrc")) == fewer.files
    assert len(read_picks(fewer.truth)) == 2


def test_a_simulation_that_failed_at_once_may_be_corrected(tmp_path):
    (tmp_path / "micrographs").write_text("in the way")
    with pytest.raises(OSError, match="micrographs"):
        simulate(tmp_path, count=1, shape=SHAPE, settings=SETTINGS)
    (tmp_path / "micrographs").unlink()
    corrected = simulate(tmp_path, count=1, shape=SHAPE, seed=3, settings=SETTINGS)
    assert corrected.files == list(tmp_path.rglob("*.mrc"))


def test_another_simulation_is_only_overwritten_when_allowed(first):
    folder, _ = first
    before = contents(folder)
    with pytest.raises(UsageError, match="holds another simulation"):
        simulate(folder, count=1, shape=SHAPE, seed=9, settings=SETTINGS)
    assert contents(folder) == before
    result = simulate(folder, count=1, shape=SHAPE, seed=9, settings=SETTINGS, overwrite=True)
    assert sorted(folder.rglob("*.mrc")) == result.files


def test_files_of_others_are_left_alone(first):
    folder, _ = first
    mine = folder / "micrographs" / "simulated_by_me.txt"
    mine.write_text("kept")
    simulate(folder, count=1, shape=SHAPE, seed=9, settings=SETTINGS, overwrite=True)
    assert mine.read_text() == "kept"


def test_maps_are_taken_in_turn_with_their_own_diameters(tmp_path):
    maps = [write_map(tmp_path / f"map{seed}.mrc", seed) for seed in (1, 2)]
    result = simulate(tmp_path / "out", maps, 3, SHAPE, settings=SETTINGS)
    said = [json.loads(path.with_suffix(".json").read_text()) for path in result.files]
    assert [s["density"] for s in said] == ["map1.mrc", "map2.mrc", "map1.mrc"]
    assert all(s["diameter"] == pytest.approx(120, rel=0.05) for s in said)


def test_a_map_that_has_changed_makes_another_simulation(tmp_path):
    path, folder = write_map(tmp_path / "map.mrc", 1), tmp_path / "out"
    simulate(folder, [path], 1, SHAPE, settings=SETTINGS)
    before = contents(folder)
    path.unlink()
    write_map(path, 2)
    with pytest.raises(UsageError, match="holds another simulation"):
        simulate(folder, [path], 2, SHAPE, settings=SETTINGS)
    assert contents(folder) == before
    simulate(folder, [path], 1, SHAPE, settings=SETTINGS, overwrite=True)
    assert contents(folder)["simulated_0000.mrc"] != before["simulated_0000.mrc"]


def test_a_folder_without_digests_of_its_maps_is_continued(tmp_path):
    path, folder = write_map(tmp_path / "map.mrc", 1), tmp_path / "out"
    simulate(folder, [path], 2, SHAPE, settings=SETTINGS)
    whole = contents(folder)
    record = json.loads(whole["simulation.json"])
    assert len(record.pop("map_digests")) == 1
    (folder / "simulation.json").write_text(json.dumps(record))
    (folder / "micrographs" / "simulated_0001.mrc").unlink()
    kept = (folder / "micrographs" / "simulated_0000.mrc").stat().st_mtime_ns
    simulate(folder, [path], 2, SHAPE, settings=SETTINGS)
    assert contents(folder) == whole
    assert (folder / "micrographs" / "simulated_0000.mrc").stat().st_mtime_ns == kept
    # from now on its maps are known
    path.unlink()
    write_map(path, 2)
    with pytest.raises(UsageError, match="holds another simulation"):
        simulate(folder, [path], 2, SHAPE, settings=SETTINGS)


def test_pixel_size_and_diameter_are_those_given(tmp_path):
    result = simulate(tmp_path, (), 1, SHAPE, pixel_size=4.0, diameter=90.0, settings=SETTINGS)
    said = json.loads(result.files[0].with_suffix(".json").read_text())
    assert (said["pixel_size"], said["diameter"]) == (4.0, 90.0)
    assert read_pixel_size(result.files[0]) == pytest.approx(4.0)


def test_phantoms_and_settings_differ_between_micrographs(tmp_path):
    result = simulate(tmp_path, count=4, shape=SHAPE, seed=1)
    said = [json.loads(path.with_suffix(".json").read_text()) for path in result.files]
    assert len({s["settings"]["snr"] for s in said}) == 4
    assert len({s["diameter"] for s in said}) == 4


def test_micrographs_without_particles_stay_in_the_result(tmp_path):
    nothing = SimulationSettings(crowding=Crowding(0.0), contamination=Contamination(crystals=1))
    result = simulate(tmp_path, count=2, shape=SHAPE, settings=nothing)
    assert [len(particles) for particles in result.particles.values()] == [0, 0]
    assert result.truth.is_file()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"count": 0}, "0 micrographs"),
        ({"shape": (0, 100)}, "100 x 0 px"),
        ({"pixel_size": -1.0}, "pixel size is -1"),
        ({"diameter": float("nan")}, "diameter is nan"),
        ({"seed": -1}, "seed is -1"),
        ({"fixed": {"defocus": float("inf")}}, "defocus is inf"),
        ({"fixed": {"dose": 1e19}}, "dose is 1e\\+19"),
        ({"fixed": {"b_factor": -50.0}}, "b_factor is -50"),
        ({"fixed": {"invert": 2.0}}, "invert is 2"),
        ({"fixed": {"microscope.voltage": 300000.0}}, "voltage is 300000 kV"),
        ({"fixed": {"contamination.crystals": -3.0}}, "crystals is -3"),
        ({"fixed": {"contamination.gold": 2.7}}, "gold is 2.7: it is a whole number"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(tmp_path, change, reason):
    with pytest.raises(UsageError, match=reason):
        simulate(tmp_path / "out", **change)
    assert not (tmp_path / "out").exists()


def test_a_particle_too_large_for_the_memory_is_told(tmp_path):
    with pytest.raises(PupickError, match="too little free memory"):
        simulate(tmp_path, count=1, shape=SHAPE, pixel_size=1e-4, diameter=100.0)


def test_single_settings_can_be_fixed_for_all_micrographs(tmp_path):
    fixed = ["defocus=12000", "contamination.gold=2", "invert=1", "ice.thickness=333"]
    arguments = ["--output", tmp_path, "--count", "2", "--size", "128", "128", "--set", *fixed]
    code, _, error = call_pupick("simulate", *arguments)
    assert code == 0, error
    for path in (tmp_path / "micrographs").glob("*.json"):
        used = json.loads(path.read_text())["settings"]
        assert used["defocus"] == {"u": 12000.0, "v": 12000.0, "angle": 0.0}
        assert used["contamination"]["gold"] == 2
        assert used["invert"] is True
        assert used["ice"]["thickness"] == 333.0


def test_a_particle_that_the_microscope_does_not_show_has_no_signal_to_noise_ratio(tmp_path):
    nothing = {"defocus": 0.0, "microscope.cs": 0.0, "microscope.amplitude_contrast": 0.0}
    simulate(tmp_path / "dark", count=1, shape=SHAPE, fixed=nothing, settings=SimulationSettings())
    with pytest.raises(UsageError, match=r"no contrast .* ratio of 0\.2"):
        simulate(tmp_path / "out", count=1, shape=SHAPE, fixed={**nothing, "snr": 0.2})


def test_a_defocus_and_a_part_of_it_are_both_fixed():
    drawn = random_settings(np.random.default_rng(0))
    for names in (["defocus", "defocus.angle"], ["defocus.angle", "defocus"]):
        values = {"defocus": 12000.0, "defocus.angle": 30.0}
        defocus = with_fixed(drawn, {name: values[name] for name in names}).defocus
        assert (defocus.u, defocus.v, defocus.angle) == (12000, 12000, 30)


@pytest.mark.parametrize("wrong", ["dosis=40", "dose=0", "ice=3", "snr=abc"])
def test_settings_that_make_no_sense_are_refused(tmp_path, wrong):
    code, _, error = call_pupick("simulate", "--output", tmp_path / "out", "--set", wrong)
    assert code == 2
    assert wrong.split("=")[0] in error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["coverage", "separation"])
def test_what_is_not_fixed_makes_room(name):
    """Such settings are drawn at random, and the user knows of the fixed one alone."""
    fixed = {"coverage": 0.7, "separation": 1.7}[name]
    for seed in range(50):
        drawn = random_settings(np.random.default_rng(seed))
        crowding = with_fixed(drawn, {f"crowding.{name}": fixed}).crowding
        assert getattr(crowding, name) == fixed
        assert crowding.coverage * crowding.separation**2 <= 0.45 + 1e-9


def test_the_order_of_fixed_settings_says_nothing():
    pairs = {"crowding.coverage": 1.0, "crowding.separation": 0.5}
    settings = SimulationSettings()
    backwards = dict(reversed(list(pairs.items())))
    assert with_fixed(settings, pairs) == with_fixed(settings, backwards)
    with pytest.raises(UsageError, match="coverage"):
        with_fixed(settings, {"crowding.coverage": 1.0, "crowding.separation": 0.9})
