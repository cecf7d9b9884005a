# SPDX-License-Identifier: GPL-3.0-or-later
"""Normalisation, against EM over every pixel, likelihoods on a grid and scikit-learn."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.stats import norm
from sklearn.mixture import GaussianMixture

from scipion_pupick.engine.errors import MicrographError, UsageError
from scipion_pupick.engine.preprocessing import mixture as module
from scipion_pupick.engine.preprocessing.histogram import histogram
from scipion_pupick.engine.preprocessing.mixture import Mixture, fit_mixture, fit_scale
from scipion_pupick.engine.preprocessing.normalise import normalise


def carbon_edge(carbon, mean, deviation, size=128, seed=0):
    """Ice N(0, 1); the left `carbon` of the columns is N(mean, deviation^2)."""
    image = np.random.default_rng(seed).normal(size=(size, size))
    columns = round(carbon * size)
    image[:, :columns] = image[:, :columns] * deviation + mean
    return image.astype(np.float32)


def gold_standard(images, starts=(0.1, 0.5, 0.9), steps=3000):
    """EM of the paper's model over all pixels; each alpha by a numerical search."""
    fits = [pixel_em(images, start, steps) for start in starts]
    return max(fits, key=lambda fit: fit[0])[1:]


def pixel_em(images, start, steps):
    pixels = [np.asarray(image, dtype=np.float64).ravel() for image in images]
    factors = np.array([1 / np.sqrt(np.mean(x**2)) for x in pixels])
    factors /= np.exp(np.log(factors).mean())
    bright = np.quantile(np.concatenate([a * x for a, x in zip(factors, pixels)]), start)
    shares = [(a * x > bright).astype(float) for a, x in zip(factors, pixels)]
    likelihood = -np.inf
    for _ in range(steps):
        scaled, r = np.concatenate([a * x for a, x in zip(factors, pixels)]), np.concatenate(shares)
        rho = r.mean()
        mu = np.array([np.average(scaled, weights=w) for w in (1 - r, r)])
        both = zip(mu, (1 - r, r))
        sigma = np.array([np.sqrt(np.average((scaled - m) ** 2, weights=w)) for m, w in both])
        parts = [density(a * x, rho, mu, sigma) for a, x in zip(factors, pixels)]
        shares = [part[1] / part.sum(0) for part in parts]
        gained = sum(np.log(p.sum(0) * a).sum() for p, a in zip(parts, factors))
        if gained - likelihood < 1e-9 * scaled.size:
            break
        likelihood = gained
        if len(images) > 1:
            factors = np.array(
                [best_factor(x, r, a, mu, sigma) for x, r, a in zip(pixels, shares, factors)]
            )
            factors /= np.exp(np.log(factors).mean())
    return likelihood, rho, mu, sigma, 1 / factors


def density(x, rho, mu, sigma):
    return np.stack([(1 - rho) * norm.pdf(x, mu[0], sigma[0]), rho * norm.pdf(x, mu[1], sigma[1])])


def best_factor(x, r, near, mu, sigma):
    def loss(log_factor):
        a = np.exp(log_factor)
        dark, bright = (a * x - mu[0]) / sigma[0], (a * x - mu[1]) / sigma[1]
        return np.sum((1 - r) * dark**2 + r * bright**2) / 2 - x.size * log_factor

    middle = np.log(near)
    found = minimize_scalar(
        loss, bounds=(middle - 1, middle + 1), method="bounded", options={"xatol": 1e-9}
    )
    return float(np.exp(found.x))


def pixel_likelihood(image, mixture, scale):
    x = np.asarray(image, dtype=np.float64).ravel() / scale
    return np.log(density(x, mixture.rho, mixture.means, mixture.deviations).sum(0) / scale).sum()


