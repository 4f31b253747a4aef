"""Plan and what was learnt about it -> Report: the order of the sections, and the line that makes it repeatable."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import exafleet
from exafleet.facts.world import World
from exafleet.fleet.rates import Rates
from exafleet.plan.plan import Plan
from exafleet.replay.trace import Trace
from exafleet.report import provenance, summary
from exafleet.report.sections import answer, fleet, jobs, money, orders, sharing, worth
from exafleet.report.table import Report
from exafleet.sweep.sensitivity import Sensitivity
from exafleet.terms.said import named, said


def report(world: World, rates: Rates, plan: Plan, trace: Trace | None = None,
           sensitivity: Sequence[Sensitivity] = ()) -> Report:
    """Everything a plan says, in the order people ask: what to do, what comes of it, what it costs, why, what if."""
    scenario = world.scenario
    tables = [orders.order_book(plan), orders.open_orders(plan), orders.rentals(plan),
              *([orders.changes(plan)] if scenario.risk.react else []), fleet.placements_by_month(plan),
              jobs.training(plan), jobs.demand(plan), fleet.power(plan), fleet.energy(plan), money.cost(plan),
              money.cash(plan), *([money.funded(plan)] if scenario.finance else []), *sharing.tables(plan),
              worth.binding(plan), worth.one_more(plan), worth.queue(plan)]
    if sensitivity:
        tables.append(answer.sensitivity(sensitivity))
    tables.append(answer.speeds(rates, functools.partial(provenance.of_system, world)))
    if trace is not None:
        tables += [answer.replayed(plan, trace), answer.ledger(plan, trace)]
    tables += [fleet.power_by_month(plan), money.cash_by_month(plan), *([money.debt(plan)] if scenario.finance else [])]
    facts = provenance.facts(world, plan)
    every = (*provenance.linked(tables, (key for keys in facts.origins for key in keys)), facts)
    return Report(
        title=scenario.name, subtitle=_subtitle(world, plan), summary=summary.sentences(plan),
        cards=summary.cards(plan), tables=every, meta=_meta(world, plan))


def _subtitle(world: World, plan: Plan) -> str:
    return said("report.subtitle", first=plan.market.start, last=plan.market.start + plan.market.months - 1,
                day=world.as_of.isoformat())


def _meta(world: World, plan: Plan) -> dict[str, Any]:
    return {
        "exafleet": exafleet.__version__, "data": world.data_hash[:12], "as of": world.as_of.isoformat(),
        "seed": plan.draws.seed, "draws": plan.draws.count, "status": named("status", plan.status),
        "method": named("method", plan.method),
        "objective": f"{plan.objective:.6g} USD", "proven gap": f"{100 * plan.gap:.2f} %",
    }
