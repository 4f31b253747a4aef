"""A number's path from the fact to the report: the stops at which another value of it leaves another trace.

Nothing is told from memory: the world is built once with the number as it is and once a tenth larger, and at each stop
the two are compared. Where they no longer differ, the path ends.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from exafleet.facts.scenario.keys import is_scenario_key
from exafleet.market.market import Market, market
from exafleet.plan.plan import PARTS
from exafleet.plan.twostage import TwoStage, two_stage
from exafleet.sweep.sensitivity import STEP, yielding_rules
from exafleet.sweep.whatif import WhatIf

if TYPE_CHECKING:
    from exafleet.facts.world import World
    from exafleet.fleet.rates import Rates

STOPS = ("fact", "record", "scenario", "rates", "market", "costs", "rules", "answer")
# First axis of each table of the market, by the records it follows.
_AXES = {
    "systems": ("chips", "unit_power", "racks", "resale"),
    "sites": ("power", "install", "pue", "rent", "energy_price", "carbon", "cooled"),
    "owners": ("may_install", "holdings", "quota", "budget"),
    "offers": ("price", "can_order", "offered", "supply", "lead", "sooner"),
    "open_orders": ("promised", "slip"),
    "rentals": ("rental_price", "rental_most", "can_rent", "rentable"),
    "jobs": ("demand",), "loans": ("loan_most",),
}
_SAME = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """One place where the number leaves a trace.

    stop    one of STOPS
    where   the record, rate, table or rule
    change  relative change there when the number is a tenth larger; NaN where it is no number
    """

    stop: str
    where: str
    change: float


def passage(asked: WhatIf, key: str) -> tuple[Stop, ...]:
    """Every stop of one number, in the order it passes them. Raises FactError, OutOfRange."""
    factor = 1.0 + STEP
    try:
        world = asked.changed(((key, factor),))
    except ValueError:
        factor = 1.0 - STEP
        world = asked.changed(((key, factor),))
    rates = asked.rated(((key, factor),), world, wide=True)
    sold, base = market(world, rates), market(asked.world, asked.rates)
    found = [*_records(asked.world, world, base), *_scenario(asked.world, world, key), *_rates(asked.rates, rates),
             *_market(base, sold), *_programme(asked, key, factor), *_answer(asked, key, factor)]
    return tuple(found)


def _records(old: World, new: World, base: Market) -> Iterator[Stop]:
    for name in base.systems:
        for path, change in _differing(old.system(name), new.system(name), ""):
            yield Stop(stop="record", where=f"{name}: {path}", change=change)


def _differing(old: Any, new: Any, path: str) -> Iterator[tuple[str, float]]:
    """Fields in which two records of one kind differ, by path."""
    if is_dataclass(old) and not isinstance(old, type) and type(old) is type(new):
        for field in fields(old):
            below = f"{path}.{field.name}" if path else f"{type(old).__name__}.{field.name}"
            yield from _differing(getattr(old, field.name), getattr(new, field.name), below)
    elif isinstance(old, dict) and isinstance(new, dict):
        for name in old:
            yield from _differing(old[name], new.get(name), f"{path}[{name}]")
    elif old != new:
        yield path, _relative(old, new)


def _relative(old: Any, new: Any) -> float:
    numbers = isinstance(old, int | float) and isinstance(new, int | float)
    return float(new) / float(old) - 1.0 if numbers and old else float("nan")


def _scenario(old: World, new: World, key: str) -> Iterator[Stop]:
    """Numbers of the scenario that follow: the key itself, and what was taken from the fact."""
    before = {k.key: k.value for k in old.keys()}  # noqa: SIM118  (not a mapping)
    for one in new.keys():  # noqa: SIM118
        if one.key in before and one.value != before[one.key]:
            yield Stop(stop="scenario", where=one.key, change=_relative(before[one.key], one.value))
    if is_scenario_key(key) and new.value(key) == before.get(key):
        yield Stop(stop="scenario", where=key, change=float("nan"))


def _rates(old: Rates, new: Rates) -> Iterator[Stop]:
    """Jobs on systems whose best work per chip, or power, changes."""
    for j, job in enumerate(old.jobs):
        for k, system in enumerate(old.systems):
            for name, a, b in (("work", old.work_per_s, new.work_per_s), ("power", old.power, new.power)):
                if not np.allclose(a[j, k], b[j, k], rtol=_SAME, atol=0.0):
                    best = int(np.argmax(np.divide(a[j, k], old.sizes[j, k], out=np.zeros_like(a[j, k]),
                                                   where=old.sizes[j, k] > 0)))
                    yield Stop(stop="rates", where=f"{job} / {system}: {name}",
                               change=_relative(float(a[j, k, best]), float(b[j, k, best])))


def _market(old: Market, new: Market) -> Iterator[Stop]:
    axis = {name: group for group, names in _AXES.items() for name in names}
    for field in fields(Market):
        a, b = getattr(old, field.name), getattr(new, field.name)
        if not isinstance(a, np.ndarray) or (a.shape == b.shape and np.array_equal(a, b)):
            continue
        if a.shape != b.shape or field.name not in axis:
            yield Stop(stop="market", where=field.name, change=_mean_change(a, b))
            continue
        names = old.systems if axis[field.name] == "systems" else _ids(getattr(old.scenario, axis[field.name]))
        for i, name in enumerate(names):
            if not np.array_equal(a[i], b[i]):
                yield Stop(stop="market", where=f"{field.name}: {name}", change=_mean_change(a[i], b[i]))


def _ids(records: tuple[Any, ...]) -> tuple[str, ...]:
    return tuple(getattr(r, "id", "") or f"{getattr(r, 'lender', '')}:{getattr(r, 'borrower', '')}" for r in records)


def _mean_change(a: Any, b: Any) -> float:
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    sound = np.isfinite(a) & np.isfinite(b) & (a != 0) if a.shape == b.shape else np.zeros(0, dtype=bool)
    return float(np.mean(b[sound] / a[sound] - 1.0)) if sound.any() else float("nan")


def _programme(asked: WhatIf, key: str, factor: float) -> Iterator[Stop]:
    """Columns whose cost changes, by what they decide; rules whose rows change, by the rule that wrote them."""
    case = asked.case(((key, factor),), wide=True)
    if case is None:
        return
    old, new = (two_stage(c.market, c.draws or asked.draws, c.sets, yielding_rules()) for c in (asked.base, case))
    if len(old.x_lower) != len(new.x_lower) or len(old.y_lower) != len(new.y_lower):
        yield Stop(stop="rules", where="columns", change=len(new.x_lower) / max(len(old.x_lower), 1) - 1.0)
        return
    money = new.build.money / old.build.money
    for members, a, b in ((old.build.x, old.cost1[0], new.cost1[0]), (old.build.y, old.cost2[0], new.cost2[0])):
        for name, block in members.blocks().items():
            at = block[block >= 0]
            if not np.allclose(a[at], b[at] * money, rtol=_SAME, atol=1e-15):
                yield Stop(stop="costs", where=name, change=_mean_change(a[at], b[at] * money))
    yield from _rows(old, new)


def _rows(old: TwoStage, new: TwoStage) -> Iterator[Stop]:
    for members, a, b, low, high in (
            (old.build.first_rows, old.first, new.first, (old.first_lower, new.first_lower),
             (old.first_upper, new.first_upper)),
            (old.build.rows, old.recourse, new.recourse, (old.lower[0], new.lower[0]), (old.upper[0], new.upper[0]))):
        if a.shape != b.shape:
            yield Stop(stop="rules", where="rows", change=b.shape[0] / max(a.shape[0], 1) - 1.0)
            continue
        changed = np.asarray(abs(a - b).sum(axis=1)).ravel() > _SAME
        changed |= _unlike(*low) | _unlike(*high)
        for name, block in members.blocks().items():
            at = block[block >= 0]
            if changed[at].any():
                yield Stop(stop="rules", where=name, change=float("nan"))


def _unlike(a: Any, b: Any) -> Any:
    with np.errstate(invalid="ignore"):
        return ~((a == b) | (np.abs(a - b) <= _SAME * np.maximum(np.abs(a), 1e-9)))


def _answer(asked: WhatIf, key: str, factor: float) -> Iterator[Stop]:
    """Parts of the cost that change with the decisions kept."""
    before, after = asked.keeping.parts_before, asked.kept(((key, factor),))
    least = 1e-7 * max(float(np.abs(before).sum()), 1.0)
    for name, a, b in zip(PARTS, before.tolist(), after.tolist(), strict=True):
        if np.isfinite(b) and abs(b - a) > least:
            yield Stop(stop="answer", where=name, change=_relative(a, b))
