"""What can be varied about a plan: numbers of the scenario, and facts of the package through the rates.

Each variation knows its key, how its number reads, where it comes from, and how to make the market and the programme's
sets with the number times a factor. First-stage columns stay the same, so that the same decisions can be costed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from exafleet.facts.records import TrainJob
from exafleet.market.draws import Draws
from exafleet.market.market import Floats, Market, market_of
from exafleet.plan.sets import Sets
from exafleet.terms import format as words
from exafleet.terms.said import said

if TYPE_CHECKING:
    from exafleet.facts.hardware import System
    from exafleet.facts.scenario.keys import ScenarioKey
    from exafleet.facts.world import World
    from exafleet.fleet.rates import Rates

# With the first stage kept these change the cost. Leads and supply move the first stage itself: the report prices them
# by the rules that bind and by the highest queue premium.
VARIED = (
    "price",
    "fitting",
    "power",
    "pue",
    "energy_price",
    "rent",
    "install_rate",
    "budget",
    "discount",
    "resale",
    "tokens",
    "value",
    "late",
    "unfinished",
    "demand",
    "unserved",
    "most",
)
_SHORT = 60
# Unit of a scenario's number -> how the catalogue of strings writes an amount of it.
AMOUNTS = {
    "USD": "money", "USD/unit": "per unit", "USD/GPU-s": "rent", "USD/J": "energy price", "W": "power",
    "tokens": "tokens", "tokens/s": "token rate", "USD/token": "per million tokens", "USD/mo": "per month",
    "1/yr": "per year", "chips": "chips",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A world with one number changed: the same market and rates, or changed ones.

    draws   deliveries as quoted there, where they are others than those of the plan
    """

    market: Market
    rates: Rates
    sets: Sets
    draws: Draws | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Variation:
    """One number. `case(factor)` is the world in which it is `factor` times as large.

    written  the number as a person reads it
    source   where it comes from: a line of the scenario, or the source of a fact
    """

    key: str
    written: str
    source: str
    case: Callable[[float], Case]


def scenario_variations(world: World, base: Case) -> Iterator[Variation]:
    """Numbers of the scenario that change what the plan's decisions cost; limits of the first stage do not."""
    systems = {name: world.system(name) for name in base.market.systems}
    numbers = world.keys()
    for one in numbers:
        if one.term in VARIED and one.value > 0 and not one.key.startswith("scenario.months"):
            yield Variation(
                key=one.key,
                written=in_words(one),
                source=_source(one),
                case=_vary_scenario(world, base, one.key, systems),
            )


def _source(one: ScenarioKey) -> str:
    """Line of the scenario, and the beginning of the comment beside the number."""
    said = one.source if len(one.source) <= _SHORT else one.source[:_SHORT].rsplit(" ", 1)[0] + " ..."
    return f"{one.where}: {said}" if said else one.where


def in_words(one: ScenarioKey) -> str:
    """A number of the scenario as a person reads it."""
    value = one.value * 1e6 if one.unit == "USD/token" else one.value
    written = said(f"amount.{AMOUNTS[one.unit]}", value=value) if one.unit in AMOUNTS else (
        said("amount.number", value=value) if one.unit == "1" else said("amount.unit", value=value, unit=one.unit))
    return written if one.shape in ("number", "budget") else said(f"amount.{one.shape}", amount=written)


def _vary_scenario(world: World, base: Case, key: str, systems: Mapping[str, System]) -> Callable[[float], Case]:
    def case(factor: float) -> Case:
        scenario = world.scaled(key, factor).scenario
        power = dict(zip(base.market.systems, base.market.unit_power.tolist(), strict=True))
        market = market_of(scenario, systems, power, notes=base.market.notes)
        return replace(base, market=market, sets=other_tokens(base.sets, base.market, market))

    return case


def other_tokens(sets: Sets, before: Market, after: Market) -> Sets:
    """More tokens are a smaller share of the run done per second."""
    ratio = np.array(
        [
            old.tokens / new.tokens if isinstance(old, TrainJob) and isinstance(new, TrainJob) else 1.0
            for old, new in zip(before.scenario.jobs, after.scenario.jobs, strict=True)
        ]
    )
    return replace(sets, gang_share=sets.gang_share * ratio[sets.option_job[sets.gang_option]])


