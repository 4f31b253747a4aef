"""Fairness between owners: what each would have alone, and the rules that hold the whole plan to it.

Useful work is counted in hours of one chip of the fastest system a job can use here, at the median rates: an hour on a
system half as fast counts half (Gavel's effective throughput). An owner's share is its useful work over what it would
have alone, with its own units, orders, money and quota and nobody else at work.

Every rule keeps the recourse feasible: what a rule asks for and cannot have is missing at a price.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from exafleet.facts.records import TrainJob
from exafleet.market.market import Bools, Floats, Ints
from exafleet.plan.plan import PARTS, Fair

if TYPE_CHECKING:
    from exafleet.plan.build import Build
    from exafleet.plan.rules import Rule
    from exafleet.plan.twostage import TwoStage

HOUR = 3600.0
# Dollars that one dollar of a higher tier's loss counts for when a lower tier would cause it: no trade is that good.
TIER = 100.0
Solved = tuple[Floats, Floats]                                   # x [X], y [N, Y]
SolvePass = Callable[[str, tuple["Rule", ...], Callable[["TwoStage"], "TwoStage"]], tuple["TwoStage", Solved] | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Useful:
    """Useful chip-hours of jobs as the programme's columns: per unit of `short` [J, T] and of `done` [J] at the end."""

    short: Floats
    done: Floats


def useful_columns(b: Build) -> Useful:
    """Chip-hours that a unit of shortage takes, and that a finished run is."""
    sets, market = b.sets, b.market
    best = np.zeros(len(market.scenario.jobs))
    np.maximum.at(best, sets.pair_job, sets.pair_rate / market.chips[sets.pair_system])
    gang = sets.option_job[sets.gang_option]
    np.maximum.at(best, gang, sets.gang_share / market.chips[sets.option_system[sets.gang_option]])
    hours = np.divide(1.0, best * HOUR, out=np.zeros_like(best), where=best > 0)
    train = np.array([isinstance(job, TrainJob) for job in market.scenario.jobs], dtype=bool)
    short = np.where(train, 0.0, hours * b.peak)[:, None] * market.seconds
    return Useful(short=short, done=np.where(train, hours, 0.0))


def wanted(b: Build, of: Useful) -> Floats:
    """Useful chip-hours of demand in each draw, at the median rates. [N, J]"""
    demand = (b.market.demand / b.peak[:, None])[None] * b.draws.demand / b.draws.rate[:, :, None]
    return np.asarray((demand * of.short).sum(axis=2))


def useful_work(b: Build, y: Floats) -> Floats:
    """Useful chip-hours of every job. y [N, Y] -> [N, J]"""
    of = useful_columns(b)
    padded = np.concatenate([y, np.zeros((len(y), 1))], axis=1)
    missing = (padded[:, b.y["short"]] * of.short).sum(axis=2)
    months = b.market.months
    done = padded[:, b.y["done"][:, -1]] * of.done if months else np.zeros((len(y), len(of.done)))
    return np.asarray(np.maximum(wanted(b, of) - missing, 0.0) + done)


def by_owner(b: Build, of_jobs: Floats) -> Floats:
    """Sums over each owner's jobs. [N, J] -> [N, O]"""
    mine = b.job_owner[:, None] == np.arange(len(b.market.scenario.owners))
    return np.asarray(of_jobs @ mine)


def stated_worth(b: Build) -> float:
    """What all the work the scenario asks for is said to be worth. [USD]"""
    total = 0.0
    for j, job in enumerate(b.market.scenario.jobs):
        if isinstance(job, TrainJob):
            total += job.value + job.unfinished
        else:
            total += job.unserved * float((b.market.demand[j] * b.market.seconds).sum())
    return total


