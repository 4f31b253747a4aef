"""Standard normal shocks of N draws: leading ones from a Sobol sequence, the rest independent; what follows from them.

Every block of independent numbers has a generator of its own and is filled draw by draw, so a longer sample starts with
the draws of a shorter one, and more of one thing does not change the numbers of another.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from exafleet.market.market import Floats

FACTORS = ("delay", "price", "rent", "demand", "power")
Z90 = 1.2815515655446004   # standard normal quantile of 90 %
LONGEST = 600.0            # months; a delay beyond any horizon is as good as never
TINY = 2.0**-32   # half a step of a Sobol point, which may be 0 itself


def leading(n: int, dimensions: int, seed: int, *, sobol: bool) -> Floats:
    """Uniform numbers in (0, 1) of n draws. [N, D]"""
    if n == 0 or dimensions == 0:
        return np.zeros((n, dimensions))
    if not sobol:
        return np.random.Generator(np.random.PCG64(seed)).random((n, dimensions)) * (1 - 2 * TINY) + TINY
    from scipy.stats import qmc

    rng = np.random.Generator(np.random.PCG64(seed))
    sequence = qmc.Sobol(dimensions, scramble=True, rng=rng) if _new() else qmc.Sobol(dimensions, seed=rng)
    points = sequence.random_base2(max(0, math.ceil(math.log2(n))))[:n]
    return np.asarray(np.clip(points, TINY, 1.0 - TINY))


def _new() -> bool:
    """SciPy 1.15 renamed `seed` to `rng`."""
    import scipy

    return tuple(int(part) for part in scipy.__version__.split(".")[:2]) >= (1, 15)


def normal(uniform: Floats) -> Floats:
    """Standard normal scores."""
    from scipy.special import ndtri

    return np.asarray(ndtri(uniform))


def spread_quantile(quantiles: Floats, scores: Floats) -> Floats:
    """A duration from its 10/50/90 % quantiles [D, 3] at standard normal scores [N, D]; same unit as the quantiles.

    Two half-lognormals that meet in the median, or two half-normals where the 10 % quantile is not positive.
    """
    low, mid, high = (quantiles[:, i] for i in range(3))
    late = scores > 0
    positive = low > 0
    safe = np.where(positive[:, None], quantiles, 1.0)
    ratio = np.where(late, np.log(safe[:, 2] / safe[:, 1]), np.log(safe[:, 1] / safe[:, 0]))
    step = np.where(late, high - mid, mid - low)
    share = scores / Z90
    with np.errstate(over="ignore"):
        drawn = np.where(positive, mid * np.exp(ratio * share), mid + step * share)
    return np.asarray(np.minimum(drawn, np.maximum(LONGEST, mid)))


def independent(n: int, shape: tuple[int, ...], seed: int, block: int) -> Floats:
    """Standard normal numbers of one block. [N, *shape]"""
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence((seed, block))))
    return rng.standard_normal((n, *shape))


def variance(months: Floats, half_life: float) -> Floats:
    """Of the log of a price after some months, for a yearly volatility of 1: a random walk, or one that goes back by
    half within `half_life` months."""
    if math.isinf(half_life):
        return np.asarray(months / 12.0)
    pull = math.log(2.0) * 12.0 / half_life
    return np.asarray(-np.expm1(-2.0 * pull * months / 12.0) / (2.0 * pull))


def path(end: Floats, noise: Floats, half_life: float) -> Floats:
    """Paths of the log of a price by month for a yearly volatility of 1, 0 in month 0. [..., T]

    end    normal score of the last month                                                        [...]
    noise  normal scores of the steps, which fill in the way there                               [..., S]

    A path is simulated month by month and then bent so that it ends where its score says: for Gaussian paths that is
    the exact distribution. Only sums of the draw's own numbers, so that no draw depends on how many there are.
    """
    months = noise.shape[-1] + 1
    keep = 1.0 if math.isinf(half_life) else 0.5 ** (1.0 / half_life)
    step = math.sqrt(float(variance(np.array(1.0), half_life)))
    found = np.zeros((*end.shape, months))
    for t in range(1, months):
        found[..., t] = keep * found[..., t - 1] + step * noise[..., t - 1]
    if months == 1:
        return found
    when = np.arange(months, dtype=np.float64)
    spread = variance(when, half_life)
    share = spread * (keep ** (when[-1] - when)) / spread[-1]  # covariance with the end, over its variance
    return np.asarray(found + share * (math.sqrt(spread[-1]) * end - found[..., -1])[..., None])


def correlation(pairs: Mapping[tuple[str, str], float]) -> Floats:
    """The correlation matrix of FACTORS."""
    matrix = np.eye(len(FACTORS))
    for (one, other), value in pairs.items():
        i, j = FACTORS.index(one), FACTORS.index(other)
        matrix[i, j] = matrix[j, i] = value
    return matrix


def mixing(pairs: Mapping[tuple[str, str], float]) -> Floats:
    """Cholesky factor L of the correlation matrix of FACTORS; raises ValueError when there is none."""
    matrix, size = correlation(pairs), len(FACTORS)
    found = np.zeros((size, size))
    for i in range(size):
        for j in range(i + 1):
            left = matrix[i, j] - float((found[i, :j] * found[j, :j]).sum())
            if i == j and left >= -1e-9:
                found[i, i] = math.sqrt(max(left, 0.0))
            elif i != j and found[j, j] > 1e-6:
                found[i, j] = left / found[j, j]
            elif i == j or abs(left) > 1e-6:
                raise ValueError("these correlations contradict each other: their matrix is not positive semidefinite")
    return found


def mixed(mix: Floats, scores: Floats) -> Floats:
    """Correlated scores of FACTORS along the second axis, summed in a fixed order. [N, 5, ...]"""
    found = np.zeros(scores.shape)
    for i, j in zip(*np.nonzero(mix), strict=True):
        found[:, i] += mix[i, j] * scores[:, j]
    return found