def fact_variations(
    world: World, base: Case, used: tuple[str, ...], rate: Callable[[World, str], Rates]
) -> Iterator[Variation]:
    """Facts of the systems in use that the rates rest on.

    rate   rates of a world for one system only; other systems keep theirs
    """
    dtypes = dict.fromkeys(getattr(job, "dtype", "bf16") for job in base.market.scenario.jobs)
    for name in used:
        chip = world.system(name).chip.id
        keys = [f"{chip}.peak_flops@{d}" for d in dtypes] + [f"{chip}.{t}" for t in ("hbm_bw", "link_bw", "nic_bw")]
        for key in (*keys, f"{name}.power_max"):
            fact = world.facts.try_get(key)
            if fact is not None and fact.value > 0:
                yield Variation(
                    key=key,
                    written=words.written(fact.value, fact.unit),
                    source=f"{fact.source}: {fact.where}",
                    case=_vary_fact(world, base, name, key, rate),
                )


def _vary_fact(
    world: World, base: Case, name: str, key: str, rate: Callable[[World, str], Rates]
) -> Callable[[float], Case]:
    def case(factor: float) -> Case:
        changed = world.with_fact(key, world.facts.value(key) * factor)
        rates = merged(base.rates, rate(changed, name), name)
        market = base.market
        if key.endswith(".power_max"):
            k = market.systems.index(name)
            power = np.array(market.unit_power)
            power[k] *= factor
            market = replace(market, unit_power=power)
        return Case(market=market, rates=rates, sets=rescaled(base.sets, market, base.rates, rates))

    return case


def merged(old: Rates, new: Rates, system: str) -> Rates:
    """`old` with the work and power of one system taken from `new`; sizes it has not rated change alike."""
    k, fresh = old.systems.index(system), new.systems.index(system)
    work, power, low, high = (np.array(a) for a in (old.work_per_s, old.power, old.low, old.high))
    for j, job in enumerate(old.jobs):
        if job not in new.jobs:
            continue
        at = new.jobs.index(job)
        place = {int(size): z for z, size in enumerate(new.sizes[at, fresh]) if size > 0}
        for z, size in enumerate(old.sizes[j, k]):
            if int(size) in place and work[j, k, z] > 0:
                there = at, fresh, place[int(size)]
                work[j, k, z], power[j, k, z] = new.work_per_s[there], new.power[there]
                low[j, k, z], high[j, k, z] = new.low[there], new.high[there]
        known = [z for z, size in enumerate(old.sizes[j, k]) if int(size) in place and old.work_per_s[j, k, z] > 0]
        other = [z for z, size in enumerate(old.sizes[j, k]) if int(size) not in place]
        if known and other:
            work[j, k, other] *= float(np.mean(work[j, k, known] / old.work_per_s[j, k, known]))
    return replace(old, work_per_s=work, power=power, low=low, high=high)


def rescaled(sets: Sets, market: Market, old: Rates, new: Rates) -> Sets:
    """The same sets with work and power of each use in proportion to the new rates."""
    faster, hungrier = _ratio(old.work_per_s, new.work_per_s), _ratio(old.power, new.power)
    jobs = [old.jobs.index(job.id) if job.id in old.jobs else -1 for job in market.scenario.jobs]
    systems = [old.systems.index(k) if k in old.systems else -1 for k in market.systems]

    def at(j: int, k: int, chips: float) -> tuple[int, int, int]:
        place = jobs[j], systems[k]
        sizes, work = old.sizes[place], old.work_per_s[place]
        best = np.where(sizes > 0, work / np.maximum(sizes, 1), 0.0) if chips < 0 else -np.abs(sizes - chips)
        return (*place, int(np.argmax(best)))

    pairs = [at(j, k, -1.0) for j, k in zip(sets.pair_job.tolist(), sets.pair_system.tolist(), strict=True)]
    options = [
        at(j, k, c)
        for j, k, c in zip(
            sets.option_job.tolist(), sets.option_system.tolist(), sets.option_chips.tolist(), strict=True
        )
    ]
    gangs = [options[o] for o in sets.gang_option.tolist()]
    return replace(
        sets,
        pair_rate=sets.pair_rate * _taken(faster, pairs),
        pair_power=sets.pair_power * _taken(hungrier, pairs),
        gang_share=sets.gang_share * _taken(faster, gangs),
        gang_power=sets.gang_power * _taken(hungrier, gangs),
    )


def _ratio(old: Floats, new: Floats) -> Floats:
    return np.divide(new, old, out=np.ones_like(old), where=old > 0)


def _taken(values: Floats, places: list[tuple[int, int, int]]) -> Floats:
    return np.array([values[p] for p in places], dtype=np.float64)
