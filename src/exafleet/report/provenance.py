"""Where a report's numbers come from: every number of the scenario and every fact of its chips and systems, by key.

The table of facts is the end of every link in a report: a row elsewhere names the keys it rests on, and here stands
each key with its value, its source and date, and what else has been said.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from exafleet.facts.hardware import CHIP_TERMS, SYSTEM_TERMS
from exafleet.facts.scenario.document import UNREAD
from exafleet.plan.plan import Plan
from exafleet.report.table import Cell, Table, column
from exafleet.sweep.variations import in_words
from exafleet.terms.format import written
from exafleet.terms.said import joined, named, said

if TYPE_CHECKING:
    from exafleet.facts.catalogue import Facts
    from exafleet.facts.fact import Fact
    from exafleet.facts.scenario.keys import ScenarioKey
    from exafleet.facts.world import World

FACTS = "facts"
_OTHERS = 4   # competing values shown; `exafleet facts show` lists all


def facts(world: World, plan: Plan) -> Table:
    """Every number the plan rests on by key, with source, date and competing values; `origins` holds the keys."""
    rows = [(one.key, _scenario_row(world, one)) for one in world.keys()  # noqa: SIM118  (not a mapping)
            if one.key.partition(".")[0] not in UNREAD]
    rows += [(fact.key, _fact_row(world.facts, fact)) for fact in _hardware(world, plan)]
    return Table(
        id=FACTS, title=said("facts.title"), lead=said("facts.lead", n=len(rows)), empty=said("facts.empty"), wide=True,
        columns=(column("key"), column("value"), column("kind"), column("source"), column("place"), column("date"),
                 column("competing")),
        rows=tuple(row for _, row in rows), origins=tuple((key,) for key, _ in rows), how=said("facts.how"),
    )


def linked(tables: Sequence[Table], known: Iterable[str]) -> tuple[Table, ...]:
    """The tables with the keys of their rows that the table of facts holds; a number not given has no key."""
    there = set(known)
    return tuple(replace(t, origins=tuple(tuple(dict.fromkeys(k for k in keys if k in there)) for keys in t.origins))
                 for t in tables)


def of_system(world: World, name: str) -> tuple[str, ...]:
    """Keys of the facts that say how fast a system is and what it draws."""
    chip = world.system(name).chip.id
    dtypes = dict.fromkeys(getattr(job, "dtype", "bf16") for job in world.scenario.jobs)
    return (*(f"{chip}.peak_flops@{d}" for d in dtypes), f"{chip}.hbm_bytes", f"{chip}.hbm_bw", f"{name}.power_max")


def _hardware(world: World, plan: Plan) -> Iterator[Fact]:
    """Facts of every system of the plan and of its chip, and what turns ratings into all-in power."""
    held, scenario = world.facts, world.scenario
    dtypes = dict.fromkeys(getattr(job, "dtype", "bf16") for job in scenario.jobs)
    keys = [f"{name}.{term}" for name in plan.market.systems for term in SYSTEM_TERMS]
    for chip in dict.fromkeys(world.system(name).chip.id for name in plan.market.systems):
        keys += [*(f"{chip}.peak_flops@{d}" for d in dtypes), *(f"{chip}.{t}" for t in CHIP_TERMS), f"{chip}.it_power"]
    found = (held.try_get(key) for key in dict.fromkeys([*keys, "datacenter.it_overhead"]))
    return (fact for fact in found if fact is not None)


def _scenario_row(world: World, one: ScenarioKey) -> tuple[Cell, ...]:
    fact = world.origins.get(one.key)
    if fact is None:
        return (one.key, in_words(one), said("kind.scenario"), one.source, one.where,
                world.scenario.as_of.isoformat(), "")
    return (one.key, in_words(one), *_fact_row(world.facts, fact)[2:])


def _fact_row(held: Facts, fact: Fact) -> tuple[Cell, ...]:
    return (fact.key, _with_band(fact), named("kind", fact.kind), held.sources.get(fact.source, fact.source),
            fact.where, fact.as_of.isoformat(), _competing(held.competing(fact.key)))


def _with_band(fact: Fact) -> str:
    value = written(fact.value, fact.unit)
    if fact.low == fact.high:
        return value
    return said("facts.band", value=value, low=written(fact.low, fact.unit), high=written(fact.high, fact.unit))


def _competing(others: Sequence[Fact]) -> str:
    shown = [said("facts.other", value=written(f.value, f.unit), source=f.source, date=f.as_of.isoformat())
             for f in others[:_OTHERS]]
    more = len(others) - len(shown)
    return joined([*shown, *([said("facts.more", more=more)] if more else [])]) if shown else ""
