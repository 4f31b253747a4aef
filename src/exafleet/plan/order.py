"""An order of draws in which neighbours are alike: a programme solved for one is a good start for the next."""

from __future__ import annotations

import numpy as np

from exafleet.market.draws import Draws
from exafleet.market.market import Floats, Ints

FAR = 60.0   # months; delays beyond that are alike


def signature(draws: Draws) -> Floats:
    """What tells draws apart, roughly in months of delay. [N, features]"""
    parts = [draws.lead.mean(axis=2), draws.slip, 12.0 * np.log(draws.demand).mean(axis=2), 12.0 * np.log(draws.rate),
             12.0 * draws.power.mean(axis=2), 6.0 * np.log(draws.rent).mean(axis=2)]
    return np.concatenate([np.asarray(part, dtype=np.float64).reshape(draws.count, -1) for part in parts], axis=1)


def alike(points: Floats) -> Ints:
    """An order that starts at the first point and goes on with the nearest not yet visited. [N]"""
    near = np.minimum(points, FAR)
    left = np.ones(len(points), dtype=bool)
    order = np.zeros(len(points), dtype=np.int64)
    at = 0
    for i in range(len(points)):
        order[i] = at
        left[at] = False
        if left.any():
            at = int(np.argmin(np.where(left, np.abs(near - near[at]).sum(axis=1), np.inf)))
    return order
