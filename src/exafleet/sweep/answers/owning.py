"""Buy, lease or rent: what each costs alone, and what the mix saves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from exafleet.market.market import Market
from exafleet.sweep.answers.choices import Choice, free
from exafleet.sweep.answers.ground import HERE, Ground, Means
from exafleet.sweep.answers.regret import Rival, regret


def ways(market: Market) -> tuple[Choice, ...]:
    """Buying alone, the mix without leases or without rent, renting alone, on demand alone, neither: those that differ
    in this market."""
    every = free(market)
    none, all_offers, all_rentals = every.closed, ~every.closed, ~every.barred
    reserved = np.array([r.term > 1 for r in market.scenario.rentals], dtype=bool)
    leased = any(f.kind == "lease" for f in market.scenario.finance)
    found = [replace(every, name="buy only", barred=all_rentals, leases=False)] if all_rentals.size or leased else []
    if leased:
        found.append(replace(every, name="without leases", leases=False))
        found.append(replace(every, name="without rent", barred=all_rentals))
    if all_offers.size and all_rentals.size:
        found.append(replace(every, name="rent only", closed=all_offers))
        if reserved.any() and not reserved.all():
            found.append(replace(every, name="on demand only", closed=all_offers, barred=reserved))
    found.append(replace(every, name="neither", closed=all_offers, barred=all_rentals))
    return tuple(c for c in found if (c.closed != none).any() or c.barred.any() or not c.leases)


def owning(ground: Ground, choices: Sequence[Choice] | None = None, by: Means = HERE) -> tuple[Rival, ...]:
    """The mix first, then each way alone, judged on the same fresh draws."""
    return regret(ground, ways(ground.market) if choices is None else choices, by)
