"""Two worlds of one question: which inputs differ, and how much of the difference in cost each of them makes.

The second world's inputs are switched into the first one group at a time, and each mixture is rated and planned anew on
the base draw. Inputs that cannot be switched alone (a record and what it refers to) are one group.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from exafleet.facts.catalogue import Facts
from exafleet.facts.records import Scenario
from exafleet.facts.scenario.document import ARRAY_NAMES, UNREAD, record_key
from exafleet.plan.plan import PARTS
from exafleet.sweep.attribution import Subset, shapley, subsets
from exafleet.sweep.local import Progress, sweep
from exafleet.terms.errors import ExafleetError

if TYPE_CHECKING:
    from exafleet.facts.fact import Fact
    from exafleet.facts.world import World
    from exafleet.fleet.rates import Rates

# Parts of a scenario that say how it was written, not what is asked.
_APART = {"name", "file", "sources", "summary", "where", *ARRAY_NAMES}
_TIME = ("start", "months")
# Above this many groups the smaller ones would need too many plans: facts of one subject are joined.
MOST_GROUPS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One input that differs.

    key     of the scenario ("offers.gb200.price", "jobs.new"), or of a fact
    kind    "number" (a value differs), "added", "removed", "fact"
    """

    key: str
    kind: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Inputs that are switched together, and their share in the difference of cost, by part (plan.PARTS). [P] [USD]"""

    changes: tuple[Change, ...]
    parts: tuple[float, ...] = ()

    @property
    def share(self) -> float:
        """The share in the whole difference; NaN where it cannot be said. [USD]"""
        return sum(self.parts) if self.parts else float("nan")


@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    """Groups with their shares, which sum to `planned`, the difference on the base draw planned anew.

    ends   cost of the first and of the second world so planned   [USD]
    """

    groups: tuple[Group, ...]
    ends: tuple[float, float]

    @property
    def planned(self) -> float:
        """The difference between the two; NaN where either cannot be planned. [USD]"""
        return self.ends[1] - self.ends[0]


def changes(a: World, b: World) -> tuple[Change, ...]:
    """Every input in which two worlds differ."""
    found = [*_top(a.scenario, b.scenario)]
    for array in (name for name in ARRAY_NAMES if name not in UNREAD):
        found += _records(array, a.scenario, b.scenario)
    return (*found, *(Change(key=key, kind="fact") for key in _facts(a.facts, b.facts)))


def _top(a: Scenario, b: Scenario) -> list[Change]:
    found = []
    for field in fields(Scenario):
        if field.name in _APART or field.name == "as_of":
            continue
        if getattr(a, field.name) != getattr(b, field.name):
            found.append(Change(key=f"scenario.{field.name}", kind="number"))
    return found


def _by_key(array: str, scenario: Scenario) -> dict[str, Any]:
    return {record_key(array, r): r for r in getattr(scenario, array)}


def _records(array: str, a: Scenario, b: Scenario) -> list[Change]:
    old, new = _by_key(array, a), _by_key(array, b)
    found = [Change(key=k, kind="removed") for k in old if k not in new]
    found += [Change(key=k, kind="added") for k in new if k not in old]
    for key in (k for k in old if k in new):
        if type(old[key]) is not type(new[key]):
            found.append(Change(key=key, kind="number"))
            continue
        found += [Change(key=f"{key}.{f.name}", kind="number") for f in fields(old[key])
                  if f.name != "where" and getattr(old[key], f.name) != getattr(new[key], f.name)]
    return found


def _facts(a: Facts, b: Facts) -> list[str]:
    """Keys whose winning value differs, or that only one of the two knows."""
    old, new = ({f.key: f for f in facts} for facts in (a, b))
    return sorted(k for k in old.keys() | new.keys() if _value(old.get(k)) != _value(new.get(k)))


def _value(fact: Fact | None) -> tuple[float, float, float] | None:
    return None if fact is None else (fact.value, fact.low, fact.high)


def groups(a: World, b: World, found: Sequence[Change]) -> tuple[tuple[Change, ...], ...]:
    """Changes that are switched together: facts by subject, with the numbers of the scenario that were taken from them;
    records that come or go with all that names them.
    """
    taken = _taken(a, b, found)
    joined: dict[str, list[Change]] = {}
    moved = [c for c in found if c.kind in ("added", "removed")]
    names = {c.key.partition(".")[2] for c in moved}
    for change in found:
        joined.setdefault(taken.get(change.key) or _group(change, names, a, b), []).append(change)
    many = [tuple(g) for g in joined.values()]
    if len(many) <= MOST_GROUPS:
        return tuple(many)
    coarse: dict[str, list[Change]] = {}
    for group in many:
        coarse.setdefault(_coarse(group[0]), []).extend(group)
    return tuple(tuple(g) for g in coarse.values())


def _taken(a: World, b: World, found: Sequence[Change]) -> dict[str, str]:
    """Groups of the facts that numbers of the scenario were taken from, where both differ, by the number's key."""
    facts = {c.key: _subject(c) for c in found if c.kind == "fact"}
    origins = [(key, fact.key) for w in (a, b) for key, fact in sorted(w.origins.items()) if fact.key in facts]
    return {c.key: facts[fact] for c in found if c.kind == "number" for key, fact in reversed(origins)
            if f"{key}.".startswith(f"{c.key.removeprefix('scenario.')}.")}