# ------------------------------------------------------------------------------------------------ each owner by itself
def only(p: TwoStage, owner: int, *, borrowing: bool) -> TwoStage:
    """The same programme with nobody but one owner at work; with `borrowing` it may use everybody's units."""
    b = p.build
    mine = (b.acts.owner == owner) & (borrowing | (b.acts.lender == owner))
    stopped = [b.acts.column[~mine], *([] if borrowing else [b.y["granted"], b.y["handed"]])]
    y_upper = p.y_upper.copy()
    for block in stopped:
        y_upper[:, block[block >= 0]] = 0.0
    x_upper = p.x_upper.copy()
    others = np.flatnonzero(b.sets.option_job >= 0)
    others = others[b.job_owner[b.sets.option_job[others]] != owner]
    closed = [b.x["started"][others], b.x["begun"][b.job_owner != owner]]
    if not borrowing:
        contract = np.delete(b.x["contract"], owner, axis=1)
        closed += [b.x["order"][b.book.owner != owner], contract, b.x["slot"], b.x["swap"]]
    for block in closed:
        x_upper[block[block >= 0]] = 0.0
    return replace(p, y_upper=y_upper, x_upper=x_upper, first_lower=_nothing_required(p))


def _nothing_required(p: TwoStage) -> Floats:
    lower = p.first_lower.copy()
    row = p.build.first_rows.blocks().get("required run", np.full(0, -1, dtype=np.int64))
    lower[row[row >= 0]] = -np.inf
    return lower


def alone(solve_pass: SolvePass, owners: tuple[str, ...], *, borrowing: bool) -> tuple[Floats, Ints]:
    """Mean useful work of each owner by itself, nan where it cannot be planned; finish of its runs. [O], [J]"""
    found: list[float] = []
    finish: Ints | None = None
    for o, name in enumerate(owners):
        solved = solve_pass(f"{name} alone", (), lambda p, o=o: only(p, o, borrowing=borrowing))  # type: ignore[misc]
        if solved is None:
            found.append(np.nan)
            continue
        p, (_, y) = solved
        found.append(float(p.probability @ by_owner(p.build, useful_work(p.build, y))[:, o]))
        mine, ends = p.build.job_owner == o, finished(p, y)
        finish = np.where(mine, ends, -1 if finish is None else finish)
    return np.array(found), finish if finish is not None else np.zeros(0, dtype=np.int64)


def finished(p: TwoStage, y: Floats) -> Ints:
    """Month index in which each run is done in the base draw; -1 when it is not. [J]"""
    padded = np.append(y[0] * p.scale[0], 0.0)
    ends = padded[p.build.y["done"]] >= 1.0 - 1e-6
    return np.asarray(np.where(ends.any(axis=1), ends.argmax(axis=1), -1)) if ends.size else np.full(len(ends), -1)


# ---------------------------------------------------------------------------------------------------------- the rules
def measured(solve_pass: SolvePass, p: TwoStage) -> tuple[Fair, tuple[Rule, ...]]:
    """What fairness asks for: what each owner would have by itself, and the rules that hold the plan to it."""
    scenario = p.build.market.scenario
    rule, names = scenario.fairness.rule, tuple(o.id for o in scenario.owners)
    weight = np.array([o.weight for o in scenario.owners])
    reference, finish = np.full(len(names), np.nan), np.full(len(scenario.jobs), -1, dtype=np.int64)
    if rule in ("max-min", "proportional") or scenario.fairness.alone:
        reference, finish = alone(solve_pass, names, borrowing=False)
    none = np.full(len(names), np.nan)
    fair = Fair(rule=rule, alone=reference, promised=none, alone_finish=finish, weight=weight)
    if rule == "max-min":
        return fair, (least_share(reference * weight / weight.mean()),)
    if rule == "proportional":
        everything, _ = alone(solve_pass, names, borrowing=True)
        share = weight / weight.sum()
        return replace(fair, promised=everything * share), (promised(everything, share),)
    return fair, tiers(solve_pass, p.build) if rule == "tiers" else ()


def least_share(reference: Floats) -> Rule:
    """The least useful work of an owner over what it would have alone, by weight: the lower, the dearer. [O]"""

    def least_share_rule(b: Build) -> None:
        of, there = useful_columns(b), reference > 0
        each = np.divide(1.0, reference, out=np.zeros_like(reference), where=there)
        most = float(max([1.0, *((by_owner(b, wanted(b, of)).max(axis=0) + _runs(b, of)) * each)[there]]))
        least = b.y.add("least share", np.ones(1, dtype=bool), upper=most)
        row = b.rows.add("fair share", there, lower=-np.inf, upper=0.0)
        b.recourse.put(row, least[0], 1.0)
        _put_useful(b, of, row, each)
        b.shift(row, by_owner(b, wanted(b, of)) * each)
        price = _price(b)
        b.ledger.cost.put(PARTS.index("unfairness"), least, -price)
        b.constants["unfairness"] = np.full(b.draws.count, price * most)

    return least_share_rule


