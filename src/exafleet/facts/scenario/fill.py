"""What a scenario leaves out: taken from the horizon, or from the newest fact known as of its date, never invented.

Every value taken from a fact is noted in `reading.origins`, so that a report can name its source; a value that no
fact gives is a problem that says which fact would.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from exafleet.facts.catalogue import Facts
from exafleet.facts.deals import Queue
from exafleet.facts.fact import Fact
from exafleet.facts.steps import Spread, Steps
from exafleet.terms.calendar import Month, month, month_of
from exafleet.terms.errors import Problem

if TYPE_CHECKING:
    from exafleet.facts.scenario.document import Document, Found, Row
    from exafleet.facts.scenario.values import Reading

RESALE = "chip-owners.residual_share@1yr"
Take = Callable[[str, Fact | None, str, Callable[[Fact], Any]], None]


def filled(array: str, values: dict[str, Any], document: Document, row: Row, reading: Reading,
           found: Found) -> dict[str, Any]:
    """The values of one record with what was left out; what cannot be had is noted as a problem."""

    def take(key: str, fact: Fact | None, sought: str, read: Callable[[Fact], Any]) -> None:
        if key in values:
            return
        if fact is None:
            found.problems.append(Problem(
                where=document.key_place(row, ()), what=f'"{key}" is missing, and no fact gives it as of '
                f"{reading.facts.as_of.isoformat()}", allowed=f"the fact {sought}", remedy=f'Write "{key}".'))
            return
        values[key] = read(fact)
        reading.origins[key] = fact

    match array:
        case "events":
            values.setdefault("first", min(reading.start, values.get("last", reading.start)))
        case "owners":
            values.setdefault("name", values["id"])
        case "sites":
            values.setdefault("name", values["id"])
            _site(values, reading.facts, take)
        case "holdings":
            known = newest(reading.facts, values["system"], "unit_price", values["bought"])
            take("price", known, f"{values['system']}.unit_price@YYYY-MM up to the month of purchase", _value)
        case "open_orders":
            take("price", newest(reading.facts, values["system"], "unit_price"),
                 f"{values['system']}.unit_price@YYYY-MM", _value)
        case "offers":
            _offer(values, reading, take)
        case "rentals":
            _rental(values, reading, take)
        case "jobs":
            _job(values, document, row, reading, found)
        case "finance":
            if "rate" not in values and "base" in values:
                values["rate"] = values["base"] + values.get("spread", 0.0)
                reading.origins |= {"rate": reading.origins["base"]} if "base" in reading.origins else {}
        case "transfers":
            values |= {key: values[key] or "" for key in ("start", "end") if key in values}
    return values


def resale(top: Mapping[str, Any], document: Document, facts: Facts, found: Found) -> float:
    """[scenario] resale, or the fact of what chip owners count with."""
    if "resale" in top:
        return float(top["resale"])
    fact = facts.try_get(RESALE)
    if fact is None and top:
        found.problems.append(Problem(where=document.place(("scenario",)), what=(
            f'"resale" is missing, and no fact gives it as of {facts.as_of.isoformat()}'), allowed=f"the fact {RESALE}",
            remedy='Write e.g. resale = "70 %", the share of its value a used unit keeps after a year.'))
    if fact is None:
        return 0.0
    found.origins["scenario.resale"] = fact
    return min(fact.value, 1.0)


def _value(fact: Fact) -> float:
    return fact.value


def _steady(fact: Fact) -> Steps:
    return Steps.constant(fact.value)


def _spread(fact: Fact) -> Spread:
    return Spread(low=fact.low, mid=fact.value, high=fact.high)


def _site(values: dict[str, Any], facts: Facts, take: Take) -> None:
    region, grid = values.get("region"), values.get("grid")
    price = newest(facts, region, "energy_price", basis="industrial") if region else None
    price = price or (newest(facts, region, "energy_price", basis="commercial") if region else None)
    take("energy_price", price, f"{region}.energy_price" if region else "energy_price of a `region`", _steady)
    years = facts.find(grid, "carbon_intensity") if grid else {}
    take("carbon", years[max(years)] if years else None,
         f"{grid}.carbon_intensity" if grid else "carbon_intensity of a `grid`", _steady)


def _offer(values: dict[str, Any], reading: Reading, take: Take) -> None:
    system = values["system"]
    take("price", newest(reading.facts, system, "unit_price"), f"{system}.unit_price@YYYY-MM", _steady)
    take("lead", newest(reading.facts, system, "lead_time"), f"{system}.lead_time@YYYY-MM", _spread)
    _window(values, reading)
    months = range(reading.start, reading.start + reading.months)
    values.setdefault("total", float(values["supply"].at(list(months)).sum()))
    if values.get("queue") is not None:
        queue = values["queue"]
        values["queue"] = Queue(premium=queue.premium, sooner=queue.sooner, units=queue.units)


def _window(values: dict[str, Any], reading: Reading) -> None:
    values.setdefault("first", min(reading.start, values.get("last", reading.start)))
    values.setdefault("last", max(reading.start + reading.months - 1, values["first"]))


def _rental(values: dict[str, Any], reading: Reading, take: Take) -> None:
    chip = reading.system(values["system"]).chip.id
    basis = "on-demand" if values["term"] == 1 else f"{values['term'] // 12}yr" if values["term"] % 12 == 0 else ""
    fact = newest(reading.facts, chip, "rent", basis=basis) if basis else None
    if fact is None and values["term"] > 1:
        basis, fact = "reserved", newest(reading.facts, chip, "rent", basis="reserved")
    take("price", fact, f"{chip}.rent@{basis}:YYYY-MM", _steady)
    if "price" in values and "factor" in values:
        values["price"] = values["price"].scaled(values["factor"])
    _window(values, reading)


def _job(values: dict[str, Any], document: Document, row: Row, reading: Reading, found: Found) -> None:
    if values["kind"] != "train":
        return
    values.setdefault("earliest", reading.start)
    if ("tokens" in values) == ("flops" in values):
        both = "tokens" in values
        found.problems.append(Problem(
            where=document.key_place(row, ("flops",) if both else ()),
            what='both "tokens" and "flops"' if both else '"tokens" is missing', allowed='"tokens" or "flops"',
            remedy="" if both else 'Write e.g. tokens = "1.5T tokens".'))
    elif "flops" in values:
        _tokens(values, document, row, reading, found)


def _tokens(values: dict[str, Any], document: Document, row: Row, reading: Reading, found: Found) -> None:
    """Tokens of a run given by its FLOPs: 6 FLOP per token and active parameter, attention not counted."""
    model = values["model"]
    active = reading.facts.try_get(f"{model}.active_params_published")
    if active is None and not reading.facts.try_value(f"{model}.experts"):  # every parameter of a dense model is active
        active = reading.facts.try_get(f"{model}.params_published")
    if active is None:
        found.problems.append(Problem(where=document.key_place(row, ("flops",)), what=(
            f"the active parameters of {model} were not published as of {reading.facts.as_of.isoformat()}"),
            remedy='Give "tokens" instead of "flops".'))
        return
    reading.origins["tokens"] = active
    values["tokens"] = values["flops"] / (6.0 * active.value)


def newest(facts: Facts, subject: str, term: str, until: Month | None = None, basis: str = "") -> Fact | None:
    """The fact of the latest month up to `until` (the facts' own date unless given), None when there is none."""
    last = month_of(facts.as_of) if until is None else min(until, month_of(facts.as_of))
    known = [fact for at, fact in facts.monthly(subject, term, basis).items() if at <= last]
    return known[-1] if known else _yearly(facts, subject, term, basis, last)


def _yearly(facts: Facts, subject: str, term: str, basis: str, last: Month) -> Fact | None:
    """Facts qualified by a year ("industrial:2024") count for the whole of it."""
    prefix = f"{basis}:" if basis else ""
    years = {at.removeprefix(prefix): fact for at, fact in facts.find(subject, term).items()
             if at.startswith(prefix) and at.removeprefix(prefix).isdecimal() and len(at) == len(prefix) + 4}
    known = [year for year in sorted(years) if month(f"{year}-01") <= last]
    return years[known[-1]] if known else None
