"""When training runs finish, and how much of the demand is served: base draw and the spread over draws."""

from __future__ import annotations

from typing import Any

import numpy as np

from exafleet.facts.records import ServeJob, TrainJob
from exafleet.plan.plan import Plan
from exafleet.report import charts
from exafleet.report.table import Cell, Table, column, month_names
from exafleet.terms.calendar import month_name
from exafleet.terms.said import said


def training(plan: Plan) -> Table:
    """Each run: where, how large, when it starts and when it is done."""
    market, start = plan.market, plan.market.start
    placed = {p.job: p for p in plan.placements}
    rows: list[tuple[Cell, ...]] = []
    bars: list[dict[str, Any]] = []
    for j, job in enumerate(market.scenario.jobs):
        if not isinstance(job, TrainJob):
            continue
        run, finish = placed.get(job.id), plan.finish[:, j]
        if run is None:
            rows.append((job.id, job.owner, said("training.not run"), "", None, None, None, None, job.due, None))
            continue
        done = finish[finish >= 0]
        late = int(np.sum((finish < 0) | (start + finish > job.due)))
        rows.append((job.id, job.owner, run.place, run.system, run.chips, start + run.start,
                     start + int(finish[0]) if finish[0] >= 0 else None,
                     start + int(done.max()) if len(done) == len(finish) else None, job.due, late / len(finish)))
        last = start + int(finish[0] if finish[0] >= 0 else market.months - 1)
        bars.append({"task": job.id, "owner": job.owner, "start": month_name(start + run.start),
                     "end": month_name(last + 1), "from": said("amount.month", value=start + run.start),
                     "to": said("amount.month", value=last),
                     "detail": said("training.detail", chips=run.chips, system=run.system, place=run.place)})
    return Table(
        id="training", title=said("training.title"), how=said("training.how"),
        lead=_training_lead(rows), empty=said("training.empty"),
        columns=(column("run"), column("owner"), column("where"), column("system"), column("chips", "count"),
                 column("starts", "month"), column("done", "month"), column("latest", "month"),
                 column("due", "month"), column("late in", "share")),
        rows=tuple(rows),
        origins=tuple(tuple(f"jobs.{r[0]}.{t}" for t in ("tokens", "value", "late")) for r in rows),
        charts=(("", charts.gantt(bars, [b["task"] for b in bars])),) if bars else (),
    )


def _training_lead(rows: list[tuple[Cell, ...]]) -> str:
    done = [str(r[0]) for r in rows if r[6] is not None]
    never = [str(r[0]) for r in rows if r[6] is None]
    if never:
        return said("training.lead some", done=len(done), runs=len(rows), never=never)
    return said("training.lead all", n=len(rows))


def demand(plan: Plan) -> Table:
    """Serving and research: share of the demand met, over the horizon and in the worst month."""
    market = plan.market
    rows: list[tuple[Cell, ...]] = []
    pictures: list[tuple[str, charts.Spec]] = []
    for j, job in enumerate(market.scenario.jobs):
        if isinstance(job, TrainJob):
            continue
        served, short = plan.served[:, j], plan.short[:, j]
        asked = served + short
        scale, unit = _unit("tokens" if isinstance(job, ServeJob) else "chips", float(asked[0].max()))
        total = asked.sum(axis=1)
        met = np.divide(served.sum(axis=1), total, out=np.ones_like(total), where=total > 0)
        month_met = np.divide(served[0], asked[0], out=np.ones_like(asked[0]), where=asked[0] > 0)
        worst = int(np.argmin(month_met))
        rows.append((job.id, job.owner, float(asked[0].max()) / scale, unit, float(met[0]), float(met.min()),
                     market.start + worst, float(month_met[worst])))
        kinds = ((said("demand.served"), served[0]), (said("demand.short"), short[0]))
        pictures.append((job.id, charts.demand(
            [{"month": month_name(market.start + t), "kind": kind, "value": float(values[t]) / scale}
             for kind, values in kinds for t in range(market.months)], month_names(plan), unit)))
    return Table(
        id="demand", title=said("demand.title"), how=said("demand.how"),
        lead=_demand_lead(rows), empty=said("demand.empty"),
        columns=(column("job"), column("owner"), column("peak", "number"), column("unit"),
                 column("served", "share"), column("worst draw", "share"), column("worst month", "month"),
                 column("served then", "share")),
        rows=tuple(rows), charts=tuple(pictures),
        origins=tuple(tuple(f"jobs.{r[0]}.{t}" for t in ("demand", "unserved")) for r in rows),
    )


def _unit(name: str, peak: float) -> tuple[float, str]:
    """Scale and unit in which a demand with this peak reads well."""
    for scale, prefix in ((1e6, "M"), (1e3, "k")):
        if peak >= 10 * scale or (name == "tokens" and peak >= scale):
            return scale, said(f"demand.unit.{name}.{prefix}")
    return 1.0, said(f"demand.unit.{name}")


def _demand_lead(rows: list[tuple[Cell, ...]]) -> str:
    full = sum(1 for r in rows if isinstance(r[4], float) and r[4] > 0.999)
    return said("demand.lead", full=full, n=len(rows))
