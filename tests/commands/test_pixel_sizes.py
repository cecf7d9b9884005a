# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run says and keeps of pixel sizes, and the hint where nothing is found."""

import json
import logging

import numpy as np
import pytest
from helpers.simulated import shared_model, simulate

from scipion_pupick.engine import PickSettings, find_micrographs, pick

MODELS_OWN = PickSettings()


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return shared_model(tmp_path_factory) / "model.safetensors"


def run(folder, model, settings=MODELS_OWN, pixel_size=None):
    simulate(folder / "mics" / "a.mrc", 0)
    micrographs = find_micrographs([str(folder / "mics")], pixel_size)
    pick(micrographs, model, folder / "out", settings, "cpu", 1, report=False)
    return json.loads((folder / "out" / "pick.json").read_text())


def test_the_record_has_the_pixel_size_and_its_source(model, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    record = run(tmp_path, model)
    assert record["pixel_sizes"] == [{"pixel_size": 4.0, "from": "header", "micrographs": 1}]
    assert "Pixel size: 4 Å/px, from the header." in caplog.text
    assert "No particle was found" not in caplog.text


def test_where_nothing_is_found_it_is_said_what_to_check(model, tmp_path, caplog):
    run(tmp_path, model, PickSettings(threshold=99.0))
    assert "No particle was found in any of 1 micrographs. Check the pixel size" in caplog.text
    assert "the diameter (96 Å) and the threshold (99.00)" in caplog.text


def test_where_hardly_anything_is_found_it_is_said_what_to_check(model, tmp_path, caplog):
    for seed, name in enumerate("ab"):
        simulate(tmp_path / "mics" / f"{name}.mrc", seed)
    micrographs = find_micrographs([str(tmp_path / "mics")])
    found = pick(micrographs, model, tmp_path / "out", MODELS_OWN, "cpu", 1, report=False)
    assert "fewer particles than micrographs" not in caplog.text
    *_, second, best = sorted(np.concatenate([c.score for c in found.picks.values()]))
    settings = PickSettings(threshold=float(second + best) / 2)
    pick(micrographs, model, tmp_path / "out", settings, "cpu", 1, report=False)
    assert "There are fewer particles than micrographs: 1 in 2. Check the pixel" in caplog.text


def test_a_particle_as_wide_as_a_third_of_the_image_is_doubted(model, tmp_path, caplog):
    run(tmp_path, model, pixel_size=1.0)
    assert "A particle is 96 px wide in" in caplog.text
    assert "The header of 1 micrographs" in caplog.text
