"""Compute as one number: hours of the reference accelerator that would have done the same work, by owner."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from exafleet.fleet.rates import Rates
from exafleet.market.market import Floats, Market
from exafleet.plan.carry import Lived
from exafleet.replay.rolling import Truth

REFERENCE = "hgx-h100"
HOUR = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Speeds:
    """Work of one chip in chips of the reference system.

    reference  whose chips are counted in
    job        of each job on each system; the mean of the other jobs where it was not rated on both   [J, K]
    mean       of each system over the jobs rated on it and on the reference; NaN without any          [K]
    """

    reference: str
    job: Floats
    mean: Floats


def speeds(rates: Rates, market: Market, reference: str = REFERENCE) -> Speeds:
    """Ratios of the best work per chip, from Rates."""
    name = reference if reference in rates.systems else market.systems[0] if market.systems else ""
    sizes = np.where(rates.work_per_s > 0, rates.sizes, np.inf)
    best = np.max(rates.work_per_s / np.maximum(sizes, 1), axis=2, initial=0.0)
    where = {k: i for i, k in enumerate(rates.systems)}
    jobs = {j: i for i, j in enumerate(rates.jobs)}
    each = np.array([[best[jobs[j.id], where[k]] if j.id in jobs and k in where else 0.0 for k in market.systems]
                     for j in market.scenario.jobs]).reshape(len(market.scenario.jobs), len(market.systems))
    base = each[:, market.systems.index(name)][:, None] if name else np.zeros((len(each), 1))
    ratio = np.where((each > 0) & (base > 0), each / np.where(base > 0, base, 1.0), np.nan)
    known = ~np.isnan(ratio)
    count = known.sum(axis=0)
    mean = np.where(count > 0, np.where(known, ratio, 0.0).sum(axis=0) / np.maximum(count, 1), np.nan)
    return Speeds(reference=name, job=np.where(known, ratio, mean[None, :]), mean=mean)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """Reference chip-hours over the window, by owner's id.

    useful     done by the owner's jobs, wherever the chips stood; None where nobody knows
    installed  standing in the owner's name, used or not
    at_end     reference chips standing at the end                                              [chips]
    spent      what it is reported to have cost, by owner; empty where it follows from the life  [USD]
    """

    useful: Mapping[str, float] | None
    installed: Mapping[str, float]
    at_end: Mapping[str, float]
    spent: Mapping[str, float]


def delivered(truth: Truth, speed: Speeds, lived: Lived) -> Delivered:
    """Useful and installed compute of a life."""
    market = truth.market
    owners = [o.id for o in market.scenario.owners]
    of = {job.id: (j, job.owner) for j, job in enumerate(market.scenario.jobs)}
    systems = {k: i for i, k in enumerate(market.systems)}
    useful, installed, at_end = (dict.fromkeys(owners, 0.0) for _ in range(3))
    hours = market.seconds / HOUR
    for key, units in lived.second.items():
        t = int(key[-1])
        if key[0] in ("use", "run"):
            j, owner = of[str(key[1])]
            k = systems[str(key[-2] if key[0] == "use" else key[3])]
            useful[owner] += units * market.chips[k] * hours[t] * speed.job[j, k]
        elif key[0] == "installed":
            k = systems[str(key[3])]
            installed[str(key[1])] += units * market.chips[k] * hours[t] * speed.mean[k]
            if t == market.months - 1:
                at_end[str(key[1])] += units * market.chips[k] * speed.mean[k]
    return Delivered(useful=useful, installed=installed, at_end=at_end, spent={})


def reported(market: Market, speed: Speeds) -> Delivered | None:
    """The same of what was reported, which says nothing of its use; None without a report."""
    if not market.scenario.reported:
        return None
    owners = [o.id for o in market.scenario.owners if any(r.owner == o.id for r in market.scenario.reported)]
    hours = market.seconds / HOUR
    standing: dict[tuple[str, str, str], Floats] = {}
    spent: dict[tuple[str, str], float] = {}
    for r in sorted(market.scenario.reported, key=lambda r: r.month):
        k = market.systems.index(r.system)
        row = standing.setdefault((r.owner, r.site, r.system), np.zeros(market.months))
        row[max(r.month - market.start, 0):] = r.units * market.chips[k] * speed.mean[k]
        spent[r.owner, r.site] = max(spent.get((r.owner, r.site), 0.0), r.spent)
    return Delivered(
        useful=None,
        installed={o: float(sum(row @ hours for (who, _, _), row in standing.items() if who == o)) for o in owners},
        at_end={o: float(sum(row[-1] for (who, _, _), row in standing.items() if who == o)) for o in owners},
        spent={o: sum(usd for (who, _), usd in spent.items() if who == o) for o in owners})