# --- histogram ---------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [32, 600])
def test_histogram_keeps_every_pixel_of_noise_and_their_mean(size):
    image = carbon_edge(0.3, -3, 1.5, size) + 1000
    counted = histogram(image)
    assert counted.counts.sum() == pytest.approx(image.size, abs=2)
    mean = (counted.values * counted.counts).sum() / counted.counts.sum()
    assert mean == pytest.approx(image.mean(dtype=np.float64), abs=1e-3)
    assert (np.diff(counted.values) > 0).all()


def test_histogram_holds_the_exact_values_of_a_digital_image():
    image = np.random.default_rng(0).integers(90, 110, (64, 64)).astype(np.float32)
    counted = histogram(image)
    values, counts = np.unique(image, return_counts=True)
    occupied = counted.counts > 0
    np.testing.assert_allclose(counted.values[occupied], values, rtol=1e-6)
    np.testing.assert_array_equal(counted.counts[occupied], counts)


def test_histogram_leaves_out_hot_and_dead_pixels():
    image = carbon_edge(0, 0, 1)
    image.flat[::1000] = 1e6
    image.flat[500::1000] = -1e6
    counted = histogram(image)
    assert abs(counted.values).max() < 10
    assert counted.counts.sum() == (abs(image) < 1e6).sum()


# --- mixture of one micrograph -----------------------------------------------------------------

CARBON = [(0.3, -3, 1.5), (0.3, -30, 3), (0.4, 2.5, 0.6), (0.05, -6, 2), (0.25, 0, 4), (0.8, -5, 2)]


@pytest.mark.parametrize(("carbon", "mean", "deviation"), CARBON)
def test_single_fit_equals_em_over_the_pixels(carbon, mean, deviation):
    image = carbon_edge(carbon, mean, deviation)
    mixture, scales = fit_mixture([histogram(image)])
    rho, mu, sigma, _ = gold_standard([image - image.mean()])
    order = np.argsort(mu)
    assert mixture.rho == pytest.approx([1 - rho, rho][order[1]], abs=3e-3)
    np.testing.assert_allclose(mixture.means, (mu + image.mean())[order], atol=1e-2)
    np.testing.assert_allclose(mixture.deviations, sigma[order], rtol=5e-3)
    np.testing.assert_allclose(scales, [1.0], rtol=1e-12)


def test_single_fit_equals_scikit_learn():
    image = carbon_edge(0.35, -4, 1.7, size=96)
    mixture, _ = fit_mixture([histogram(image)])
    pixels = image.astype(np.float64).reshape(-1, 1)
    judge = GaussianMixture(2, tol=1e-10, max_iter=5000, random_state=0).fit(pixels)
    order = np.argsort(judge.means_[:, 0])
    assert mixture.rho == pytest.approx(judge.weights_[order][1], abs=1e-3)
    np.testing.assert_allclose(mixture.means, judge.means_[order, 0], atol=5e-3)
    deviations = np.sqrt(judge.covariances_[order, 0, 0])
    np.testing.assert_allclose(mixture.deviations, deviations, rtol=3e-3)


def test_pure_noise_is_one_gaussian():
    image = carbon_edge(0, 0, 1, size=256) * 3 + 7
    mixture, _ = fit_mixture([histogram(image)])
    assert mixture.means[0] == mixture.means[1]
    assert mixture.dominant == pytest.approx((image.mean(), image.std()), rel=2e-3)


@pytest.mark.parametrize("seed", range(5))
def test_small_noise_image_is_not_split_either(seed):
    image = np.random.default_rng(seed).normal(size=(12, 12)).astype(np.float32)
    assert normalise(image) == pytest.approx(normalise(image, "affine"), abs=0.05)


# --- the set -----------------------------------------------------------------------------------


def micrograph_set(alphas, carbons, ice=(100, 2), carbon=(70, 3), size=48):
    rng = np.random.default_rng(1)
    images = []
    for alpha, share in zip(alphas, carbons):
        image = rng.normal(*ice, (size, size))
        columns = round(share * size)
        image[:, :columns] = rng.normal(*carbon, (size, columns))
        images.append((alpha * image).astype(np.float32))
    return images


