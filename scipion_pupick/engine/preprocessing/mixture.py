# SPDX-License-Identifier: GPL-3.0-or-later
"""Grey values made comparable between micrographs: a scaled mixture of two Gaussians.

The model is that of Bepler et al. (2019), Methods 2. Pixel i of micrograph k belongs to component
z = 1 with probability rho, else to z = 0 (say ice and carbon), and

    x_ik | z ~ N(alpha_k mu_z, (alpha_k sigma_z)^2),

with rho, mu and sigma shared by the set and one scale alpha_k a micrograph. The maximum of the
likelihood is found by expectation-maximisation (EM) over histograms, so its cost does not grow
with the number of pixels. A normalised pixel is (x / alpha_k - mu') / sigma', where (mu', sigma')
is the dominant component.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Dict, Iterator, List, Mapping, Sequence, Tuple

import numpy as np

from ..errors import MicrographError, UsageError
from .histogram import Array, Histogram

# Starts: the pixels above these quantiles, and those outside the central 60 %.
SPLITS = (0.1, 0.5, 0.9)
TAILS = 0.3
# Cycles (three EM steps each) for every start, then for the best; the tolerance in nats a
# pixel.
FIRST_CYCLES = 8
MOST_CYCLES = 60
LIKELIHOOD_TOLERANCE = 1e-9
LONGEST_JUMP = 50.0
LEAST_GAIN = 0.005
LEAST_WEIGHT = 1e-6
# In units of the standard deviation of all pixels; less is a collapse on one grey level.
LEAST_DEVIATION = 0.01


@dataclass(frozen=True)
class Mixture:
    """Two Gaussians of grey values at alpha = 1; component 0 is the darker one.

    Attributes:
        rho: share of the pixels in component 1.
        means: mu_0 and mu_1, in the grey values of the images (divided by alpha).
        deviations: sigma_0 and sigma_1, in the same unit.

    One Gaussian is written as two equal components with rho = 0.5.

    Raises:
        UsageError: a number is missing, not finite or out of its range.
    """

    rho: float
    means: Tuple[float, float]
    deviations: Tuple[float, float]

    def __post_init__(self) -> None:
        """Refuse numbers that are no mixture."""
        numbers = (self.rho, *self.means, *self.deviations)
        if not (np.isfinite(numbers).all() and 0 <= self.rho <= 1 and min(self.deviations) > 0):
            raise UsageError(
                f"{self} is no mixture of two Gaussians: it needs 0 <= rho <= 1, two finite means "
                "and two positive deviations. Fit the normalisation again."
            )

    @property
    def dominant(self) -> Tuple[float, float]:
        """Mean and deviation of the component with the most pixels (mu', sigma' of the paper)."""
        component = 0 if self.rho < 0.5 else 1
        return self.means[component], self.deviations[component]

    def to_dict(self) -> Dict[str, Any]:
        """Plain numbers for a JSON file."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Mixture:
        """The mixture that `to_dict` wrote, also after a round trip through JSON.

        Raises:
            UsageError: an entry is missing or is no number.
        """
        try:
            mean_0, mean_1 = (float(value) for value in values["means"])
            deviation_0, deviation_1 = (float(value) for value in values["deviations"])
            rho = float(values["rho"])
        except (KeyError, TypeError, ValueError) as error:
            raise UsageError(
                f"{values!r} does not describe a mixture of two Gaussians ({error!r}); it needs "
                "rho, two means and two deviations. Fit the normalisation again."
            ) from error
        return cls(rho, (mean_0, mean_1), (deviation_0, deviation_1))


def fit_mixture(histograms: Sequence[Histogram]) -> Tuple[Mixture, Array]:
    """Fit the shared mixture and one scale a micrograph (Bepler et al. 2019, Methods 2).

    The paper's model leaves a common factor of all scales open; here mean(log alpha) = 0, so a
    single micrograph has alpha = 1 and a plain mixture of two Gaussians that follows every affine
    change of its grey values. Over a set alpha multiplies, so the micrographs must share their
    zero; with the mean subtracted from each, alpha also takes up what carbon does to the spread
    and is no longer a mere gain, and a fit per micrograph is the safer choice.

    EM starts from several fixed splits of the grey values and goes on from the likeliest. Two
    Gaussians replace one only if they gain LEAST_GAIN nats a pixel (and, in small images, what the
    Bayesian information criterion asks). Pure noise gains 1e-6 and a crowd of particles as strong
    as the noise 3e-4, by splits that mean nothing and would shift the zero; carbon over 30 % of
    the image that differs from the ice by half a deviation in level and half in deviation gains
    0.007.

    Args:
        histograms: one a micrograph.

    Returns:
        The mixture and the scales alpha, shape (len(histograms),), float64.

    Raises:
        UsageError: there are no histograms.
        MicrographError: most pixels have nearly one value.
    """
    if not histograms:
        raise UsageError("The normalisation needs at least one micrograph to fit.")
    data = _pool(histograms)
    equal_halves = _start(data, np.full(data.values.shape, 0.5))
    single = _last(_climb(data, equal_halves, MOST_CYCLES))
    tries = [_last(_climb(data, _start(data, split), FIRST_CYCLES)) for split in _splits(data)]
    double = max(tries, key=lambda fit: fit.likelihood)
    pixels = data.counts.sum()
    wanted = max(LEAST_GAIN, 1.5 * np.log(pixels) / pixels)
    if double.likelihood - single.likelihood > wanted:
        return _in_grey_values(data, _last(_climb(data, double.theta, MOST_CYCLES)).theta)
    return _in_grey_values(data, single.theta)


