"""Whole replicas in a pool of chips: one that is smaller than a scale-up domain does not straddle two."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def packed(replica: npt.ArrayLike, domain: int, chips: npt.ArrayLike) -> Floats:
    """Replicas that a pool has room for. [C]

    replica  chips of one                      [C]
    domain   chips of a scale-up domain         [1]
    chips    of the pool                        [C]

    >>> packed([8.0, 16.0, 144.0], 72, 144).tolist()
    [18.0, 8.0, 1.0]
    """
    size, pool = np.asarray(replica, dtype=np.float64), np.asarray(chips, dtype=np.float64)
    domains = np.floor(pool / domain)
    inside = domains * np.floor(domain / size) + np.floor((pool - domains * domain) / size)
    return np.asarray(np.where(size <= domain, inside, np.floor(pool / size)))


def spanned(replica: npt.ArrayLike, domain: int, count: npt.ArrayLike) -> Floats:
    """Fewest chips of a pool that has room for `count` replicas; the other way round from `packed`. [C]

    >>> spanned(16.0, 72, [4, 5]).tolist()
    [64.0, 88.0]
    """
    size, many = np.asarray(replica, dtype=np.float64), np.asarray(count, dtype=np.float64)
    each = np.maximum(np.floor(domain / size), 1.0)
    full = np.maximum(np.ceil(many / each) - 1.0, 0.0)
    inside = full * domain + (many - full * each) * size
    return np.asarray(np.where(size <= domain, inside, many * size))


def beside(replica: npt.ArrayLike, domain: int, chips: npt.ArrayLike, taken: npt.ArrayLike) -> Floats:
    """Replicas that a pool has room for beside `taken` chips at its start. [C]

    >>> float(beside(8.0, 8, 64, 20)), float(beside(4.0, 8, 64, 20))
    (5.0, 11.0)
    """
    size, used = np.asarray(replica, dtype=np.float64), np.asarray(taken, dtype=np.float64)
    left = np.maximum(np.asarray(chips, dtype=np.float64) - used, 0.0)
    broken = np.minimum(np.ceil(used / domain) * domain - used, left)
    inside = np.floor(broken / size) + packed(size, domain, left - broken)
    return np.asarray(np.where(size <= domain, inside, packed(size, domain, left - broken)))


def room_for_both(first: npt.ArrayLike, count: npt.ArrayLike, second: npt.ArrayLike, more: npt.ArrayLike,
                  domain: int) -> Floats:
    """Fewest chips that hold `count` replicas of one size and, behind them, `more` of another. [C]

    >>> float(room_for_both(4.0, 1, 4.0, 1, 8)), float(room_for_both(4.0, 1, 8.0, 1, 8))
    (8.0, 16.0)
    """
    size, many = np.asarray(second, dtype=np.float64), np.asarray(more, dtype=np.float64)
    taken = spanned(first, domain, count)
    broken = np.ceil(taken / domain) * domain - taken
    there = np.where(size <= domain, np.minimum(np.floor(broken / size), many), 0.0)
    return np.asarray(np.where(many > there, taken + broken + spanned(size, domain, many - there),
                               taken + there * size))
