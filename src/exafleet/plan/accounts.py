"""How each owner fares in a plan: chip-hours owned, used, lent and borrowed in the base draw; useful work and cash."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from exafleet.facts.records import TrainJob
from exafleet.market.lending import lending
from exafleet.market.market import Floats, Ints
from exafleet.plan.plan import Plan

HOUR = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Accounts:
    """One entry an owner, over the horizon; base draw but for useful work and cash, which are means. [O] each

    owned, own_use, lent, borrowed, idle   chip-hours of installed units; idle is neither used nor lent [chip-h]
    rented                                 chip-hours rented, on demand or by contract                  [chip-h]
    entitled      share of all chip-hours: by nominal quota where stated, else by what is owned         [1]
    useful        work, in hours of a chip of the fastest system each job can use, mean of the draws    [chip-h]
    reclaims      months in which lent chips went back, counted by agreement, for who gave them back
    lost          work of borrowed chips lost as they went back                                         [chip-h]
    paid          cash out, income negative, undiscounted, mean of the draws                            [USD]
    slower        finish of its runs over that alone, from their earliest month; nan where unknown       [1]
    """

    owned: Floats
    own_use: Floats
    lent: Floats
    borrowed: Floats
    idle: Floats
    rented: Floats
    entitled: Floats
    useful: Floats
    reclaims: Floats
    lost: Floats
    paid: Floats
    slower: Floats


def accounts(plan: Plan) -> Accounts:
    """Every owner's account."""
    market = plan.market
    hours, owners = market.seconds / HOUR, len(market.scenario.owners)
    agreed = lending(market)
    index = {o.id: i for i, o in enumerate(market.scenario.owners)}
    job_owner = np.array([index[job.owner] for job in market.scenario.jobs], dtype=np.int64)
    chips = plan.installed[0] * market.chips[plan.holder_system][:, None]
    owned = sums(plan.holder_owner, chips @ hours, owners)
    used = plan.use[0][:, :len(plan.holder_owner)] @ hours
    mine = job_owner[:, None] == plan.holder_owner[None, :]
    own_use = sums(plan.holder_owner, (used * mine).sum(axis=0), owners)
    lent, borrowed = (sums(side, plan.lent[0] @ hours, owners) for side in (agreed.lender, agreed.borrower))
    back = plan.reclaimed[0]
    rented = (plan.rented[0] + plan.reserved).sum(axis=0) @ hours
    return Accounts(
        owned=owned, own_use=own_use, lent=lent, borrowed=borrowed, idle=np.maximum(owned - own_use - lent, 0.0),
        rented=rented, entitled=_entitled(plan, owned),
        useful=sums(job_owner, plan.draws.probability @ plan.useful, owners),
        reclaims=sums(agreed.borrower, (back > 0.5).sum(axis=1).astype(float), owners),
        lost=sums(agreed.borrower, back.sum(axis=1) * agreed.restart / HOUR, owners),
        paid=plan.draws.probability @ plan.books.sum(axis=(1, 3)), slower=_slower(plan, job_owner))


def sums(group: Ints, values: Floats, count: int) -> Floats:
    """Sums of the values of each group. [count]"""
    total = np.zeros(count)
    np.add.at(total, group, values)
    return total


def _entitled(plan: Plan, owned: Floats) -> Floats:
    market = plan.market
    months = np.arange(market.start, market.start + market.months)
    stated = np.full(len(owned), np.nan)
    for share in market.scenario.sharing:
        if share.nominal is not None:
            o = next(i for i, x in enumerate(market.scenario.owners) if x.id == share.owner)
            stated[o] = np.nan_to_num(stated[o]) + float(share.nominal.at(months) @ (market.seconds / HOUR))
    title = np.where(np.isfinite(stated), stated, owned)
    return title / title.sum() if title.sum() > 0 else np.zeros(len(owned))


def _slower(plan: Plan, job_owner: Ints) -> Floats:
    """Mean over an owner's runs that finish both ways of the months from the earliest start, together over alone."""
    found: list[list[float]] = [[] for _ in plan.market.scenario.owners]
    for j, job in enumerate(plan.market.scenario.jobs):
        if isinstance(job, TrainJob) and plan.finish[0, j] >= 0 and plan.fair.alone_finish[j] >= 0:
            begin = max(job.earliest - plan.market.start, 0)
            together, alone = (float(end - begin + 1) for end in (plan.finish[0, j], plan.fair.alone_finish[j]))
            found[job_owner[j]].append(together / alone)
    return np.array([float(np.mean(ratios)) if ratios else np.nan for ratios in found])
