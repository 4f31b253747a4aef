"""The whole decisions nearest to a point of the relaxed problem.

The relaxed centre is a mean of many trial points, and its cost is nearly flat around it; a vertex of the master is far
from it and costs more than the cuts say. So decisions are rounded with the least change, and no word of cost.
"""

from __future__ import annotations

import numpy as np

from exafleet.market.market import Floats
from exafleet.plan.highs import Linear, Solver, Stop
from exafleet.plan.space import Space

CHOICE = 100.0     # what changing a yes-or-no decision by one weighs against one unit of an amount
AMOUNT = 1e-4      # the same for what need not be whole
MOST_NODES = 200   # a near point is enough


def nearest_whole(s: Space, z: Floats, stop: Stop | None = None) -> Floats | None:
    """Decisions that keep every rule of the first stage, whole where they must be, near z; None if none was found. [Z]

    A run that has started with half its weight or more, wherever, starts in one of those ways, the likeliest first.
    """
    from scipy.sparse import bmat, csr_matrix, identity

    kept = np.flatnonzero(~s.start | (z > 0))
    count, run = len(kept), s.run[kept]
    weight = np.where(s.whole[kept], np.where(s.upper[kept] == 1.0, CHOICE, 1.0), AMOUNT)
    cost = np.concatenate([np.zeros(count), weight, weight])
    started = np.flatnonzero(run >= 0)
    cost[started], cost[count + started], cost[2 * count + started] = -CHOICE * z[kept[started]], 0.0, 0.0
    runs, at = np.unique(run[started], return_inverse=True)
    once = csr_matrix((np.ones(len(started)), (at, started)), shape=(len(runs), count))
    begins = (once @ z[kept] >= 0.5).astype(float)
    same = identity(count)
    found = Solver(Linear(
        # v = z + more - less
        rows=bmat([[s.rows.tocsc()[:, kept], None, None], [once, None, None], [same, -same, same]], format="csr"),
        lower=np.concatenate([s.low, begins, z[kept]]), upper=np.concatenate([s.high, begins, z[kept]]),
        v_lower=np.concatenate([s.lower[kept], np.zeros(2 * count)]),
        v_upper=np.concatenate([s.upper[kept], np.full(2 * count, np.inf)]), cost=cost,
        whole=np.concatenate([s.whole[kept], np.zeros(2 * count, dtype=bool)])),
        stop=stop, mip_rel_gap=0.01, mip_max_nodes=MOST_NODES).solve()
    if not len(found.v):
        return None
    return s.rounded(s.point(kept, found.v[:count]))
