"""What only shows between the terms of offers, orders and allocations: what excludes what, and what can never come."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from exafleet.facts.records import Scenario
from exafleet.facts.scenario.values import MEAN_MONTH
from exafleet.terms.calendar import month_name
from exafleet.terms.errors import Problem

if TYPE_CHECKING:
    from exafleet.facts.scenario.document import Document, Found, Row


def market_checks(document: Document, scenario: Scenario, found: Found, *, horizon: bool) -> Iterator[Problem]:
    """Problems of records that are sound on their own; what is only odd goes to the notes."""
    checks = _MarketChecks(document, scenario, found)
    for row, offer in found.rows.get("offers", ()):
        yield from checks.offer(row, offer)
        if horizon:
            checks.never_comes(row, offer)
    for row, order in found.rows.get("open_orders", ()):
        yield from checks.conversions(row, order)
    for row, money in found.rows.get("finance", ()):
        yield from checks.finance(row, money)
    for row, rental in found.rows.get("rentals", ()):
        yield from checks.rental(row, rental)
    for row, rule in found.rows.get("rules", ()):
        yield from checks.rule(row, rule)


class _MarketChecks:
    """The scenario the checks are about, for short signatures."""

    def __init__(self, document: Document, scenario: Scenario, found: Found) -> None:
        self.document, self.scenario, self.found = document, scenario, found
        self.offers = {f.id: f for f in scenario.offers}

    def at(self, row: Row, *key: str | int) -> str:
        return self.document.key_place(row, key)

    def offer(self, row: Row, offer: Any) -> Iterator[Problem]:
        for one, other in (("deposit", "payments"), ("queue", "queues")):
            if one in row.raw and other in row.raw:
                yield Problem(where=self.at(row, other), what=f'both "{one}" and "{other}"', remedy=f'Keep "{other}".')
        if offer.multiple < 1:
            yield Problem(where=self.at(row, "multiple"), what="orders in multiples of no unit", got="0",
                          allowed="1 or more")
        for name, least in (("least", offer.least), ("multiple", offer.multiple)):
            if least > offer.total:
                yield Problem(where=self.at(row, name), what="no order can be that large", got=f"{least} units",
                              allowed=f"at most the {offer.total:g} units the offer has in all")
        if offer.framework is not None:
            yield from self.framework(row, offer)

    def framework(self, row: Row, offer: Any) -> Iterator[Problem]:
        may = offer.owners or tuple(o.id for o in self.scenario.owners)
        promised = offer.framework
        if promised.owner and promised.owner not in may:
            yield Problem(where=self.at(row, "framework", "owner"),
                          what=f"{promised.owner} may not order from {offer.id}", allowed=", ".join(may))
        if not promised.owner and len(may) > 1:
            yield Problem(where=self.at(row, "framework"), what="nobody is named who pays for what is not ordered",
                          allowed=", ".join(may), remedy='Add owner = "...".')
        if promised.units > offer.total:
            yield Problem(where=self.at(row, "framework", "units"), what="more is promised than the offer has in all",
                          got=f"{promised.units:g} units", allowed=f"at most {offer.total:g}")

    def never_comes(self, row: Row, offer: Any) -> None:
        """An offer whose every order, as quoted, would come after the plan: it is read, told, and never used."""
        start, end = self.scenario.start, self.scenario.start + self.scenario.months - 1
        first = max(offer.first, start)
        if first > min(offer.last, end):
            return
        sooner = max((q.sooner for q in offer.places), default=0.0)
        lead = round(offer.lead.mid / MEAN_MONTH) - round(sooner / MEAN_MONTH)
        comes = np.arange(first + max(lead, 0), end + 1)
        if not len(comes):
            self.found.notes.append(
                f"{self.at(row, 'lead')}: never arrives within the plan: ordered in {month_name(first)} it is quoted "
                f"for {month_name(first + lead)}, the plan ends in {month_name(end)}")
        elif not offer.supply.at(comes).any():
            self.found.notes.append(f"{self.at(row, 'supply')}: never arrives: no supply in any month from "
                                    f"{month_name(int(comes[0]))} on, the first in which an order can come as quoted")

    def finance(self, row: Row, money: Any) -> Iterator[Problem]:
        given = set(row.raw)
        if "rate" in given and given & {"base", "spread"}:
            yield Problem(where=self.at(row, "rate"), what='both "rate" and "base" or "spread"')
        if "spread" in given and "base" not in given:
            yield Problem(where=self.at(row, "spread"), what="a spread on nothing",
                          remedy='Add e.g. base = { fact = "sofr.interest_rate@2024-12" }.')
        if not given & {"rate", "base"} and not money.rent:
            yield Problem(where=self.at(row), what="nothing says what it costs",
                          allowed='"rate", "base" with "spread", or "rent" of a lease')
        for name in ("advance", "interest_only") if money.kind == "lease" else ("rent", "end", "buyout"):
            if name in given:
                yield Problem(where=self.at(row, name), what=f'a {money.kind} has no "{name}"')
        if money.kind == "loan" and money.interest_only >= money.term:
            yield Problem(where=self.at(row, "interest_only"), what="no month is left in which it is paid back",
                          got=f"{money.interest_only} months", allowed=f"fewer than the term of {money.term} months")
        if money.kind == "lease" and money.end == "return" and money.buyout:
            yield Problem(where=self.at(row, "buyout"), what="a buyout of units that go back",
                          remedy='Write end = "buy".')

    def rental(self, row: Row, rental: Any) -> Iterator[Problem]:
        if rental.term == 1:
            for name in ("take", "over", "prepay"):
                if name in row.raw:
                    yield Problem(where=self.at(row, name), what=f'capacity on demand has no "{name}"',
                                  remedy="Give it a term of more than a month.")
        elif "over" in row.raw and rental.take == 1.0:
            yield Problem(where=self.at(row, "over"), what="a price beyond a contract that is paid in full",
                          remedy='Write e.g. take = "70 %".')
        if (rental.interruptions > 0) != (rental.lost > 0):
            yield Problem(where=self.at(row, "lost"), what='"interruptions" and "lost" go together')
        if rental.interruptions * rental.lost >= 1.0:
            yield Problem(where=self.at(row, "lost"), what="more is lost to interruptions than there is time",
                          got=f"{100 * rental.interruptions * rental.lost:.3g} % of the time",
                          allowed="less than 100 %")

    def rule(self, row: Row, rule: Any) -> Iterator[Problem]:
        if rule.last is not None and rule.last < rule.first:
            yield Problem(where=self.at(row, "last"), what="ends before it begins",
                          got=f"{month_name(rule.first)} to {month_name(rule.last)}")
        if rule.kind == "tariff" and not rule.rate:
            yield Problem(where=self.at(row, "rate"), what="a tariff without a rate",
                          remedy='Write e.g. rate = "25 %".')
        if rule.kind == "ban" and rule.rate:
            yield Problem(where=self.at(row, "rate"), what="a ban has no rate")
        if rule.kind == "tariff" and "stage" in row.raw:
            yield Problem(where=self.at(row, "stage"), what="a tariff has no stage",
                          remedy="It is paid on arrival, or on installing at the sites named.")
        if rule.kind == "ban" and rule.sites and rule.stage != "install":
            yield Problem(where=self.at(row, "stage"), what="a ban at sites is a ban on installing there",
                          got=rule.stage, remedy='Write stage = "install".')
        sellers = {f.supplier for f in self.scenario.offers} | {q.supplier for q in self.scenario.open_orders}
        for i, name in enumerate(rule.suppliers):
            if name not in sellers:
                yield Problem(where=self.at(row, "suppliers", i), what=f'nobody called "{name}" sells here',
                              allowed=", ".join(sorted(sellers)))

    def conversions(self, row: Row, order: Any) -> Iterator[Problem]:
        seen: set[str] = set()
        for i, change in enumerate(order.change):
            offer = self.offers.get(change.to)
            if change.to in seen:
                yield Problem(where=self.at(row, "change", i, "to"), what=f"a change into {change.to} twice")
            seen.add(change.to)
            if offer is not None and offer.owners and order.owner not in offer.owners:
                yield Problem(where=self.at(row, "change", i, "to"),
                              what=f"{order.owner} may not order from {offer.id}", allowed=", ".join(offer.owners),
                              remedy=f"Add it to the owners of {offer.id} ({offer.where}).")