def fit_scale(counted: Histogram, mixture: Mixture) -> float:
    """The scale alpha of one more micrograph under a mixture that is known.

    EM on alpha alone, from three starts (all pixels of component 0, of component 1, or shared as
    rho says): where the components lie far apart the likelihood has a maximum for each.
    """
    theta = _theta(mixture)
    weights, means, deviations, _ = _unpack(theta)
    data = _weigh(counted.values[None], counted.counts[None], np.ones(1))
    squares = means**2 + deviations**2
    size = np.sqrt(_mean(data.values**2, data.counts))
    starts = np.sqrt([*squares, weights @ squares]) / size
    fits = [_fit_factor(data, np.append(theta[:5], np.log(start))) for start in starts]
    return float(np.exp(-max(fits, key=lambda fit: fit.likelihood).theta[5]))


@dataclass(frozen=True)
class _Pool:
    """Histograms of K micrographs in common units, grey value / units[k].

    Attributes:
        values: shape (K, BINS).
        counts: shape (K, BINS).
        powers: counts times (1, value, value^2), shape (K, BINS, 3).
        units: grey values to the unit, shape (K,).
        least_deviation: smallest sigma of a component.
    """

    values: Array
    counts: Array
    powers: Array
    units: Array
    least_deviation: float


@dataclass(frozen=True)
class _Fit:
    """Parameters (see `_unpack`) and their log-likelihood in nats a pixel."""

    likelihood: float
    theta: Array


def _pool(histograms: Sequence[Histogram]) -> _Pool:
    """Put the micrographs on one scale by their root mean square, and its deviation to one."""
    values = np.stack([of_micrograph.values for of_micrograph in histograms])
    counts = np.stack([of_micrograph.counts for of_micrograph in histograms])
    sizes = np.sqrt((counts * values**2).sum(1) / counts.sum(1))
    sizes /= _geometric_mean(sizes)
    scaled = values / sizes[:, None]
    deviation = np.sqrt(_mean((scaled - _mean(scaled, counts)) ** 2, counts))
    return _weigh(scaled / deviation, counts, sizes * deviation)


def _weigh(values: Array, counts: Array, units: Array) -> _Pool:
    powers = counts[..., None] * np.stack([np.ones_like(values), values, values**2], axis=-1)
    # A component narrower than the step between the grey levels of a digital image means nothing.
    step = float(np.median(np.concatenate([np.diff(v[c > 0]) for v, c in zip(values, counts)])))
    return _Pool(values, counts, powers, units, min(max(step / 2, LEAST_DEVIATION), 1.0))


def _mean(values: Array, counts: Array) -> float:
    return float((counts * values).sum() / counts.sum())


def _geometric_mean(values: Array) -> float:
    return float(np.exp(np.log(values).mean()))


def _splits(data: _Pool) -> List[Array]:
    """Starting shares of component 1 in each bin, shape (K, BINS): bright pixels, or both tails."""
    order = np.argsort(data.values, axis=None)
    below = np.empty(order.size)
    below[order] = np.cumsum(data.counts.ravel()[order])
    rank = (below / below.max()).reshape(data.values.shape)
    bright = [rank > split for split in SPLITS]
    return [split.astype(np.float64) for split in [*bright, abs(rank - 0.5) > TAILS]]


def _start(data: _Pool, share: Array) -> Array:
    sums = np.stack([1 - share, share], axis=1) @ data.powers
    nothing = np.zeros(5 + len(data.counts))
    return _components(data, sums, np.ones(len(data.counts)), nothing)


def _last(fits: Iterator[_Fit]) -> _Fit:
    *_, last = fits
    return last


def _climb(data: _Pool, theta: Array, cycles: int) -> Iterator[_Fit]:
    """EM with squared extrapolation (SQUAREM; Varadhan & Roland 2008), never downhill.

    Overlapping components make plain EM creep for thousands of steps. Two steps, theta to first
    to second, tell direction and rate; the jump along them is kept only if it is likelier than
    first, else second is.
    """
    best = -np.inf
    for _ in range(cycles):
        likelihood, first = _step(data, theta)
        yield _Fit(likelihood, theta)
        if likelihood - best < LIKELIHOOD_TOLERANCE:
            return
        best = likelihood
        middle, second = _step(data, first)
        change = first - theta
        bend = second - first - change
        length = float(np.linalg.norm(change)) / max(float(np.linalg.norm(bend)), 1e-300)
        length = min(max(length, 1.0), LONGEST_JUMP)
        jump = _bounded(data, theta + 2 * length * change + length**2 * bend)
        reached, landed = _step(data, jump)
        theta = landed if reached >= middle else second


