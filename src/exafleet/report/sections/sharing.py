"""How the owners fare: useful work against what each would have alone, whose chips are used by whom, and the books."""

from __future__ import annotations

import math

import numpy as np

from exafleet.plan.accounts import HOUR, Accounts, accounts
from exafleet.plan.plan import BOOKS, Plan
from exafleet.report.table import Cell, Column, Table, column
from exafleet.terms.said import named, said

MILLION = 1e6

def tables(plan: Plan) -> list[Table]:
    """The sections of a plan whose owners share anything; none where they do not."""
    scenario = plan.market.scenario
    shared = scenario.loans or scenario.sharing or scenario.transfers or scenario.swaps
    if len(scenario.owners) < 2 or not (shared or scenario.fairness.rule != "none"):
        return []
    found = accounts(plan)
    passed = [handed(plan)] if scenario.transfers or scenario.swaps else []
    return [fares(plan, found), fleet(plan, found), *passed, books(plan)]


def fares(plan: Plan, found: Accounts) -> Table:
    """Useful work of each owner against its title, against what it would have alone, and what an hour of it cost."""
    alone, total = plan.fair.alone, found.useful.sum()
    rows: list[tuple[Cell, ...]] = []
    for o, owner in enumerate(plan.market.scenario.owners):
        useful = float(found.useful[o])
        rows.append((owner.id, useful / MILLION, useful / float(total) if total > 0 else None,
                     float(found.entitled[o]), _known(alone[o] / MILLION),
                     _known(useful / alone[o]) if alone[o] > 0 else None, _known(found.slower[o]),
                     float(found.paid[o]), float(found.paid[o]) / useful / HOUR if useful > 0 else None))
    return Table(
        id="sharing", title=said("sharing.title"), lead=_lead(rows), how=said("sharing.how"), rows=tuple(rows),
        columns=(column("owner"), column("useful chip-hours", "number"), column("of all", "share"),
                 column("title to", "share"), column("alone", "number"), column("over alone", "share"),
                 column("time over alone", "number"), column("paid", "money"), column("a useful chip-hour", "rent")))


def _known(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _lead(rows: list[tuple[Cell, ...]]) -> str:
    known = [(float(row[5]), str(row[0])) for row in rows if row[5] is not None]
    if not known:
        return said("sharing.lead plain")
    share, owner = min(known)
    return said("sharing.lead", owner=owner, share=share)


def fleet(plan: Plan, found: Accounts) -> Table:
    """Chip-hours owned, used, lent, borrowed, rented and idle; chips that went back and work lost by it."""
    rows: list[tuple[Cell, ...]] = []
    for o, owner in enumerate(plan.market.scenario.owners):
        owned, idle = float(found.owned[o]), float(found.idle[o])
        hours = (owned, found.own_use[o], found.lent[o], found.borrowed[o], found.rented[o], idle)
        rows.append((owner.id, *(float(h) / MILLION for h in hours), 1.0 - idle / owned if owned > 0 else None,
                     int(found.reclaims[o]), float(found.lost[o]) / MILLION))
    return Table(
        id="shared-fleet", title=said("shared-fleet.title"), how=said("shared-fleet.how"), rows=tuple(rows),
        lead=said("shared-fleet.lead", lent=float(found.lent.sum()), lost=float(found.lost.sum())),
        columns=(column("owner"), column("owned", "number"), column("used", "number"), column("lent", "number"),
                 column("borrowed", "number"), column("rented", "number"), column("idle", "number"),
                 column("utilisation", "share"), column("reclaims", "count"), column("lost work", "number")))


def handed(plan: Plan) -> Table:
    """Places in the queue and installed units that pass from owner to owner, base draw."""
    market, start = plan.market, plan.market.start
    sites, owners = market.scenario.sites, market.scenario.owners
    rows: list[tuple[Cell, ...]] = [
        (slot.by, said("passed.slot", order=slot.order), slot.seller, slot.buyer, slot.system, slot.units,
         start + slot.arrival) for slot in plan.slots]
    for e, (a, z) in enumerate(plan.lane_ends.tolist()):
        transfer = market.scenario.transfers[int(plan.lane_transfer[e])]
        what = said("passed.units", start=sites[plan.holder_site[a]].id, end=sites[plan.holder_site[z]].id)
        rows += [(transfer.id, what, owners[plan.holder_owner[a]].id, owners[plan.holder_owner[z]].id, transfer.system,
                  round(float(plan.handed[0, e, t])), start + int(t) + transfer.months)
                 for t in np.flatnonzero(plan.handed[0, e] > 0.5)]
    units = sum(int(row[5] or 0) for row in rows)
    return Table(
        id="passed", title=said("passed.title"), lead=said("passed.lead", n=units), empty=said("passed.empty"),
        how=said("passed.how"), rows=tuple(sorted(rows, key=lambda row: (int(row[6] or 0), str(row[0]), str(row[2])))),
        columns=(column("by"), column("what"), column("from"), column("to"), column("system"), column("units", "count"),
                 column("arrives", "month")))


def books(plan: Plan) -> Table:
    """Every kind of payment by owner over the horizon, undiscounted, with what falls due after it; base draw."""
    owners = plan.market.scenario.owners
    paid = plan.books[0].sum(axis=2)
    rows: list[tuple[Cell, ...]] = [
        (named("part", kind), *(float(usd) for usd in paid[k]), float(paid[k].sum()))
        for k, kind in enumerate(BOOKS) if np.abs(paid[k]).max(initial=0.0) > 0.5]
    rows.append((said("text.total"), *(float(usd) for usd in paid.sum(axis=0)), float(paid.sum())))
    return Table(
        id="books", title=said("books.title"), lead=said("books.lead"), how=said("books.how"), rows=tuple(rows),
        columns=(column("part"), *(_owner(o.id) for o in owners), column("all", "money")))


def _owner(name: str) -> Column:
    return Column(title=name, kind="money")
