"""What would change the answer, how fast each job runs on each system, and what replay adds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from exafleet.facts.records import TrainJob
from exafleet.fleet.rates import Rates
from exafleet.plan.plan import Plan
from exafleet.replay.trace import Trace
from exafleet.report import charts
from exafleet.report.table import Cell, Column, Table
from exafleet.sweep.sensitivity import Sensitivity
from exafleet.terms import format as words
from exafleet.terms.calendar import month_name
from exafleet.terms.why import SENTENCES, Why


def speeds(rates: Rates) -> Table:
    """Best size of every job on every system: useful work, band, watts, layout; or why it cannot run."""
    rows: list[tuple[Cell, ...]] = []
    for j, job in enumerate(rates.jobs):
        for k, system in enumerate(rates.systems):
            sizes, work = rates.sizes[j, k], rates.work_per_s[j, k]
            if not work.any():
                codes = rates.why[j, k][rates.why[j, k] != Why.OK]
                why = SENTENCES[Why(int(np.bincount(codes).argmax()))] if len(codes) else "not asked"
                rows.append((job, system, None, None, None, None, None, why))
                continue
            best = int(np.argmax(np.divide(work, sizes, out=np.zeros_like(work), where=sizes > 0)))
            each = 1.0 / float(sizes[best])
            rows.append((job, system, int(sizes[best]), float(work[best]) * each,
                         words.band(float(rates.low[j, k, best]) * each, float(rates.high[j, k, best]) * each,
                                    words.significant),
                         rates.units[j] + "/s", float(rates.power[j, k, best]) * each, rates.layout[j][k][best]))
    return Table(
        id="speeds", title="How fast each job runs on each system", wide=True,
        lead="Useful work per chip and second at the most efficient size, failures taken off, with its 80 % band.",
        empty="No job to run.",
        columns=(Column(title="Job"), Column(title="System"), Column(title="Chips", kind="count"),
                 Column(title="Per chip", kind="number"), Column(title="80 % band"), Column(title="Unit"),
                 Column(title="IT power per chip", kind="power"), Column(title="Layout, or why not")),
        rows=tuple(rows),
    )


def sensitivity(plan: Plan, found: Sequence[Sensitivity]) -> Table:
    """The facts the answer hangs on most, each with its source."""
    rows = tuple((s.key, s.written, s.source, s.elasticity, s.less, s.more, s.changes) for s in found)
    picture = [{"fact": s.key, "less": s.less / 1e6, "more": s.more / 1e6} for s in found]
    return Table(
        id="sensitivity", title="What would change the answer",
        lead="Change of the expected cost when one fact is 10 % lower or higher; the five that matter most.",
        empty="No fact was varied.",
        columns=(Column(title="Fact"), Column(title="Today"), Column(title="Source"),
                 Column(title="Elasticity", kind="number"), Column(title="10 % less", kind="money"),
                 Column(title="10 % more", kind="money"), Column(title="Order book")),
        rows=rows,
        charts=(("", charts.tornado(picture, [s.key for s in found], "change of expected cost, million USD")),),
    )


def replayed(plan: Plan, trace: Trace) -> Table:
    """The base draw lived through: whole racks, installed one by one, whole gangs, failures."""
    start, seconds = plan.market.start, np.concatenate([[0.0], np.cumsum(plan.market.seconds)])
    rows: list[tuple[Cell, ...]] = []
    for j, job in enumerate(plan.market.scenario.jobs):
        if not isinstance(job, TrainJob) or all(p.job != job.id for p in plan.placements):
            continue
        lived = trace.finish[j]
        month = int(np.searchsorted(seconds, lived, side="right")) - 1 if np.isfinite(lived) else None
        planned = int(plan.finish[0, j])
        rows.append((job.id, month_name(start + planned) if planned >= 0 else "not within the horizon",
                     month_name(start + month) if month is not None else
                     f"{words.percent(float(trace.progress[j, -1]))} done at the end",
                     float(trace.waited[j]) / 86400, int(trace.stops[j]), float(trace.lost[j]) / 86400))
    return Table(
        id="replay", title="The plan, lived through",
        lead="The base draw again with whole racks installed one by one, whole gangs and failures as events.",
        empty="The plan runs no training job.",
        columns=(Column(title="Run"), Column(title="Done as planned"), Column(title="Done when lived"),
                 Column(title="Days waiting for its gang", kind="number"), Column(title="Failures", kind="count"),
                 Column(title="Days lost to failures and checkpoints", kind="number")),
        rows=tuple(rows),
    )


def ledger(plan: Plan, trace: Trace) -> Table:
    """Who owned, used and lent what, month by month, as lived through."""
    market = plan.market
    owners, sites = market.scenario.owners, market.scenario.sites
    rows: list[tuple[Cell, ...]] = [
        (market.start + t, owners[int(plan.holder_owner[h])].id, sites[int(plan.holder_site[h])].id,
         market.systems[int(plan.holder_system[h])], float(trace.owned[h, t]), float(trace.used[h, t]),
         float(trace.lent[h, t]), float(trace.idle[h, t]))
        for t in range(market.months) for h in np.flatnonzero(trace.owned[:, t] > 0.5)]
    return Table(
        id="ledger", title="Who owned and who used what", lead="Chips, mean over the month, base draw lived through.",
        empty="Nobody owned anything.", wide=True,
        columns=(Column(title="Month", kind="month"), Column(title="Owner"), Column(title="Site"),
                 Column(title="System"), Column(title="Owned", kind="count"), Column(title="Used", kind="count"),
                 Column(title="Lent", kind="count"), Column(title="Idle", kind="count")),
        rows=tuple(rows),
    )
