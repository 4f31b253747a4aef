"""Ways to decide that a plan is compared with: rules of thumb, and plans that may not do something.

A choice is a market (perhaps with some offers or rentals closed), the draws it looks at, and orders written down by a
rule of thumb where it has one. Draws fit every choice, since closing something changes no record of the scenario.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from exafleet.market.market import Bools, Floats, Market
from exafleet.plan.carry import wished
from exafleet.plan.plan import Plan
from exafleet.plan.policies import POLICIES, Orders
from exafleet.plan.sets import sets
from exafleet.plan.twostage import two_stage
from exafleet.sweep.answers.ground import Ground, planned
from exafleet.terms.errors import NoPlan


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A way to decide.

    name    of the choice; the catalogue of strings has its words
    closed  offers nobody orders from                    [F]
    barred  rentals nobody signs                         [R]
    leases  whether leases may pay for orders
    base    looks at deliveries as quoted only
    orders  its orders by a rule of thumb; None: the optimiser's
    """

    name: str
    closed: Bools
    barred: Bools
    leases: bool = True
    base: bool = False
    orders: Orders | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """A choice and the plan it leads to, or the reason why it leads to none."""

    choice: str
    plan: Plan | None
    refused: str = ""


def free(market: Market, name: str = "plan") -> Choice:
    """Everything is allowed."""
    return Choice(name=name, closed=np.zeros(len(market.scenario.offers), dtype=bool),
                  barred=np.zeros(len(market.scenario.rentals), dtype=bool))


def naive(market: Market) -> tuple[Choice, ...]:
    """The rules of thumb that decide once, now: those that look ahead only a little belong to a backtest."""
    every = free(market)
    return (replace(every, name="deterministic", base=True),
            *(replace(every, name=p.name, orders=p.orders) for p in POLICIES if p.orders is not None))


def decide(ground: Ground, choice: Choice) -> Decided:
    """The plan of a choice."""
    market = narrowed(ground.market, choice)
    draws = ground.draws.take([0]) if choice.base else ground.draws
    try:
        first = None if choice.orders is None else ordered(ground, market, choice.orders)
        return Decided(choice=choice.name, plan=planned(ground, market, draws, first))
    except NoPlan as error:
        return Decided(choice=choice.name, plan=None, refused=error.problems[0].what)


def narrowed(market: Market, choice: Choice) -> Market:
    """The market with what the choice leaves alone closed."""
    scenario = market.scenario
    if not choice.leases:
        scenario = replace(scenario, finance=tuple(f for f in scenario.finance if f.kind != "lease"))
    return replace(market, scenario=scenario, can_order=market.can_order & ~choice.closed[:, None],
                   can_rent=market.can_rent & ~choice.barred[:, None])


def ordered(ground: Ground, market: Market, orders: Orders) -> Floats:
    """First-stage columns with the orders of a rule of thumb, everything else free (NaN). [X]"""
    base = ground.draws.take([0])
    return wished(two_stage(market, base, sets(market, ground.rates, base)), orders(market, base, 0, ()))
