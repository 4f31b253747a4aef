"""The worst of what may happen: CVaR of costs over weighted draws."""

from __future__ import annotations

import numpy as np

from exafleet.market.market import Floats


def tail(cost: Floats, probability: Floats, alpha: float) -> Floats:
    """Weight of each draw in the mean of the worst 1 - alpha of them; the weights sum to 1. [N], [N] -> [N]

    >>> tail(np.array([1.0, 3.0, 2.0]), np.array([0.5, 0.25, 0.25]), 0.5).tolist()
    [0.0, 0.5, 0.5]
    """
    order = np.argsort(-cost, kind="stable")
    left = np.clip(1.0 - alpha - np.concatenate([[0.0], probability[order].cumsum()[:-1]]), 0.0, None)
    share = np.zeros(len(cost))
    share[order] = np.minimum(probability[order], left)
    if share.sum() <= 0:
        share[order[0]] = 1.0
    return np.asarray(share / share.sum())