@pytest.mark.parametrize(
    ("ice", "carbon"), [((100, 2), (70, 3)), ((100, 4), (88, 6)), ((3, 1), (-3, 2))]
)
def test_joint_fit_equals_em_over_the_pixels(ice, carbon):
    images = micrograph_set([0.7, 1.0, 1.6], [0.3, 0.2, 0.0], ice, carbon)
    mixture, scales = fit_mixture([histogram(image) for image in images])
    rho, mu, sigma, alphas = gold_standard(images)
    assert mixture.rho == pytest.approx(rho, abs=2e-3)
    np.testing.assert_allclose(mixture.means, mu, atol=5e-3 * sigma.max())
    np.testing.assert_allclose(mixture.deviations, sigma, rtol=5e-3)
    np.testing.assert_allclose(scales, alphas, rtol=2e-3)


def test_joint_fit_recovers_the_truth_it_was_drawn_from():
    alphas = np.array([0.6, 0.9, 1.0, 1.4, 2.0])
    images = micrograph_set(alphas, [0, 0.5, 0.3, 0.2, 0.1], size=96)
    mixture, scales = fit_mixture([histogram(image) for image in images])
    gauge = np.exp(np.log(alphas).mean())
    assert np.log(scales).mean() == pytest.approx(0, abs=1e-12)
    np.testing.assert_allclose(scales, alphas / gauge, rtol=1e-3)
    assert mixture.dominant == pytest.approx((100 * gauge, 2 * gauge), rel=0.02)
    assert mixture.rho == pytest.approx(1 - 0.22, abs=0.01)


def test_joint_fit_does_not_depend_on_the_order():
    images = micrograph_set([0.7, 1.0, 1.6], [0.3, 0.2, 0.0])
    counted = [histogram(image) for image in images]
    mixture, scales = fit_mixture(counted)
    turned, turned_scales = fit_mixture(counted[::-1])
    assert turned.dominant == pytest.approx(mixture.dominant, rel=1e-6)
    np.testing.assert_allclose(turned_scales[::-1], scales, rtol=1e-6)


@pytest.mark.parametrize("level", [0, 50])
def test_a_set_of_noise_has_one_gaussian_and_its_gains(level):
    rng = np.random.default_rng(3)
    gains = np.array([0.5, 1, 2])
    images = [gain * rng.normal(level, 1, (128, 128)) for gain in gains]
    mixture, scales = fit_mixture([histogram(image) for image in images])
    np.testing.assert_allclose(scales, gains, rtol=0.02)
    assert mixture.means[0] == mixture.means[1] == pytest.approx(level, abs=0.02)
    assert mixture.deviations == pytest.approx((1, 1), rel=0.02)


@pytest.mark.parametrize("images", [1, 3])
@pytest.mark.parametrize("case", [(100, 88, 6), (100, 98, 6), (0, -1, 1.3)])
def test_likelihood_never_decreases(images, case):
    ice, carbon, deviation = case
    alphas, carbons = [0.7, 1.0, 1.6][:images], [0.3, 0.2, 0.5][:images]
    drawn = micrograph_set(alphas, carbons, (ice, 1), (carbon, deviation))
    data = module._pool([histogram(image) for image in drawn])
    for split in module._splits(data):
        fits = list(module._climb(data, module._start(data, split), 40))
        likelihoods = np.array([fit.likelihood for fit in fits])
        assert len(likelihoods) > 2
        assert np.diff(likelihoods).min() >= -1e-12
        plain = module._step(data, fits[0].theta)[1]
        assert module._step(data, plain)[0] >= likelihoods[0] - 1e-12


