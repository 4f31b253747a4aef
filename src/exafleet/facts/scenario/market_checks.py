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
