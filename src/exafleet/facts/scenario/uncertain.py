"""[uncertainty] and [[events]]: what is left out comes from fitted facts, and what contradicts itself is told."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np

from exafleet.facts.catalogue import Facts
from exafleet.facts.fact import Fact
from exafleet.facts.records import Scenario, Uncertainty
from exafleet.facts.scenario.fill import newest
from exafleet.facts.steps import Spread
from exafleet.terms.calendar import month_name
from exafleet.terms.errors import Problem, nearest

if TYPE_CHECKING:
    from exafleet.facts.scenario.document import Document, Found, Row
    from exafleet.facts.scenario.values import Reading

MARKET, SITES = "gpu-market", "deliveries-site"
FACTORS = ("delay", "price", "rent", "demand", "power")


def uncertainty(given: dict[str, Any], facts: Facts, reading: Reading, where: str) -> Uncertainty:
    """What is written, and the newest fitted facts for the rest; everything as quoted where `fitted = false`."""
    values = dict(given)
    if values.pop("fitted", True):
        for name in (f.name for f in fields(Uncertainty) if f.name not in ("where", "sample")):
            fact = _fact(facts, name) if name not in values else None
            if fact is not None:
                spread = Spread(low=fact.low, mid=fact.value, high=fact.high)
                values[name] = spread if name == "power_stretch" else fact.value
                reading.origins[name] = fact
        if "power_delay" in given and "power_stretch" not in given:
            values["power_stretch"] = None  # what is written about sites stands alone
            reading.origins.pop("power_stretch", None)
    return Uncertainty(**values, where=where)


def _fact(facts: Facts, name: str) -> Fact | None:
    if name == "power_stretch":
        return newest(facts, SITES, "schedule_ratio")
    return newest(facts, MARKET, name) or facts.try_get(f"{MARKET}.{name}")


def check_uncertainty(document: Document, scenario: Scenario, found: Found, *, horizon: bool) -> Iterator[Problem]:
    """Shares above one, correlations that contradict each other, events that do nothing or cannot all be true."""
    yield from _shares(document, scenario.uncertainty)
    yield from _correlations(document, scenario.uncertainty)
    rows = found.rows.get("events", [])
    yield from _chances(document, rows)
    for row, event in rows:
        yield from _event(document, scenario, row, event)
        if horizon and event.first >= scenario.start + scenario.months:
            found.notes.append(f"{document.key_place(row, ('first',))}: counts from {month_name(event.first)} on, "
                               "after the plan ends")


def _shares(document: Document, given: Uncertainty) -> Iterator[Problem]:
    total = given.delay_common + given.delay_supplier + given.delay_system
    if total > 1.0 + 1e-9:
        yield Problem(where=_place(document), what="delay_common, delay_supplier and delay_system are parts of one",
                      got=f"{total:.3g} in all", allowed="at most 1 in all",
                      remedy="Make one smaller; what is left is each delivery's own.")


def _place(document: Document, key: str = "") -> str:
    """The table, or one of its keys where it is written."""
    raw = document.raw.get("uncertainty")
    if not isinstance(raw, dict):
        return f"{document.file} [uncertainty]"
    return document.place(("uncertainty", key) if key in raw else ("uncertainty",))


def _correlations(document: Document, given: Uncertainty) -> Iterator[Problem]:
    matrix, names = np.eye(len(FACTORS)), []
    for one in fields(Uncertainty):
        pair = one.name.split("_with_")
        if len(pair) == 2:
            i, j = FACTORS.index(pair[0]), FACTORS.index(pair[1])
            matrix[i, j] = matrix[j, i] = getattr(given, one.name)
            names += [f"{one.name} = {getattr(given, one.name):g}"] if getattr(given, one.name) else []
    if np.linalg.eigvalsh(matrix).min() < -1e-9:
        yield Problem(where=_place(document), what="these correlations contradict each other: no shocks have them all",
                      got=", ".join(names), allowed="a positive semidefinite matrix",
                      remedy="Two that are both close to a third are close to each other: bring the smallest nearer "
                             "to the product of the others, or all nearer to 0.")


def _chances(document: Document, rows: list[tuple[Row, Any]]) -> Iterator[Problem]:
    """Outcomes of one question: their probabilities sum to one."""
    for question in dict.fromkeys(event.either for _, event in rows if event.either):
        same = [(row, event) for row, event in rows if event.either == question]
        total = sum(event.probability for _, event in same)
        if abs(total - 1.0) > 1e-6:
            yield Problem(where=document.key_place(same[0][0], ("probability",)),
                          what=f'probabilities of the outcomes of "{question}" do not sum to 1',
                          got=" + ".join(f"{event.probability:g}" for _, event in same) + f" = {total:g}",
                          allowed="1", remedy="Add an outcome in which nothing changes, or change one of them.")


def _event(document: Document, scenario: Scenario, row: Row, event: Any) -> Iterator[Problem]:
    changes = (event.delay, event.power_delay, event.ban, event.price != 1, event.rent != 1, event.demand != 1)
    if not any(changes) and not event.either:
        yield Problem(where=document.key_place(row, ()), what="an event that changes nothing",
                      remedy="Write delay, power_delay, ban, price, rent or demand.")
    sellers = {f.supplier for f in scenario.offers} | {q.supplier for q in scenario.open_orders}
    sellers |= {r.provider for r in scenario.rentals}
    for i, name in enumerate(event.suppliers):
        if name not in sellers:
            yield Problem(where=document.key_place(row, ("suppliers", i)), what=f'nobody called "{name}" sells here',
                          allowed=", ".join(sorted(sellers)), remedy=nearest(name, sorted(sellers)))
    sold = {f.system for f in scenario.offers} | {q.system for q in scenario.open_orders}
    sold |= {r.system for r in scenario.rentals}
    for i, name in enumerate(event.systems):
        if name not in sold:
            yield Problem(where=document.key_place(row, ("systems", i)), what=f"no {name} is sold or rented here",
                          allowed=", ".join(sorted(sold)), remedy=nearest(name, sorted(sold)))