@pytest.mark.parametrize("levels", [0.5, 2, 10])
def test_likelihood_never_decreases_where_components_would_collapse(levels):
    image = np.round(carbon_edge(0.3, -3, 1.5, size=64) * levels)
    image[:, 50:] = 5 * levels
    data = module._pool([histogram(image)])
    for split in module._splits(data):
        fits = list(module._climb(data, module._start(data, split), 40))
        assert np.diff([fit.likelihood for fit in fits]).min() >= -1e-12
        assert np.exp(fits[-1].theta[3:5]).min() >= data.least_deviation * (1 - 1e-12)


def test_component_that_loses_all_pixels_stays_where_it_is():
    data = module._pool([histogram(carbon_edge(0, 0, 1))])
    far = np.array([0.0, 0.0, 1e6, 0.0, 0.5, 0.0])
    likelihood, after = module._step(data, far)
    np.testing.assert_array_equal(after[[2, 4]], far[[2, 4]])
    assert 1 / (1 + np.exp(-after[0])) == pytest.approx(module.LEAST_WEIGHT, rel=1e-3)
    assert module._step(data, after)[0] > likelihood


# --- one more micrograph under a known mixture ---------------------------------------------------

SHARED = Mixture(0.7, (70.0, 100.0), (3.0, 2.0))


@pytest.mark.parametrize("alpha", [0.2, 1.0, 7.0])
@pytest.mark.parametrize("carbon", [0.0, 0.3, 0.9, 1.0])
def test_scale_of_a_micrograph_with_any_share_of_carbon(alpha, carbon):
    (image,) = micrograph_set([alpha], [carbon])
    assert fit_scale(histogram(image), SHARED) == pytest.approx(alpha, rel=2e-3)


@pytest.mark.parametrize(
    "mixture",
    [SHARED, Mixture(0.6, (-2.0, 0.1), (2.0, 1.0)), Mixture(0.5, (0.0, 0.0), (1.5, 1.5))],
)
def test_scale_is_the_likeliest_on_a_grid(mixture):
    image = micrograph_set([1.3], [0.35], *zip(mixture.means[::-1], mixture.deviations[::-1]))[0]
    scale = fit_scale(histogram(image), mixture)
    grid = 1.3 * np.geomspace(0.7, 1.4, 701)
    likelihoods = [pixel_likelihood(image, mixture, each) for each in grid]
    assert scale == pytest.approx(grid[np.argmax(likelihoods)], rel=2e-3)


@pytest.mark.parametrize("rho", [0.0, 1.0])
def test_scale_under_a_mixture_with_an_empty_component(rho):
    (image,) = micrograph_set([2.0], [1.0 - rho])
    mixture = Mixture(rho, SHARED.means, SHARED.deviations)
    assert fit_scale(histogram(image), mixture) == pytest.approx(2.0, rel=2e-3)


# --- normalise -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("mean", "deviation"), [(-3, 1.5), (4, 2), (-1, 2), (0, 2), (-30, 3)])
def test_ice_beside_carbon_becomes_standard(mean, deviation):
    image = carbon_edge(0.3, mean, deviation, size=256) * 12 + 400
    ice = normalise(image)[:, 77:]
    assert ice.mean() == pytest.approx(0, abs=0.03)
    assert ice.std() == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("carbon", [0, 0.3])
