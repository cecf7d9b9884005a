# SPDX-License-Identifier: GPL-3.0-or-later
"""The contrast transfer function against published constants and its own zeros."""

import math

import numpy as np
import pytest
from scipy import fft

from scipion_pupick.engine.errors import UsageError
from scipion_pupick.engine.simulation import Defocus, Microscope, ctf


def zero_frequencies(wavelength, cs, contrast, defocus, count):
    """Solve π λ k² (Δf - λ² k² Cs / 2) + arcsin A = n π for k² by bisection, in 1/Å."""
    found = []
    for n in range(1, count + 1):
        low, high = 0.0, 0.5
        for _ in range(80):
            k = (low + high) / 2
            phase = math.pi * wavelength * k**2 * (defocus - 0.5e7 * cs * wavelength**2 * k**2)
            low, high = (k, high) if phase + math.asin(contrast) < n * math.pi else (low, k)
        found.append(low)
    return found


@pytest.mark.parametrize(
    ("voltage", "wavelength", "interaction"),
    # Kirkland's table of wavelengths and interaction parameters
    [(100, 0.03701, 9.244e-4), (200, 0.02508, 7.288e-4), (300, 0.01969, 6.526e-4)],
)
def test_constants_of_the_electron_are_the_published_ones(voltage, wavelength, interaction):
    microscope = Microscope(voltage)
    assert microscope.wavelength == pytest.approx(wavelength, rel=1e-3)
    assert microscope.interaction == pytest.approx(interaction, rel=1e-3)


@pytest.mark.parametrize("defocus", [6000.0, 15000.0, 28000.0])
def test_sign_changes_lie_at_the_zeros(defocus):
    size, pixel_size = 4096, 1.5
    values = ctf((1, size), pixel_size, Microscope(300, 2.7, 0.1), Defocus(defocus, defocus))[0]
    k = fft.rfftfreq(size, pixel_size)
    changes = k[:-1][np.sign(values[:-1]) != np.sign(values[1:])]
    expected = zero_frequencies(0.0196875, 2.7, 0.1, defocus, 3)
    np.testing.assert_allclose(changes[:3], expected, atol=1.5 / (size * pixel_size))


def test_protein_is_dark_from_zero_frequency_to_the_first_zero():
    values = ctf((1, 1024), 2.0, Microscope(300, 2.7, 0.1), Defocus())[0]
    first_zero = zero_frequencies(0.0196875, 2.7, 0.1, 15000, 1)[0]
    k = fft.rfftfreq(1024, 2.0)
    assert (values[k < 0.99 * first_zero] < 0).all()
    assert values[0] == pytest.approx(-0.1)


@pytest.mark.parametrize(("angle", "along_x"), [(0, 20000), (90, 10000), (45, 15000)])
def test_astigmatism_turns_with_its_angle(angle, along_x):
    microscope = Microscope(200, 2.0, 0.07)
    values = ctf((256, 256), 3.0, microscope, Defocus(20000, 10000, angle))
    row = ctf((1, 256), 3.0, microscope, Defocus(along_x, along_x))[0]
    np.testing.assert_allclose(values[0], row, atol=1e-4)


def test_astigmatism_is_measured_from_x_towards_y():
    values = ctf((256, 256), 3.0, Microscope(), Defocus(20000, 10000, 45))
    diagonal = np.arange(60)
    stronger = ctf((256, 256), 3.0, Microscope(), Defocus(20000, 20000))
    weaker = ctf((256, 256), 3.0, Microscope(), Defocus(10000, 10000))
    np.testing.assert_allclose(values[diagonal, diagonal], stronger[diagonal, diagonal], atol=1e-4)
    np.testing.assert_allclose(values[-diagonal, diagonal], weaker[-diagonal, diagonal], atol=1e-4)


def test_envelope_falls_as_the_b_factor_says():
    plain = ctf((64, 64), 2.5, Microscope(), Defocus())
    damped = ctf((64, 64), 2.5, Microscope(), Defocus(), 120.0)
    k2 = fft.fftfreq(64, 2.5)[:, None] ** 2 + fft.rfftfreq(64, 2.5) ** 2
    np.testing.assert_allclose(damped, plain * np.exp(-30 * k2), atol=1e-6)


@pytest.mark.parametrize("size", [(32, 48), (33, 47)])
def test_grid_is_that_of_rfft2(size):
    assert ctf(size, 2.0, Microscope(), Defocus()).shape == fft.rfft2(np.zeros(size)).shape


def test_impossible_microscopes_are_refused():
    with pytest.raises(UsageError, match="voltage is -300"):
        Microscope(-300)
    with pytest.raises(UsageError, match="amplitude contrast is 7"):
        Microscope(300, 2.7, 7)
