"""What is charged but paid by nobody: demand not met, runs late, gangs not whole, overdrafts; and the value of runs."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from exafleet.facts.records import ResearchJob, TrainJob
from exafleet.market.market import Floats, Ints
from exafleet.plan.build import Build, Ledger
from exafleet.plan.plan import PARTS

PART = {name: i for i, name in enumerate(PARTS)}
# An overdraft is what a plan must avoid, not a loan: a dollar owed for a month costs a dollar.
OVERDRAFT = 1.0
# A unit missing from a gang for a month, in what a typical unit costs: no plan may prefer it to another placement.
BROKEN = 300.0


def penalties(b: Build) -> None:
    """Every charge that moves no cash, and the value of runs."""
    _shortage(b)
    _runs(b)
    _broken(b)
    _overdraft(b)


def charge(ledger: Ledger, part: str, column: Ints, usd: npt.ArrayLike) -> None:
    """A cost in present value that moves no cash here. Missing columns are skipped."""
    ledger.cost.put(PART[part], column, usd)


def _priority(b: Build) -> Floats:
    """Weight of each job's owner. [J]"""
    return np.array([o.priority for o in b.market.scenario.owners])[b.job_owner]


def _shortage(b: Build) -> None:
    """Demand not served, in present value; a penalty, not cash."""
    per_work = np.array([getattr(job, "unserved", 0.0) for job in b.market.scenario.jobs]) * _priority(b) * b.peak
    usd = per_work[:, None] * b.market.seconds * b.market.discount[:-1]
    research = np.array([isinstance(job, ResearchJob) for job in b.market.scenario.jobs], dtype=bool)[:, None]
    short = b.y["short"]
    charge(b.ledger, "shortage (serve)", np.where(research, -1, short), usd)
    charge(b.ledger, "shortage (research)", np.where(research, short, -1), usd)


def _runs(b: Build) -> None:
    """Value pro rata of progress; lateness on the share not done at each month's end from `due` on; unfinished."""
    weight, discount, months = _priority(b), b.market.discount, b.market.months
    late, unfinished = 0.0, 0.0
    for j, job in enumerate(b.market.scenario.jobs):
        if isinstance(job, TrainJob):
            done = b.y["done"][j]
            overdue = np.arange(months) >= job.due - b.market.start
            monthly = job.late * weight[j] * discount[:-1] * overdue
            charge(b.ledger, "lateness", done, -monthly)
            charge(b.ledger, "unfinished", done[-1:], -job.unfinished * weight[j] * discount[-1])
            later = np.append(discount[1:-1], 0.0)
            charge(b.ledger, "value of runs", done, -job.value * (discount[:-1] - later))
            late += float(monthly.sum())
            unfinished += float(job.unfinished * weight[j] * discount[-1])
    b.constants["lateness"] = np.full(b.draws.count, late)
    b.constants["unfinished"] = np.full(b.draws.count, unfinished)


def _broken(b: Build) -> None:
    """A gang that is not whole in the base draw, per unit and month; dear enough that a plan shows it only for want
    of anything else."""
    for name in ("missing", "absent"):
        charge(b.ledger, "broken gangs", b.y[name], BROKEN * b.money * b.market.discount[:-1])


def _overdraft(b: Build) -> None:
    charge(b.ledger, "overdraft", b.y["overdraft"], OVERDRAFT * b.money * b.market.discount[:-1])
