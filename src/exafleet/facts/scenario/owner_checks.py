"""What only shows between owners: books, cohorts, transfers, swaps, tiers and weights. Every problem, none twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from exafleet.facts.catalogue import Facts
from exafleet.facts.deals import OpenOrder
from exafleet.facts.records import Scenario
from exafleet.facts.sharing import Share, Transfer
from exafleet.facts.steps import Steps
from exafleet.terms.errors import ExafleetError, Problem

if TYPE_CHECKING:
    from exafleet.facts.scenario.document import Document, Found, Row

Names = tuple[str, ...]


def owner_checks(document: Document, facts: Facts, scenario: Scenario, found: Found, *,
                 horizon: bool) -> Iterator[Problem]:
    """Problems of records that are sound on their own; `horizon`: the scenario has a sound one."""
    checks = _OwnerChecks(document, facts, scenario, found)
    singles: tuple[tuple[str, Callable[[Row, Any], Iterator[Problem]]], ...] = (
        ("owners", checks.owner), ("sharing", checks.share), ("transfers", checks.transfer), ("swaps", checks.swap))
    for array, one in singles:
        for row, record in found.rows.get(array, ()):
            yield from one(row, record)
    if horizon:
        for array in ("loans", "sharing"):
            for row, record in found.rows.get(array, ()):
                yield from checks.notice(row, record)
    yield from checks.tiers()
    yield from checks.books()
    yield from checks.overlapping_shares()
    yield from checks.loans_overlap()
    yield from checks.cohorts()
    yield from checks.cycles()


def both(a: Names, b: Names) -> bool:
    """Whether two lists of systems, of which an empty one means all, have any in common."""
    return not a or not b or not set(a).isdisjoint(b)


class _OwnerChecks:
    """The scenario the checks are about, for short signatures."""

    def __init__(self, document: Document, facts: Facts, scenario: Scenario, found: Found) -> None:
        self.document, self.facts, self.scenario, self.found = document, facts, scenario, found
        self.orders = {q.id: q for q in scenario.open_orders}
        self.offers = {f.id: f for f in scenario.offers}

    def at(self, row: Row, *key: str | int) -> str:
        return self.document.key_place(row, key)

    # ------------------------------------------------------------------------------------------- one kind of record
    def owner(self, row: Row, owner: Any) -> Iterator[Problem]:
        if owner.weight == 0:
            yield Problem(where=self.at(row, "weight"), what="a weight of zero: this owner would have no share",
                          allowed="more than 0", remedy="Leave it out for a weight of 1.")

    def share(self, row: Row, share: Share) -> Iterator[Problem]:
        if share.price is not None and share.market_share:
            yield Problem(where=self.at(row, "market_share"), what='both "price" and "market_share"',
                          allowed="one of them")
        on_demand = [r for r in self.scenario.rentals if r.term == 1 and both((r.system,), share.systems)]
        if share.market_share and not on_demand:
            yield Problem(where=self.at(row, "market_share"), what="no rent on demand to take a share of",
                          remedy='Write "price", or add [[rentals]] of these systems with term = "on demand".')
        alone = [s for s in self.scenario.sharing if s.cohort == share.cohort and s.owner != share.owner]
        if not alone:
            yield Problem(where=self.at(row, "cohort"), what=f"{share.owner} is alone in the cohort {share.cohort}: it "
                          "would lend to itself", remedy="Name the same cohort in another owner's [[sharing]].")

    def transfer(self, row: Row, transfer: Transfer) -> Iterator[Problem]:
        if transfer.seller == transfer.buyer:
            yield Problem(where=self.at(row, "buyer"), what="seller and buyer are the same", got=transfer.seller)
        if transfer.kind == "slot":
            yield from self.slots(row, transfer)
            return
        if transfer.orders:
            yield Problem(where=self.at(row, "orders"), what="installed units come from no order",
                          remedy='Leave "orders" out, or write kind = "slot".')
        if transfer.end:
            site = next((s for s in self.scenario.sites if s.id == transfer.end), None)
            if site is not None and site.owners and transfer.buyer not in site.owners:
                yield Problem(where=self.at(row, "end"), what=f"{transfer.buyer} may not install at {site.id}",
                              allowed=", ".join(site.owners),
                              remedy=f"Add it to the owners of {site.id} ({site.where}).")

    def slots(self, row: Row, transfer: Transfer) -> Iterator[Problem]:
        for i, name in enumerate(transfer.orders):
            order = self.orders.get(name) or self.offers.get(name)
            if order is None:
                known = (*self.orders, *self.offers)
                yield Problem(where=self.at(row, "orders", i), what=f'no open order or offer "{name}"',
                              allowed=", ".join(known[:8]) if known else "an [[open_orders]] or [[offers]] first")
            elif order.system != transfer.system:
                yield Problem(where=self.at(row, "orders", i), what=f"{name} is of {order.system}",
                              allowed=transfer.system)
            elif isinstance(order, OpenOrder) and order.owner != transfer.seller:
                yield Problem(where=self.at(row, "orders", i), what=f"{name} is {order.owner}'s order",
                              allowed=f"an order of {transfer.seller}")
        for key in ("start", "end", "months", "cost"):
            if getattr(transfer, key):
                yield Problem(where=self.at(row, key), what=f'a place in the queue has no "{key}"',
                              remedy="It arrives at the buyer, who installs it.")

    def swap(self, row: Row, swap: Any) -> Iterator[Problem]:
        first, second = self.orders.get(swap.first), self.orders.get(swap.second)
        if first is None or second is None:
            return
        if first.owner == second.owner:
            yield Problem(where=self.at(row, "second"), what=f"both orders are {first.owner}'s", got=swap.second)
        if first.system != second.system:
            yield Problem(where=self.at(row, "second"), what=f"{swap.second} is of {second.system}",
                          allowed=f"an order of {first.system}, as {swap.first}")

    def notice(self, row: Row, record: Any) -> Iterator[Problem]:
        if record.notice > self.scenario.months:
            yield Problem(where=self.at(row, "notice"), what="a notice longer than the plan: nothing lent would ever "
                          "come back", got=f"{record.notice} months", allowed=f"at most {self.scenario.months} months")

    # ------------------------------------------------------------------------------------------- between records
    def tiers(self) -> Iterator[Problem]:
        """Tiers are counted from 1 without a gap."""
        rows = self.found.rows.get("owners", ())
        used = {owner.tier for _, owner in rows}
        for row, owner in rows:
            if owner.tier > 1 and owner.tier - 1 not in used:
                yield Problem(where=self.at(row, "tier"), what=f"nobody is in tier {owner.tier - 1}",
                              got=f"tiers {', '.join(map(str, sorted(used)))}",
                              allowed="tiers 1, 2, 3, ... without a gap")

    def books(self) -> Iterator[Problem]:
        """Who shares a book with somebody who has a budget, or buys from one, says what it has."""
        rows = self.found.rows.get("owners", ())
        limited = {owner.id: owner for _, owner in rows if owner.budget is not None}
        for row, owner in rows:
            if "budget" in row.raw:
                continue
            mates = [o.id for o in limited.values() if o.book and o.book == owner.book]
            sellers = [t.seller for t in self.scenario.transfers if t.buyer == owner.id and t.seller in limited]
            if mates or sellers:
                why = (f"shares the book {owner.book} with {mates[0]}" if mates else f"may buy from {sellers[0]}")
                yield Problem(where=self.at(row), what=f"{owner.id} has no budget, but {why}, which has one",
                              remedy='Write "budget", or budget = "unlimited" if that is meant.')

    def overlapping_shares(self) -> Iterator[Problem]:
        """One owner has one part of a system in a cohort, and a system is shared in one cohort."""
        rows = self.found.rows.get("sharing", ())
        for (_, a), (row, b) in combinations(rows, 2):
            if a.owner == b.owner and both(a.systems, b.systems):
                yield Problem(where=self.at(row, "systems"), what=f"{b.owner} shares the same system twice",
                              got=f"first at {a.where}", remedy="Name different systems, or write one [[sharing]].")

    def loans_overlap(self) -> Iterator[Problem]:
        """Loans of one pair count together when they are of the same systems; otherwise they have none in common."""
        rows = self.found.rows.get("loans", ())
        for (_, a), (row, b) in combinations(rows, 2):
            same = a.lender == b.lender and a.borrower == b.borrower
            if same and set(a.systems) != set(b.systems) and both(a.systems, b.systems):
                yield Problem(where=self.at(row, "systems"),
                              what="two loans of the same system between the same owners", got=f"first at {a.where}")

    def cohorts(self) -> Iterator[Problem]:
        """Nobody may borrow more than the others of its cohort can ever have."""
        for row, share in self.found.rows.get("sharing", ()):
            if share.borrowing_limit is None:
                continue
            limit = _most(share.borrowing_limit)
            total = sum(self._lendable(s) for s in self.scenario.sharing
                        if s.cohort == share.cohort and s.owner != share.owner and both(s.systems, share.systems))
            if limit > total * (1 + 1e-9):
                yield Problem(where=self.at(row, "borrowing_limit"),
                              what=f"borrowing above what the cohort {share.cohort} can lend",
                              got=f"{limit:,.0f} chips", allowed=f"at most {total:,.0f} chips",
                              remedy="Leave it out for no limit.")

    def _lendable(self, share: Share) -> float:
        """Most chips a member can ever lend: what it calls its own or could own, within its lending limit."""
        if share.nominal is not None:
            own = _most(share.nominal)
        else:
            own = sum(units * self._chips(system) for owner, system, units in self._owned()
                      if owner in ("", share.owner) and both(share.systems, (system,)))
        return min(own, _most(share.lending_limit)) if share.lending_limit is not None else own

    def _owned(self) -> Iterator[tuple[str, str, float]]:
        """(owner, or "" for anybody, system, units) of everything that stands, is on order or on offer."""
        for h in self.scenario.holdings:
            yield h.owner, h.system, float(h.units)
        for q in self.scenario.open_orders:
            yield q.owner, q.system, float(q.units)
        for f in self.scenario.offers:
            for owner in f.owners or ("",):
                yield owner, f.system, f.total
        for t in self.scenario.transfers:
            yield t.buyer, t.system, float("inf")

    def _chips(self, system: str) -> float:
        try:
            return self.facts.value(f"{system}.chips")
        except ExafleetError:
            return float("inf")

    def cycles(self) -> Iterator[Problem]:
        """Installed units of one system that could be sold round and round."""
        rows = [(row, t) for row, t in self.found.rows.get("transfers", ()) if t.kind == "units"]
        for system in dict.fromkeys(t.system for _, t in rows):
            sells: dict[str, list[tuple[str, Row]]] = {t.seller: [] for _, t in rows if t.system == system}
            for row, t in rows:
                if t.system == system and t.seller != t.buyer:
                    sells[t.seller].append((t.buyer, row))
            ring = _ring(sells)
            if ring:
                row = next(r for buyer, r in sells[ring[-2]] if buyer == ring[-1])
                yield Problem(where=self.at(row), what=f"cyclic transfers of {system}: {' to '.join(ring)}",
                              remedy="Keep one direction; lend for the time between.")


def _ring(sells: dict[str, list[tuple[str, Row]]]) -> list[str]:
    """One ring of sellers, the first named again at its end; [] when there is none."""
    done: set[str] = set()
    for begin in sells:
        path: list[str] = []
        found = _walk(begin, sells, path, done)
        if found:
            return found
    return []


def _walk(here: str, sells: dict[str, list[tuple[str, Row]]], path: list[str], done: set[str]) -> list[str]:
    if here in path:
        return [*path[path.index(here):], here]
    if here in done:
        return []
    path.append(here)
    for buyer, _ in sells.get(here, []):
        found = _walk(buyer, sells, path, done)
        if found:
            return found
    path.pop()
    done.add(here)
    return []


def _most(steps: Steps) -> float:
    return float(np.max([steps.before, *steps.values]))
