"""What one more would be worth: duals of the rules, in money per unit, at the plan's whole decisions.

Prices are present values, averaged over the draws with the weights the risk attitude gives them. They hold at the
margin: the second megawatt may be worth less than the first. Rules of the first stage (supply, budget, ...) are
priced by letting each order move by one unit around the plan, valued at what one more rack is worth in every draw.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from exafleet.market.market import Floats, Ints
from exafleet.plan.books import budgets, leaders
from exafleet.plan.build import MEGAWATT
from exafleet.plan.highs import Linear, Solver
from exafleet.plan.plan import Binding
from exafleet.plan.twostage import TwoStage
from exafleet.terms.said import said

NEAR = 1e-6   # of a limit: the solver's tolerance

# rule -> (unit of its limit, names of its axes before the month)
RECOURSE_UNITS = {
    "power": ("MW", ("sites",)), "quota": ("MW", ("owners", "sites")),
    "install rate": ("rack position", ("sites",)), "move": ("unit", ("moves",)),
    "rental": ("chip", ("rentals",)), "loan": ("chip", ("loans",)), "resale": ("chip", ()),
    "lending limit": ("chip", ("sharing",)), "borrowing limit": ("chip", ("sharing",)),
    "nominal": ("chip", ("sharing",)), "hand-downs": ("unit", ("transfers",)),
}
FIRST_UNITS = {
    "supply": ("unit", ("offers",)), "offer total": ("unit", ("offers",)), "queue": ("unit", ("offers",)),
    "reserved rental": ("chip", ("rentals",)), "budget": ("USD", ("owners",)),
    "slots": ("unit", ("transfers",)),
}


def prices(p: TwoStage, x: Floats, cost: Floats, duals: Floats, slopes: Floats) -> dict[str, Any]:
    """The price fields of a Plan. cost [N] in solver money, duals [N, M2], slopes [N, X]"""
    weight = risk_weights(p, cost)
    worth = -(weight @ duals) * p.build.money
    first = _first_prices(p, x, weight @ (slopes + p.cost1))
    stock = p.build.y["warehouse"].shape
    by_draw = waiting(-np.array([_block(p, "arrivals", d, stock) for d in duals]) * p.build.money)
    arrival = np.tensordot(weight, by_draw, axes=1)
    earlier = np.diff(arrival, axis=2, prepend=arrival[:, :, :1]) * -1.0
    sites = (len(p.build.market.scenario.sites), p.build.market.months)
    owners = (len(p.build.market.scenario.owners), p.build.market.months)
    leader = leaders(p.build.market)
    cash = _block(p, "cash", worth, owners)[leader] / p.build.money
    return {
        "binding": _binding(p, worth, first), "rack_value": arrival, "month_earlier": earlier,
        "power_value": _block(p, "power", worth, sites) / MEGAWATT,
        "budget_value": cash + _at(p.build.first_rows.blocks().get("budget"), first, owners)[leader] / p.build.money,
        "premium": _premium(p, by_draw, weight),
    }


def waiting(value: Floats) -> Floats:
    """Worth of a unit by month of arrival: at least what it is worth later, since it can wait in the warehouse.

    In large programmes, months in which nothing can arrive are left out, and have no dual of their own. [..., T]
    """
    return np.asarray(np.maximum.accumulate(value[..., ::-1], axis=-1)[..., ::-1])


def risk_weights(p: TwoStage, cost: Floats) -> Floats:
    """How much one more dollar in each draw adds to the objective. [N]"""
    if p.weight == 0:
        return p.probability
    order = np.argsort(-cost, kind="stable")
    left = np.clip(1.0 - p.alpha - np.concatenate([[0.0], p.probability[order].cumsum()[:-1]]), 0.0, None)
    tail = np.zeros(p.draws)
    tail[order] = np.minimum(p.probability[order], left)
    return np.asarray((1.0 - p.weight) * p.probability + p.weight * tail / max(tail.sum(), 1e-300))


def _at(block: Ints | None, values: Floats, shape: tuple[int, ...]) -> Floats:
    if block is None or not len(values):
        return np.zeros(shape)
    return np.where(block >= 0, values[np.maximum(block, 0)], 0.0)


def _block(p: TwoStage, rule: str, values: Floats, shape: tuple[int, ...]) -> Floats:
    return _at(p.build.rows.blocks().get(rule), values, shape)


def _first_prices(p: TwoStage, x: Floats, slope: Floats) -> Floats:
    """Worth of one more of each first-stage limit, put to its best use within a unit of the plan. [M1] [USD]

    A limit that the plan stays away from by more than one unit of any order has no price, whatever many units at once
    would be worth at the margin of the first.
    """
    if not len(x) or not p.first.shape[0]:
        return np.zeros(p.first.shape[0])
    amount = p.whole & (p.x_upper > 1.0)
    free = ~np.isfinite(p.x_upper) | (p.x_lower < 0)
    lower = np.where(amount, np.maximum(p.x_lower, x - 1.0), np.where(free, p.x_lower, x))
    upper = np.where(amount, np.minimum(p.x_upper, x + 1.0), np.where(free, p.x_upper, x))
    found = Solver(Linear(rows=p.first, lower=p.first_lower, upper=p.first_upper, v_lower=lower, v_upper=upper,
                          cost=slope)).solve()
    if found.status != "optimal":
        return np.zeros(p.first.shape[0])
    unit = abs(p.first.tocsc()[:, amount])
    most = unit.max(axis=1).toarray().ravel() if amount.any() else np.zeros(len(p.first_upper))
    near = p.first_upper - p.first @ x <= most + NEAR * np.maximum(1.0, np.abs(p.first_upper))
    return np.where(near, -found.row_dual * p.build.money, 0.0)


def _binding(p: TwoStage, worth: Floats, first: Floats) -> tuple[Binding, ...]:
    found: list[Binding] = []
    blocks, upper = p.build.rows.blocks(), p.upper[0]
    for rule, (unit, axes) in RECOURSE_UNITS.items():
        if rule in blocks and (rule != "resale" or p.build.market.resale_most.any()):
            found += _named(p, rule, blocks[rule], worth, upper, unit, axes)
    if "cash" in blocks:
        found += _short_of_cash(p, blocks["cash"], worth)
    blocks = p.build.first_rows.blocks()
    for rule, (unit, axes) in FIRST_UNITS.items():
        if rule in blocks:
            scale = p.build.money if unit == "USD" else 1.0
            found += _named(p, rule, blocks[rule], first / scale, p.first_upper * scale, unit, axes)
    return tuple(sorted(found, key=lambda b: (-b.price * b.limit, b.rule, b.place, b.month)))


def _short_of_cash(p: TwoStage, block: Ints, worth: Floats) -> list[Binding]:
    """Months in which a book's money is used up: what it is worth to be one USD further below for that month.

    Money is carried on, so one USD more in a month is worth the sum of these prices from that month on.
    """
    value = np.append(worth, 0.0)[block] / p.build.money   # -1, a month without a row, is the zero at the end
    price = value - np.append(value[:, 1:], np.zeros((len(value), 1)), axis=1)
    given = np.where(np.isfinite(held := budgets(p.build.market)), held, 0.0)
    return [Binding(rule="cash", place=p.build.market.scenario.owners[o].id, month=t, unit="USD",
                    limit=float(given[o, t]), price=float(price[o, t]))
            for o, t in np.argwhere((block >= 0) & (price > 1e-6)).tolist()]


def _named(p: TwoStage, rule: str, block: Ints, worth: Floats, limit: Floats, unit: str,
           axes: tuple[str, ...]) -> list[Binding]:
    """Rows of one rule that have a price. The last axis is the month where there is one more axis than names."""
    found = []
    price = np.where(block >= 0, worth[np.maximum(block, 0)], 0.0) if len(worth) else np.zeros(block.shape)
    floor = 1e-6 if unit == "USD" else 1e-6 * p.build.money
    for at in np.argwhere(price > floor).tolist():
        place = _place([_name(p, axis, i) for axis, i in zip(axes, at, strict=False)])
        month = at[len(axes)] if len(at) > len(axes) else p.build.market.months - 1
        found.append(Binding(rule=rule, place=place, month=month, limit=float(limit[block[tuple(at)]]),
                             price=float(price[tuple(at)]), unit=unit))
    return found


def _place(names: list[str]) -> str:
    if len(names) == 2:
        return said("rule.owner at site", owner=names[0], site=names[1])
    return names[0] if names else said("rule.used market")


def _name(p: TwoStage, axis: str, i: int) -> str:
    record = getattr(p.build.market.scenario, axis)[i]
    if axis == "moves":
        return said("rule.from to", start=record.start, end=record.end)
    if axis == "sharing":
        return said("rule.owner at site", owner=record.owner, site=record.cohort)
    return said("rule.from to", start=record.lender, end=record.borrower) if axis == "loans" else str(record.id)


def _premium(p: TwoStage, value: Floats, weight: Floats) -> Floats:
    """Highest share of the price worth paying to arrive sooner. value [N, O, K, T] -> [F, T]"""
    market, lead = p.build.market, p.build.draws.lead
    last = (market.resale[:, -1] * p.build.draws.resale[:, :, -1] * market.discount[-1])[:, None, :, None]
    value = np.concatenate([value, np.broadcast_to(last, (*value.shape[:3], 1))], axis=3)
    worth = np.full(market.price.shape, np.nan)
    month = np.arange(market.months)
    for f, offer in enumerate(market.scenario.offers):
        k = market.systems.index(offer.system)
        step = max(int(market.sooner[f] + 0.5), 1)
        late = np.minimum(month + lead[:, f], market.months)
        soon = np.minimum(np.maximum(month + lead[:, f] - step, month), market.months)
        arrives = sum(part.share for part in offer.schedule if part.anchor == "arrival")
        rest = market.price[f] * p.build.draws.price[:, f] * arrives + offer.fitting
        gain = np.take_along_axis(value[:, :, k], soon[:, None], axis=2) - np.take_along_axis(
            value[:, :, k], late[:, None], axis=2)
        net = gain - (rest * (market.discount[soon] - market.discount[late]))[:, None]
        best = np.einsum("n,not->ot", weight, net)[market.offered[f]].max(axis=0, initial=0.0)
        there = market.can_order[f] & (month + lead[0, f] < market.months) & (market.price[f] > 0)
        worth[f, there] = np.maximum(best, 0.0)[there] / market.price[f, there]
    return worth
