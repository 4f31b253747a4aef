"""A number's path from the fact to the report: the stops at which another value of it leaves another trace.

Nothing is told from memory: the world is built once with the number as it is and once a tenth larger, and at each stop
the two are compared. Where they no longer differ, the path ends. Steps and operators are timed under the layout of
today; where another one is better with the other value, that is a stop of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from exafleet.facts.scenario.keys import is_scenario_key
from exafleet.fleet.breakdown import Run, Spent, chosen, spent
from exafleet.market.market import Market, market
from exafleet.plan.plan import PARTS
from exafleet.plan.twostage import TwoStage, two_stage
from exafleet.sweep.sensitivity import STEP, yielding_rules
from exafleet.sweep.whatif import WhatIf
from exafleet.terms.errors import ExafleetError

if TYPE_CHECKING:
    from exafleet.facts.world import World
    from exafleet.fleet.rates import Rates

STOPS = ("fact", "record", "scenario", "operators", "steps", "layouts", "rates", "market", "costs", "rules", "answer")
# Rates whose steps are looked into: those the plan uses, else those that change most.
MOST_CELLS = 6
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
# Groups of the catalogue of strings that the names of a step's parts and operators belong to.
_GROUPS = ("step-phase", "step-part", "operator", "pass")
_SAME = 1e-9
Name = TypeVar("Name", bound=tuple[str, ...])


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """One place where the number leaves a trace.

    stop    one of STOPS
    where   names of the scenario and the facts: a record and its field, "job / system", an offer; "" without one
    what    names of the program, each with its group of the catalogue of strings: a part of the step and an operator
            in it, a table of the market, a rule
    change  relative change there when the number is a tenth larger; NaN where it is no number
    share   of the time of its step, for operators and steps; NaN elsewhere                                     [1]
    """

    stop: str
    where: str
    change: float
    what: tuple[tuple[str, str], ...] = ()
    share: float = float("nan")

    @property
    def weight(self) -> float:
        """What the change is worth at its stop; larger is more, 0 where it is no number."""
        if not np.isfinite(self.change):
            return 0.0
        return abs(self.change) * (self.share if np.isfinite(self.share) else 1.0)


def _stop(stop: str, group: str, name: str, change: float) -> Stop:
    """A stop at something of the program itself."""
    return Stop(stop=stop, where="", what=((group, name),), change=change)


def step(asked: WhatIf, key: str) -> float | None:
    """The factor a path is told for: a tenth more; a tenth less where more makes no sense; None where neither does."""
    for factor in (1.0 + STEP, 1.0 - STEP):
        try:
            asked.changed(((key, factor),))
        except (ExafleetError, ValueError):
            continue
        return factor
    return None


def passage(asked: WhatIf, key: str) -> tuple[Stop, ...]:
    """Every stop of one number, in the order it passes them; none where no other value makes sense."""
    factor = step(asked, key)
    if factor is None:
        return ()
    world = asked.changed(((key, factor),))
    rates = asked.rated(((key, factor),), world, wide=True)
    sold, base = market(world, rates), market(asked.world, asked.rates)
    found = [
        *_records(asked.world, world, base), *_scenario(asked.world, world, key), *_steps(asked, world, rates),
        *_rates(asked, rates), *_market(base, sold), *_programme(asked, key, factor), *_answer(asked, key, factor)]
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


def _steps(asked: WhatIf, world: World, rates: Rates) -> Iterator[Stop]:
    """Operators, time parts and layouts of the steps behind the rates that change."""
    found: list[Stop] = []
    for j, k, z in _cells(asked, rates):
        job, name = asked.rates.jobs[j], asked.rates.systems[k]
        old, new = (next(x for x in w.scenario.jobs if x.id == job) for w in (asked.world, world))
        size = int(asked.rates.sizes[j, k, z])
        before, after = chosen(asked.world, old, name, size), chosen(world, new, name, size)
        for was, now in zip(before, after, strict=False):
            found += timed(asked.world, world, f"{job} / {name}", was, now)
    yield from sorted(found, key=lambda s: STOPS.index(s.stop))


def _cells(asked: WhatIf, rates: Rates) -> list[tuple[int, int, int]]:
    """(job, system, size) of the rates whose steps are looked into: used in the plan and changed first. [J, K, Z]"""
    old, found = asked.rates, []
    for j, job in enumerate(old.jobs):
        for k, name in enumerate(old.systems):
            here = old.work_per_s[j, k]
            change = np.divide(rates.work_per_s[j, k], here, out=np.ones_like(here), where=here > 0) - 1.0
            if (np.abs(change) > _SAME).any():
                found.append((not asked.uses(job, name), -float(np.abs(change).max()), j, k))
    used = [one for one in found if not one[0]]
    return [(j, k, _size(asked, j, k)) for _, _, j, k in sorted(used or found)[:MOST_CELLS]]


def _size(asked: WhatIf, j: int, k: int) -> int:
    """The size a rate is told for: that of the run in the plan, else the best per chip. [Z]"""
    old = asked.rates
    sizes, work = old.sizes[j, k], old.work_per_s[j, k]
    placed = [p.chips for p in asked.made.placements if (p.job, p.system) == (old.jobs[j], old.systems[k])]
    worth = -np.abs(sizes - placed[0]) if placed else work / np.maximum(sizes, 1)
    return int(np.argmax(np.where(work > 0, worth, -np.inf)))


def timed(old: World, new: World, where: str, was: Run, now: Run) -> Iterator[Stop]:
    """What another value does to the operators and parts of a step in its layout of today, and whether that stays."""
    before, after = spent(old, was), spent(new, was.doing(now))
    yield from _changed("operators", where, before, before.operators, after.operators)
    yield from _changed("steps", where, before, before.parts, after.parts)
    if was.words != now.words:
        yield Stop(stop="layouts", where=f"{where}: {was.words} -> {now.words}", change=float("nan"))


def _changed(stop: str, where: str, step: Spent, old: Mapping[Name, float],
             new: Mapping[Name, float]) -> Iterator[Stop]:
    for name, time in old.items():
        change = _relative(time, new.get(name, float("nan")))
        if time > 0 and np.isfinite(change) and abs(change) > _SAME:
            yield Stop(stop=stop, where=where, what=tuple(zip(_GROUPS, name, strict=False)), change=change,
                       share=time / step.whole(name[0]))


def _rates(asked: WhatIf, new: Rates) -> Iterator[Stop]:
    """Jobs on systems whose work, or power, changes; told for one size."""
    old = asked.rates
    for j, job in enumerate(old.jobs):
        for k, system in enumerate(old.systems):
            for name, a, b in (("work", old.work_per_s, new.work_per_s), ("power", old.power, new.power)):
                if not np.allclose(a[j, k], b[j, k], rtol=_SAME, atol=0.0):
                    z = _size(asked, j, k)
                    yield Stop(stop="rates", where=f"{job} / {system}", what=(("rate", name),),
                               change=_relative(float(a[j, k, z]), float(b[j, k, z])))


def _market(old: Market, new: Market) -> Iterator[Stop]:
    axis = {name: group for group, names in _AXES.items() for name in names}
    for field in fields(Market):
        a, b = getattr(old, field.name), getattr(new, field.name)
        if not isinstance(a, np.ndarray) or (a.shape == b.shape and np.array_equal(a, b)):
            continue
        if a.shape != b.shape or field.name not in axis:
            yield _stop("market", "market-table", field.name, _mean_change(a, b))
            continue
        names = old.systems if axis[field.name] == "systems" else _ids(getattr(old.scenario, axis[field.name]))
        for i, name in enumerate(names):
            if not np.array_equal(a[i], b[i]):
                yield Stop(stop="market", where=name, what=(("market-table", field.name),),
                           change=_mean_change(a[i], b[i]))


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
        yield _stop("costs", "decision", "columns", len(new.x_lower) / max(len(old.x_lower), 1) - 1.0)
        return
    money = new.build.money / old.build.money
    for members, a, b in ((old.build.x, old.cost1[0], new.cost1[0]), (old.build.y, old.cost2[0], new.cost2[0])):
        for name, block in members.blocks().items():
            at = block[block >= 0]
            if not np.allclose(a[at], b[at] * money, rtol=_SAME, atol=1e-15):
                yield _stop("costs", "decision", name, _mean_change(a[at], b[at] * money))
    yield from _rows(old, new)


def _rows(old: TwoStage, new: TwoStage) -> Iterator[Stop]:
    for members, a, b, low, high in (
            (old.build.first_rows, old.first, new.first, (old.first_lower, new.first_lower),
             (old.first_upper, new.first_upper)),
            (old.build.rows, old.recourse, new.recourse, (old.lower[0], new.lower[0]), (old.upper[0], new.upper[0]))):
        if a.shape != b.shape:
            yield _stop("rules", "rule", "rows", b.shape[0] / max(a.shape[0], 1) - 1.0)
            continue
        changed = np.asarray(abs(a - b).sum(axis=1)).ravel() > _SAME
        changed |= _unlike(*low) | _unlike(*high)
        for name, block in members.blocks().items():
            at = block[block >= 0]
            if changed[at].any():
                yield _stop("rules", "rule", name, float("nan"))


def _unlike(a: Any, b: Any) -> Any:
    with np.errstate(invalid="ignore"):
        return ~((a == b) | (np.abs(a - b) <= _SAME * np.maximum(np.abs(a), 1e-9)))


def _answer(asked: WhatIf, key: str, factor: float) -> Iterator[Stop]:
    """Parts of the cost that change with the decisions kept."""
    before, after = asked.keeping.parts_before, asked.kept(((key, factor),))
    least = 1e-7 * max(float(np.abs(before).sum()), 1.0)
    for name, a, b in zip(PARTS, before.tolist(), after.tolist(), strict=True):
        if np.isfinite(b) and abs(b - a) > least:
            yield _stop("answer", "part", name, _relative(a, b))