def _step(data: _Pool, theta: Array) -> Tuple[float, Array]:
    """Log-likelihood at theta (nats a pixel), and theta after one EM step."""
    likelihood, sums = _expect(data, theta)
    factors = _factors(sums, theta)
    return likelihood, _components(data, sums, factors / _geometric_mean(factors), theta)


def _expect(data: _Pool, theta: Array) -> Tuple[float, Array]:
    """E-step: log-likelihood, and the sums of r, r x and r x^2 over pixels, shape (K, 2, 3)."""
    weights, means, deviations, factors = _unpack(theta)
    distances = factors[:, None, None] * data.values[:, None] - means[:, None]
    distances /= deviations[:, None]
    logs = np.log(weights / deviations)[:, None] - 0.5 * distances**2
    top = logs.max(axis=1, keepdims=True)
    parts = np.exp(logs - top)
    total = parts.sum(axis=1, keepdims=True)
    pixels = data.counts.sum(axis=1)
    likelihood = np.vdot(data.counts, top + np.log(total)) + pixels @ np.log(factors)
    return float(likelihood / pixels.sum() - 0.5 * np.log(2 * np.pi)), parts / total @ data.powers


def _factors(sums: Array, theta: Array) -> Array:
    """M-step for a_k = 1 / alpha_k with the components held.

    The expected log-likelihood n log a - sum_z sum_i r (a x - mu_z)^2 / (2 sigma_z^2) of one
    micrograph is largest at the positive root of A a^2 - B a - n = 0, with
    A = sum r x^2 / sigma_z^2 and B = sum r x mu_z / sigma_z^2.
    """
    _, means, deviations, _ = _unpack(theta)
    quadratic = sums[:, :, 2] @ deviations**-2
    linear = sums[:, :, 1] @ (means / deviations**2)
    pixels = sums[:, :, 0].sum(axis=1)
    return (linear + np.sqrt(linear**2 + 4 * quadratic * pixels)) / (2 * quadratic)


def _components(data: _Pool, sums: Array, factors: Array, theta: Array) -> Array:
    """M-step for rho, mu and sigma with the factors held; a component without pixels stays."""
    count, first, second = np.einsum("kzp,kp->pz", sums, factors[:, None] ** np.arange(3))
    filled = count > 1e-9 * count.sum()
    count = np.maximum(count, 1e-9 * count.sum())
    means = np.where(filled, first / count, theta[1:3])
    variances = np.maximum(second / count - means**2, data.least_deviation**2)
    deviations = np.where(filled, 0.5 * np.log(variances), theta[3:5])
    odds = np.log(count[1] / count[0])
    return _bounded(data, np.concatenate([[odds], means, deviations, np.log(factors)]))


def _bounded(data: _Pool, theta: Array) -> Array:
    most = np.log(1 / LEAST_WEIGHT)
    odds = np.clip(theta[:1], -most, most)
    deviations = np.maximum(theta[3:5], np.log(data.least_deviation))
    return np.concatenate([odds, theta[1:3], deviations, theta[5:]])


def _unpack(theta: Array) -> Tuple[Array, Array, Array, Array]:
    """Weights (2,), means (2,), deviations (2,) and factors 1 / alpha (K,).

    theta is (log odds of component 1, mu_0, mu_1, log sigma_0, log sigma_1, log a_1 ... log a_K):
    coordinates in which every extrapolation has a meaning.
    """
    rho = 1 / (1 + np.exp(-theta[0]))
    return np.array([1 - rho, rho]), theta[1:3], np.exp(theta[3:5]), np.exp(theta[5:])


def _theta(mixture: Mixture) -> Array:
    rho = np.clip(mixture.rho, LEAST_WEIGHT, 1 - LEAST_WEIGHT)
    return np.array(
        [np.log(rho / (1 - rho)), *mixture.means, *np.log(mixture.deviations), 0.0], np.float64
    )


def _fit_factor(data: _Pool, theta: Array) -> _Fit:
    likelihood, sums = _expect(data, theta)
    for _ in range(MOST_CYCLES):
        before = likelihood
        theta = np.append(theta[:5], np.log(_factors(sums, theta)))
        likelihood, sums = _expect(data, theta)
        if likelihood - before < LIKELIHOOD_TOLERANCE:
            break
    return _Fit(likelihood, theta)


def _in_grey_values(data: _Pool, theta: Array) -> Tuple[Mixture, Array]:
    weights, means, deviations, factors = _unpack(theta)
    scales = data.units / factors
    unit = _geometric_mean(scales)
    dark, bright = np.argsort(means)
    mixture = Mixture(
        float(weights[bright]),
        (float(means[dark] * unit), float(means[bright] * unit)),
        (float(deviations[dark] * unit), float(deviations[bright] * unit)),
    )
    if mixture.dominant[1] < 1.01 * LEAST_DEVIATION * unit:
        raise MicrographError(
            f"Most of its pixels have nearly one grey value ({mixture.dominant[0]:.6g}): it is "
            "masked, padded or empty. Crop it or leave it out."
        )
    return mixture, scales / unit
