"""From a solution back to words: what each draw decides about its orders as things arrive."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from exafleet.market.market import Floats
from exafleet.plan.plan import Change
from exafleet.plan.twostage import TwoStage

LEAST = 1e-6   # units; less is the solver's tolerance


def changes(p: TwoStage, y: Floats) -> tuple[Change, ...]:
    """Everything that some draw decides later, in the order of months. y [N, Y]"""
    found = [c for c in (*_ordered(p, y), *_cancelled(p, y), *_open(p, y)) if max(c.units) > 0.0]
    return tuple(sorted(found, key=lambda c: (c.month, c.kind, c.what, c.owner, c.arrival)))


def _units(y: Floats, column: int) -> tuple[float, ...]:
    return tuple(np.where(y[:, column] > LEAST, y[:, column], 0.0).tolist())


def _ordered(p: TwoStage, y: Floats) -> Iterator[Change]:
    market, later = p.build.market, p.build.later
    for v, column in enumerate(p.build.y["reorder"].tolist()):
        yield Change(kind="order", what=market.scenario.offers[later.new_offer[v]].id,
                     owner=market.scenario.owners[later.new_owner[v]].id, system=market.systems[later.new_system[v]],
                     month=int(later.new_month[v]), arrival=int(later.new_arrival[v]), units=_units(y, column))


def _cancelled(p: TwoStage, y: Floats) -> Iterator[Change]:
    market, later, book = p.build.market, p.build.later, p.build.book
    for u, column in enumerate(p.build.y["cut"].tolist()):
        c = later.cut_order[u]
        yield Change(kind="cancel", what=market.scenario.offers[book.offer[c]].id,
                     owner=market.scenario.owners[book.owner[c]].id, system=market.systems[book.system[c]],
                     month=int(later.cut_month[u]), arrival=int(later.cut_arrival[u]), units=_units(y, column))


def _open(p: TwoStage, y: Floats) -> Iterator[Change]:
    for kind, name in (("cancel", "open cut"), ("defer", "open late")):
        block = p.build.y[name]
        for q, a in np.argwhere(block >= 0).tolist():
            order = p.build.market.scenario.open_orders[q]
            month = int(p.build.later.open_month[a]) if kind == "cancel" else -1
            yield Change(kind=kind, what=order.id, owner=order.owner, system=order.system, month=month, arrival=a,
                         units=_units(y, block[q, a]))