def _subject(change: Change) -> str:
    return f"facts of {change.key.partition('@')[0].rpartition('.')[0]}"


def _group(change: Change, names: set[str], a: World, b: World) -> str:
    if change.kind == "fact":
        return _subject(change)
    if change.kind in ("added", "removed"):
        return "records"
    if change.key.partition(".")[2] in _TIME:
        return "records"  # another horizon moves every series at once
    both = _record(change.key, a.scenario), _record(change.key, b.scenario)
    return "records" if any(f"'{name}'" in repr(value) for value in both for name in names) else change.key


def _coarse(change: Change) -> str:
    if change.kind == "fact":
        return "facts"
    return "records" if change.kind != "number" else change.key.rpartition(".")[0]


def held(world: World, key: str) -> Any:
    """What a world holds at the key of a change: a field, a whole record, or None."""
    if key.startswith("scenario."):
        return getattr(world.scenario, key.partition(".")[2], None)
    whole = next((r for array in ARRAY_NAMES for k, r in _by_key(array, world.scenario).items() if k == key), None)
    return _record(key, world.scenario) if whole is None else whole


def kind_of(world: World, key: str) -> str:
    """The type of the field that the key of a change names, as it is written; "" for a whole record."""
    if key.startswith("scenario."):
        return next((str(f.type) for f in fields(Scenario) if f.name == key.partition(".")[2]), "")
    every = (pair for array in ARRAY_NAMES for pair in _by_key(array, world.scenario).items())
    return next((str(f.type) for name, record in every for f in fields(record) if key == f"{name}.{f.name}"), "")


def _record(key: str, scenario: Scenario) -> Any:
    for array in ARRAY_NAMES:
        for name, record in _by_key(array, scenario).items():
            if key.startswith(f"{name}.") and hasattr(record, key[len(name) + 1:]):
                return getattr(record, key[len(name) + 1:])
    return None


def mixed(a: World, b: World, switched: Sequence[Change]) -> World:
    """World `a` with some inputs as they are in `b`; raises ValueError where a record does not fit."""
    keys = {c.key for c in switched}
    scenario = a.scenario
    values = {f.name: getattr(b.scenario, f.name) for f in fields(Scenario) if f"scenario.{f.name}" in keys}
    arrays = {array: _mixed(array, a.scenario, b.scenario, keys) for array in ARRAY_NAMES}
    changed: dict[str, Any] = {**values, **arrays}
    facts = {c.key for c in switched if c.kind == "fact"}
    return replace(a, scenario=replace(scenario, **changed), facts=_switched(a.facts, b.facts, facts), document=None,
                   changes=())


