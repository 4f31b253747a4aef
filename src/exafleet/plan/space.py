"""The first stage in the columns the decomposition works with: a start of a run is one column, not one per month after.

A placement in the programme is `started` by each month, which its rules want; a run's start in one month (0 or 1) says
the same with a bound in place of a row. x = spread @ z + nothing else: every decision has exactly one z.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from exafleet.market.market import Bools, Floats, Ints
from exafleet.plan.twostage import TwoStage

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """First-stage columns z of the decomposition.

    spread            x = spread @ z                                        [X, Z]
    gather            z = gather @ x, for every x that keeps the rules       [Z, X]
    rows, low, high   rows of the first stage over z                         [M, Z], [M], [M]
    lower, upper      bounds                                                 [Z]
    whole             integrality                                            [Z]
    start             the columns that are starts of runs                    [Z]
    run               the run each start is of; -1 for other columns         [Z]
    """

    spread: csr_matrix
    gather: csr_matrix
    rows: csr_matrix
    low: Floats
    high: Floats
    lower: Floats
    upper: Floats
    whole: Bools
    start: Bools
    run: Ints

    def point(self, which: Ints, v: Floats) -> Floats:
        """z with some columns at v, within their bounds, and the others as low as they may be, or at zero. [Z]"""
        z = np.where(np.isfinite(self.lower), self.lower, 0.0)
        z[which] = v
        return np.clip(z, self.lower, self.upper)

    def rounded(self, z: Floats) -> Floats:
        """z with whole numbers where they must be. [Z]"""
        return np.clip(np.where(self.whole, np.round(z), z), self.lower, self.upper)


def space(p: TwoStage) -> Space:
    """Starts in place of `started` and `begun` where the programme has the rows that define them; else as it is."""
    blocks, rows = p.build.x.blocks(), p.build.first_rows.blocks()
    if not {"starts", "one placement"} <= rows.keys() or not (blocks["started"] >= 0).any():
        return _as_it_is(p)
    return _with_starts(p, blocks["started"], blocks["begun"], rows)


def _as_it_is(p: TwoStage) -> Space:
    from scipy.sparse import identity

    same = identity(len(p.x_lower), format="csr")
    return Space(spread=same, gather=same, rows=p.first, low=p.first_lower, high=p.first_upper, lower=p.x_lower,
                 upper=p.x_upper, whole=p.whole, start=np.zeros(len(p.x_lower), dtype=bool),
                 run=np.full(len(p.x_lower), -1))


def _with_starts(p: TwoStage, started: Ints, begun: Ints, blocks: dict[str, Ints]) -> Space:
    from scipy.sparse import vstack

    dropped = np.zeros(p.first.shape[0], dtype=bool)
    for name in ("starts", "one placement"):
        dropped[blocks[name][blocks[name] >= 0]] = True
    runs = np.concatenate([started[started >= 0], begun[begun >= 0]])
    others = np.setdiff1d(np.arange(len(p.x_lower)), runs)
    able = np.zeros(started.shape, dtype=bool)
    at = blocks["starts"] >= 0
    able[at] = p.first_upper[blocks["starts"][at]] > 0
    spread, gather = _maps(p, started, begun, others, able)
    # What bounds the months between is kept as a row where it says more than 0 to 1; a run begins at most once.
    once = np.zeros(len(p.x_lower), dtype=bool)
    once[runs] = (p.x_lower[runs] > 0) | (p.x_upper[runs] < 1)
    last = begun[:, -1][begun[:, -1] >= 0]
    once[last] = True
    once = np.flatnonzero(once)
    starts = int(able.sum())
    return Space(
        spread=spread, gather=gather, rows=vstack([p.first[~dropped] @ spread, spread[once]], format="csr"),
        low=np.concatenate([p.first_lower[~dropped], p.x_lower[once]]),
        high=np.concatenate([p.first_upper[~dropped], p.x_upper[once]]),
        lower=np.concatenate([p.x_lower[others], np.zeros(starts)]),
        upper=np.concatenate([p.x_upper[others], np.ones(starts)]),
        whole=np.concatenate([p.whole[others], np.ones(starts, dtype=bool)]),
        start=np.arange(len(others) + starts) >= len(others),
        run=np.concatenate([np.full(len(others), -1), p.build.sets.option_job[np.nonzero(able)[0]]]))


def _maps(p: TwoStage, started: Ints, begun: Ints, others: Ints, able: Bools) -> tuple[csr_matrix, csr_matrix]:
    """spread [X, Z] and gather [Z, X]."""
    from scipy.sparse import csr_matrix

    option, begin = np.nonzero(able)
    z = len(others) + np.arange(len(option))
    months = started.shape[1]
    job = p.build.sets.option_job
    row, column = [others], [np.arange(len(others))]
    for block in (started[option], begun[job[option]]):
        which = (np.arange(months)[None, :] >= begin[:, None]) & (block >= 0)
        row.append(block[which])
        column.append(np.broadcast_to(z[:, None], which.shape)[which])
    rows, columns = np.concatenate(row), np.concatenate(column)
    shape = (len(p.x_lower), len(others) + len(option))
    spread = csr_matrix((np.ones(len(rows)), (rows, columns)), shape=shape)
    now, before = started[option, begin], np.where(begin > 0, started[option, np.maximum(begin - 1, 0)], -1)
    late = before >= 0
    values = np.concatenate([np.ones(len(others) + len(option)), -np.ones(int(late.sum()))])
    at = (np.concatenate([np.arange(len(others)), z, z[late]]), np.concatenate([others, now, before[late]]))
    return spread, csr_matrix((values, at), shape=(shape[1], shape[0]))
