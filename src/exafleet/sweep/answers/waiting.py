"""Buy now, or wait for the next generation: three plans, and what each costs if the next generation comes late.

`now` orders only systems on sale at the start, `wait` only systems that come later, `both` is the plan, free to hedge.
The three are decided once, with what is believed today; then the next generation slips by months nobody reckoned with.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from exafleet.market.draws import Draws
from exafleet.market.market import Bools, Floats, Market
from exafleet.sweep.answers.choices import Choice, decide, free
from exafleet.sweep.answers.ground import HERE, Ground, Mean, Means, judged, mean_of, ordered_units
from exafleet.terms.errors import FactError, Problem, nearest

SLIPS = (0, 3, 6, 9, 12)
SOON = 3   # months from the start within which an offer counts as on sale now


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """Three choices over what the next generation does.

    later    systems of the next generation
    choices  "now", "wait", "both"                                              [C]
    slips    months the next generation comes later than the fresh draws say    [L]
    cost     mean and standard error by slip and choice; None where refused     [L][C] [USD]
    regret   of each choice against the best of the three, draw by draw         [L][C] [USD]
    orders   units ordered by system                                            [C]
    refused  why a choice has no plan; empty                                    [C]
    """

    later: tuple[str, ...]
    choices: tuple[str, ...]
    slips: tuple[int, ...]
    cost: tuple[tuple[Mean | None, ...], ...]
    regret: tuple[tuple[float | None, ...], ...]
    orders: tuple[tuple[tuple[str, int], ...], ...]
    refused: tuple[str, ...]


def generations(market: Market, later: Sequence[str] = ()) -> Bools:
    """Which offers are of the next generation: of systems named, or of those not on sale within the first months. [F]

    Raises FactError for a system nobody offers, and when nothing or everything would be of the next generation.
    """
    offered = tuple(dict.fromkeys(f.system for f in market.scenario.offers))
    wrong = [Problem(where="--next", what=f'nobody offers "{name}"', allowed=", ".join(offered) or "an offer first",
                     remedy=nearest(name, offered)) for name in later if name not in offered]
    if wrong:
        raise FactError(wrong)
    now: list[bool] = [bool(can.any()) for can in market.can_order[:, :SOON]]
    soon = {f.system for f, can in zip(market.scenario.offers, now, strict=True)
            if can}
    new = set(later) or {k for k in offered if k not in soon}
    found = np.array([f.system in new for f in market.scenario.offers], dtype=bool)
    if not found.any() or found.all():
        raise FactError(Problem(
            where=market.scenario.file, what="there is no next generation to wait for" if not found.any() else
            "nothing is on sale but the next generation",
            got=f"on sale within {SOON} months: {', '.join(sorted(soon)) or 'nothing'}",
            remedy="Say which systems to wait for with --next, or add their offers to the scenario."))
    return found


def waiting(ground: Ground, later: Sequence[str] = (), slips: Sequence[int] = SLIPS, by: Means = HERE) -> Waiting:
    """Costs and regrets of buying now, of waiting and of the plan, over slips of the next generation."""
    new = generations(ground.market, later)
    every = free(ground.market, "both")
    ways = (replace(every, name="now", closed=new), replace(every, name="wait", closed=~new), every)
    found = by.over(functools.partial(_lived, ground, new, tuple(slips)), ways)
    costs = [f[0] for f in found]
    there = [c for c in costs if len(c)]
    best = np.min(there, axis=0) if there else np.zeros((len(slips), 0))
    weight = ground.fresh.probability
    return Waiting(
        later=tuple(dict.fromkeys(f.system for f, n in zip(ground.market.scenario.offers, new, strict=True) if n)),
        choices=tuple(w.name for w in ways), slips=tuple(slips), orders=tuple(f[1] for f in found),
        refused=tuple(f[2] for f in found),
        cost=tuple(tuple(mean_of(c[i], weight) if len(c) else None for c in costs) for i in range(len(slips))),
        regret=tuple(tuple(float(weight @ (c[i] - best[i])) if len(c) else None for c in costs)
                     for i in range(len(slips))))


def _lived(ground: Ground, new: Bools, slips: tuple[int, ...],
           choice: Choice) -> tuple[Floats, tuple[tuple[str, int], ...], str]:
    """Cost of a choice by slip and fresh draw [L, N], its orders by system, or why there is no plan."""
    decided = decide(ground, choice)
    if decided.plan is None:
        return np.zeros((0, 0)), (), decided.refused
    plan = decided.plan
    cost = np.array([judged(ground, plan, slipped(ground.fresh, new, months)).total for months in slips])
    return cost, ordered_units(plan), ""


def slipped(draws: Draws, offers: Bools, months: int) -> Draws:
    """The draws with some offers' deliveries later by months; the base stays as quoted. offers [F]"""
    lead = draws.lead.copy()
    lead[1:, offers] = np.maximum(lead[1:, offers] + months, 0)
    return replace(draws, lead=lead)
