"""Money, prices and GPUs: what a sum buys, and what GPUs cost, by each price that is quoted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from exafleet.facts.catalogue import Facts
from exafleet.facts.fact import Fact
from exafleet.facts.scenario.fill import newest
from exafleet.facts.subjects import Subject
from exafleet.report.claims import amount
from exafleet.report.claims.amount import Amount, plain
from exafleet.report.claims.asking import Asking, NotKnown
from exafleet.terms.calendar import month_of
from exafleet.terms.said import said

BARE, NETWORKED, SUPERCHIP, GPU = "bare rack", "rack with network", "superchip", "GPU, mean of the year"
PRICES = (BARE, NETWORKED, SUPERCHIP, GPU)
Compute = Callable[[Mapping[str, Any], Asking], Amount]
Evaluate = Callable[[Any, Asking], Amount]


def bought(evaluate: Evaluate) -> Compute:
    """GPUs that a sum buys; whole units, then the GPUs in them."""
    def compute(given: Mapping[str, Any], asking: Asking) -> Amount:
        money = evaluate(given["money"], asking)
        price, gpus = _price(given, asking)
        units = amount.divided(money, price)
        found = amount.multiplied([units, gpus])
        asking.say(said("claims.step.bought", money=money.written, price=price.written, units=units.written,
                        found=found.written))
        return found
    return compute


def cost(evaluate: Evaluate) -> Compute:
    """What so many GPUs cost."""
    def compute(given: Mapping[str, Any], asking: Asking) -> Amount:
        number = evaluate(given["gpus"], asking)
        price, gpus = _price(given, asking)
        units = amount.divided(number, gpus)
        found = amount.multiplied([units, price])
        asking.say(said("claims.step.cost", number=number.written, price=price.written, units=units.written,
                        found=found.written))
        return found
    return compute


def _price(given: Mapping[str, Any], asking: Asking) -> tuple[Amount, Amount]:
    """The price of a unit, and the GPUs in it."""
    system = asking.facts.subjects.resolve(given.get("system") or asking.subject, "system")
    known = _known(system, asking)
    if not known:
        raise NotKnown(said("claims.lacks.price", system=system.id))
    way = asking.choose("price", tuple(known))
    price = asking.take(known[way])
    inside = {"price_per_unit": f"{system.id}.chips",
              "price_per_superchip": f"{superchip(asking.facts, system)}.chips"}
    dimension = amount.dimension_of(price.dims)
    if dimension not in inside:
        return price, plain(1.0)
    found = asking.fact(inside[dimension])
    unit = "rack" if dimension == "price_per_unit" else "superchip"
    return price, amount.multiplied([found, plain(1.0, amount.multiplied([plain(1.0, (("GPU", 1),)),
                                                                          plain(1.0, ((unit, -1),))]).dims)])


def _known(system: Subject, asking: Asking) -> dict[str, Fact]:
    """Prices of a system by the way they are quoted, each of the month nearest to the claim."""
    facts, pair = asking.facts, superchip(asking.facts, system)
    found = {
        BARE: near(facts, system.id, "unit_price", asking),
        NETWORKED: near(facts, system.id, "unit_price_all_in", asking),
        SUPERCHIP: near(facts, pair, "superchip_price", asking) if pair else None,
        GPU: facts.try_get(f"{system.chip}.average_price@{asking.day.year}"),
    }
    return {way: fact for way, fact in found.items() if fact is not None}


def near(facts: Facts, subject: str, term: str, asking: Asking) -> Fact | None:
    """The newest fact by month up to the claim's day; where there is none, the first one after it."""
    found = newest(facts, subject, term, month_of(asking.day))
    return found or next(iter(facts.monthly(subject, term).values()), None)


def superchip(facts: Facts, system: Subject) -> str:
    """Id of the superchip that holds a system's chip; "" where it has none."""
    return next((s.id for s in facts.subjects.of_kind("component") if s.chip == system.chip and s.chip), "")