def _mixed(array: str, a: Scenario, b: Scenario, keys: set[str]) -> tuple[Any, ...]:
    old, new = _by_key(array, a), _by_key(array, b)
    kept = []
    for key, record in old.items():
        if key not in new:
            kept += [] if key in keys else [record]
        elif key in keys:
            kept.append(new[key])
        else:
            values = {f.name: getattr(new[key], f.name) for f in fields(record) if f"{key}.{f.name}" in keys}
            kept.append(replace(record, **values) if values else record)
    return (*kept, *(record for key, record in new.items() if key not in old and key in keys))


def _switched(a: Facts, b: Facts, keys: set[str]) -> Facts:
    if not keys:
        return a
    rows = [f for f in a.every() if f.key not in keys] + [f for f in b.every() if f.key in keys]
    # Several rows of one key come best first; those of what-if values are the scenario's own and stay ahead.
    return replace(a.holding(rows), subjects=b.subjects if len(b.subjects.by_id) > len(a.subjects.by_id)
                   else a.subjects, sources={**a.sources, **b.sources})


def why(a: World, b: World, found: Sequence[Change], *, seed: int = 0, workers: int = 1, cluster: str | None = None,
        progress: Progress | None = None) -> Why:
    """Shapley shares of the groups of changes in the difference of cost, base draw, planned anew.

    Raises Interrupted; a mixture that cannot be planned makes the shares NaN.
    """
    many = groups(a, b, found)
    needed = subsets(len(many), seed)
    costs = sweep(functools.partial(_parts, a, b, many), needed, workers=workers, cluster=cluster, progress=progress)
    value: Mapping[Subset, tuple[float, ...]] = dict(zip(needed, costs, strict=True))
    by_part = [shapley(len(many), functools.partial(_part, value, i), seed) for i in range(len(PARTS))]
    ends = sum(value[()]), sum(value[tuple(range(len(many)))])
    return Why(groups=tuple(Group(changes=g, parts=each) for g, each in
                            zip(many, zip(*by_part, strict=True), strict=True)), ends=ends)


def _part(value: Mapping[Subset, tuple[float, ...]], part: int, on: Subset) -> float:
    return value[on][part]


def _parts(a: World, b: World, many: Sequence[tuple[Change, ...]], on: Subset) -> tuple[float, ...]:
    """Cost of one mixture on its base draw, planned with fractions of a unit; NaN where it cannot be. [P] [USD]"""
    from exafleet.market.futures import draw
    from exafleet.market.market import market
    from exafleet.plan.sets import sets
    from exafleet.sweep.sensitivity import Anew
    from exafleet.sweep.variations import Case

    try:
        world = mixed(a, b, [c for i in on for c in many[i]])
        rates = _rated(world)
        sold = market(world, rates)
        draws = draw(sold, 1, 0, rates=rates)
        case = Case(market=sold, rates=rates, sets=sets(sold, rates, draws))
        return tuple(Anew(case, draws).parts_before.tolist())
    except (ExafleetError, ValueError, KeyError):
        return (float("nan"),) * len(PARTS)


_KEPT: dict[str, Rates] = {}
_MOST_KEPT = 64


def _rated(world: World) -> Rates:
    """Rates of a mixture, kept while nothing they rest on differs: facts, jobs and who holds or offers what."""
    from exafleet.fleet.build import rates

    given = world.scenario
    held = [(r.system, *(getattr(r, name, None) for name in ("units", "total", "supply", "most")))
            for part in (given.holdings, given.open_orders, given.offers, given.rentals) for r in part]
    key = repr((world.facts.data_hash, given.jobs, held, given.start, given.months))
    if key not in _KEPT:
        if len(_KEPT) >= _MOST_KEPT:
            _KEPT.clear()
        _KEPT[key] = rates(world)
    return _KEPT[key]