def promised(everything: Floats, share: Floats) -> Rule:
    """Every owner has its share of what it would have with everything; what it lacks is paid for. [O], [O]"""

    def promised_rule(b: Build) -> None:
        of, there = useful_columns(b), everything > 0
        each = np.divide(1.0, everything, out=np.zeros_like(everything), where=there)
        lacks = b.y.add("lacking share", there, upper=share)
        row = b.rows.add("fair share", there, lower=-np.inf, upper=-share)
        b.recourse.put(row, lacks, -1.0)
        _put_useful(b, of, row, each)
        b.shift(row, by_owner(b, wanted(b, of)) * each)
        b.ledger.cost.put(PARTS.index("unfairness"), lacks, _price(b))

    return promised_rule


def _price(b: Build) -> float:
    stated = b.market.scenario.fairness.price
    return stated if stated is not None else (stated_worth(b) or b.money)


def _runs(b: Build, of: Useful) -> Floats:
    return np.asarray(by_owner(b, of.done[None])[0])


def _put_useful(b: Build, of: Useful, row: Ints, each: Floats) -> None:
    """Less the useful work of each owner, times `each`, without the demand, which is a constant. row, each [O]"""
    at, times = row[b.job_owner], each[b.job_owner]
    b.recourse.put(at[:, None], b.y["short"], of.short * times[:, None])
    if b.market.months:
        b.recourse.put(at, b.y["done"][:, -1], -of.done * times)


def tiers(solve_pass: SolvePass, b: Build) -> tuple[Rule, ...]:
    """Tier by tier: each is planned as if those below it wanted nothing, and is then served no worse than so."""
    rank = np.array([o.tier for o in b.market.scenario.owners])[b.job_owner]
    rules: tuple[Rule, ...] = ()
    for tier in sorted(set(rank.tolist()))[:-1]:
        solved = solve_pass(f"tier {tier}", rules, lambda p, tier=tier: without(p, rank > tier))  # type: ignore[misc]
        if solved is not None:
            rules = (*rules, no_worse(solved[1][1], rank == tier))
    return rules


def without(p: TwoStage, jobs: Bools) -> TwoStage:
    """The same programme in which some jobs are worth nothing."""
    cost2 = p.cost2.copy()
    for name in ("short", "done"):
        block = p.build.y[name][jobs]
        cost2[:, block[block >= 0]] = 0.0
    return replace(p, cost2=cost2)


def no_worse(y: Floats, jobs: Bools) -> Rule:
    """Each of these jobs loses no more in any draw than in a solution given, or pays TIER times as much. y [N, Y]"""

    def no_worse_rule(b: Build) -> None:
        loss = _losses(b)
        lacks = b.y.add(f"lost {b.y.count}", jobs, upper=np.inf)
        row = b.rows.add(f"tier {b.rows.count}", jobs, lower=-np.inf, upper=0.0)
        b.recourse.put(row, lacks, -1.0)
        padded = np.concatenate([y, np.zeros((len(y), 1))], axis=1)
        held = np.zeros((b.draws.count, len(jobs)))
        for name, usd in loss:
            b.recourse.put(row[:, None], b.y[name], usd / b.money)
            held += (padded[:, np.where(b.y[name] < len(y[0]), b.y[name], -1)] * usd).sum(axis=2) / b.money
        b.shift(row, held + 1e-6 * np.abs(held))
        b.ledger.cost.put(PARTS.index("unfairness"), lacks, TIER * b.money)

    return no_worse_rule


def _losses(b: Build) -> tuple[tuple[str, Floats], ...]:
    """Present value of one unit of shortage and of progress, by job and month. [J, T] [USD]"""
    place, column, usd = b.ledger.cost.arrays()
    lost = np.isin(place, [PARTS.index(name) for name in LOST])
    total = np.zeros(b.y.count + 1)
    np.add.at(total, column[lost], usd[lost])
    return tuple((name, np.where(b.y[name] >= 0, total[b.y[name]], 0.0)) for name in ("short", "done"))


LOST = ("lateness", "unfinished", "shortage (serve)", "shortage (research)", "value of runs")
