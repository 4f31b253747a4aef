"""What would have to be true for another plan to win: break-evens, one number at a time, both plans' decisions kept.

For each number the nearest value is sought at which the other plan's expected cost falls to that of the plan. The
search looks at a few values on either side and closes in on the first crossing; one between two values looked
at that goes back before the next one stays unseen.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from exafleet.market.draws import Draws
from exafleet.market.market import Market
from exafleet.plan.plan import Plan
from exafleet.sweep.answers.choices import Choice, decide, free, naive
from exafleet.sweep.answers.ground import HERE, Ground, Means, judged, ordered_units

CLOSER = 5   # halvings once a crossing is enclosed: a thirty-second of the step
Change = Callable[[Market, Draws, float], Draws]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lever:
    """A number that may turn out otherwise.

    what    "price", "delay", "rent", "demand", "used price", "power late"
    of      the system or place it is about; empty: everything
    unit    "1" (a factor) or "month"
    values  looked at, in order; the neutral one is among them
    """

    what: str
    of: str
    unit: str
    values: tuple[float, ...]

    @property
    def neutral(self) -> float:
        """The value at which nothing changes."""
        return 1.0 if self.unit == "1" else 0.0


FACTORS = (0.4, 0.6, 0.8, 1.0, 1.25, 1.6, 2.5)
MONTHS = (-6.0, -3.0, 0.0, 3.0, 6.0, 12.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """Where another plan overtakes the plan.

    rival   name of the other plan
    lever   the number
    value   nearest value at which the choice between the two turns; None: at none looked at
    ahead   what the plan saves as things are believed                              [USD]
    """

    rival: str
    lever: Lever
    value: float | None
    ahead: float


def levers(market: Market, systems: Sequence[str]) -> tuple[Lever, ...]:
    """The numbers worth asking about: of the systems in which plans differ, and of everybody."""
    scenario, found = market.scenario, []
    for k in systems:
        if any(f.system == k for f in scenario.offers):
            found += [Lever(what="price", of=k, unit="1", values=FACTORS),
                      Lever(what="delay", of=k, unit="month", values=MONTHS)]
    if scenario.rentals:
        found.append(Lever(what="rent", of="", unit="1", values=FACTORS))
    if (market.demand > 0).any():
        found.append(Lever(what="demand", of="", unit="1", values=FACTORS))
    found.append(Lever(what="used price", of="", unit="1", values=(0.1, 0.4, 0.7, 1.0, 1.3)))
    found.append(Lever(what="power late", of="", unit="month", values=(0.0, 3.0, 6.0, 12.0)))
    return tuple(found)


def pulled(market: Market, draws: Draws, lever: Lever, value: float) -> Draws:
    """The draws with one number changed; the base, which has no weight here, stays as quoted."""
    change = {"price": _price, "delay": _delay, "rent": _rent, "demand": _demand, "used price": _used,
              "power late": _late}[lever.what]
    return change(market, draws, lever.of, value)


def _of(market: Market, system: str) -> list[int]:
    return [i for i, f in enumerate(market.scenario.offers) if f.system == system]


def _price(market: Market, draws: Draws, system: str, factor: float) -> Draws:
    price = draws.price.copy()
    price[1:, _of(market, system)] *= factor
    return replace(draws, price=price)


def _delay(market: Market, draws: Draws, system: str, months: float) -> Draws:
    lead = draws.lead.copy()
    lead[1:, _of(market, system)] = np.maximum(lead[1:, _of(market, system)] + round(months), 0)
    return replace(draws, lead=lead)


def _rent(market: Market, draws: Draws, _: str, factor: float) -> Draws:
    rent = draws.rent.copy()
    rent[1:] *= factor
    return replace(draws, rent=rent)


def _demand(market: Market, draws: Draws, _: str, factor: float) -> Draws:
    demand = draws.demand.copy()
    demand[1:] *= factor
    return replace(draws, demand=demand)


def _used(market: Market, draws: Draws, _: str, factor: float) -> Draws:
    resale = draws.resale.copy()
    resale[1:] *= factor
    return replace(draws, resale=resale)


def _late(market: Market, draws: Draws, _: str, months: float) -> Draws:
    """Every step up in a site's power later by months; a share of what is stated for the month. Never more than it."""
    late = round(months)
    if not late:
        return draws
    there = draws.power * market.power
    before = np.concatenate([np.repeat(there[:, :, :1], late, axis=2), there], axis=2)[..., :market.months]
    share = np.where(market.power > 0, np.minimum(before, there) / np.maximum(market.power, 1e-300), 1.0)
    power = draws.power.copy()
    power[1:] = share[1:]
    return replace(draws, power=power)


def turning(ground: Ground, choices: Sequence[Choice] | None = None, by: Means = HERE, *,
            most: int = 2) -> tuple[Turn, ...]:
    """Break-evens of the `most` other plans that come nearest to the plan, over every lever.

    Where a rival costs less already (`ahead` is negative) the value is that from which the plan would win. Raises
    Interrupted on Ctrl-C.
    """
    plan = decide(ground, free(ground.market)).plan
    if plan is None:
        return ()
    here = judged(ground, plan).mean
    decided = [decide(ground, c) for c in (naive(ground.market) if choices is None else choices)]
    rivals = [(d.choice, d.plan, judged(ground, d.plan).mean - here) for d in decided
              if d.plan is not None and _differ(plan, d.plan)]
    rivals.sort(key=lambda r: (r[2], r[0]))
    items = [(rival, lever) for rival in rivals[:most] for lever in levers(ground.market, differing(plan, rival[1]))]
    return tuple(by.over(functools.partial(_turn, ground, plan), items))


def differing(a: Plan, b: Plan) -> tuple[str, ...]:
    """Systems of which the two plans order different numbers."""
    mine, other = dict(ordered_units(a)), dict(ordered_units(b))
    return tuple(k for k in a.market.systems if mine.get(k, 0) != other.get(k, 0))


def _differ(a: Plan, b: Plan) -> bool:
    return len(a.first) != len(b.first) or not np.allclose(a.first, b.first)


def _turn(ground: Ground, plan: Plan, item: tuple[tuple[str, Plan, float], Lever]) -> Turn:
    (name, rival, ahead), lever = item

    def lead(value: float) -> float:
        draws = pulled(ground.market, ground.fresh, lever, value)
        return judged(ground, rival, draws).mean - judged(ground, plan, draws).mean

    side = 1.0 if ahead >= 0 else -1.0
    value = crossing(lambda v: side * lead(v), lever, side * ahead)
    return Turn(rival=name, lever=lever, ahead=ahead, value=value)


def crossing(lead: Callable[[float], float], lever: Lever, ahead: float) -> float | None:
    """The value nearest to the neutral one, in steps, at which `lead` is no longer positive.

    >>> round(crossing(lambda x: 1.5 - x, Lever(what="price", of="a", unit="1", values=FACTORS), 0.5), 2)
    1.5
    """
    at = lever.values.index(lever.neutral)
    ups, downs = lever.values[at + 1:], lever.values[:at][::-1]
    last = [(lever.neutral, ahead), (lever.neutral, ahead)]
    for step in range(max(len(ups), len(downs))):
        for side, values in enumerate((ups, downs)):
            if step < len(values):
                found = lead(values[step])
                if found <= 0:
                    return _closer(lead, last[side][0], values[step])
                last[side] = (values[step], found)
    return None


def _closer(lead: Callable[[float], float], good: float, bad: float) -> float:
    for _ in range(CLOSER):
        middle = (good + bad) / 2.0
        good, bad = (middle, bad) if lead(middle) > 0 else (good, middle)
    return bad
