"""How much of the error of a predicted throughput two systems have in common.

What the model has wrong of a model's shape, of its lengths or of the way engines were run is wrong on every system, and
cancels in a ratio of two. Measured rows say how much: pairs of rows of one group (model and lengths) on two systems.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable
from itertools import combinations

import numpy as np

# Deviations of a normal distribution in its median size.
NORMAL = 1.4826


def bounded(rows: Iterable[tuple[Hashable, str, float]], most: float = 3.0) -> list[tuple[Hashable, str, float]]:
    """The same rows with no error beyond `most` deviations, by their median size: squares of a few would decide alone.

    >>> [error for _, _, error in bounded([("a", "one", 0.1), ("a", "two", -0.1), ("b", "one", 9.0)], 10.0)]
    [0.1, -0.1, 1.4826]
    """
    found = list(rows)
    limit = most * NORMAL * float(np.median([abs(error) for _, _, error in found]))
    return [(group, system, min(max(error, -limit), limit)) for group, system, error in found]


def shared_share(rows: Iterable[tuple[Hashable, str, float]]) -> tuple[float, float]:
    """Share of the variance that two systems have in common: every group counted once, and every pair counted once.

    rows    group, system and log error of each measured row

    >>> shared_share([("a", "one", 0.2), ("a", "two", 0.2), ("b", "one", -0.1), ("b", "two", -0.1)])
    (1.0, 1.0)
    """
    groups: dict[Hashable, list[tuple[str, float]]] = defaultdict(list)
    for group, system, error in rows:
        groups[group].append((system, error))
    pairs = [np.array([(x * y, (x * x + y * y) / 2) for (a, x), (b, y) in combinations(members, 2) if a != b])
             for members in groups.values()]
    pairs = [p for p in pairs if len(p)]
    if not pairs:
        return np.nan, np.nan
    by_group, by_pair = np.sum([p.mean(axis=0) for p in pairs], axis=0), np.concatenate(pairs).sum(axis=0)
    return float(by_group[0] / by_group[1]), float(by_pair[0] / by_pair[1])