@pytest.mark.parametrize("value", [1000, -1000])
def test_hot_pixels_change_less_than_a_percent(carbon, value):
    image = carbon_edge(carbon, -4, 1.5, size=256)
    spoilt = image.copy()
    hot = np.random.default_rng(5).choice(image.size, image.size // 1000, replace=False)
    spoilt.flat[hot] = value
    clean, dirty = normalise(image), normalise(spoilt)
    assert dirty.flat[hot] == pytest.approx(value, rel=0.02)
    kept = np.delete(np.arange(image.size), hot)
    np.testing.assert_allclose(dirty.flat[kept], clean.flat[kept], rtol=0.01, atol=0.01)


def test_noise_comes_out_as_with_affine():
    image = carbon_edge(0, 0, 1, size=256) * 5 - 20
    np.testing.assert_allclose(normalise(image), normalise(image, "affine"), atol=0.01)


def test_weak_particles_come_out_as_with_affine():
    image = carbon_edge(0, 0, 1, size=256)
    y, x = np.mgrid[:24, :24] - 11.5
    ball = np.sqrt(np.clip(144 - x**2 - y**2, 0, None)) / 12
    for row, column in np.random.default_rng(2).integers(0, 232, (25, 2)):
        image[row : row + 24, column : column + 24] -= ball
    np.testing.assert_allclose(normalise(image), normalise(image, "affine"), rtol=0.03, atol=0.03)


def test_affine_has_mean_zero_and_deviation_one():
    image = carbon_edge(0.3, -3, 1.5) + 1e4
    result = normalise(image, "affine")
    assert result.dtype == np.float32
    assert result.shape == image.shape
    assert result.mean(dtype=np.float64) == pytest.approx(0, abs=1e-5)
    assert result.std(dtype=np.float64) == pytest.approx(1, abs=1e-5)


@settings(max_examples=25)
@given(
    gain=st.floats(1e-3, 1e3),
    offset=st.floats(-100, 100),
    kind=st.sampled_from([(0, 0, 1), (0.3, -3, 1.5), (0.4, 1, 0.5)]),
    method=st.sampled_from(["gmm", "affine"]),
)
def test_gain_and_offset_do_not_matter(gain, offset, kind, method):
    image = carbon_edge(*kind, size=64)
    moved = (gain * (image.astype(np.float64) + offset)).astype(np.float32)
    np.testing.assert_allclose(normalise(moved, method), normalise(image, method), atol=1e-4)


def test_shared_mixture_gives_the_paper_formula_and_ignores_the_gain():
    image = micrograph_set([1.7], [0.3])[0]
    scale = fit_scale(histogram(image), SHARED)
    result = normalise(image, mixture=SHARED)
    np.testing.assert_allclose(result, (image / scale - 100) / 2, atol=1e-3)
    np.testing.assert_allclose(normalise(image * 8, mixture=SHARED), result, atol=1e-3)
    assert result[:, 20:].std() == pytest.approx(1, abs=0.05)


def test_image_is_left_untouched_and_the_result_repeats():
    image = carbon_edge(0.3, -3, 1.5)
    before = image.copy()
    np.testing.assert_array_equal(normalise(image), normalise(image))
    np.testing.assert_array_equal(image, before)


def test_integers_are_welcome():
    image = np.random.default_rng(0).normal(30000, 900, (64, 64)).astype(np.uint16)
    np.testing.assert_array_equal(normalise(image), normalise(image.astype(np.float32)))


@pytest.mark.parametrize(
    "draw",
    [
        lambda rng: rng.integers(0, 2, (64, 64)),
        lambda rng: rng.random((64, 64)) < 0.1,
        lambda rng: rng.poisson(0.5, (64, 64)),
        lambda rng: rng.poisson(3.0, (64, 64)),
        lambda rng: np.clip(rng.normal(120, 10, (64, 64)), 0, 255).astype(np.uint8),
    ],
    ids=["binary", "sparse", "few counts", "counts", "8-bit"],
)
def test_digital_images_do_not_collapse_on_one_grey_level(draw):
    image = draw(np.random.default_rng(4)).astype(np.float32)
    result = normalise(image)
    assert np.isfinite(result).all()
    assert 0.9 < result.std() < 1.6


# --- what cannot be normalised -------------------------------------------------------------------


@pytest.mark.parametrize("method", ["gmm", "affine"])
@pytest.mark.parametrize("value", [0, 1, -3e4])
def test_constant_image_is_blank(value, method):
    image = np.full((32, 32), value, np.float32)
    with pytest.raises(MicrographError, match="blank"):
        normalise(image, method)


@pytest.mark.parametrize("method", ["gmm", "affine"])
def test_rounding_noise_is_blank(method):
    image = np.float32(1000) * (1 + 1e-7 * carbon_edge(0, 0, 1))
    assert np.ptp(image) > 0
    with pytest.raises(MicrographError, match="blank"):
        normalise(image, method)


def test_a_few_pixels_on_a_constant_are_blank():
    image = np.ones((64, 64), np.float32)
    image[10, 10:15] = 50
    with pytest.raises(MicrographError, match="blank"):
        normalise(image)


def test_one_bright_pixel_of_a_hundred_is_no_reason_to_fail():
    image = np.zeros((10, 10), np.float32)
    image[4, 4] = 1000
    np.testing.assert_allclose(normalise(image), normalise(image, "affine"), atol=1e-3)


@pytest.mark.parametrize("offset", [-1e4, 1e4])
def test_offset_of_ten_thousand_deviations(offset):
    image = carbon_edge(0.3, -3, 1.5)
    moved = (image + np.float32(offset)).astype(np.float32)
    np.testing.assert_allclose(normalise(moved), normalise(image), atol=5e-3)


def test_padding_over_most_of_the_image_is_named():
    image = carbon_edge(0, 0, 1) + 100
    image[:, :90] = 0
    with pytest.raises(MicrographError, match="one grey value"):
        normalise(image)


def test_padding_over_a_part_of_the_image_is_left_out():
    image = carbon_edge(0, 0, 1) + 100
    image[:, :30] = 0
    ice = normalise(image)[:, 30:]
    assert (ice.mean(), ice.std()) == pytest.approx((0, 1), abs=0.02)


@pytest.mark.parametrize("method", ["gmm", "affine"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38])
def test_one_pixel_that_is_no_grey_value(value, method):
    image = carbon_edge(0, 0, 1)
    image[3, 4] = value
    with pytest.raises(MicrographError, match="NaN, infinite"):
        normalise(image, method)


def test_image_without_pixels():
    with pytest.raises(MicrographError, match="no pixels"):
        normalise(np.zeros((0, 5), np.float32))


def test_unknown_method_and_affine_with_a_mixture():
    image = carbon_edge(0, 0, 1)
    with pytest.raises(UsageError, match="'median' without"):
        normalise(image, "median")
    with pytest.raises(UsageError, match="'affine' with"):
        normalise(image, "affine", SHARED)


def test_a_set_without_micrographs():
    with pytest.raises(UsageError, match="at least one"):
        fit_mixture([])


# --- the mixture as a record ---------------------------------------------------------------------


def test_mixture_survives_json():
    mixture, _ = fit_mixture([histogram(carbon_edge(0.3, -3, 1.5))])
    assert Mixture.from_dict(json.loads(json.dumps(mixture.to_dict()))) == mixture


@pytest.mark.parametrize(("rho", "expected"), [(0.2, (1, 3)), (0.5, (2, 4)), (0.9, (2, 4))])
def test_dominant_component(rho, expected):
    assert Mixture(rho, (1, 2), (3, 4)).dominant == expected


@pytest.mark.parametrize(
    "change",
    [
        {"rho": 1.5},
        {"rho": float("nan")},
        {"rho": "half"},
        {"means": [1.0]},
        {"means": [1.0, float("inf")]},
        {"deviations": [1.0, 0.0]},
        {"deviations": [1.0, 2.0, 3.0]},
        {"means": None},
    ],
)
def test_damaged_record_is_refused(change):
    with pytest.raises(UsageError, match="mixture of two Gaussians"):
        Mixture.from_dict({**SHARED.to_dict(), **change})


@pytest.mark.parametrize("name", ["rho", "means", "deviations"])
def test_incomplete_record_is_refused(name):
    record = SHARED.to_dict()
    del record[name]
    with pytest.raises(UsageError, match=name):
        Mixture.from_dict(record)
