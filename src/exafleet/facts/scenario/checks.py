"""What only shows between keys of a record, or between records: windows, announcements, who may do what where."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import TYPE_CHECKING, Any

from exafleet.facts.catalogue import Facts
from exafleet.facts.fact import Fact
from exafleet.facts.records import Scenario, TrainJob
from exafleet.facts.scenario.market_checks import market_checks
from exafleet.facts.scenario.owner_checks import owner_checks
from exafleet.facts.scenario.uncertain import check_uncertainty
from exafleet.facts.steps import Steps
from exafleet.terms.calendar import Month, month_name, month_of
from exafleet.terms.errors import ExafleetError, Problem

if TYPE_CHECKING:
    from exafleet.facts.scenario.document import Document, Found, Row


def check(document: Document, facts: Facts, scenario: Scenario, found: Found, *, horizon: bool) -> None:
    """Add every problem and note about records that are sound on their own; `horizon`: the scenario has a sound one."""
    checks = _Checks(document, facts, scenario, found, horizon)
    for array, one in (("sites", checks.site), ("holdings", checks.holding), ("offers", checks.offer),
                       ("open_orders", checks.open_order), ("rentals", checks.rental), ("jobs", checks.job),
                       ("loans", checks.loan), ("moves", checks.move), ("arrived", checks.arrived)):
        for row, record in found.rows.get(array, ()):
            found.problems += one(row, record)
    found.problems += checks.twice("holdings", "the same units are held twice")
    found.problems += checks.twice("loans", "the same loan twice")
    found.problems += checks.twice("moves", "the same move twice")
    found.problems += checks.twice("sharing", "the same part of a cohort twice")
    found.problems += owner_checks(document, facts, scenario, found, horizon=horizon)
    found.problems += market_checks(document, scenario, found, horizon=horizon)
    found.problems += check_uncertainty(document, scenario, found, horizon=horizon)
    found.problems += checks.empty()


class _Checks:
    """The scenario the checks are about, for short signatures."""

    def __init__(self, document: Document, facts: Facts, scenario: Scenario, found: Found, horizon: bool) -> None:
        self.document, self.facts, self.scenario, self.found = document, facts, scenario, found
        self.sites = {site.id: site for site in scenario.sites}
        self.horizon = horizon
        self.end = scenario.start + scenario.months - 1
        self.known: dict[tuple[str, str], Fact | None] = {}

    def at(self, row: Row, *key: str | int) -> str:
        return self.document.key_place(row, key)

    def empty(self) -> Iterator[Problem]:
        """A scenario needs somebody, something to do and something to do it with."""
        file, arrays = self.document.file, self.document.raw
        tables = arrays.get("tables")
        given = {*arrays, *(tables if isinstance(tables, dict) else ())}
        wanted = {"owners": "nobody owns anything", "jobs": "there is nothing to do"}
        for array, what in wanted.items():
            if array not in given:
                yield Problem(where=file, what=f"an empty scenario: {what}", remedy=f"Add [[{array}]].")
        machines = ("holdings", "offers", "open_orders", "rentals")
        if given.isdisjoint(machines):
            yield Problem(where=file, what="an empty scenario: there is nothing to run on",
                          remedy="Add " + ", ".join(f"[[{m}]]" for m in machines[:-1]) + " or [[rentals]].")
        elif "sites" not in given and not given.isdisjoint(machines[:-1]):
            yield Problem(where=file, what="there is no place for what is held or bought", remedy="Add [[sites]].")

    def twice(self, array: str, what: str) -> Iterator[Problem]:
        from exafleet.facts.scenario.document import record_key

        first: dict[str, str] = {}
        for row, record in self.found.rows.get(array, ()):
            key = record_key(array, record)
            if key in first:
                yield Problem(where=self.at(row), what=what, got=f"first at {first[key]}",
                              remedy="Write it once, with the sum." if array == "holdings" else "")
            first.setdefault(key, row.where)

    # ------------------------------------------------------------------------------------------- one kind of record
    def site(self, row: Row, site: Any) -> Iterator[Problem]:
        for key in ("energy_price", "carbon"):
            yield from self.series_begins(row, key, getattr(site, key), self.scenario.start)

    def holding(self, row: Row, holding: Any) -> Iterator[Problem]:
        site = self.sites.get(holding.site)
        if site is not None and site.owners and holding.owner not in site.owners:
            yield Problem(where=self.at(row, "site"), what=f"{holding.owner} may not install at {site.id}",
                          allowed=", ".join(site.owners), remedy=f"Add it to the owners of {site.id} ({site.where}).")
        if site is not None and self.liquid(holding.system) and "liquid" not in site.cooling:
            yield Problem(where=self.at(row, "site"), what=f"{holding.system} needs liquid cooling, {site.id} has none",
                          got=", ".join(site.cooling))
        if self.horizon and holding.bought > self.scenario.start:
            yield Problem(where=self.at(row, "bought"), what="bought after the plan starts",
                          got=month_name(holding.bought), remedy="Write what is still to come as [[open_orders]].")
        yield from self.exists(row, "bought", holding.system, holding.bought, "bought")

    def offer(self, row: Row, offer: Any) -> Iterator[Problem]:
        yield from self.window(row, offer)
        yield from self.series_begins(row, "price", offer.price, max(offer.first, self.scenario.start))
        yield from self.exists(row, "first", offer.system, offer.first, "ordered")
        if self.liquid(offer.system) and self.sites and not any("liquid" in s.cooling for s in self.sites.values()):
            self.found.notes.append(f"{self.at(row)}: {offer.system} needs liquid cooling, and no site has it")
        ship = self.dated(offer.system, "first_ship")
        soonest = offer.first + round(offer.lead.low / (30.4375 * 86400))
        if ship is not None and soonest < month_of(date.fromordinal(int(ship.low))):
            self.found.notes.append(
                f"{self.at(row)}: could arrive in {month_name(soonest)}, before {offer.system} first shipped "
                f"({date.fromordinal(int(ship.value)).isoformat()}, {ship.source})")

    def open_order(self, row: Row, order: Any) -> Iterator[Problem]:
        yield from self.exists(row, "promised", order.system, order.promised, "delivered")

    def rental(self, row: Row, rental: Any) -> Iterator[Problem]:
        yield from self.window(row, rental)
        yield from self.series_begins(row, "price", rental.price, max(rental.first, self.scenario.start))
        yield from self.exists(row, "first", rental.system, rental.first, "rented")

    def job(self, row: Row, job: Any) -> Iterator[Problem]:
        if not isinstance(job, TrainJob):
            return
        if job.due < job.earliest:
            yield Problem(where=self.at(row, "due"), what="due before it can start",
                          got=f"due {month_name(job.due)}, earliest {month_name(job.earliest)}")
        elif self.horizon and job.due < self.scenario.start:
            yield Problem(where=self.at(row, "due"), what="due before the plan starts", got=month_name(job.due),
                          allowed=f"{month_name(self.scenario.start)} or later")
        if self.horizon and job.earliest > self.end and not self.document.part:
            yield Problem(where=self.at(row, "earliest"), what="starts after the plan ends",
                          got=month_name(job.earliest), allowed=f"{month_name(self.end)} or earlier")
        if job.most and job.most < job.least:
            yield Problem(where=self.at(row, "most"), what="most is less than least", got=f"{job.most} < {job.least}")
        if job.batch < job.seq:
            yield Problem(where=self.at(row, "batch"), what="the batch is less than one sequence",
                          got=f"{job.batch:g} tokens, sequences of {job.seq}")

    def loan(self, row: Row, loan: Any) -> Iterator[Problem]:
        if loan.lender == loan.borrower:
            yield Problem(where=self.at(row, "borrower"), what="lender and borrower are the same", got=loan.lender)

    def move(self, row: Row, move: Any) -> Iterator[Problem]:
        if move.start == move.end:
            yield Problem(where=self.at(row, "end"), what="a move ends where it starts", got=move.start)

    def arrived(self, row: Row, came: Any) -> Iterator[Problem]:
        if bool(came.offer) == bool(came.order) or bool(came.offer) != bool(came.ordered):
            yield Problem(where=self.at(row), what="not clear what arrived",
                          got=", ".join(k for k in ("offer", "ordered", "order") if getattr(came, k)) or "neither",
                          allowed="either offer and ordered (the month of order), or order (an open order)")
        elif came.ordered and came.arrived < came.ordered:
            yield Problem(where=self.at(row, "arrived"), what="arrived before it was ordered",
                          got=month_name(came.arrived), allowed=f"{month_name(came.ordered)} or later")
        elif came.arrived > month_of(self.scenario.as_of):
            yield Problem(where=self.at(row, "arrived"), what="arrived after the day it was known",
                          got=month_name(came.arrived), allowed=f"up to {month_name(month_of(self.scenario.as_of))}")

    # ------------------------------------------------------------------------------------------------- what they share
    def window(self, row: Row, record: Any) -> Iterator[Problem]:
        """first <= last, and some of it within the horizon."""
        if record.last < record.first:
            yield Problem(where=self.at(row, "last"), what="ends before it begins",
                          got=f"{month_name(record.first)} to {month_name(record.last)}")
        elif self.horizon and (record.last < self.scenario.start or record.first > self.end):
            self.found.notes.append(f"{self.at(row)}: cannot be had within the plan "
                                    f"({month_name(record.first)} to {month_name(record.last)})")

    def series_begins(self, row: Row, key: str, steps: Steps, needed: Month) -> Iterator[Problem]:
        """A price must be known from its first use on; before its first month there is none."""
        if self.horizon and steps.months and steps.months[0] > needed:
            yield Problem(where=self.at(row, key), what=f"no {key.replace('_', ' ')} before "
                          f"{month_name(steps.months[0])}", allowed=f"a series from {month_name(needed)} on")

    def exists(self, row: Row, key: str, system: str, when: Month, done: str) -> Iterator[Problem]:
        """Nothing is bought, held or rented before it was announced."""
        known = self.dated(system, "announced")
        if known is not None and when < month_of(date.fromordinal(int(known.low))):
            yield Problem(where=self.at(row, key), what=f"{system} {done} before it was announced",
                          got=month_name(when), allowed=f"{date.fromordinal(int(known.value)).isoformat()} or later "
                          f"({known.source})")

    def dated(self, system: str, term: str) -> Fact | None:
        """A date of the system, else of its chip."""
        if (system, term) not in self.known:
            chip = self.facts.subjects.by_id[system].chip if system in self.facts.subjects.by_id else ""
            self.known[(system, term)] = self.facts.try_get(f"{system}.{term}") or self.facts.try_get(f"{chip}.{term}")
        return self.known[(system, term)]

    def liquid(self, system: str) -> bool:
        try:
            return self.facts.value(f"{system}.liquid") > 0
        except ExafleetError:
            return False
