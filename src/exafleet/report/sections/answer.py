"""What would change the answer, how fast each job runs on each system, and what replay adds."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from exafleet.facts.records import TrainJob
from exafleet.fleet.rates import Rates
from exafleet.plan.plan import Plan
from exafleet.replay.trace import Trace
from exafleet.report import charts
from exafleet.report.table import Cell, Table, column
from exafleet.sweep.sensitivity import Sensitivity
from exafleet.terms.format import significant
from exafleet.terms.said import said
from exafleet.terms.why import SENTENCES, Why


def speeds(rates: Rates, hardware: Callable[[str], tuple[str, ...]] = lambda _: ()) -> Table:
    """Best size of every job on every system: useful work, band, watts, layout; or why it cannot run.

    hardware   keys of the facts of a system
    """
    rows: list[tuple[Cell, ...]] = []
    for j, job in enumerate(rates.jobs):
        for k, system in enumerate(rates.systems):
            sizes, work = rates.sizes[j, k], rates.work_per_s[j, k]
            if not work.any():
                codes = rates.why[j, k][rates.why[j, k] != Why.OK]
                why = SENTENCES[Why(int(np.bincount(codes).argmax()))] if len(codes) else said("speeds.not asked")
                rows.append((job, system, None, None, None, None, None, why))
                continue
            best = int(np.argmax(np.divide(work, sizes, out=np.zeros_like(work), where=sizes > 0)))
            each = 1.0 / float(sizes[best])
            rows.append((job, system, int(sizes[best]), float(work[best]) * each,
                         _band(float(rates.low[j, k, best]) * each, float(rates.high[j, k, best]) * each),
                         rates.units[j] + "/s", float(rates.power[j, k, best]) * each, rates.layout[j][k][best]))
    return Table(
        id="speeds", title=said("speeds.title"), how=said("speeds.how"),
        wide=True, lead=said("speeds.lead"), empty=said("speeds.empty"),
        columns=(column("job"), column("system"), column("chips", "count"), column("per chip", "number"),
                 column("band"), column("unit"), column("power per chip", "power"), column("layout")),
        rows=tuple(rows), origins=tuple(hardware(str(r[1])) for r in rows),
    )


def _band(low: float, high: float) -> str:
    if significant(low) == significant(high):
        return said("amount.number", value=low)
    return said("amount.band", low=low, high=high)


def sensitivity(found: Sequence[Sensitivity]) -> Table:
    """The facts the answer hangs on most, each with its source."""
    rows = tuple((s.key, s.written, s.source, s.elasticity, s.less, s.more, s.changes) for s in found)
    picture = [{"fact": s.key, "less": s.less / 1e6, "more": s.more / 1e6} for s in found]
    return Table(
        id="sensitivity", title=said("sensitivity.title"), how=said("sensitivity.how"),
        lead=said("sensitivity.lead"),
        empty=said("sensitivity.empty"),
        columns=(column("fact"), column("today"), column("source"), column("elasticity", "number"),
                 column("10 less", "money"), column("10 more", "money"), column("order book")),
        rows=rows, origins=tuple((s.key,) for s in found),
        charts=(("", charts.tornado(picture, [s.key for s in found], said("sensitivity.picture"))),),
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
        rows.append((job.id, said("amount.month", value=start + planned) if planned >= 0 else said("replay.not within"),
                     said("amount.month", value=start + month) if month is not None else
                     said("replay.part", done=float(trace.progress[j, -1])),
                     float(trace.waited[j]) / 86400, int(trace.stops[j]), float(trace.lost[j]) / 86400))
    return Table(
        id="replay", title=said("replay.title"), how=said("replay.how"),
        lead=said("replay.lead"), empty=said("replay.empty"),
        columns=(column("run"), column("done as planned"), column("done when lived"),
                 column("days waiting", "number"), column("failures", "count"), column("days lost", "number")),
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
        id="ledger", title=said("ledger.title"), how=said("ledger.how"),
        lead=said("ledger.lead"), empty=said("ledger.empty"), wide=True,
        columns=(column("month", "month"), column("owner"), column("site"), column("system"),
                 column("owned", "count"), column("used", "count"), column("lent", "count"), column("idle", "count")),
        rows=tuple(rows),
    )
