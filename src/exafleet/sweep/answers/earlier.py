"""What a month, a rack, a megawatt, a place in the queue is worth.

Two ways that check each other. At the margin: duals of the plan's recourse, for one more unit with every order as it
is. As a whole: the plan made anew in a world where all of a system comes a month earlier, or where a site has more
power, per unit ordered.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from exafleet.market.market import Floats, Market
from exafleet.plan.plan import Plan
from exafleet.sweep.answers.ground import HERE, Ground, Means, planned

MEGAWATT = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Earlier:
    """A system a month earlier.

    units    ordered or on order in the plan
    whole    least and most that the whole order a month earlier saves, planned anew, per unit; the two differ by how
             far both plans are proven                                                        [USD]
    month    of arrival, of the dual                                                          [month index]
    margin   of one more unit a month earlier, in the month it is worth most                  [USD]
    premium  highest queue premium worth paying for one month, by month of order; nan where no order can be placed,
             best of the system's offers                                                      [T] [USD]
    """

    system: str
    units: int
    whole: tuple[float, float]
    month: int
    margin: float
    premium: Floats


def earlier(ground: Ground, plan: Plan, systems: Sequence[str] = (), by: Means = HERE) -> tuple[Earlier, ...]:
    """Every system the plan has on order, a month earlier; raises Interrupted."""
    found = [k for k in (systems or plan.market.systems) if on_order(plan, k)]
    anew = by.over(functools.partial(_anew, ground), found)
    return tuple(_earlier(plan, k, value) for k, value in zip(found, anew, strict=True))


def on_order(plan: Plan, system: str) -> int:
    """Units of a system that the plan waits for."""
    return sum(o.units for o in plan.orders if o.system == system) + sum(
        units for kept in plan.kept if kept.system == system for _, units, _ in kept.arrivals)


def _anew(ground: Ground, system: str) -> tuple[float, float]:
    """Objective and bound of the plan when everything of a system comes a month earlier. [USD]"""
    offers = [f.system == system for f in ground.market.scenario.offers]
    orders = [q.system == system for q in ground.market.scenario.open_orders]
    lead, slip = ground.draws.lead.copy(), ground.draws.slip.copy()
    lead[:, offers] = np.maximum(lead[:, offers] - 1, 0)
    slip[:, orders] -= 1
    found = planned(ground, draws=replace(ground.draws, lead=lead, slip=slip))
    return found.objective, found.bound


def _earlier(plan: Plan, system: str, anew: tuple[float, float]) -> Earlier:
    units, k = on_order(plan, system), plan.market.systems.index(system)
    margin = plan.month_earlier[:, k].max(axis=0)
    month = int(np.argmax(margin))
    offers = [f for f, offer in enumerate(plan.market.scenario.offers) if offer.system == system]
    usd = plan.premium[offers] * plan.market.price[offers]
    there = np.isfinite(usd)
    return Earlier(
        system=system, units=units, month=month, margin=float(margin[month]),
        whole=(max(plan.bound - anew[0], 0.0) / units, max(plan.objective - anew[1], 0.0) / units),
        premium=np.where(there.any(axis=0), np.where(there, usd, -np.inf).max(axis=0, initial=-np.inf), np.nan))


@dataclass(frozen=True, slots=True, kw_only=True)
class Power:
    """More power at a site.

    month  value of one more MW in each month alone, and from that month on                    [T] [USD/MW]
    """

    site: str
    month: Floats
    onward: Floats


def power(plan: Plan) -> tuple[Power, ...]:
    """One more MW at each site, in each month alone and from each month on."""
    worth = plan.power_value * MEGAWATT + 0.0   # no negative zeros
    return tuple(Power(site=site.id, month=worth[s], onward=worth[s][::-1].cumsum()[::-1])
                 for s, site in enumerate(plan.market.scenario.sites))


def with_power(market: Market, site: int, watts: float) -> Market:
    """The market with more power at a site from the first month on. watts [W]"""
    more = market.power.copy()
    more[site] += watts
    return replace(market, power=more)
