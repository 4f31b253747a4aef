"""Who made the difference: one change split over its causes, so that the shares add up to it.

Shapley values: each cause's mean effect over all orders in which the causes could be switched on. Up to EXACT causes
every subset is costed; above, a fixed number of seeded orders and their reverses. In both the shares sum to the total.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations
from math import factorial

import numpy as np

EXACT = 6
ORDERS = 8
Subset = tuple[int, ...]


def subsets(n: int, seed: int = 0) -> list[Subset]:
    """Every set of causes whose value `shapley` needs, smallest first."""
    if n <= EXACT:
        return [s for size in range(n + 1) for s in combinations(range(n), size)]
    needed = {tuple(sorted(order[:i])) for order in _orders(n, seed) for i in range(n + 1)}
    return sorted(needed, key=lambda s: (len(s), s))


def shapley(n: int, value: Callable[[Subset], float], seed: int = 0) -> list[float]:
    """Share of each of `n` causes in value(all) - value(none).

    >>> shapley(2, lambda on: 3.0 * (0 in on) + 5.0 * (1 in on))
    [3.0, 5.0]
    """
    return _exact(n, value) if n <= EXACT else _sampled(n, value, seed)


def _exact(n: int, value: Callable[[Subset], float]) -> list[float]:
    shares = []
    for i in range(n):
        rest, share = [j for j in range(n) if j != i], 0.0
        for size in range(n):
            weight = factorial(size) * factorial(n - 1 - size) / factorial(n)
            for others in combinations(rest, size):
                share += weight * (value(tuple(sorted((*others, i)))) - value(others))
        shares.append(share)
    return shares


def _sampled(n: int, value: Callable[[Subset], float], seed: int) -> list[float]:
    shares = [0.0] * n
    orders = _orders(n, seed)
    for order in orders:
        for place, i in enumerate(order):
            before, after = tuple(sorted(order[:place])), tuple(sorted(order[: place + 1]))
            shares[i] += (value(after) - value(before)) / len(orders)
    return shares


def _orders(n: int, seed: int) -> list[Sequence[int]]:
    rng = np.random.Generator(np.random.PCG64(seed))
    drawn = [rng.permutation(n).tolist() for _ in range(ORDERS // 2)]
    return [order for one in drawn for order in (one, one[::-1])]
