# SPDX-License-Identifier: GPL-3.0-or-later
"""The diameter that a model was trained on, in the unit of whoever picks with it."""

import pytest

from scipion_pupick.engine.errors import MicrographError, UsageError
from scipion_pupick.engine.preprocessing.scale import (
    ANGSTROM,
    ModelScale,
    WorkingScale,
    pixels,
)


@pytest.mark.parametrize(
    ("own", "caller", "diameter"),
    [
        # trained in Å, or in px of 7 Å
        (ANGSTROM, ANGSTROM, 140.0),
        (ANGSTROM, pixels(7.0), 20.0),
        (pixels(7.0), ANGSTROM, 980.0),
        (pixels(7.0), pixels(14.0), 70.0),
        # the same pixel size, rounded
        (pixels(7.0), pixels(7.05), 140.0),
        (pixels(7.0), pixels(None), 140.0),
        (pixels(None), pixels(7.0), 140.0),
        # models of older versions have the unit of those who call with them
        (None, ANGSTROM, 140.0),
        (None, pixels(7.0), 140.0),
    ],
)
def test_a_models_diameter_is_turned_into_the_callers_unit(own, caller, diameter):
    scale = ModelScale(140.0, 24.0, own).of(None, caller)
    assert scale.diameter == pytest.approx(diameter)
    assert scale.diameter_px == 24.0


@pytest.mark.parametrize(
    ("own", "caller", "told"),
    [
        (ANGSTROM, pixels(None), "140 Å wide.*turned into px.*given is not known.*diameter, px"),
        (
            pixels(None),
            ANGSTROM,
            "140 px wide.*turned into Å.*trained on is not known.*diameter, Å",
        ),
    ],
)
def test_a_diameter_that_cannot_be_turned_into_the_callers_unit_is_refused(own, caller, told):
    with pytest.raises(UsageError, match=told) as caught:
        ModelScale(140.0, 24.0, own).of(None, caller)
    assert caught.value.settings == ("diameter",)
    assert ModelScale(140.0, 24.0, own).of(33.0, caller).diameter == 33.0


def test_a_general_model_has_no_diameter_in_any_unit():
    with pytest.raises(UsageError, match="diameter, px"):
        ModelScale(None).of(None, pixels(7.0))


@pytest.mark.parametrize(
    ("shape", "diameter_px"),
    [((4096, 4096), 13.6), ((5760, 4092), 12.0), ((1023, 1440), 6.5)],
)
def test_an_image_is_not_enlarged_beyond_what_a_particle_can_need(shape, diameter_px):
    with pytest.raises(MicrographError, match="so small that the image of .* check the diameter"):
        WorkingScale(diameter_px * 1.77).shape(shape, 1.77)


@pytest.mark.parametrize(
    ("shape", "diameter_px"),
    [((1024, 1024), 6.0), ((1023, 1440), 8.0), ((4092, 5760), 20.0), ((8184, 11520), 50.0)],
)
def test_binned_and_large_images_are_scaled(shape, diameter_px):
    height, width = WorkingScale(diameter_px).shape(shape, 1.0)
    assert height == pytest.approx(shape[0] * 24 / diameter_px, abs=1)
    assert width == pytest.approx(shape[1] * 24 / diameter_px, abs=1)


def test_widths_in_px_are_not_called_angstrom():
    scale = WorkingScale(5.0, 24.0, pixels(None))
    with pytest.raises(MicrographError) as caught:
        scale.shape((1024, 1024), 1.0)
    assert "only 5.0 px wide" in str(caught.value)
    assert "check the diameter (px)" in str(caught.value)
    assert "Å" not in str(caught.value)
